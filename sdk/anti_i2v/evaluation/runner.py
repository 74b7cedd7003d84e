"""Evaluate protections: victims animate each photo, its protected version and random controls under the same seeds.

    evaluate(clean, protected) -> Evaluation              one photo
    evaluate_all([load_pair(...), ...]) -> Evaluation     several: the intervals then also cover photos

`Evaluation.evidence` holds the numbers, for JSON (see `Evidence.to_json`); `Evaluation.media` holds the pictures for
the HTML report.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.evaluation import validity_checks as checks
from anti_i2v.evaluation.conditions import (
    DEGRADED_CONDITIONS,
    MAX_EDGE,
    PhotoPair,
    PreparedPhoto,
    load_pair,
    prepare_photo,
)
from anti_i2v.evaluation.crops import SIDE
from anti_i2v.evaluation.degradations import AVERAGED, DEGRADATIONS
from anti_i2v.evaluation.metric_tables import MetricTable, clear_effects, make_headline, survival_of, victim_result
from anti_i2v.evaluation.results import (
    CONDITIONS,
    HEADLINE_METRICS,
    ConditionName,
    CropResult,
    Evaluation,
    Evidence,
    PhotoMedia,
    Survival,
    VictimResult,
)
from anti_i2v.evaluation.validity_checks import ValidityIssue
from anti_i2v.evaluation.victims import ROLES, Role, Victim, available_victims, describe_victim, load_victim, role_of
from anti_i2v.evaluation.video_metrics import METRICS, MetricModels, measure_video
from anti_i2v.metrics.imperceptibility import compare
from anti_i2v.receipts.receipt import versions

if TYPE_CHECKING:
    from anti_i2v.surrogates.backbones.base import Backbone

__all__ = ["SEEDS", "STEPS", "evaluate", "evaluate_all"]


SEEDS = (0, 1, 2, 3)
STEPS = 10
"""Of the samplers. With 20 steps the untouched victim keeps the clean person hardly better (.51 instead of .50)."""

KEPT_SEEDS = 2
"""Seeds whose videos are kept for the report: those of many photos would take gigabytes."""


def evaluate(clean: Any, protected: Any, *, second: Any = None, **settings: Any) -> Evaluation:
    """Evaluate one photo and its protected version, as `load_pair` reads them; `evaluate_all` has the settings."""
    return evaluate_all([load_pair(clean, protected, second)], **settings)


def evaluate_all(
    pairs: Sequence[PhotoPair],
    *,
    victims: Sequence[str | Path] | None = None,
    seeds: Sequence[int] = SEEDS,
    steps: int = STEPS,
    degradations: Collection[str] | None = None,
    survival_victims: Sequence[str] | None = None,
    optimised_on: Sequence[str] | None = None,
    budget: int | None = None,
    metric_models: MetricModels | None = None,
    side: int = SIDE,
    device: str = "cpu",
    batch: int = 1,
    seed: int = 0,
    on_progress: Callable[[str, float], None] | None = None,
) -> Evaluation:
    """Evaluate pairs of photos on victims.

    Args:
        victims: names or folders; None for all that are available.
        seeds: seeds of the generation noise, the same for every photo and condition.
        degradations: names of `DEGRADATIONS`, and "averaged" for pairs with a second version; None for all.
        survival_victims: names of victims whose retained effects are measured; None for the hardest one on which the
            protection has a clear effect.
        optimised_on: surrogates and victims that the protection was optimised on; see `victims.role_of`.
        budget: levels that the protection promised, None if unknown.
        metric_models: None for those that are available.
        side: side of the videos, in pixels.
        device, batch: device and batch size of the generation; see `generate_videos`.
        seed: seed of the controls and of the bootstrap.
        on_progress: called with an activity and the share of the work done (0 to 1), before each sampler step and each
            loading of a model; an exception from it ends the evaluation.

    Raises:
        RecipeError: an unknown degradation, or no photos or seeds.
        SurrogateError: no victim is available, or one cannot be loaded.
    """
    started = time.monotonic()
    if not pairs or not seeds:
        raise RecipeError(f"an evaluation needs photos and seeds, got {len(pairs)} and {len(seeds)}")
    chosen = _choose_degradations(degradations, pairs)
    described = _describe_victims(victims, optimised_on)
    models = MetricModels.available(device) if metric_models is None else metric_models
    photos = [prepare_photo(pair, models, side, seed + index) for index, pair in enumerate(pairs)]
    survival_count = 1 if survival_victims is None else len(survival_victims)
    stacks = len(described) * len(CONDITIONS) + survival_count * len(chosen) * len(DEGRADED_CONDITIONS)
    progress = _Progress(stacks * math.ceil(len(pairs) * len(seeds) / batch) * steps, on_progress)
    run = _Run(photos, seeds, steps, models, batch, seed, progress)
    for name_or_folder, victim in reversed(described):  # the hardest first: see `survival_victims`
        progress.report(f"loading {victim.name}")
        run.measure(load_victim(name_or_folder, device=device), victim, chosen, survival_victims)
    evidence = Evidence(
        headline=None,
        issues=tuple(_find_issues(pairs, photos, run.results, budget, len(seeds))),
        photos=len(pairs),
        seeds=tuple(seeds),
        side=side,
        optimised_on=None if optimised_on is None else tuple(optimised_on),
        imperceptibility=tuple(compare(each.clean, each.protected) for each in pairs),
        crops=tuple(each.crop_result() for each in photos),
        victims=tuple(run.results),
        survival=tuple(run.sorted_survival()),
        not_measured=(*models.missing, *_left_out(photos, chosen, run.survival, everything=degradations is None)),
        device=device,
        seconds=round(time.monotonic() - started, 1),
        versions=versions(("torch", "diffusers", "opencv-python-headless", "scikit-image")),
    )
    return Evaluation(_with_headline(evidence), run.media)


@dataclass
class _Progress:
    """Reports the progress of the work, counted in sampler steps."""

    total: int
    on_progress: Callable[[str, float], None] | None
    done: int = 0
    activity: str = ""

    def report(self, activity: str) -> None:
        self.activity = activity
        if self.on_progress is not None:
            self.on_progress(activity, self.done / self.total)

    def step(self) -> None:
        """Report before a sampler step; it counts as done when the next one begins."""
        self.report(self.activity)
        self.done += 1


@dataclass(eq=False)
class _Run:
    """The prepared photos and settings that all victims share, and the results so far."""

    photos: list[PreparedPhoto]
    seeds: Sequence[int]
    steps: int
    models: MetricModels
    batch: int
    seed: int
    progress: _Progress
    results: list[VictimResult] = field(default_factory=list)
    """The easiest victim to reach first."""
    survival: list[Survival] = field(default_factory=list)
    media: list[PhotoMedia] = field(init=False)

    def __post_init__(self) -> None:
        self.media = [PhotoMedia({name: photo.crop(name) for name in CONDITIONS}, {}) for photo in self.photos]

    def measure(
        self, model: Backbone, victim: Victim, degradations: Sequence[str], survival_victims: Sequence[str] | None
    ) -> None:
        """Measure one victim under every condition, and its retained effects where they are wanted."""
        crops = {name: np.stack([each.crops[name] for each in self.media]) for name in CONDITIONS}
        table, videos = self._table(model, crops, victim.name, METRICS)
        for index, each in enumerate(self.media):
            each.videos[victim.name] = {name: videos[name][index, :KEPT_SEEDS].copy() for name in CONDITIONS}
        frames = videos["clean"].shape[2]
        self.results.insert(0, victim_result(victim, table, frames, self.steps, self.seed))
        if not self.survival if survival_victims is None else victim.name in survival_victims:
            self._measure_survival(model, victim.name, table, degradations)

    def _measure_survival(self, model: Backbone, victim: str, before: MetricTable, degradations: Sequence[str]) -> None:
        effects = clear_effects(before, self.seed)
        for degradation in degradations if effects else ():
            self.progress.report(f"{victim}: {degradation}")
            degraded = [photo.degraded_crops(degradation) for photo in self.photos]
            crops = {name: np.stack([each[name] for each in degraded]) for name in DEGRADED_CONDITIONS}
            after, _ = self._table(model, crops, f"{victim}, {degradation}", effects)
            self.survival += survival_of(degradation, victim, after, effects, self.seed)

    def _table(
        self, model: Backbone, crops: Mapping[ConditionName, Rgb8], activity: str, metrics: Collection[str]
    ) -> tuple[MetricTable, dict[ConditionName, Rgb8]]:
        """Return the metrics and the videos, (N, S, T, H, W, 3), of each condition."""
        from anti_i2v.evaluation.generation import generate_videos  # imports torch

        videos: dict[ConditionName, Rgb8] = {}
        table: MetricTable = {}
        for condition, photos in crops.items():
            self.progress.report(f"{activity}: {CONDITIONS[condition]}")
            videos[condition] = generate_videos(
                model, photos, self.seeds, self.steps, batch=self.batch, on_step=self.progress.step
            )
            values = [
                [
                    measure_video(video, clean, reference, self.models, metrics)
                    for video, reference in zip(of_photo, of_clean, strict=True)
                ]
                for of_photo, clean, of_clean in zip(videos[condition], crops["clean"], videos["clean"], strict=True)
            ]
            table[condition] = {
                metric: np.array([[each.get(metric, math.nan) for each in photo] for photo in values])
                for metric in metrics
                if any(metric in each for photo in values for each in photo)
            }
        return table, videos

    def sorted_survival(self) -> list[Survival]:
        """Sort by victim, metric and retained effect, the least first."""
        order = {result.name: index for index, result in enumerate(self.results)}
        return sorted(
            self.survival,
            key=lambda each: (order[each.victim], HEADLINE_METRICS.index(each.metric), each.retained.mean),
        )


def _choose_degradations(degradations: Collection[str] | None, pairs: Sequence[PhotoPair]) -> list[str]:
    """Return the names to apply. Raises RecipeError for an unknown one, or for averaging without second versions."""
    twice = all(each.second is not None for each in pairs)
    if degradations is None:
        return [*DEGRADATIONS, *([AVERAGED] if twice else [])]
    for name in degradations:
        if name not in DEGRADATIONS and name != AVERAGED:
            raise RecipeError(f"unknown change {name!r}: choose from {', '.join([*DEGRADATIONS, AVERAGED])}")
    if AVERAGED in degradations and not twice:
        raise RecipeError("averaging needs a second protected version of every photo: give one, or leave it out")
    return list(degradations)


def _describe_victims(
    victims: Sequence[str | Path] | None, optimised_on: Sequence[str] | None
) -> list[tuple[str | Path, Victim]]:
    """Return the names or folders to load, and the victims with their roles; the easiest to reach first."""
    wanted: Sequence[str | Path] = [each.name for each in available_victims()] if victims is None else victims
    if not wanted:
        raise SurrogateError(
            "no victim is available: name a folder with an image-to-video model, or pull the encoders that the "
            "packaged victims need: `anti-i2v surrogates pull taef1`"
        )
    described = [(each, describe_victim(each)) for each in wanted]
    roles = [(each, msgspec.structs.replace(victim, role=role_of(victim, optimised_on))) for each, victim in described]
    if len({victim.name for _, victim in roles}) < len(roles):
        raise RecipeError("a victim was named twice: name each once")
    return sorted(roles, key=lambda pair: _difficulty(pair[1].role))


def _difficulty(role: Role) -> int:
    """Rank how hard a victim is to reach. An unknown role ranks lowest, so it never counts as the hardest."""
    return -1 if role == "unknown" else list(ROLES).index(role)


def _find_issues(
    pairs: Sequence[PhotoPair],
    photos: Sequence[PreparedPhoto],
    results: Sequence[VictimResult],
    budget: int | None,
    seeds: int,
) -> list[ValidityIssue]:
    """Run every validity check; the issues that forbid a headline come first."""
    compared = [(each.clean, each.protected) for each in pairs]
    crops: list[CropResult] = [each.crop_result() for each in photos]
    issues = [
        *checks.check_changed(compared),
        *checks.check_within_budget(compared, budget),
        *checks.check_control([(crop.psnr, crop.control_psnr) for crop in crops]),
        *checks.check_training_overlap([each.fingerprint for each in pairs]),
        *checks.check_retained_energy([crop.retained_energy for crop in crops]),
        *checks.check_faces([crop.face for crop in crops]),
        *checks.check_sample_size(len(pairs), seeds),
    ]
    for result in results:
        issues += checks.check_victim(result.name, result.condition("clean").metrics)
        differences = {each.metric: each.difference for each in result.comparisons if each.metric in HEADLINE_METRICS}
        issues += checks.check_effect(result.name, differences, headline=result is results[-1])
    return sorted(issues, key=lambda issue: issue.severity != "no headline")


def _with_headline(evidence: Evidence) -> Evidence:
    """Add the headline of the hardest victim, unless an issue forbids it."""
    if any(issue.severity == "no headline" for issue in evidence.issues):
        return evidence
    headline = make_headline(evidence.victims[-1], evidence.photos, len(evidence.seeds))
    return msgspec.structs.replace(evidence, headline=headline)


def _left_out(
    photos: Sequence[PreparedPhoto], degradations: Sequence[str], survival: Sequence[Survival], *, everything: bool
) -> Iterator[str]:
    """List what was not measured and why, except for missing models."""
    if degradations and not survival:
        yield "the effect retained after degradations: no measured effect is clearly above zero"
    if everything and AVERAGED not in degradations:
        yield "the average of two protected versions: only one version was given"
    if any(each.scale < 1 for each in photos):
        yield f"photos at their own size: they were shrunk to {MAX_EDGE} pixels first"
