"""`anti-i2v evaluate`: a real model at toy size generates the videos."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from anti_i2v import protect
from anti_i2v.evaluation import runner
from anti_i2v.evaluation.degradations import QUICK_DEGRADATIONS
from anti_i2v.evaluation.html_report import MAX_BYTES
from anti_i2v.evaluation.results import CONDITIONS, Evidence

from .command_line import assert_refused, tree
from .command_line import run as run_command

PAIR = ("photo.png", "protected.png")
TINY = ("--seeds", "2", "--steps", "1", "--side", "96", "--change", "jpeg75")


def run(*arguments: str) -> Any:
    return run_command("evaluate", *arguments)


def read_evidence(folder: str | Path) -> Evidence:
    return Evidence.from_json(Path(folder, "evidence.json").read_bytes())


@dataclass
class Report:
    """A finished evaluation."""

    desk: Path
    model: Path
    result: Any
    before: dict[str, bytes]


@pytest.fixture(scope="module")
def report(desk_template: Path, dit_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    desk = shutil.copytree(desk_template, tmp_path_factory.mktemp("evaluated") / "desk")
    before = tree(desk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTI_I2V_HOME", str(desk.parent / "home"))
        patch.chdir(desk)
        result = run(*PAIR, "--victim", str(dit_folder), *TINY, "-o", "report/")
    return Report(desk, dit_folder, result, before)


def test_a_pair_becomes_a_page_and_numbers(report: Report) -> None:
    assert (report.result.exit_code, report.result.stderr) == (0, "")
    after = tree(report.desk)
    assert sorted(after.keys() - report.before.keys()) == ["report/evidence.json", "report/index.html"]
    assert {name: after[name] for name in report.before} == report.before
    assert "Written: report/evidence.json, report/index.html" in report.result.stdout


def test_the_numbers_cover_the_model_its_conditions_and_the_change(report: Report) -> None:
    evidence = read_evidence(report.desk / "report")
    assert evidence.seeds == (0, 1)
    (victim,) = evidence.victims
    assert (victim.name, victim.role, victim.steps) == ("toy-dit", "unknown", 1)
    assert [each.name for each in victim.conditions] == list(CONDITIONS)
    assert {row.degradation for row in evidence.survival} <= {"jpeg75"}


def test_page_and_terminal_say_why_there_is_no_headline(report: Report) -> None:
    evidence, stdout = read_evidence(report.desk / "report"), report.result.stdout
    page = (report.desk / "report" / "index.html").read_text(encoding="utf-8")
    assert len(page) < MAX_BYTES
    assert page.count("<img") == 6 + 3
    for issue in evidence.issues:
        assert issue.kind in stdout or " ".join(issue.reason.split())[:40] in " ".join(stdout.split())
    assert (evidence.headline is None) == ("No headline" in page) == ("No headline" in stdout)


def test_a_report_names_no_paths_and_the_numbers_hold_no_pixels(report: Report) -> None:
    text = (report.desk / "report" / "evidence.json").read_text(encoding="utf-8")
    assert len(text) < 60_000
    private = (str(report.desk.parent), str(report.model), "photo.png", "protected.png")
    assert not [each for each in (*private, "data:", "base64") if each in text]
    assert not re.search(r"(?<![\w.])/\w+/\w+", text)
    page = (report.desk / "report" / "index.html").read_text(encoding="utf-8")
    without_pictures = re.sub(r"data:image/webp;base64,[\w+/=]+", "", page)
    assert not [each for each in private if each in without_pictures]


def test_the_same_command_gives_the_same_numbers_and_quiet_prints_nothing(report: Report) -> None:
    again = run(*PAIR, "--victim", str(report.model), *TINY, "--quiet", "-o", "again")
    assert (again.exit_code, again.output) == (0, "")
    one, two = (json.loads(Path(folder, "evidence.json").read_bytes()) for folder in (report.desk / "report", "again"))
    for each in (one, two):
        each.pop("seconds")
    assert one == two


def test_a_protection_that_did_nothing_gets_no_headline(dit_folder: Path) -> None:
    result = run("photo.png", "photo.png", "--victim", str(dit_folder), *TINY, "-o", "report")
    assert result.exit_code == 0, result.output
    assert read_evidence("report").headline is None
    assert "No headline" in result.stdout
    assert "equal to the clean photo" in result.stdout


def test_reports_are_replaced_only_with_overwrite(dit_folder: Path) -> None:
    Path("report").mkdir()
    Path("report/index.html").write_bytes(b"mine")
    arguments = (*PAIR, "--victim", str(dit_folder), *TINY, "-o", "report")
    refused = run(*arguments)
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "report/index.html exists: choose another name or pass --overwrite" in refused.stderr
    assert tree(Path("report")) == {"index.html": b"mine"}
    assert run(*arguments, "--overwrite").exit_code == 0
    assert sorted(tree(Path("report"))) == ["evidence.json", "index.html"]
    assert Path("report/index.html").read_bytes() != b"mine"


class Stopped(Exception):
    """Ends the command before its work; holds the evaluation's settings."""


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch, dit_folder: Path) -> Any:
    """Run the command up to its work, and return the settings that it passes."""

    def stop(samples: Any, **settings: Any) -> None:
        raise Stopped({"second": samples[0].second, **settings})

    monkeypatch.setattr(runner, "evaluate_all", stop)

    def settings(*arguments: str) -> dict[str, Any]:
        result = run(*PAIR, "--victim", str(dit_folder), "-o", "report", *arguments)
        assert isinstance(result.exception, Stopped), result.output
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
def test_explicit_options_win_over_quick_and_quick_over_the_defaults(
    settings_of: Any, arguments: tuple[str, ...], seeds: int, steps: int, changes: Any
) -> None:
    settings = settings_of(*arguments)
    assert list(settings["seeds"]) == list(range(seeds))
    assert (settings["steps"], settings["degradations"]) == (steps, changes)
    assert settings["second"] is None


def test_videos_have_the_requested_side_and_256_pixels_by_default(settings_of: Any) -> None:
    assert (settings_of()["side"], settings_of("--side", "480")["side"]) == (256, 480)


def test_a_second_version_is_passed_on(settings_of: Any) -> None:
    with Image.open("photo.png") as photo:
        np.testing.assert_array_equal(settings_of("--second", "photo.png")["second"], np.asarray(photo))


def test_a_receipt_says_what_was_optimised_on_and_which_budget_holds(settings_of: Any) -> None:
    tiles = ("taesd", "taesdxl", "taef1")
    made = protect("photo.png", recipe="draft")
    Path("exact.json").write_bytes(made.encode_with_receipt("PNG")[1].to_json())
    Path("lossy.json").write_bytes(made.encode_with_receipt("JPEG", quality=70)[1].to_json())
    on_one = msgspec.structs.replace(made.receipt, surrogates=("dit-taef1",))
    Path("steps.json").write_bytes(on_one.to_json())

    settings = {name: settings_of("--receipt", f"{name}.json") for name in ("exact", "lossy", "steps")}
    assert {name: each["budget"] for name, each in settings.items()} == {"exact": 8, "lossy": None, "steps": 8}
    assert settings["exact"]["optimised_on"] == tiles
    assert settings["steps"]["optimised_on"] == ("dit-taef1", *tiles)
    assert "optimised_on" not in settings_of()


ERRORS = [
    # id, arguments, exit code, part of the message
    ("no folder named", "photo.png protected.png", 2, "Missing option"),
    ("one photo only", "photo.png -o report", 2, "Missing argument"),
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
    ("no victim installed", "photo.png protected.png -o report", 1, "no victim is available"),
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
    ("no receipt there", "photo.png protected.png -o report --receipt r.json", 2, "r.json is not a receipt"),
    ("a photo as receipt", "photo.png protected.png -o report --receipt other.png", 2, "other.png is not a receipt"),
    ("a file as folder", "photo.png protected.png -o other.png", 1, "other.png is not a folder"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_every_error_is_one_line_with_its_exit_code_and_writes_nothing(
    desk: Path, arguments: str, code: int, message: str
) -> None:
    assert_refused(desk, f"evaluate {arguments}", code, message)
    assert not Path("report").exists()


def test_averaging_without_a_second_version_is_refused(dit_folder: Path) -> None:
    result = run("photo.png", "protected.png", "--victim", str(dit_folder), "--change", "averaged", "-o", "report")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "second protected version" in result.stderr


@pytest.mark.parametrize("package", ["cv2", "htpy"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # how Python itself marks a module that cannot be imported
    result = run(*PAIR, "-o", "report")
    install = 'pip install "anti-i2v-sdk[evaluate]"'
    assert result.exit_code == 1
    assert result.stderr == f"anti-i2v: an evaluation needs {package}, which is not installed: {install}\n"
