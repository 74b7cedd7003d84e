"""Turn the metrics of videos into the results of a victim: means, effects, comparisons and the headline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from anti_i2v.evaluation.results import (
    CONDITIONS,
    CONTROL,
    HEADLINE_METRICS,
    Comparison,
    Condition,
    ConditionName,
    Headline,
    Survival,
    VictimResult,
)
from anti_i2v.evaluation.statistics import Estimate, estimate, estimate_ratio
from anti_i2v.evaluation.victims import ROLES, Victim, victims
from anti_i2v.evaluation.video_metrics import METRICS

__all__ = ["MetricTable", "clear_effects", "make_headline", "survival_of", "victim_result"]

MetricTable: TypeAlias = dict[ConditionName, dict[str, NDArray[np.float64]]]
"""Condition -> metric -> (photos, seeds), NaN where it could not be measured."""


def victim_result(victim: Victim, table: MetricTable, frames: int, steps: int, seed: int) -> VictimResult:
    """Summarise a victim's metrics; `seed` is of the bootstrap."""
    compared = [_comparison(table, name, seed) for name in table["clean"] if METRICS[name].damage != "neither"]
    return VictimResult(
        name=victim.name,
        family=victim.family,
        encoder=victim.encoder,
        role=victim.role,
        summary=victim.summary,
        frames=frames,
        steps=steps,
        conditions=tuple(_condition(table, name, seed) for name in CONDITIONS),
        comparisons=tuple(each for each in compared if each is not None),
    )


def clear_effects(table: MetricTable, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return the protection's effect, (photos, seeds), on each headline metric where its mean is clearly above 0."""
    effects = {metric: _effect(table, "protected", metric) for metric in HEADLINE_METRICS if metric in table["clean"]}
    estimates = {metric: estimate(effect, seed=seed) for metric, effect in effects.items()}
    return {metric: effects[metric] for metric, found in estimates.items() if found is not None and found.above_zero}


def survival_of(
    degradation: str, victim: str, table: MetricTable, effects: Mapping[str, NDArray[np.float64]], seed: int
) -> Iterator[Survival]:
    """Compare the effects after a degradation, by `table`, with those before, `effects` of the protection."""
    for metric, before in effects.items():
        after = [_effect(table, condition, metric) for condition in ("protected", CONTROL)]
        retained, control_retained = (estimate_ratio(each, before, seed=seed) for each in after)
        effect, control_effect = (estimate(each, seed=seed) for each in after)
        if retained and control_retained and effect and control_effect:
            yield Survival(
                degradation=degradation,
                victim=victim,
                metric=metric,
                retained=retained,
                control_retained=control_retained,
                effect=effect,
                control_effect=control_effect,
            )


def make_headline(result: VictimResult, photos: int, seeds: int) -> Headline:
    """Summarise one victim in a sentence. Without a validity issue, every metric in it beats the control."""
    compared = tuple(each for each in result.comparisons if each.metric in HEADLINE_METRICS)
    parts = [
        f"{_HEADLINE_SUBJECT[each.metric]} fell by {_interval(each.effect, each.metric)}, clearly more than the "
        f"{_interval(each.control_effect, each.metric)} under a random perturbation of the same PSNR"
        for each in compared
    ]
    small = ", on a small model" if result.name in victims() else ""
    sentence = (
        f"In the videos of {result.name} ({ROLES[result.role]}), {'; '.join(parts)}. Measured on {photos} "
        f"photo{'s' * (photos != 1)} under {seeds} seed{'s' * (seeds != 1)}{small}: the protection adds friction "
        "there. This says nothing certain about other models."
    )
    return Headline(victim=result.name, role=result.role, sentence=sentence, comparisons=compared)


_HEADLINE_SUBJECT = {
    "identity": "similarity to the person (cosine of faces)",
    "first_frame_psnr": "the first frame's fidelity to the photo (PSNR)",
}


def _interval(number: Estimate, metric: str) -> str:
    unit = METRICS[metric].unit
    digits = 1 if unit == "dB" else 2
    after = f" {unit}" if unit else ""
    return f"{number.mean:.{digits}f} ({number.low:.{digits}f} to {number.high:.{digits}f}){after}"


def _effect(table: MetricTable, condition: ConditionName, metric: str) -> NDArray[np.float64]:
    """Return how much worse a metric is than in the clean photo's videos of the same seeds, (photos, seeds)."""
    return (table["clean"][metric] - table[condition][metric]) * METRICS[metric].sign


def _condition(table: MetricTable, name: ConditionName, seed: int) -> Condition:
    metrics: Sequence[str] = list(table["clean"])
    return Condition(
        name=name,
        metrics=_estimates({metric: table[name][metric] for metric in metrics}, seed),
        effects={}
        if name == "clean"
        else _estimates({metric: _effect(table, name, metric) for metric in metrics}, seed),
    )


def _estimates(values: Mapping[str, NDArray[np.float64]], seed: int) -> dict[str, Estimate]:
    found = {metric: estimate(each, seed=seed) for metric, each in values.items()}
    return {metric: each for metric, each in found.items() if each is not None}


def _comparison(table: MetricTable, metric: str, seed: int) -> Comparison | None:
    protected, control = (_effect(table, name, metric) for name in ("protected", CONTROL))
    effect, control_effect, difference = (
        estimate(each, seed=seed) for each in (protected, control, protected - control)
    )
    if effect is None or control_effect is None or difference is None:
        return None
    return Comparison(
        metric=metric,
        effect=effect,
        control_effect=control_effect,
        difference=difference,
        ratio=estimate_ratio(protected, control, seed=seed),
        beats_control=difference.above_zero,
    )
