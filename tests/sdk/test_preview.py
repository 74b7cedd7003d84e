"""The preview: its rows, scales and file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anti_i2v import Protector
from anti_i2v.arrays import Rgb8
from anti_i2v.engines.base import FrozenEncoder
from anti_i2v.errors import OutputError
from anti_i2v.preview import GAIN, GAP, MIN_WIDTH, SIDE, difference, picture, preview
from anti_i2v.surrogates.info import SurrogateInfo


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ANTI_I2V_HOME", str(home))


def a_pair(height: int = 100, width: int = 280) -> tuple[Rgb8, Rgb8]:
    draw = np.random.default_rng(0)
    clean = draw.integers(40, 200, (height, width, 3), dtype=np.uint8)
    return clean, (clean + draw.integers(-8, 9, clean.shape)).astype(np.uint8)


def a_decoder() -> FrozenEncoder:
    """A real autoencoder of toy width, untrained."""
    pytest.importorskip("diffusers", reason="the [backbones] extra is not installed")
    from tests import tiny_models

    from anti_i2v.engines.torch_engine import TorchFrozenEncoder
    from anti_i2v.surrogates.autoencoders import Autoencoder

    model = tiny_models.seeded(lambda: tiny_models.autoencoder_tiny((4, 4, 4, 4)), fill_zeros=False)
    info = SurrogateInfo(name="toy", kind="AutoencoderTiny", source="test", fingerprint="none", licence="none")
    return TorchFrozenEncoder(Autoencoder(model, info))


def panel(sheet: Image.Image, column: int, height: int, width: int, top: int = GAP) -> Rgb8:
    left = GAP + column * (max(width, MIN_WIDTH) + GAP)
    return np.asarray(sheet)[top : top + height, left : left + width]


def test_a_small_photo_is_shown_at_full_scale_pixel_by_pixel() -> None:
    clean, protected = a_pair()
    sheet = picture(clean, protected)
    for column, expected in enumerate((clean, protected, difference(clean, protected))):
        np.testing.assert_array_equal(panel(sheet, column, *clean.shape[:2]), expected)


def test_the_difference_is_amplified_around_mid_grey() -> None:
    clean = np.full((64, 64, 3), 100, np.uint8)
    protected = clean.copy()
    protected[0, 0] = (103, 96, 100)
    shown = difference(clean, protected)
    assert shown[0, 0].tolist() == [128 + 3 * GAIN, 128 - 4 * GAIN, 128]
    assert (shown[1:] == 128).all()


def test_a_large_photo_gets_a_row_at_full_scale() -> None:
    clean, protected = a_pair(600, 1200)
    sheet = picture(clean, protected)
    assert sheet.width == 3 * SIDE + 4 * GAP
    centre = clean[44 : 44 + SIDE, 344 : 344 + SIDE]
    rows = np.asarray(sheet)[:, GAP : GAP + SIDE]
    tops = [top for top in range(len(rows) - SIDE) if np.array_equal(rows[top : top + SIDE], centre)]
    assert len(tops) == 1


def test_a_narrow_photo_has_room_for_its_captions() -> None:
    clean, protected = a_pair(200, 70)
    assert picture(clean, protected).width == 3 * MIN_WIDTH + 4 * GAP


def test_with_a_decoder_there_is_a_row_of_decoded_photos() -> None:
    clean, protected = a_pair(96, 256)
    without, with_row = picture(clean, protected), picture(clean, protected, decoder=a_decoder())
    assert with_row.height > without.height + 150
    row = np.asarray(with_row)[without.height :, GAP:]
    assert not np.array_equal(row[:150, :256], np.broadcast_to(row[0, 0], (150, 256, 3)))


def test_two_photos_of_different_sizes_are_refused() -> None:
    clean, protected = a_pair()
    with pytest.raises(ValueError, match="one size"):
        picture(clean, protected[:50])


def test_the_file_is_a_png_of_a_protection_or_of_a_pair(tmp_path: Path) -> None:
    clean, _ = a_pair()
    protection = Protector("draft").protect(clean, effects=False)
    preview(protection, tmp_path / "a.png")
    preview((protection.clean, protection.photo.pixels), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.format == "PNG"


def test_an_existing_file_is_kept_without_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "p.png"
    target.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        preview(a_pair(), target)
    assert target.read_bytes() == b"mine"
    preview(a_pair(), target, overwrite=True)
    assert target.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "p.png"]
