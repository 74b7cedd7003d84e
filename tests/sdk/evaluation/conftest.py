"""Metric models, synthetic evidence, and photos with coarse structure."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.sdk.conftest import FRAMES as FRAMES

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.results import ConditionName, Evaluation
from anti_i2v.evaluation.video_metrics import MetricModels

from .synthetic_evidence import synthetic_crops, synthetic_evaluation

SIDE = 32
"""Of the tiny video model, `dit_folder`."""

HOME = Path(os.environ.get("ANTI_I2V_HOME", "absent"))


@pytest.fixture
def no_models() -> MetricModels:
    return MetricModels()


@pytest.fixture(scope="session")
def models() -> MetricModels:
    """The real face networks and LPIPS."""
    if not (HOME / "face" / "mobilefacenet.onnx").is_file() or not (HOME / "perceptual").is_dir():
        pytest.skip("needs ANTI_I2V_HOME with the nets in face/ and perceptual/")
    found = MetricModels.available()
    assert not found.missing
    return found


@pytest.fixture(scope="package")
def crops() -> dict[ConditionName, Rgb8]:
    return synthetic_crops()


@pytest.fixture(scope="package")
def evaluation(crops: dict[ConditionName, Rgb8]) -> Evaluation:
    return synthetic_evaluation(crops)


def smooth(height: int, width: int, seed: int = 0, low: int = 60, high: int = 196) -> Rgb8:
    """Make a photo of coarse structure, far from 0 and 255."""
    coarse = np.random.default_rng(seed).integers(low, high, (4, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def noised(clean: Rgb8, levels: int, seed: int = 1) -> Rgb8:
    """Add a random perturbation of up to `levels`."""
    delta = np.random.default_rng(seed).integers(-levels, levels + 1, clean.shape)
    return (clean.astype(int) + delta).clip(0, 255).astype(np.uint8)
