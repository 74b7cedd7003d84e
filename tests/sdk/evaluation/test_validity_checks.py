"""Each validity check on a failing case and on a good one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anti_i2v.evaluation import validity_checks as checks
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.validity_checks import Fingerprint, ValidityIssue, fingerprint, training_photos
from anti_i2v.images.decode import open_photo
from anti_i2v.images.jpeg import jpeg_round_trip

from .conftest import noised, smooth

PHOTOS = Path(__file__).parents[2] / "data"
CLEAN = smooth(64, 64)
PROTECTED = noised(CLEAN, 8)
GOOD = [(CLEAN, PROTECTED)]


def certain(mean: float) -> Estimate:
    return Estimate(mean, mean - 0.1, mean + 0.1, 16)


FIT = {"first_frame_psnr": certain(26), "identity": certain(0.8), "motion": certain(1)}
ABOVE, WITHIN = Estimate(0.2, 0.1, 0.3, 16), Estimate(0.2, -0.1, 0.5, 16)

CASES: dict[str, tuple[list[ValidityIssue], list[ValidityIssue]]] = {
    "unchanged": (list(checks.check_changed([*GOOD, (CLEAN, CLEAN.copy())])), list(checks.check_changed(GOOD))),
    "budget": (list(checks.check_within_budget(GOOD, 7)), list(checks.check_within_budget(GOOD, 8))),
    "budget, unknown": (list(checks.check_within_budget(GOOD, 1)), list(checks.check_within_budget(GOOD, None))),
    "control": (list(checks.check_control([])), list(checks.check_control([(31.0, 31.2)]))),
    "control, weaker": (list(checks.check_control([(31.0, 31.5)])), list(checks.check_control([(31.0, 30.9)]))),
    "control, missing": (list(checks.check_control([(31.0, None)])), list(checks.check_control([(None, None)]))),
    "training": (
        list(checks.check_training_overlap([fingerprint(CLEAN)], [fingerprint(CLEAN)])),
        list(checks.check_training_overlap([fingerprint(CLEAN)], [fingerprint(smooth(64, 64, 9))])),
    ),
    "victim": (
        list(checks.check_victim("dit", {**FIT, "first_frame_psnr": certain(12)})),
        list(checks.check_victim("dit", FIT)),
    ),
    "victim, another person": (
        list(checks.check_victim("dit", {**FIT, "identity": certain(0.1)})),
        list(checks.check_victim("dit", {"first_frame_psnr": certain(26), "motion": certain(1)})),
    ),
    "victim, still": (
        list(checks.check_victim("dit", {**FIT, "motion": certain(0)})),
        list(checks.check_victim("dit", FIT)),
    ),
    "effect": (
        list(checks.check_effect("dit", {"identity": WITHIN}, headline=True)),
        list(checks.check_effect("dit", {"identity": ABOVE}, headline=True)),
    ),
    "effect, of two measures one": (
        list(checks.check_effect("dit", {"identity": WITHIN, "first_frame_psnr": ABOVE}, headline=True)),
        list(checks.check_effect("dit", {"identity": ABOVE, "first_frame_psnr": ABOVE}, headline=True)),
    ),
    "effect, not measured": (
        list(checks.check_effect("dit", {}, headline=True)),
        list(checks.check_effect("dit", {}, headline=False)),
    ),
}

NOTES: dict[str, tuple[list[ValidityIssue], list[ValidityIssue]]] = {
    "effect, on another victim": (
        list(checks.check_effect("dit", {"identity": WITHIN}, headline=False)),
        list(checks.check_effect("dit", {"identity": ABOVE}, headline=False)),
    ),
    "few": (list(checks.check_sample_size(1, 8)), list(checks.check_sample_size(10, 4))),
    "few, seeds": (list(checks.check_sample_size(20, 2)), list(checks.check_sample_size(20, 4))),
    "view": (list(checks.check_retained_energy([0.5, 0.05])), list(checks.check_retained_energy([0.5, 0.3]))),
    "face": (list(checks.check_faces([True, False])), list(checks.check_faces([True, True]))),
}


@pytest.mark.parametrize("case", CASES)
def test_issues_that_forbid_a_headline_are_found_and_only_there(case: str) -> None:
    bad, good = CASES[case]
    assert [(issue.kind, issue.severity) for issue in bad] == [(case.partition(",")[0], "no headline")]
    assert good == []


@pytest.mark.parametrize("case", NOTES)
def test_issues_that_weaken_a_number_are_notes(case: str) -> None:
    bad, good = NOTES[case]
    assert [(issue.kind, issue.severity) for issue in bad] == [(case.partition(",")[0], "note")]
    assert good == []


def test_every_kind_is_explained_and_tested() -> None:
    tried = {issue.kind for case in (*CASES.values(), *NOTES.values()) for issue in case[0]}
    assert tried == set(checks.ISSUE_KINDS)


def test_a_reason_has_the_numbers() -> None:
    (issue,) = checks.check_within_budget(GOOD, 5)
    assert "budget of 5 levels: up to 8 levels were used" in issue.reason


def test_a_photo_is_found_again_after_scaling_and_compression() -> None:
    photo = open_photo(PHOTOS / "astronaut.jpg").pixels
    small = np.asarray(Image.fromarray(photo).resize((150, 150), Image.Resampling.BICUBIC))
    trained = [fingerprint(photo)]
    for version in (small, jpeg_round_trip(photo, 60), noised(photo, 8)):
        (issue,) = checks.check_training_overlap([fingerprint(version)], trained)
        assert "similar" in issue.reason


def test_a_file_is_recognised_by_its_hash() -> None:
    known = [fingerprint(CLEAN, b"a file")]
    other = fingerprint(smooth(64, 64, 9), b"a file")
    (issue,) = checks.check_training_overlap([other], known)
    assert "among those" in issue.reason


def test_no_test_photo_is_in_the_training_list() -> None:
    tests = [path for path in PHOTOS.rglob("*") if path.suffix in {".jpg", ".png", ".webp"}]
    assert tests
    prints = [fingerprint(open_photo(path).pixels, path.read_bytes()) for path in tests]
    assert list(checks.check_training_overlap(prints)) == []


def test_the_training_list_is_read_whole() -> None:
    known = training_photos()
    assert len(known) >= 60
    assert all(len(each.file) == len(each.pixels) == 64 and 0 <= each.difference_hash < 2**64 for each in known)
    assert list(checks.check_training_overlap([Fingerprint("", known[0].pixels, 0)]))


def test_a_difference_hash_is_that_of_its_definition() -> None:
    steps = np.repeat(np.arange(9), 10)  # lighter from left to right, 9 columns of 10 pixels
    photo = np.tile((20 * steps).astype(np.uint8)[None, :, None], (80, 1, 3))
    assert fingerprint(photo).difference_hash == 2**64 - 1
    assert fingerprint(photo[:, ::-1]).difference_hash == 0
