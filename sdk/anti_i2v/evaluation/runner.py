"""The evidence for one protection or for a set of photos: what victims made of it, beside random controls, and doubts.

    evaluate(clean, protected) -> Evaluation            one photo
    evaluate_all([sample(...), ...]) -> Evaluation      a set of them: intervals then tell of photos too

`Evaluation.evidence` is what goes to JSON (camelCase, see `Evidence.to_json`) and holds numbers alone, no pixel and no
file name. `Evaluation.scenes` holds pictures for a page: what each victim was shown and the frames that it made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.evaluation import validity_checks as suspicions
from anti_i2v.evaluation.crops import SIDE
from anti_i2v.evaluation.degradations import AVERAGED, DEGRADATIONS
from anti_i2v.evaluation.results import (
    CONDITIONS,
    HEADLINE,
    Comparison,
    Condition,
    ConditionName,
    CropResult,
    Evaluation,
    Evidence,
    Headline,
    Scene,
    Survival,
    VictimResult,
)
from anti_i2v.evaluation.samples import COMPARED, POSTED_EDGE, Sample, Shown, sample, show
from anti_i2v.evaluation.statistics import Estimate, estimate, ratio
from anti_i2v.evaluation.validity_checks import ValidityIssue
from anti_i2v.evaluation.victims import ROLES, Role, Victim, available_victims, describe_victim, load_victim, role_of
from anti_i2v.evaluation.victims import victims as known
from anti_i2v.evaluation.video_metrics import MEASURES, Instruments, measure_video
from anti_i2v.metrics.imperceptibility import compare
from anti_i2v.receipts.receipt import versions

if TYPE_CHECKING:
    from anti_i2v.surrogates.backbones.base import Backbone

__all__ = ["SEEDS", "STEPS", "evaluate", "evaluate_all"]


SEEDS = (0, 1, 2, 3)
STEPS = 10
"""Of the samplers; with 20 the untouched victim keeps the clean person hardly better (.51 for .50)."""

KEPT = 2
"""Seeds whose videos stay in the scenes: a set of photos makes gigabytes of them."""


def evaluate(clean: Any, protected: Any, *, second: Any = None, **settings: Any) -> Evaluation:
    """One photo and its protected version: see `sample` for what may be given, and `evaluate_all` for the settings."""
    return evaluate_all([sample(clean, protected, second)], **settings)


def evaluate_all(
    samples: Sequence[Sample],
    *,
    victims: Sequence[str | Path] | None = None,
    seeds: Sequence[int] = SEEDS,
    steps: int = STEPS,
    changes: Collection[str] | None = None,
    survival_on: Sequence[str] | None = None,
    optimised_on: Sequence[str] | None = None,
    budget: int | None = None,
    instruments: Instruments | None = None,
    side: int = SIDE,
    device: str = "cpu",
    batch: int = 1,
    seed: int = 0,
    on_progress: Callable[[str, float], None] | None = None,
) -> Evaluation:
    """What victims make of photos, of their protected versions and of random controls, under the same seeds.

    Args:
        victims: names or folders; None: all that are at hand.
        seeds: of the noise, the same for every photo and condition.
        changes: names of `changes.CHANGES`, and "averaged" for samples with a second version; None: all, () for none.
        survival_on: names of victims on which changes are looked at; None: the hardest one on which the protection has
            any effect.
        optimised_on: surrogates and victims that took part in the protection, for the roles; see `victims.role_of`.
        budget: levels that were promised, where they are known.
        instruments: None: those at hand.
        side: pixels at which victims look.
        device, batch: of generation; see `animation.animate`.
        seed: of the controls and of the bootstrap.
        on_progress: told what is being done, and how much of the work is (0 to 1): before each step of a sampler, and
            when a model is loaded; what it raises ends the work.

    Raises:
        RecipeError: an unknown change, or no photos or seeds.
        SurrogateError: there is no victim at hand, or one cannot be loaded.
    """
    begun = time.monotonic()
    if not samples or not seeds:
        raise RecipeError(f"an evaluation takes photos and seeds, got {len(samples)} and {len(seeds)}")
    wanted, told = _known(changes, samples), _described(victims, optimised_on)
    nets = Instruments.available(device) if instruments is None else instruments
    shown = [show(each, nets, side, seed + index) for index, each in enumerate(samples)]
    looked = 1 if survival_on is None else len(survival_on)
    stacks = len(told) * len(CONDITIONS) + looked * len(wanted) * len(COMPARED)
    progress = _Progress(stacks * math.ceil(len(samples) * len(seeds) / batch) * steps, on_progress)
    work = _Work(shown, seeds, steps, nets, batch, progress)
    scenes = [Scene({name: each.view(name) for name in CONDITIONS}, {}) for each in shown]
    rows: list[VictimResult] = []
    survival: list[Survival] = []
    for name_or_folder, victim in reversed(told):  # the hardest first: see `survival_on`
        progress.begin(f"loading {victim.name}")
        model = load_victim(name_or_folder, device=device)
        table, videos = work.conditions(model, victim.name)
        for index, scene in enumerate(scenes):
            scene.videos[victim.name] = {name: videos[name][index, :KEPT].copy() for name in CONDITIONS}
        rows.insert(0, _row(victim, table, videos["clean"].shape[2], steps, seed))
        if wanted and (not survival if survival_on is None else victim.name in survival_on):
            survival += work.survival(model, victim.name, table, wanted, seed)
    views = tuple(each.told() for each in shown)
    found = _doubts(samples, views, rows, budget, len(seeds))
    refused = any(doubt.severity == "no headline" for doubt in found)
    order = {row.name: index for index, row in enumerate(rows)}
    evidence = Evidence(
        headline=None if refused else _headline(rows[-1], len(samples), len(seeds)),
        doubts=tuple(found),
        photos=len(samples),
        seeds=tuple(seeds),
        side=side,
        optimised_on=None if optimised_on is None else tuple(optimised_on),
        imperceptibility=tuple(compare(each.clean, each.protected) for each in samples),
        views=views,
        victims=tuple(rows),
        survival=tuple(
            sorted(survival, key=lambda each: (order[each.victim], HEADLINE.index(each.measure), each.retained.mean))
        ),
        not_measured=(*nets.missing, *_left_out(shown, wanted, survival, everything=changes is None)),
        device=device,
        seconds=round(time.monotonic() - begun, 1),
        versions=versions(("torch", "diffusers", "opencv-python-headless", "scikit-image")),
    )
    return Evaluation(evidence, scenes)


Table: TypeAlias = dict[ConditionName, dict[str, NDArray[np.float64]]]
"""Condition -> measure -> (photos, seeds), NaN where it could not be measured."""


class _Progress:
    """Tells how far the work is, in steps of samplers."""

    def __init__(self, total: int, on_progress: Callable[[str, float], None] | None) -> None:
        self.total, self.on_progress = total, on_progress
        self.done, self.what = 0, ""

    def begin(self, what: str) -> None:
        self.what = what
        if self.on_progress is not None:
            self.on_progress(what, self.done / self.total)

    def step(self) -> None:
        """Called before a step: it is done when the next one begins."""
        self.begin(self.what)
        self.done += 1


@dataclass(frozen=True, eq=False)
class _Work:
    """What every victim is given to do."""

    shown: list[Shown]
    seeds: Sequence[int]
    steps: int
    nets: Instruments
    batch: int
    progress: _Progress

    def conditions(self, model: Backbone, name: str) -> tuple[Table, dict[ConditionName, Rgb8]]:
        """The verdicts under every condition, and the videos (N, S, T, H, W, 3)."""
        views = {condition: np.stack([each.view(condition) for each in self.shown]) for condition in CONDITIONS}
        return self._judged(model, views, name, MEASURES)

    def survival(
        self, model: Backbone, name: str, before: Table, changes: Sequence[str], seed: int
    ) -> Iterator[Survival]:
        """What is left of the falls of the headline's measures after each change, where there were any."""
        falls = {measure: _fall(before, "protected", measure) for measure in HEADLINE if measure in before["clean"]}
        effective = {measure: fall for measure, fall in falls.items() if _above_zero(fall, seed)}
        for change in changes if effective else ():
            self.progress.begin(f"{name}: {change}")
            each = [photo.changed(change) for photo in self.shown]
            views = {condition: np.stack([photo[condition] for photo in each]) for condition in COMPARED}
            after, _ = self._judged(model, views, f"{name}, {change}", effective)
            for measure, fall in effective.items():
                pair = [_fall(after, condition, measure) for condition in ("protected", "random_psnr")]
                left = [ratio(lost, fall, seed=seed) for lost in pair]
                lost = [estimate(one, seed=seed) for one in pair]
                if left[0] and left[1] and lost[0] and lost[1]:
                    yield Survival(
                        change=change,
                        victim=name,
                        measure=measure,
                        retained=left[0],
                        control_retained=left[1],
                        fall=lost[0],
                        control_fall=lost[1],
                    )

    def _judged(
        self, model: Backbone, views: Mapping[ConditionName, Rgb8], what: str, measures: Collection[str]
    ) -> tuple[Table, dict[ConditionName, Rgb8]]:
        from anti_i2v.evaluation.generation import generate_videos

        videos: dict[ConditionName, Rgb8] = {}
        table: Table = {}
        for condition, photos in views.items():
            self.progress.begin(f"{what}: {CONDITIONS[condition]}")
            videos[condition] = generate_videos(
                model, photos, self.seeds, self.steps, batch=self.batch, on_step=self.progress.step
            )
            numbers = [
                [
                    measure_video(video, clean, beside, self.nets, measures)
                    for video, beside in zip(of_photo, of_clean, strict=True)
                ]
                for of_photo, clean, of_clean in zip(videos[condition], views["clean"], videos["clean"], strict=True)
            ]
            table[condition] = {
                measure: np.array([[one.get(measure, math.nan) for one in photo] for photo in numbers])
                for measure in measures
                if any(measure in one for photo in numbers for one in photo)
            }
        return table, videos


def _known(changes: Collection[str] | None, samples: Sequence[Sample]) -> list[str]:
    """Names of changes, checked."""
    twice = all(each.second is not None for each in samples)
    if changes is None:
        return [*DEGRADATIONS, *([AVERAGED] if twice else [])]
    for name in changes:
        if name not in DEGRADATIONS and name != AVERAGED:
            raise RecipeError(f"unknown change {name!r}: choose from {', '.join([*DEGRADATIONS, AVERAGED])}")
    if AVERAGED in changes and not twice:
        raise RecipeError("averaging takes a second protected version of every photo: give it, or leave it out")
    return list(changes)


def _described(
    victims: Sequence[str | Path] | None, optimised_on: Sequence[str] | None
) -> list[tuple[str | Path, Victim]]:
    """What to load, and its victim with the role that it has here; the easiest to spoil first."""
    asked: Sequence[str | Path] = [each.name for each in available_victims()] if victims is None else victims
    if not asked:
        raise SurrogateError(
            "no victim is at hand: name a folder with an image-to-video model, or pull the encoders that the package's "
            "victims work on: `anti-i2v surrogates pull taef1`"
        )
    told = [(each, describe_victim(each)) for each in asked]
    roles = [(each, msgspec.structs.replace(victim, role=role_of(victim, optimised_on))) for each, victim in told]
    if len({victim.name for _, victim in roles}) < len(roles):
        raise RecipeError("a victim was named twice: name each once")
    return sorted(roles, key=lambda pair: _hardness(pair[1].role))


def _hardness(role: Role) -> int:
    """Of reaching a victim of this role; nobody can say of an unknown one, so it never stands for the hardest."""
    return -1 if role == "unknown" else list(ROLES).index(role)


def _fall(table: Table, condition: ConditionName, measure: str) -> NDArray[np.float64]:
    """(photos, seeds): how much worse than the clean photo's videos of the same seeds."""
    return (table["clean"][measure] - table[condition][measure]) * MEASURES[measure].sign


def _above_zero(values: NDArray[np.float64], seed: int) -> bool:
    found = estimate(values, seed=seed)
    return found is not None and found.above_zero


def _row(victim: Victim, table: Table, frames: int, steps: int, seed: int) -> VictimResult:
    measures = list(table["clean"])
    conditions = tuple(
        Condition(
            name=name,
            verdicts=_estimates({measure: table[name][measure] for measure in measures}, seed),
            falls={} if name == "clean" else _estimates({each: _fall(table, name, each) for each in measures}, seed),
        )
        for name in CONDITIONS
    )
    compared = [_comparison(table, measure, seed) for measure in measures if MEASURES[measure].spoiled != "neither"]
    return VictimResult(
        name=victim.name,
        family=victim.family,
        encoder=victim.encoder,
        role=victim.role,
        summary=victim.summary,
        frames=frames,
        steps=steps,
        conditions=conditions,
        comparisons=tuple(each for each in compared if each is not None),
    )


def _estimates(values: Mapping[str, NDArray[np.float64]], seed: int) -> dict[str, Estimate]:
    found = {measure: estimate(each, seed=seed) for measure, each in values.items()}
    return {measure: each for measure, each in found.items() if each is not None}


def _comparison(table: Table, measure: str, seed: int) -> Comparison | None:
    falls = [_fall(table, name, measure) for name in ("protected", "random_psnr")]
    fall, control, difference = (estimate(each, seed=seed) for each in (*falls, falls[0] - falls[1]))
    if fall is None or control is None or difference is None:
        return None
    return Comparison(
        measure=measure,
        fall=fall,
        control_fall=control,
        difference=difference,
        ratio=ratio(falls[0], falls[1], seed=seed),
        clearly_more=difference.above_zero,
    )


def _doubts(
    samples: Sequence[Sample],
    views: Sequence[CropResult],
    rows: Sequence[VictimResult],
    budget: int | None,
    seeds: int,
) -> list[ValidityIssue]:
    """Everything that `doubts` looks for."""
    pairs = [(each.clean, each.protected) for each in samples]
    found = [
        *suspicions.unchanged(pairs),
        *suspicions.over_budget(pairs, budget),
        *suspicions.control_strays([(view.psnr, view.control_psnr) for view in views]),
        *suspicions.seen_in_training([each.known for each in samples]),
        *suspicions.scaled_away([view.energy_left for view in views]),
        *suspicions.without_face([view.face for view in views]),
        *suspicions.few(len(samples), seeds),
    ]
    for row in rows:
        found += suspicions.unfit(row.name, row.condition("clean").verdicts)
        spoken = {each.measure: each.difference for each in row.comparisons if each.measure in HEADLINE}
        found += suspicions.not_above_control(row.name, spoken, headline=row is rows[-1])
    return sorted(found, key=lambda doubt: doubt.severity != "no headline")


def _left_out(
    shown: Sequence[Shown], wanted: Sequence[str], survival: Sequence[Survival], *, everything: bool
) -> Iterator[str]:
    """What was not measured and why, beside the nets that are missing."""
    if wanted and not survival:
        yield "what is left after changes: no effect on the victims looked at is surely above zero"
    if everything and AVERAGED not in wanted:
        yield "the average of two protected versions: only one version was given"
    if any(each.shrunk < 1 for each in shown):
        yield f"photos at their own size: they were shrunk to {POSTED_EDGE} pixels before changes and victims"


def _headline(row: VictimResult, photos: int, seeds: int) -> Headline:
    """Of one victim, in a sentence. Without a doubt, each measure is clearly above the control's."""
    compared = tuple(each for each in row.comparisons if each.measure in HEADLINE)
    parts = []
    for each in compared:
        unit = MEASURES[each.measure].unit
        parts.append(
            f"{_SPOKEN[each.measure]} fell by {_interval(each.fall, unit)}, clearly more than the "
            f"{_interval(each.control_fall, unit)} under a random perturbation of the same PSNR"
        )
    small = ", on a small model" if row.name in known() else ""
    sentence = (
        f"In the videos of {row.name} ({ROLES[row.role]}) {'; '.join(parts)}. Measured on {photos} "
        f"photo{'s' * (photos != 1)} under {seeds} seed{'s' * (seeds != 1)}{small}: it adds "
        "friction there, and says nothing sure of other models."
    )
    return Headline(victim=row.name, role=row.role, sentence=sentence, comparisons=compared)


_SPOKEN = {
    "identity": "the likeness to the person (cosine of faces)",
    "first_frame_psnr": "the first frame's fidelity to the photo (PSNR)",
}


def _interval(number: Estimate, unit: str) -> str:
    digits = 1 if unit == "dB" else 2
    after = f" {unit}" if unit else ""
    return f"{number.mean:.{digits}f} ({number.low:.{digits}f} to {number.high:.{digits}f}){after}"
