"""The student: its latents, its smoothness."""

from __future__ import annotations

import pytest
import torch

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.catalogue import (
    load_surrogate,
)
from anti_i2v.surrogates.student import HEADS, load_student


def pixels(size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))


def test_the_student_imitates_every_teacher() -> None:
    student = load_student()
    features = student.features(pixels())
    assert {name: part.shape[1] for name, part in features.items() if name != "latent"} == {
        f"latent.{teacher}": channels for teacher, channels in HEADS.items()
    }
    torch.testing.assert_close(torch.cat([features[f"latent.{name}"] for name in HEADS], 1), features["latent"])
    assert features["latent"].shape == (2, sum(HEADS.values()), 4, 6)
    assert features["latent"].isfinite().all()
    assert not student.decodes
    with pytest.raises(TypeError, match="embedded has no decoder"):
        student.decode(features["latent"])


def test_the_student_is_smooth() -> None:
    student, leaf = load_student().double(), pixels((16, 16)).double().requires_grad_(True)
    along = torch.randn(leaf.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss = student.features(leaf)["latent"].square().sum()
    (gradient,) = torch.autograd.grad(loss, leaf)
    with torch.no_grad():
        sides = [student.features(leaf + h * along)["latent"].square().sum() for h in (1e-5, -1e-5)]
    assert float((sides[0] - sides[1]) / 2e-5) == pytest.approx(float((gradient * along).sum()), rel=1e-5)


def test_the_student_refuses_hooks() -> None:
    with pytest.raises(SurrogateError, match=r"^embedded has no hook points: leave anchor_layers at latent$"):
        load_surrogate("embedded", hooks=("trunk",))
