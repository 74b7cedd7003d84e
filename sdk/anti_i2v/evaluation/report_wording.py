"""Plain words for results, shared by the text report and the HTML report."""

from __future__ import annotations

from collections.abc import Iterator

from anti_i2v.evaluation.degradations import AVERAGED, DEGRADATIONS
from anti_i2v.evaluation.results import CONTROL, Comparison, ConditionName, Evidence, Headline
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.validity_checks import ValidityIssue
from anti_i2v.evaluation.victims import ROLES, victims
from anti_i2v.evaluation.video_metrics import METRICS
from anti_i2v.receipts.tables import TABLES

__all__ = [
    "CONDITION_LABELS",
    "NO_HEADLINE",
    "PICTURED_CONDITIONS",
    "count_noun",
    "degradation_label",
    "describe_comparison",
    "describe_issue",
    "describe_scope",
    "format_estimate",
    "format_interval",
    "format_value",
    "list_unmeasured",
    "only_project_victims",
    "plain_summary",
]

NO_HEADLINE = "No headline"

PICTURED_CONDITIONS: tuple[ConditionName, ...] = ("clean", "protected", CONTROL)
"""The conditions that reports show side by side."""

CONDITION_LABELS: dict[ConditionName, str] = {
    "clean": "without protection",
    "protected": "with protection",
    "random_psnr": "with a random change of the same strength",
    "random_levels": "with a random change of the same maximum",
}
"""Condition -> description of a video made under it."""

VISIBLE_EFFECT = {"identity": 0.15, "first_frame_psnr": 2.5}
"""Effects (a cosine, dB) below which the packaged victims' videos looked alike with and without protection, except for
rougher skin (transformers) or paler colours (U-Net), for five of six portraits. The sixth had .32 and 4.0 dB."""

_SUBJECT = {
    "identity": "similarity to the person",
    "first_frame_psnr": "the first frame's similarity to the photo",
    "first_frame_lpips": "the first frame's distance to the photo",
}
"""Metric -> the subject of a sentence about it; other metrics use their label."""


def only_project_victims(evidence: Evidence) -> bool:
    """Return whether every victim is one of the small models that this project trained."""
    return {victim.name for victim in evidence.victims} <= victims().keys()


def describe_scope(evidence: Evidence) -> str:
    """Describe which models the numbers apply to."""
    if only_project_victims(evidence):
        return (
            "These numbers apply to the models named here, which are small and were trained by this project. The "
            "protection adds friction for models that encode photos as these do. Video models in common use are a "
            "thousand times larger, and the protection's effect on them was not measured here."
        )
    return (
        "These numbers apply to the models named here. The protection adds friction for models that encode photos as "
        "these do. Its effect on other models was not measured here."
    )


def degradation_label(name: str) -> str:
    """Return the label of a degradation, or an unknown name itself."""
    if name == AVERAGED:
        return "averaged with another protected version"
    return DEGRADATIONS[name].label if name in DEGRADATIONS else name


def count_noun(count: int, noun: str) -> str:
    """Return the count with its noun, such as "2 videos"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def format_value(value: float, metric: str) -> str:
    """Format a value of a metric without its unit."""
    digits = 1 if METRICS[metric].unit == "dB" else 2
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if not float(text) else text  # no -0.00


def format_interval(estimate: Estimate, metric: str) -> str:
    """Format the interval in brackets."""
    if estimate.count == 1:
        return "(one video: no interval)"
    return f"({format_value(estimate.low, metric)} to {format_value(estimate.high, metric)})"


def format_estimate(estimate: Estimate, metric: str) -> str:
    """Format a mean with its unit and interval."""
    unit = METRICS[metric].unit
    return f"{format_value(estimate.mean, metric)}{f' {unit}' if unit else ''} {format_interval(estimate, metric)}"


def describe_comparison(comparison: Comparison) -> str:
    """Say in one sentence how far a metric moved with the protection and with the random change."""
    name = comparison.metric
    worse, better = ("rose", "fell") if METRICS[name].damage == "higher" else ("fell", "rose")

    def moved(effect: Estimate) -> str:
        if not float(format_value(effect.mean, name)):
            return "did not change"
        return f"{worse if effect.mean > 0 else better} by {format_estimate(_magnitude(effect), name)}"

    return (
        f"With the protection, {_SUBJECT.get(name, METRICS[name].label)} {moved(comparison.effect)}; with the random "
        f"change it {moved(comparison.control_effect)}: {_conclusion(comparison)}."
    )


def _magnitude(effect: Estimate) -> Estimate:
    """Return the effect without its sign, for a sentence that states the direction."""
    if effect.mean >= 0:
        return effect
    return Estimate(-effect.mean, -effect.high, -effect.low, effect.count)


def _conclusion(comparison: Comparison) -> str:
    if comparison.effect.mean <= 0:
        return "no damage"
    if not comparison.beats_control:
        return "not clearly more than with the random change"
    if comparison.ratio is None:
        return "clearly more; the random change had no measurable effect"
    return f"clearly more, {comparison.ratio.mean:.1f} times as much"


def list_unmeasured(evidence: Evidence) -> list[str]:
    """List what was not measured, a sentence each: what the evidence states, and what was not requested."""
    found = [f"{sentence[:1].upper()}{sentence[1:]}" for sentence in evidence.not_measured]
    run = [victim.name for victim in evidence.victims]
    absent = [name for name in victims() if name not in run]
    if absent:
        found.append(f"This project's models that were not run: {', '.join(absent)}")
    degraded = {row.victim for row in evidence.survival}
    others = [name for name in run if name not in degraded]
    if degraded and others:
        found.append(f"The retained effect on {', '.join(others)}: it was measured only on {', '.join(degraded)}")
    applied = {row.degradation for row in evidence.survival}
    missing = [degradation_label(name) for name in (*DEGRADATIONS, AVERAGED) if name not in applied]
    if applied and missing:
        found.append(f"The retained effect after: {'; '.join(missing)}")
    return [*found, f"Any {'' if only_project_victims(evidence) else 'other '}video model in common use"]


def plain_summary(evidence: Evidence) -> str:
    """Summarise the headline without numbers: whether the protection beats a random change, and by how much."""
    headline = evidence.headline
    if headline is None:
        return f"{NO_HEADLINE}."
    # Every metric of a headline beats the control: see `validity_checks.check_effect`.
    degraded = " and ".join(_SUBJECT[each.metric] for each in headline.comparisons)
    summary = (
        f"On {headline.victim} ({ROLES[headline.role]}), the protection reduces {degraded} clearly more than a random "
        "change of the same strength does."
    )
    return " ".join([summary, *_limits(evidence, headline)])


def _limits(evidence: Evidence, headline: Headline) -> Iterator[str]:
    """Say whether videos look alike or still show the person, although the protection beats a random change."""
    small = all(each.effect.mean < VISIBLE_EFFECT[each.metric] for each in headline.comparisons)
    looks_alike = small and headline.victim in victims()  # the thresholds come from these victims
    if looks_alike:
        yield (
            "But the effect is small: in the portraits that we inspected, videos with effects this small looked much "
            "alike, at most rougher or paler."
        )
    means = {
        condition.name: condition.metrics["identity"].mean
        for victim in evidence.victims
        if victim.name == headline.victim
        for condition in victim.conditions
        if "identity" in condition.metrics
    }
    if not {"clean", "protected"} <= set(means):
        yield "Whether the person is still recognised was not measured."
    elif means["clean"] < TABLES.same_person:
        yield "This model does not keep the person well even without protection."
    elif means["protected"] >= TABLES.same_person:
        yield f"{'And' if looks_alike else 'But'} the videos still show the same person."
    elif not looks_alike:
        yield "The videos no longer pass for the same person."


def describe_issue(issue: ValidityIssue) -> str:
    """Return the reason of an issue, with the victim that it concerns."""
    return issue.reason if issue.victim is None or issue.victim in issue.reason else f"{issue.victim}: {issue.reason}"
