"""`anti-i2v protect` with a folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from .command_line import FAST, assert_refused, run, run_main, tree


def test_a_folder_is_protected_with_one_line_a_file_and_its_failures_at_the_end() -> None:
    Path("album").mkdir()
    shutil.copy("photo.jpg", "album/good.jpg")
    Path("album/broken.jpg").write_bytes(Path("photo.jpg").read_bytes()[:900])
    result = run("protect", "album", *FAST, "--jobs", "2", "--receipt", "r.json")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert sum(line.startswith("good.jpg") for line in lines) == 1
    assert sum(line.startswith("broken.jpg") for line in lines) == 1
    assert lines[-1].startswith("1 of 2 photos protected, in ")
    assert result.stderr.startswith("anti-i2v: broken.jpg is truncated")
    assert result.stderr.count("\n") == 1
    assert sorted(tree(Path("album-protected"))) == ["good.jpg"]
    receipts = json.loads(Path("r.json").read_bytes())
    assert receipts["good.jpg"]["recipe"] == "draft"
    assert "truncated" in receipts["broken.jpg"]["error"]


def test_a_file_name_that_is_not_text_does_not_end_the_batch() -> None:
    Path("album").mkdir()
    odd = "\udcff.jpg"  # how Python reads the byte 255 in a file name
    try:
        shutil.copy("photo.jpg", f"album/{odd}")
    except (OSError, UnicodeError):
        pytest.skip("this file system knows Unicode names only")
    shutil.copy("photo.jpg", "album/good.jpg")
    Path("album/\udcfe.jpg").write_bytes(b"no photo")
    done = run_main("protect", "album", *FAST, "--receipt", "r.json")
    assert done.code == 1
    assert "2 of 3 photos protected" in done.stdout
    assert done.stderr.startswith("anti-i2v: \\udcfe.jpg is not an image")
    assert done.stderr.count("\n") == 1
    assert sorted(os.listdir("album-protected")) == ["good.jpg", odd]
    receipts = json.loads(Path("r.json").read_bytes())
    assert sorted(receipts) == ["\\udcfe.jpg", "\\udcff.jpg", "good.jpg"]
    single = run_main("protect", f"album/{odd}", *FAST)
    assert (single.code, single.stderr) == (0, "")
    assert "Written: album/\\udcff.protected.jpg" in single.stdout


ERRORS = [
    # id, arguments, exit code, part of the message
    ("no jobs", "protect nophotos --jobs 0", 2, "--jobs"),
    ("a preview of a folder", "protect nophotos --preview p.png", 2, "a preview shows one photo"),
    ("the root", "protect /", 1, "/ has no name to derive a folder from: name one with --output"),
    ("folder without photos", "protect nophotos", 1, "holds no photos"),
    ("folder onto itself", "protect . -o . --overwrite", 1, "holds the originals"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_every_error_is_one_line_with_its_exit_code_and_writes_nothing(
    desk: Path, arguments: str, code: int, message: str
) -> None:
    assert_refused(desk, arguments, code, message)
