"""`anti-i2v protect` with one photo."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from anti_i2v.images.decode import open_photo
from anti_i2v.protector import Protector
from anti_i2v.receipts.receipt import Receipt

from .command_line import FAST, assert_refused, run, tree


def test_a_photo_is_protected_beside_itself_with_its_table() -> None:
    before = Path("photo.jpg").read_bytes()
    result = run("protect", "photo.jpg", "--recipe", "draft")
    assert result.exit_code == 0, result.stderr
    assert Path("photo.jpg").read_bytes() == before
    assert open_photo("photo.protected.jpg").pixels.shape == open_photo("photo.jpg").pixels.shape
    assert "comparisons clearly beat a random change" in result.stdout
    assert "Written: photo.protected.jpg" in result.stdout
    assert result.stderr == ""


def test_every_file_that_was_asked_for_is_written() -> None:
    result = run(
        "protect", "photo.png", "-o", "out.png", *FAST, "--receipt", "r.json", "--preview", "p.png", "--seed", "7"
    )
    assert result.exit_code == 0, result.stderr
    receipt = Receipt.from_json(Path("r.json").read_bytes())
    assert (receipt.recipe, receipt.seed) == ("draft", 7)
    assert receipt.encoding is not None
    assert receipt.encoding.lossless
    delta = open_photo("out.png").pixels.astype(int) - open_photo("photo.png").pixels
    assert 0 < np.abs(delta).max() <= receipt.budget_spent <= 8
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")


def test_the_budget_of_the_command_line_is_kept() -> None:
    assert run("protect", "photo.png", "-o", "out.png", *FAST, "--budget", "3").exit_code == 0
    delta = open_photo("out.png").pixels.astype(int) - open_photo("photo.png").pixels
    assert 0 < np.abs(delta).max() <= 3


def test_quiet_prints_nothing() -> None:
    result = run("protect", "photo.png", *FAST, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert Path("photo.protected.png").exists()


def test_transparency_is_kept() -> None:
    assert run("protect", "seethrough.png", *FAST).exit_code == 0
    np.testing.assert_array_equal(open_photo("seethrough.protected.png").alpha, open_photo("seethrough.png").alpha)


def test_existing_files_are_replaced_only_with_overwrite() -> None:
    Path("out.png").write_bytes(b"mine")
    assert run("protect", "photo.png", "-o", "out.png", *FAST).exit_code == 1
    assert Path("out.png").read_bytes() == b"mine"
    assert run("protect", "photo.png", "-o", "out.png", *FAST, "--overwrite").exit_code == 0
    assert Path("out.png").read_bytes() != b"mine"


ERRORS = [
    # id, arguments, exit code, part of the message
    ("unknown recipe", "protect photo.png --recipe nope", 2, "unknown recipe 'nope': choose from draft"),
    ("unknown preset", "protect photo.png --preset nope", 2, "unknown preset 'nope': choose from"),
    ("budget 0", "protect photo.png --budget 0", 2, "budget must be 1..64 levels, got 0"),
    ("budget 300", "protect photo.png --budget 300", 2, "budget must be 1..64 levels, got 300"),
    ("budget in words", "protect photo.png --budget much", 2, "--budget"),
    ("deadline 0", "protect photo.png --deadline 0", 2, "a deadline must be above 0 seconds, got 0"),
    ("deadline below 0", "protect photo.png --deadline -3", 2, "got -3"),
    ("deadline nan", "protect photo.png --deadline nan", 2, "got nan"),
    ("quality 0", "protect photo.png --quality 0", 2, "--quality"),
    ("quality 101", "protect photo.png --quality 101", 2, "--quality"),
    ("unknown device", "protect photo.png --device toaster", 2, "unknown device 'toaster'"),
    ("unknown engine", "protect photo.png --engine jax", 2, "unknown engine 'jax': choose from auto, torch, onnx"),
    ("absent device", "protect photo.png --device cuda:77 --recipe draft", 2, "no device 'cuda:77'"),
    ("draft with a surrogate", "protect photo.png --recipe draft --surrogate embedded", 2, "takes no steps"),
    ("a name too long", f"protect {300 * 'x'}", 1, "File name too long"),
    ("a name too long to write", f"protect photo.png -o {300 * 'x'}.png", 1, "File name too long"),
    ("missing photo", "protect nowhere.jpg", 1, "nowhere.jpg does not exist"),
    ("truncated", "protect truncated.jpg", 1, "truncated"),
    ("empty", "protect empty.jpg", 1, "empty"),
    ("not an image", "protect text.jpg", 1, "is not an image"),
    ("animation", "protect moving.webp", 1, "animation"),
    ("a GIF", "protect still.gif", 1, "GIF"),
    ("too small", "protect tiny.png", 1, "too small"),
    ("bomb", "protect bomb.png", 1, "megapixels"),
    (
        "output exists",
        "protect photo.png -o exists.png",
        1,
        "exists.png exists: choose another name or pass --overwrite",
    ),
    ("output folder missing", "protect photo.png -o no/out.png", 1, "does not exist: create it first"),
    ("output is a folder", "protect photo.png -o nophotos", 1, "nophotos is a folder"),
    ("output is the photo", "protect photo.png -o photo.png --overwrite", 1, "originals are never replaced"),
    ("output is the photo by detour", "protect photo.png -o ../desk/photo.png --overwrite", 1, "never replaced"),
    ("output without a format", "protect photo.png -o out.xyz", 1, "which format to write"),
    ("transparency into JPEG", "protect seethrough.png -o out.jpg", 1, "cannot hold the transparency"),
    ("receipt over the photo", "protect photo.png --receipt photo.png --overwrite", 1, "never replaced"),
    ("receipt exists", "protect photo.png --receipt exists.png", 1, "exists"),
    ("preview over the output", "protect photo.png -o out.png --preview out.png", 1, "given for two files"),
    ("preview that is not a PNG", "protect photo.png --preview p.jpg", 1, "must end in .png"),
    ("unknown surrogate", "protect photo.png --surrogate nope", 1, "unknown surrogate 'nope'"),
    ("surrogate not installed", "protect photo.png --surrogate taesd", 1, "anti-i2v surrogates pull taesd"),
    ("unreadable surrogate", "protect photo.png --surrogate model", 1, "no surrogate at model"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_every_error_is_one_line_with_its_exit_code_and_writes_nothing(
    desk: Path, arguments: str, code: int, message: str
) -> None:
    assert_refused(desk, arguments, code, message)


def test_heic_without_its_package_is_refused_before_any_work(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # how Python itself marks a module that cannot be imported
    monkeypatch.setattr(Protector, "protect", None)  # would be called by the work
    before = tree(desk)
    result = run("protect", "photo.png", "-o", "out.heic")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert 'pip install "anti-i2v-sdk[heif]"' in result.stderr
    assert tree(desk) == before
