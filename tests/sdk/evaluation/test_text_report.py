"""Evidence in words: sentences for a person, and the text for a terminal."""

from __future__ import annotations

import msgspec
import pytest

from anti_i2v.evaluation.results import Evaluation, Evidence
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.text_report import COLUMNS, as_text, finding, plain_answer

from .synthetic_evidence import HEADLINE, REFUSED, a_comparison, about, changed, refused


def test_a_finding_says_direction_size_control_and_whether_it_is_clear() -> None:
    assert finding(a_comparison("identity", ratio=about(8.2))) == (
        "With the protection the likeness of the person fell by 0.41 (0.33 to 0.49); with the random change it fell by "
        "0.05 (0.04 to 0.06): clearly more, 8.2 times as far."
    )
    assert finding(a_comparison("first_frame_lpips")) == (
        "With the protection the first frame's distance to the photo rose by 0.22 (0.18 to 0.26); with the random "
        "change it rose by 0.04 (0.03 to 0.05): clearly more; the random change did nothing that can be measured."
    )
    assert finding(a_comparison("first_frame_psnr", more=False)).endswith(": not clearly more than the random change.")


def test_what_became_better_is_not_called_damage() -> None:
    better = msgspec.structs.replace(a_comparison("identity", more=False), fall=Estimate(-0.02, -0.05, 0.01, 2))
    assert "rose by 0.02 (-0.01 to 0.05)" in finding(better)
    assert finding(better).endswith(": no damage.")
    still = msgspec.structs.replace(better, fall=Estimate(0.0, 0.0, 0.0, 2))
    assert "the likeness of the person did not change" in finding(still)


def test_one_video_has_no_interval() -> None:
    alone = msgspec.structs.replace(a_comparison("identity"), fall=Estimate(0.4, 0.4, 0.4, 1))
    assert "fell by 0.40 (one video: no interval)" in finding(alone)


def identities(evaluation: Evaluation, clean: float, protected: float) -> Evidence:
    """The evidence with other likenesses on the victim that the headline speaks of."""
    victim = evaluation.evidence.victims[-1]
    means = {"clean": clean, "protected": protected}
    told = tuple(
        msgspec.structs.replace(each, verdicts={**each.verdicts, "identity": about(means.get(each.name, clean))})
        for each in victim.conditions
    )
    return changed(evaluation, victims=(msgspec.structs.replace(victim, conditions=told),)).evidence


@pytest.mark.parametrize(
    ("clean", "protected", "said"),
    [
        (0.9, 0.3, "no longer pass for the same person"),
        (0.9, 0.7, "But the videos still show the same person"),
        (0.5, 0.1, "does not keep the person well even without protection"),
    ],
)
def test_the_answer_says_whether_the_person_is_still_recognised(
    evaluation: Evaluation, clean: float, protected: float, said: str
) -> None:
    assert said in plain_answer(identities(evaluation, clean, protected))


LITTLE = "falls this small left the videos much alike"


def fallen(evidence: Evidence, person: float, frame: float, victim: str = HEADLINE.victim) -> Evidence:
    """The evidence with a headline of these falls."""
    told = tuple(
        msgspec.structs.replace(a_comparison(measure), fall=about(fall))
        for measure, fall in (("identity", person), ("first_frame_psnr", frame))
    )
    headline = msgspec.structs.replace(HEADLINE, victim=victim, comparisons=told)
    return msgspec.structs.replace(evidence, headline=headline)


@pytest.mark.parametrize(
    ("person", "frame", "little"), [(0.14, 2.4, True), (0.16, 2.4, False), (0.14, 2.6, False), (0.3, 4.0, False)]
)
def test_the_answer_says_that_a_sure_effect_is_a_small_one(
    evaluation: Evaluation, person: float, frame: float, little: bool
) -> None:
    assert (LITTLE in plain_answer(fallen(evaluation.evidence, person, frame))) == little


def test_what_looks_alike_is_said_of_our_own_models_alone(evaluation: Evaluation) -> None:
    assert LITTLE not in plain_answer(fallen(evaluation.evidence, 0.05, 0.5, victim="cogvideox"))


def test_videos_that_look_alike_are_not_said_to_show_another_person(evaluation: Evaluation) -> None:
    said = plain_answer(fallen(identities(evaluation, 0.75, 0.62), 0.13, 1.0))
    assert LITTLE in said
    assert "no longer pass" not in said
    assert "And the videos still show the same person." in plain_answer(
        fallen(identities(evaluation, 0.85, 0.75), 0.1, 1.0)
    )


# The same for a terminal.


def test_the_text_refuses_without_a_headline_and_fits_a_terminal(evaluation: Evaluation) -> None:
    for each in (evaluation, refused(evaluation)):
        text = as_text(each.evidence)
        assert max(map(len, text.splitlines())) <= COLUMNS
        assert text.isascii()
    assert HEADLINE.sentence in " ".join(as_text(evaluation.evidence).split())
    told = as_text(refused(evaluation).evidence)
    assert HEADLINE.sentence not in " ".join(told.split())
    assert "No headline: the numbers below must not be summed up" in told
    assert f"dit-taesd3: {REFUSED.reason}" in told


def test_the_text_has_each_victim_beside_its_control(evaluation: Evaluation) -> None:
    lines = as_text(evaluation.evidence).splitlines()
    (line,) = [line for line in lines if line.startswith("  dit-taesd3")]
    assert line.split() == ["dit-taesd3", "untouched", "0.83", "->", "0.42", "(0.78)", "24.1", "->", "17.8", "(23.0)*"]
    assert any(line.split()[-2:] == ["12%", "(5%)"] for line in lines)
