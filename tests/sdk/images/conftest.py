"""A photo for the tests of images."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from anti_i2v.arrays import Rgb8


@pytest.fixture(scope="module")
def photo() -> Rgb8:
    return np.ascontiguousarray(data.astronaut()[:240, :320])  # type: ignore[no-untyped-call]  # scikit-image has no annotations
