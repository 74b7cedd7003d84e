"""Plain words for results, and the text report."""

from __future__ import annotations

import msgspec
import pytest

from anti_i2v.evaluation.report_wording import describe_comparison, plain_summary
from anti_i2v.evaluation.results import Evaluation, Evidence
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.text_report import COLUMNS, render_text

from .synthetic_evidence import HEADLINE, REFUSED, a_comparison, about, changed, refused


def test_a_comparison_states_direction_size_control_and_whether_it_is_clear() -> None:
    assert describe_comparison(a_comparison("identity", ratio=about(8.2))) == (
        "With the protection, similarity to the person fell by 0.41 (0.33 to 0.49); with the random change it fell by "
        "0.05 (0.04 to 0.06): clearly more, 8.2 times as much."
    )
    assert describe_comparison(a_comparison("first_frame_lpips")) == (
        "With the protection, the first frame's distance to the photo rose by 0.22 (0.18 to 0.26); with the random "
        "change it rose by 0.04 (0.03 to 0.05): clearly more; the random change had no measurable effect."
    )
    assert describe_comparison(a_comparison("first_frame_psnr", more=False)).endswith(
        ": not clearly more than with the random change."
    )


def test_an_improvement_is_not_called_damage() -> None:
    better = msgspec.structs.replace(a_comparison("identity", more=False), effect=Estimate(-0.02, -0.05, 0.01, 2))
    assert "rose by 0.02 (-0.01 to 0.05)" in describe_comparison(better)
    assert describe_comparison(better).endswith(": no damage.")
    still = msgspec.structs.replace(better, effect=Estimate(0.0, 0.0, 0.0, 2))
    assert "similarity to the person did not change" in describe_comparison(still)


def test_one_video_has_no_interval() -> None:
    alone = msgspec.structs.replace(a_comparison("identity"), effect=Estimate(0.4, 0.4, 0.4, 1))
    assert "fell by 0.40 (one video: no interval)" in describe_comparison(alone)


def with_identities(evaluation: Evaluation, clean: float, protected: float) -> Evidence:
    """Replace the identity means of the victim that the headline is about."""
    victim = evaluation.evidence.victims[-1]
    means = {"clean": clean, "protected": protected}
    replaced = tuple(
        msgspec.structs.replace(each, metrics={**each.metrics, "identity": about(means.get(each.name, clean))})
        for each in victim.conditions
    )
    return changed(evaluation, victims=(msgspec.structs.replace(victim, conditions=replaced),)).evidence


@pytest.mark.parametrize(
    ("clean", "protected", "sentence"),
    [
        (0.9, 0.3, "no longer pass for the same person"),
        (0.9, 0.7, "But the videos still show the same person"),
        (0.5, 0.1, "does not keep the person well even without protection"),
    ],
)
def test_the_summary_says_whether_the_person_is_still_recognised(
    evaluation: Evaluation, clean: float, protected: float, sentence: str
) -> None:
    assert sentence in plain_summary(with_identities(evaluation, clean, protected))


SMALL_EFFECT = "videos with effects this small looked much alike"


def with_effects(evidence: Evidence, person: float, frame: float, victim: str = HEADLINE.victim) -> Evidence:
    """Replace the headline's effects."""
    replaced = tuple(
        msgspec.structs.replace(a_comparison(metric), effect=about(effect))
        for metric, effect in (("identity", person), ("first_frame_psnr", frame))
    )
    headline = msgspec.structs.replace(HEADLINE, victim=victim, comparisons=replaced)
    return msgspec.structs.replace(evidence, headline=headline)


@pytest.mark.parametrize(
    ("person", "frame", "small"), [(0.14, 2.4, True), (0.16, 2.4, False), (0.14, 2.6, False), (0.3, 4.0, False)]
)
def test_the_summary_says_where_a_clear_effect_is_small(
    evaluation: Evaluation, person: float, frame: float, small: bool
) -> None:
    assert (SMALL_EFFECT in plain_summary(with_effects(evaluation.evidence, person, frame))) == small


def test_only_the_packaged_victims_are_said_to_look_alike(evaluation: Evaluation) -> None:
    assert SMALL_EFFECT not in plain_summary(with_effects(evaluation.evidence, 0.05, 0.5, victim="cogvideox"))


def test_videos_that_look_alike_are_not_said_to_show_another_person(evaluation: Evaluation) -> None:
    summary = plain_summary(with_effects(with_identities(evaluation, 0.75, 0.62), 0.13, 1.0))
    assert SMALL_EFFECT in summary
    assert "no longer pass" not in summary
    assert "And the videos still show the same person." in plain_summary(
        with_effects(with_identities(evaluation, 0.85, 0.75), 0.1, 1.0)
    )


def test_the_text_refuses_without_a_headline_and_fits_a_terminal(evaluation: Evaluation) -> None:
    for each in (evaluation, refused(evaluation)):
        text = render_text(each.evidence)
        assert max(map(len, text.splitlines())) <= COLUMNS
        assert text.isascii()
    assert HEADLINE.sentence in " ".join(render_text(evaluation.evidence).split())
    text = render_text(refused(evaluation).evidence)
    assert HEADLINE.sentence not in " ".join(text.split())
    assert "No headline: the numbers below do not support a one-sentence summary." in text
    assert f"dit-taesd3: {REFUSED.reason}" in text


def test_the_text_has_each_victim_beside_its_control(evaluation: Evaluation) -> None:
    lines = render_text(evaluation.evidence).splitlines()
    (line,) = [line for line in lines if line.startswith("  dit-taesd3")]
    assert line.split() == ["dit-taesd3", "untouched", "0.83", "->", "0.42", "(0.78)", "24.1", "->", "17.8", "(23.0)*"]
    assert any(line.split()[-2:] == ["12%", "(5%)"] for line in lines)
