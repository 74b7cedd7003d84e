"""`anti-i2v check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from anti_i2v.receipts.receipt import Receipt

from .command_line import FAST, assert_refused, run


def test_a_check_of_our_own_pair_agrees_with_the_receipt_of_its_making() -> None:
    run("protect", "photo.png", "-o", "out.png", *FAST, "--receipt", "r.json")
    result = run("check", "photo.png", "out.png", "--receipt", "c.json", "--preview", "p.png", "--short-side", "128")
    assert result.exit_code == 0, result.stderr
    made, checked = (Receipt.from_json(Path(name).read_bytes()) for name in ("r.json", "c.json"))
    assert checked.imperceptibility == made.imperceptibility
    assert checked.recipe is None
    assert checked.effects
    assert "A pair of photos, checked" in result.stdout
    assert Path("p.png").exists()


ERRORS = [
    # id, arguments, exit code, part of the message
    ("unknown engine of a check", "check photo.png photo.jpg --engine jax", 2, "unknown engine 'jax': choose from"),
    ("short side of a check", "check photo.png photo.png --short-side 3", 2, "--short-side"),
    ("check of different sizes", "check photo.png other.png", 1, "two photos of one size"),
    ("check of a missing photo", "check photo.png nowhere.png", 1, "nowhere.png does not exist"),
    ("check over its photo", "check photo.png photo.jpg --receipt photo.jpg --overwrite", 1, "never replaced"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_every_error_is_one_line_with_its_exit_code_and_writes_nothing(
    desk: Path, arguments: str, code: int, message: str
) -> None:
    assert_refused(desk, arguments, code, message)
