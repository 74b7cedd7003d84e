"""The JPEG codec and its quantisation tables."""

from __future__ import annotations

import numpy as np
import pytest
from tests.sdk.images.samples import through_pillow

from anti_i2v.arrays import Rgb8
from anti_i2v.images.jpeg import jpeg_round_trip, jpeg_round_trip_with_tables


def test_a_grey_photo_changes_by_at_most_a_level() -> None:
    grey = np.full((33, 47, 3), 128, np.uint8)
    assert np.abs(jpeg_round_trip(grey, 75).astype(int) - 128).max() <= 1


# ITU-T T.81, tables K.1 and K.2, which libjpeg uses at quality 50.
LUMA = """
16 11 10 16 24 40 51 61   12 12 14 19 26 58 60 55   14 13 16 24 40 57 69 56   14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77   24 35 55 64 81 104 113 92   49 64 78 87 103 121 120 101   72 92 95 98 112 100 103 99
"""


CHROMA = """
17 18 24 47 99 99 99 99   18 21 26 66 99 99 99 99   24 26 56 99 99 99 99 99   47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99
"""


def test_the_quantisation_steps_are_the_standards_in_their_natural_order(photo: Rgb8) -> None:
    pixels, tables = jpeg_round_trip_with_tables(photo, 50)
    assert np.array_equal(pixels, jpeg_round_trip(photo, 50))
    assert tables.shape == (2, 8, 8)
    for table, text in zip(tables, (LUMA, CHROMA), strict=True):
        assert np.array_equal(table, np.array(text.split(), np.float32).reshape(8, 8))


@pytest.mark.parametrize("quality", [60, 75, 100])
def test_finer_qualities_have_finer_steps(quality: int, photo: Rgb8) -> None:
    pixels, tables = jpeg_round_trip_with_tables(photo, quality)
    assert np.array_equal(pixels, through_pillow(photo, quality, 2))
    scale = 2 - quality / 50  # libjpeg's above 50
    expected = [np.array(text.split(), np.float32).reshape(8, 8) * scale for text in (LUMA, CHROMA)]
    np.testing.assert_allclose(tables, np.maximum(1, expected), atol=0.51)
