"""Working sizes and resizing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anti_i2v.images.resize import resize_to_working, working_size


@given(
    height=st.integers(64, 5000),
    width=st.integers(64, 5000),
    short_side=st.integers(64, 2048),
    multiple=st.sampled_from([1, 8, 16, 32, 64]),
)
def test_a_working_size_suits_the_photo_and_the_models(height: int, width: int, short_side: int, multiple: int) -> None:
    rows, columns = working_size(height, width, short_side, multiple)
    assert rows % multiple == columns % multiple == 0
    assert multiple <= rows <= height
    assert multiple <= columns <= width
    assert min(rows, columns) <= short_side
    assert min(rows, columns) > min(short_side, height, width) - multiple
    # The aspect ratio is kept but for rounding down to the multiple (and half a pixel).
    scale = min(1.0, short_side / min(height, width))
    assert abs(rows - height * scale) < multiple + 0.5
    assert abs(columns - width * scale) < multiple + 0.5


def test_working_pixels_are_the_photo_itself_at_its_own_size() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (24, 16, 3), np.uint8)
    working = resize_to_working(photo, (24, 16))
    assert (working.shape, working.dtype) == ((1, 3, 24, 16), np.float32)
    assert np.array_equal(np.rint(working[0].transpose(1, 2, 0) * 255), photo)


def test_working_pixels_of_a_large_photo_are_antialiased() -> None:
    checks = ((np.arange(256)[:, None] + np.arange(256)) % 2 * 255).astype(np.uint8)
    working = resize_to_working(np.repeat(checks[..., None], 3, -1), (32, 32))
    assert working.shape == (1, 3, 32, 32)
    assert np.abs(working - 0.5).max() < 0.02
