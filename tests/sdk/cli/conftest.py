"""A desk: a current folder with good photos and bad files, on a machine without downloaded weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PHOTOS = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="session")
def desk_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: the bomb takes longest."""
    folder = tmp_path_factory.mktemp("template") / "desk"
    folder.mkdir()
    _good_photos(folder)
    _bad_files(folder)
    return folder


def _good_photos(folder: Path) -> None:
    with Image.open(PHOTOS / "chelsea.jpg") as photo:
        small = photo.convert("RGB").crop((120, 40, 280, 168))
    small.save(folder / "photo.png")
    small.save(folder / "photo.jpg", quality=95)
    small.convert("RGBA").resize((96, 96)).rotate(20).save(folder / "seethrough.png")
    clean = np.asarray(small)
    delta = np.random.default_rng(0).integers(-8, 9, clean.shape)
    Image.fromarray((clean + delta).clip(0, 255).astype(np.uint8)).save(folder / "protected.png")


def _bad_files(folder: Path) -> None:
    data = (folder / "photo.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not an image", encoding="utf-8")
    frames = [Image.new("RGB", (80, 80), (shade, 90, 90)) for shade in (10, 200)]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:], duration=100)
    frames[0].save(folder / "still.gif")
    frames[0].resize((32, 32)).save(folder / "tiny.png")
    frames[0].save(folder / "other.png")
    Image.new("1", (9_000, 8_000)).save(folder / "bomb.png")
    (folder / "exists.png").write_bytes(b"mine")
    (folder / "nophotos").mkdir()
    (folder / "model").mkdir()
    (folder / "model/config.json").write_text("{}", encoding="utf-8")


@pytest.fixture(autouse=True)
def desk(desk_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a test."""
    folder = shutil.copytree(desk_template, tmp_path / "desk")
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("ANTI_I2V_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(folder)
    return folder
