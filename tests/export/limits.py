"""Limits of an exported graph's difference from torch."""

from __future__ import annotations

from anti_i2v.engines.artifacts import Verification


def assert_within_limits(found: Verification, signs: float = 0.999) -> None:
    assert len(found.sizes) == 3
    assert found.value_error <= 1e-4
    assert found.gradient_cosine is None or found.gradient_cosine >= 0.9999
    assert found.sign_agreement is None or found.sign_agreement >= signs
    assert found.equal_levels is None or found.equal_levels >= 0.99
