"""The text of a receipt: its content, words that it never uses, and its width."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.sdk.receipts.conftest import STUDENT, TAESD, VISIBLE, a_receipt

from anti_i2v.receipts import text as text_module
from anti_i2v.receipts.receipt import Encoding, Receipt, VersusRandom
from anti_i2v.receipts.text import COLUMNS, as_text

EMPTY: dict[str, Any] = {"effects": (), "survival": ()}
SHAPES = [
    pytest.param(a_receipt(), id="everything"),
    pytest.param(a_receipt(**EMPTY), id="no effects"),
    pytest.param(a_receipt(surrogates=tuple(f"a-long-folder-{n}" for n in range(9))), id="many surrogates"),
    pytest.param(a_receipt(effects=(STUDENT,), survival=()), id="only the student"),
    pytest.param(a_receipt(recipe=None, preset=None, seed=None, budget_asked=None, stopped="checked"), id="a check"),
    pytest.param(a_receipt(steps=4, stopped="deadline", notes=("a long note " * 30,)), id="a deadline and a long note"),
    pytest.param(
        a_receipt(effects=(msgspec.structs.replace(TAESD, surrogate="a" * 80),), survival=()), id="a folder's long name"
    ),
    pytest.param(
        a_receipt(imperceptibility=msgspec.structs.replace(VISIBLE, psnr=None, ssim=1.0), encoding=None),
        id="equal photos",
    ),
]


@pytest.mark.parametrize("receipt", SHAPES)
def test_the_text_fits_a_terminal_of_any_kind(receipt: Receipt) -> None:
    text = as_text(receipt)
    assert max(map(len, text.splitlines())) <= COLUMNS
    assert text.isascii()
    assert "\x1b" not in text


@pytest.mark.parametrize("receipt", SHAPES)
def test_no_receipt_overpromises(receipt: Receipt) -> None:
    text = as_text(receipt).lower()
    assert not [word for word in ("prevent", "block", "proof", "immun", "guarantee", "imperceptible") if word in text]


@pytest.mark.parametrize("receipt", SHAPES)
def test_every_receipt_states_that_aiming_at_encoders_does_not_protect_against_video_models(receipt: Receipt) -> None:
    text = " ".join(as_text(receipt).split())
    for name in ("CogVideoX", "Wan", "HunyuanVideo", "LTX"):
        assert name in text
    assert "do not take this as protection against them" in text


def test_printing_a_receipt_prints_the_text() -> None:
    assert str(a_receipt()) == as_text(a_receipt())


def test_every_number_stands_beside_its_random_control() -> None:
    text = as_text(a_receipt())
    for cell in ("0.600 (0.300)", "24.0 (31.0)", "0.250 (0.060)", "0.410 (0.940)", "80% (70%)"):
        assert cell in text


def test_survival_is_shown_as_the_shift_after_the_change_too() -> None:
    lines = as_text(a_receipt()).splitlines()
    (jpeg,) = [line for line in lines if "JPEG quality 75" in line]
    assert "0.480 (0.210)" in jpeg  # .8 of .6 beside .7 of .3
    (posted,) = [line for line in lines if line.startswith("  preset instagram")]
    assert "0.660 (0.360)" in posted


def test_won_comparisons_are_counted_and_the_others_marked() -> None:
    weak = msgspec.structs.replace(TAESD, shift=VersusRandom(0.2, 0.3), decoded_psnr=VersusRandom(33.0, 31.0))
    text = as_text(a_receipt(effects=(weak, STUDENT), survival=()))
    assert "2 of 4 comparisons clearly beat a random change of the same size" in text
    assert "0.200 (0.300)*" in text
    assert "33.0 (31.0)*" in text
    assert text.count(")*") == 2


def test_a_difference_within_the_margin_is_not_a_win() -> None:
    near = msgspec.structs.replace(TAESD, shift=VersusRandom(0.31, 0.3), decoded_identity=VersusRandom(0.93, 0.94))
    text = as_text(a_receipt(effects=(near,), survival=()))
    assert "2 of 4 comparisons" in text
    assert "0.310 (0.300)*" in text
    assert "0.930 (0.940)*" in text


def test_a_receipt_that_wins_half_or_fewer_warns_that_the_photo_is_not_protected() -> None:
    weak = msgspec.structs.replace(STUDENT, shift=VersusRandom(0.1, 0.2))
    assert "Treat this photo as not protected" in as_text(a_receipt(effects=(weak,), survival=()))
    assert "Treat this photo as not protected" not in as_text(a_receipt())


@pytest.mark.parametrize(("score", "reported"), [(0.95, True), (0.68, True), (0.3, False)])
def test_a_face_that_is_still_the_same_person_is_reported(score: float, reported: bool) -> None:
    effect = msgspec.structs.replace(TAESD, decoded_identity=VersusRandom(score, 0.99))
    assert ("still shows the same person" in as_text(a_receipt(effects=(effect,)))) is reported


def test_only_the_student_is_an_estimate_with_its_known_error(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"shift_relative_error": 0.213, "shift_correlation": 0.91, "gradient_cosine": 0.42}
    monkeypatch.setattr(text_module, "student_error", lambda: known)
    text = " ".join(as_text(a_receipt(effects=(STUDENT,), survival=())).split())
    assert "an estimate" in text
    assert "relative error of the shift 21%" in text
    assert "true shift 0.91" in text
    assert "true ones 0.42" in text


def test_an_error_that_was_not_recorded_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "student_error", dict)
    assert "relative error of the shift unknown" in " ".join(as_text(a_receipt(effects=(STUDENT,))).split())


def test_a_receipt_with_a_real_encoder_is_not_an_estimate() -> None:
    assert "estimate" not in as_text(a_receipt())


def test_what_was_not_measured_is_named_with_its_reason() -> None:
    bare = msgspec.structs.replace(TAESD, decoded_lpips=None, decoded_identity=None)
    text = as_text(a_receipt(effects=(bare,), notes=("not measured, the deadline came first: taef1",)))
    assert "decoded LPIPS was not measured" in text
    assert "decoded identity was not measured" in text
    assert "the deadline came first: taef1" in text
    assert "no effect was measured" in as_text(a_receipt(**EMPTY))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"smooth_area_rms": 0.3}, "0.3 levels              hardly anything visible"),
        ({"smooth_area_rms": 1.9}, "1.9 levels              an obvious pattern"),
        ({"smooth_area_rms": None}, "the photo has none"),
        ({"ssim": 0.8}, "fine structure changed"),
        ({"de2000_mean": 0.4}, "colours look unchanged"),
        ({"de2000_mean": 5.0}, "colours differ at a glance"),
        ({"sampled_share": 0.25}, "measured on 25% of the pixels"),
    ],
)
def test_numbers_come_with_words_for_an_eye(changes: dict[str, float], words: str) -> None:
    assert words in as_text(a_receipt(imperceptibility=msgspec.structs.replace(VISIBLE, **changes)))


def test_a_lossless_file_holds_exactly_the_protected_pixels() -> None:
    saved = Encoding(format="PNG", lossless=True, perturbation_kept=1.0, max_levels=8)
    assert "The PNG file holds exactly the protected pixels." in as_text(a_receipt(encoding=saved))


def test_steps_that_were_not_taken_are_explained() -> None:
    assert "4 of 15 steps, stopped by the deadline." in as_text(a_receipt(steps=4, stopped="deadline"))
    on = a_receipt(steps=4, stopped="deadline", surrogates=("taesd", "dit-taef1"))
    assert "4 of 15 steps on taesd, dit-taef1, stopped by the deadline." in as_text(on)
    assert "because no surrogate was available" in as_text(a_receipt(steps=0, stopped="no surrogates"))
