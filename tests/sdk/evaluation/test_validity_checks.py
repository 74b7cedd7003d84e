"""Every doubt on a case made for it, and none on a good one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anti_i2v.evaluation import validity_checks as doubts
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
    "unchanged": (list(doubts.unchanged([*GOOD, (CLEAN, CLEAN.copy())])), list(doubts.unchanged(GOOD))),
    "budget": (list(doubts.over_budget(GOOD, 7)), list(doubts.over_budget(GOOD, 8))),
    "budget, unknown": (list(doubts.over_budget(GOOD, 1)), list(doubts.over_budget(GOOD, None))),
    "control": (list(doubts.control_strays([])), list(doubts.control_strays([(31.0, 31.2)]))),
    "control, weaker": (list(doubts.control_strays([(31.0, 31.5)])), list(doubts.control_strays([(31.0, 30.9)]))),
    "control, missing": (list(doubts.control_strays([(31.0, None)])), list(doubts.control_strays([(None, None)]))),
    "training": (
        list(doubts.seen_in_training([fingerprint(CLEAN)], [fingerprint(CLEAN)])),
        list(doubts.seen_in_training([fingerprint(CLEAN)], [fingerprint(smooth(64, 64, 9))])),
    ),
    "victim": (
        list(doubts.unfit("dit", {**FIT, "first_frame_psnr": certain(12)})),
        list(doubts.unfit("dit", FIT)),
    ),
    "victim, another person": (
        list(doubts.unfit("dit", {**FIT, "identity": certain(0.1)})),
        list(doubts.unfit("dit", {"first_frame_psnr": certain(26), "motion": certain(1)})),
    ),
    "victim, still": (list(doubts.unfit("dit", {**FIT, "motion": certain(0)})), list(doubts.unfit("dit", FIT))),
    "effect": (
        list(doubts.not_above_control("dit", {"identity": WITHIN}, headline=True)),
        list(doubts.not_above_control("dit", {"identity": ABOVE}, headline=True)),
    ),
    "effect, of two measures one": (
        list(doubts.not_above_control("dit", {"identity": WITHIN, "first_frame_psnr": ABOVE}, headline=True)),
        list(doubts.not_above_control("dit", {"identity": ABOVE, "first_frame_psnr": ABOVE}, headline=True)),
    ),
    "effect, not measured": (
        list(doubts.not_above_control("dit", {}, headline=True)),
        list(doubts.not_above_control("dit", {}, headline=False)),
    ),
}

NOTES: dict[str, tuple[list[ValidityIssue], list[ValidityIssue]]] = {
    "effect, on another victim": (
        list(doubts.not_above_control("dit", {"identity": WITHIN}, headline=False)),
        list(doubts.not_above_control("dit", {"identity": ABOVE}, headline=False)),
    ),
    "few": (list(doubts.few(1, 8)), list(doubts.few(10, 4))),
    "few, seeds": (list(doubts.few(20, 2)), list(doubts.few(20, 4))),
    "view": (list(doubts.scaled_away([0.5, 0.05])), list(doubts.scaled_away([0.5, 0.3]))),
    "face": (list(doubts.without_face([True, False])), list(doubts.without_face([True, True]))),
}


@pytest.mark.parametrize("case", CASES)
def test_what_forbids_a_headline_is_found_and_not_seen_where_it_is_not(case: str) -> None:
    bad, good = CASES[case]
    assert [(doubt.kind, doubt.severity) for doubt in bad] == [(case.partition(",")[0], "no headline")]
    assert good == []


@pytest.mark.parametrize("case", NOTES)
def test_what_only_weakens_a_number_is_noted(case: str) -> None:
    bad, good = NOTES[case]
    assert [(doubt.kind, doubt.severity) for doubt in bad] == [(case.partition(",")[0], "note")]
    assert good == []


def test_every_doubt_is_of_a_kind_that_is_explained_and_every_kind_is_tried() -> None:
    tried = {doubt.kind for case in (*CASES.values(), *NOTES.values()) for doubt in case[0]}
    assert tried == set(doubts.KINDS)


def test_a_reason_has_the_numbers() -> None:
    (doubt,) = doubts.over_budget(GOOD, 5)
    assert "budget of 5 levels: 8 were spent" in doubt.reason


def test_a_photo_is_found_again_after_scaling_and_compression() -> None:
    photo = open_photo(PHOTOS / "astronaut.jpg").pixels
    small = np.asarray(Image.fromarray(photo).resize((150, 150), Image.Resampling.BICUBIC))
    trained = [fingerprint(photo)]
    for version in (small, jpeg_round_trip(photo, 60), noised(photo, 8)):
        (doubt,) = doubts.seen_in_training([fingerprint(version)], trained)
        assert "alike" in doubt.reason


def test_the_same_file_is_found_by_its_sum_whatever_its_pixels() -> None:
    known = [fingerprint(CLEAN, b"a file")]
    other = fingerprint(smooth(64, 64, 9), b"a file")
    (doubt,) = doubts.seen_in_training([other], known)
    assert "among those" in doubt.reason


def test_no_photo_of_the_tests_is_in_the_training_list_and_none_is_alike() -> None:
    tests = [path for path in PHOTOS.rglob("*") if path.suffix in {".jpg", ".png", ".webp"}]
    assert tests
    prints = [fingerprint(open_photo(path).pixels, path.read_bytes()) for path in tests]
    assert list(doubts.seen_in_training(prints)) == []


def test_the_training_list_is_read_whole() -> None:
    known = training_photos()
    assert len(known) >= 60
    assert all(len(each.file) == len(each.pixels) == 64 and 0 <= each.look < 2**64 for each in known)
    assert list(doubts.seen_in_training([Fingerprint("", known[0].pixels, 0)]))


def test_a_difference_hash_is_that_of_its_definition() -> None:
    steps = np.repeat(np.arange(9), 10)  # lighter from left to right, 9 columns of 10 pixels
    photo = np.tile((20 * steps).astype(np.uint8)[None, :, None], (80, 1, 3))
    assert fingerprint(photo).look == 2**64 - 1
    assert fingerprint(photo[:, ::-1]).look == 0
