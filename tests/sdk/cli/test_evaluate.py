"""`anti-i2v evaluate`: a real model makes videos at toy size; what is written, and what is refused before any work."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from anti_i2v import protect
from anti_i2v.evaluation import runner as evidence_module
from anti_i2v.evaluation.degradations import QUICK_DEGRADATIONS
from anti_i2v.evaluation.html_report import LARGEST
from anti_i2v.evaluation.results import CONDITIONS, Evidence
from anti_i2v_cli import app
from anti_i2v_cli.progress import narrator

PHOTOS = Path(__file__).parents[2] / "data"
TINY = ("--seeds", "2", "--steps", "1")


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a photo and its protected version; a machine without downloaded weights."""
    made = tmp_path / "desk"
    made.mkdir()
    monkeypatch.setenv("ANTI_I2V_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(made)
    with Image.open(PHOTOS / "chelsea.jpg") as photo:
        small = photo.convert("RGB").crop((120, 40, 280, 168))
    clean = np.asarray(small)
    delta = np.random.default_rng(0).integers(-8, 9, clean.shape)
    small.save("photo.png")
    Image.fromarray((clean + delta).clip(0, 255).astype(np.uint8)).save("protected.png")
    small.resize((80, 80)).save("other.png")
    return made


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["evaluate", *arguments])


def told(folder: str = "report") -> Evidence:
    return Evidence.from_json(Path(folder, "evidence.json").read_bytes())


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_pair_becomes_a_page_and_numbers(desk: Path, dit_folder: Path) -> None:
    before = tree(desk)
    asked = ("--victim", str(dit_folder), *TINY, "--change", "jpeg75", "-o", "report/")
    result = run("photo.png", "protected.png", *asked)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    after = tree(desk)
    assert sorted(after.keys() - before.keys()) == ["report/evidence.json", "report/index.html"]
    assert {name: after[name] for name in before} == before

    evidence = told()
    assert evidence.seeds == (0, 1)
    (victim,) = evidence.victims
    assert (victim.name, victim.role, victim.steps) == ("toy-dit", "unknown", 1)
    assert [each.name for each in victim.conditions] == list(CONDITIONS)
    assert {row.change for row in evidence.survival} <= {"jpeg75"}

    page = after["report/index.html"].decode()
    assert len(page) < LARGEST
    assert page.count("<img") == 6 + 3
    for doubt in evidence.doubts:
        assert doubt.kind in result.stdout or " ".join(doubt.reason.split())[:40] in " ".join(result.stdout.split())
    if evidence.headline is None:
        assert "No headline" in page
        assert "No headline" in result.stdout
    assert "Written: report/evidence.json, report/index.html" in result.stdout


def test_the_numbers_hold_no_pixels_and_no_paths(dit_folder: Path, tmp_path: Path) -> None:
    asked = ("--victim", str(dit_folder), *TINY, "--change", "jpeg75", "-o", "report")
    assert run("photo.png", "protected.png", *asked).exit_code == 0
    text = Path("report/evidence.json").read_text(encoding="utf-8")
    assert len(text) < 60_000
    for private in (str(tmp_path), str(dit_folder), "photo.png", "protected.png", "data:", "base64"):
        assert private not in text
    assert not re.search(r"(?<![\w.])/\w+/\w+", text)
    # The page says nothing of them either, but for the pictures that it shows.
    page = re.sub(r"data:image/webp;base64,[\w+/=]+", "", Path("report/index.html").read_text(encoding="utf-8"))
    for private in (str(tmp_path), str(dit_folder), "photo.png", "protected.png"):
        assert private not in page


def test_the_same_command_gives_the_same_numbers(dit_folder: Path) -> None:
    asked = ("--victim", str(dit_folder), *TINY, "--change", "jpeg75", "--quiet")
    for folder in ("one", "two"):
        result = run("photo.png", "protected.png", *asked, "-o", folder)
        assert (result.exit_code, result.output) == (0, "")
    one, two = (json.loads(Path(folder, "evidence.json").read_bytes()) for folder in ("one", "two"))
    for each in (one, two):
        each.pop("seconds")
    assert one == two


def test_a_protection_that_did_nothing_gets_no_headline(dit_folder: Path) -> None:
    result = run("photo.png", "photo.png", "--victim", str(dit_folder), *TINY, "--change", "jpeg75", "-o", "report")
    assert result.exit_code == 0, result.output
    assert told().headline is None
    assert "No headline" in result.stdout
    assert "equal to the clean photo" in result.stdout


def test_reports_are_replaced_only_with_overwrite(dit_folder: Path) -> None:
    Path("report").mkdir()
    Path("report/index.html").write_bytes(b"mine")
    asked = ("photo.png", "protected.png", "--victim", str(dit_folder), *TINY, "--change", "jpeg75", "-o", "report")
    refused = run(*asked)
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "report/index.html exists: choose another name or pass --overwrite" in refused.stderr
    assert tree(Path("report")) == {"index.html": b"mine"}
    assert run(*asked, "--overwrite").exit_code == 0
    assert sorted(tree(Path("report"))) == ["evidence.json", "index.html"]
    assert Path("report/index.html").read_bytes() != b"mine"


class Asked(Exception):
    """What was asked of the evaluation, instead of its work."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, dit_folder: Path) -> Any:
    """Runs the command up to its work; gives what the work would have been."""

    def stop(samples: Any, **settings: Any) -> None:
        raise Asked({"second": samples[0].second, **settings})

    monkeypatch.setattr(evidence_module, "evaluate_all", stop)

    def settings(*arguments: str) -> dict[str, Any]:
        result = run("photo.png", "protected.png", "--victim", str(dit_folder), "-o", "report", *arguments)
        assert isinstance(result.exception, Asked), result.output
        found: dict[str, Any] = result.exception.args[0]
        return found

    return settings


@pytest.mark.parametrize(
    ("arguments", "seeds", "steps", "changes"),
    [
        ((), 4, 10, None),
        (("--quick",), 2, 10, QUICK_DEGRADATIONS),
        (("--quick", "--seeds", "3"), 3, 10, QUICK_DEGRADATIONS),
        (("--quick", "--steps", "7", "--change", "blur"), 2, 7, ["blur"]),
        (("--change", "blur", "--change", "half size"), 4, 10, ["blur", "half size"]),
    ],
    ids=["nothing", "quick", "quick with seeds", "quick with steps and a change", "two changes"],
)
def test_what_is_told_wins_over_quick_and_quick_over_the_defaults(
    asked: Any, arguments: tuple[str, ...], seeds: int, steps: int, changes: Any
) -> None:
    given = asked(*arguments)
    assert list(given["seeds"]) == list(range(seeds))
    assert (given["steps"], given["changes"]) == (steps, changes)
    assert given["second"] is None


def test_videos_have_the_side_that_is_asked_for_and_256_pixels_by_default(asked: Any) -> None:
    assert (asked()["side"], asked("--side", "480")["side"]) == (256, 480)


def test_a_second_version_is_handed_on(asked: Any) -> None:
    with Image.open("photo.png") as photo:
        np.testing.assert_array_equal(asked("--second", "photo.png")["second"], np.asarray(photo))


def test_a_receipt_says_what_was_optimised_on_and_which_budget_holds(asked: Any) -> None:
    tiles = ("taesd", "taesdxl", "taef1")
    made = protect("photo.png", recipe="draft")
    Path("exact.json").write_bytes(made.finished("PNG")[1].to_json())
    Path("lossy.json").write_bytes(made.finished("JPEG", quality=70)[1].to_json())
    on_one = msgspec.structs.replace(made.receipt, surrogates=("dit-taef1",))
    Path("steps.json").write_bytes(on_one.to_json())

    told = {name: asked("--receipt", f"{name}.json") for name in ("exact", "lossy", "steps")}
    assert {name: each["budget"] for name, each in told.items()} == {"exact": 8, "lossy": None, "steps": 8}
    assert told["exact"]["optimised_on"] == tiles
    assert told["steps"]["optimised_on"] == ("dit-taef1", *tiles)
    assert "optimised_on" not in asked()


ERRORS = [
    # id, arguments, exit code, what the line says
    ("no folder named", "photo.png protected.png", 2, "Missing option"),
    ("one photo alone", "photo.png -o report", 2, "Missing argument"),
    ("no seeds", "photo.png protected.png -o report --seeds 0", 2, "--seeds"),
    ("no steps", "photo.png protected.png -o report --steps 0", 2, "--steps"),
    ("a side that models cannot have", "photo.png protected.png -o report --side 250", 2, "take 256"),
    ("unknown device", "photo.png protected.png -o report --device toaster", 2, "unknown device 'toaster'"),
    (
        "unknown change",
        "photo.png protected.png -o report --change nope",
        2,
        "unknown change 'nope': choose from jpeg95",
    ),
    (
        "unknown victim",
        "photo.png protected.png -o report --victim nope",
        1,
        "unknown victim 'nope': choose from dit-taef1",
    ),
    ("a victim that is not here", "photo.png protected.png -o report --victim dit-taesd3", 1, "dit-taesd3"),
    ("no victim at hand", "photo.png protected.png -o report", 1, "no victim is at hand"),
    ("missing photo", "nowhere.png protected.png -o report", 1, "nowhere.png does not exist"),
    ("missing protected photo", "photo.png nowhere.png -o report", 1, "nowhere.png does not exist"),
    ("different sizes", "photo.png other.png -o report", 1, "photos of one size"),
    ("a second of another size", "photo.png protected.png --second other.png -o report", 1, "photos of one size"),
    (
        "a folder in no folder",
        "photo.png protected.png -o no/report",
        1,
        "the folder no does not exist: create it first",
    ),
    ("no receipt there", "photo.png protected.png -o report --receipt r.json", 2, "r.json is no receipt"),
    ("a photo as receipt", "photo.png protected.png -o report --receipt other.png", 2, "other.png is no receipt"),
    ("a file as folder", "photo.png protected.png -o other.png", 1, "other.png is no folder"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_every_error_is_one_line_with_its_exit_code_and_writes_nothing(
    desk: Path, arguments: str, code: int, message: str
) -> None:
    before = tree(desk)
    result = run(*arguments.split())
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("anti-i2v: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert tree(desk) == before
    assert not Path("report").exists()


def test_averaging_without_a_second_version_is_refused(dit_folder: Path) -> None:
    result = run("photo.png", "protected.png", "--victim", str(dit_folder), "--change", "averaged", "-o", "report")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "second protected version" in result.stderr


@pytest.mark.parametrize(("package", "name"), [("cv2", "OpenCV"), ("htpy", "htpy")])
def test_without_a_package_of_its_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # how Python itself marks a module that cannot be imported
    result = run("photo.png", "protected.png", "-o", "report")
    assert (result.exit_code, result.stderr) == (
        1,
        f'anti-i2v: an evaluation needs {name}: pip install "anti-i2v-sdk[evaluate]"\n',
    )


def test_progress_goes_to_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet, piped, shown = io.StringIO(), io.StringIO(), io.StringIO()
    for stream, terminal, silent in ((quiet, True, True), (piped, False, False), (shown, True, False)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(stream, "isatty", lambda there=terminal: there, raising=False)
        with narrator(silent) as tell:
            tell("loading a model", 0.0)
    assert quiet.getvalue() == piped.getvalue() == ""
    assert "loading a model" in shown.getvalue()
