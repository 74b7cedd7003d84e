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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from anti_i2v.errors import PhotoError, RecipeError, SurrogateError
from anti_i2v.evaluation import doubts as suspicions
from anti_i2v.evaluation.changes import AVERAGED, CHANGES, averaged
from anti_i2v.evaluation.controls import random_levels, random_psnr, spread
from anti_i2v.evaluation.doubts import Doubt, Fingerprint, fingerprint
from anti_i2v.evaluation.statistics import Estimate, estimate, ratio
from anti_i2v.evaluation.verdicts import MEASURES, Instruments, judge
from anti_i2v.evaluation.victims import ROLES, Role, Victim, at_hand, describe, load_victim, role_of
from anti_i2v.evaluation.views import SIDE, Square, cut, energy_left, square_of
from anti_i2v.metrics.imperceptibility import Imperceptibility, compare, psnr
from anti_i2v.photo import Photo, open_photo
from anti_i2v.receipt import versions

if TYPE_CHECKING:
    from anti_i2v.surrogates.backbones.base import Backbone

__all__ = [
    "CONDITIONS",
    "HEADLINE",
    "Comparison",
    "Condition",
    "ConditionName",
    "Evaluation",
    "Evidence",
    "Headline",
    "Sample",
    "Scene",
    "Survival",
    "VictimEvidence",
    "ViewEvidence",
    "evaluate",
    "evaluate_all",
    "sample",
]

FORMAT_VERSION = 1

Rgb8: TypeAlias = NDArray[np.uint8]

ConditionName: TypeAlias = Literal["clean", "protected", "random_psnr", "random_levels"]

CONDITIONS: dict[ConditionName, str] = {
    "clean": "the clean photo",
    "protected": "the protected photo",
    "random_psnr": "a random perturbation of the same PSNR",
    "random_levels": "a random perturbation of the same largest change (L-infinity)",
}
"""What victims are shown: name -> plain words. The control of a headline is "random_psnr"."""

SEEDS = (0, 1, 2, 3)
STEPS = 20

KEPT = 2
"""Seeds whose videos stay in the scenes: a set of photos makes gigabytes of them."""

POSTED_EDGE = 1600
"""Larger photos are shrunk to this long edge before anything else: 64 bilateral filters of 12 megapixels take long."""

HEADLINE = ("identity", "first_frame_psnr")
"""The measures (of `verdicts.MEASURES`) that a headline speaks of, where they were measured."""


class ViewEvidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What victims were shown of one photo.

    Attributes:
        box: left, top, width, height of the square that was cut, in pixels of the photo.
        scale: pixels of the view by pixels of the photo; 1 where it was taken as it is.
        energy_left: share of the perturbation's energy (mean square in the square) that scaling left, 1 for all.
        psnr: dB of the protected view to the clean view; None where they are equal.
        control_psnr: the same of the control "random_psnr"; close to `psnr`, or there is a doubt.
        face: whether a face was found, around which the square lies; else it is the central one.
    """

    box: tuple[int, int, int, int]
    scale: float
    energy_left: float
    psnr: float | None
    control_psnr: float | None
    face: bool


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One victim under one condition, over photos and seeds.

    Attributes:
        name: of `CONDITIONS`.
        verdicts: measure (of `verdicts.MEASURES`) -> its mean over videos. What could not be measured is missing.
        falls: measure -> what it fell beneath the clean photo's videos of the same seeds, paired; positive is damage,
            also for measures that rise when a video is spoiled. {} for "clean".
    """

    name: ConditionName
    verdicts: dict[str, Estimate]
    falls: dict[str, Estimate] = {}


class Comparison(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The protection beside the control "random_psnr", for one measure of one victim.

    Attributes:
        measure: of `verdicts.MEASURES`.
        fall: under the protection.
        control_fall: under the control.
        difference: fall - control_fall, paired.
        ratio: fall / control_fall; None where the control's fall may be nothing.
        clearly_more: whether the whole interval of `difference` is above 0.
    """

    measure: str
    fall: Estimate
    control_fall: Estimate
    difference: Estimate
    ratio: Estimate | None
    clearly_more: bool


class VictimEvidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one victim made of the photos.

    Attributes:
        role: towards this protection, of `victims.ROLES`.
        steps: of its sampler.
        conditions: in the order of `CONDITIONS`.
        comparisons: in the order of `verdicts.MEASURES`, without "motion", which is no damage.
    """

    name: str
    family: str
    encoder: str
    role: Role
    summary: str
    frames: int
    steps: int
    conditions: tuple[Condition, ...]
    comparisons: tuple[Comparison, ...]

    def condition(self, name: ConditionName) -> Condition:
        """One of `conditions`. Raises KeyError."""
        return {each.name: each for each in self.conditions}[name]


class Survival(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is left of the effect on one victim after a change. Clean photo, protected photo and control go through it.

    Attributes:
        change: of `changes`.
        victim, measure: what was looked at.
        left: the protection's fall after the change as a fraction of its fall as is; 0 for none, above 1 for more.
        control_left: the control's fall after the change as a fraction of the PROTECTION's fall as is, so that both
            bars have one scale.
        fall, control_fall: the falls after the change.
    """

    change: str
    victim: str
    measure: str
    left: Estimate
    control_left: Estimate
    fall: Estimate
    control_fall: Estimate


class Headline(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What may be said in one sentence, of the victim that is hardest to reach among those measured.

    Attributes:
        sentence: with the numbers, in plain words.
        comparisons: of the measures in `HEADLINE`.
    """

    victim: str
    role: Role
    sentence: str
    comparisons: tuple[Comparison, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything that was measured. No pixel and no file name is kept.

    Attributes:
        headline: None where a doubt forbids it: print the doubts' reasons instead.
        doubts: those of severity "no headline" first.
        photos, seeds: how many photos, and which seeds each had.
        imperceptibility: of each pair at the photo's own size.
        views: of each photo.
        victims: as they were asked for, the easiest to spoil first.
        survival: worst first (least left), for each victim and measure in turn.
        not_measured: what was left out and why, a sentence each.
        versions, device, seconds: of the run.
    """

    format_version: int = FORMAT_VERSION
    headline: Headline | None
    doubts: tuple[Doubt, ...]
    photos: int
    seeds: tuple[int, ...]
    imperceptibility: tuple[Imperceptibility, ...]
    views: tuple[ViewEvidence, ...]
    victims: tuple[VictimEvidence, ...]
    survival: tuple[Survival, ...] = ()
    not_measured: tuple[str, ...] = ()
    device: str = "cpu"
    seconds: float = 0.0
    versions: dict[str, str] = msgspec.field(default_factory=dict)

    def to_json(self) -> bytes:
        """Indented JSON, camelCase, UTF-8. Every number is finite: what could not be measured is missing or null."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Evidence:
        """The evidence of a JSON file. Raises msgspec.ValidationError for anything else."""
        return msgspec.json.decode(data, type=cls)


@dataclass(frozen=True, eq=False)
class Scene:
    """Pictures of one photo, for a page.

    Attributes:
        views: condition -> what victims were shown, (side, side, 3) uint8.
        videos: victim -> condition -> its videos under the first one or two seeds, (S, T, side, side, 3) uint8.
    """

    views: dict[ConditionName, Rgb8] = field(repr=False)
    videos: dict[str, dict[ConditionName, Rgb8]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` gives: numbers for a file, and pictures for a page, one scene a photo."""

    evidence: Evidence
    scenes: list[Scene] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Sample:
    """A photo and its protected version, (H, W, 3) uint8 of one size; see `sample`.

    Attributes:
        second: another protected version of it, for the adversary who averages two; or None.
        known: what tells whether the photo is one that victims were trained on.
    """

    clean: Rgb8 = field(repr=False)
    protected: Rgb8 = field(repr=False)
    second: Rgb8 | None = field(default=None, repr=False)
    known: Fingerprint = field(kw_only=True, repr=False)


def sample(clean: Any, protected: Any, second: Any = None) -> Sample:
    """From paths, bytes, PIL images or uint8 arrays.

    Raises:
        PhotoError: one cannot be read, or the sizes differ.
    """
    before, after = _pixels(clean), _pixels(protected)
    other = None if second is None else _pixels(second)
    for photo in (after, other):
        if photo is not None and photo.shape != before.shape:
            sizes = " and ".join(f"{each.shape[1]}x{each.shape[0]}" for each in (before, photo))
            raise PhotoError(f"an evaluation needs photos of one size, got {sizes}: give those from before upload")
    file = clean if isinstance(clean, bytes) else Path(clean).read_bytes() if isinstance(clean, (str, Path)) else None
    return Sample(before, after, other, known=fingerprint(before, file))


def _pixels(source: Any) -> Rgb8:
    return (source if isinstance(source, Photo) else open_photo(source)).pixels


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
    gradients: Sequence[float] | None = None,
    instruments: Instruments | None = None,
    side: int = SIDE,
    device: str = "cpu",
    batch: int = 1,
    seed: int = 0,
    on_progress: Callable[[str], None] | None = None,
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
        gradients: norms of the optimiser's gradient, where they are known; see `doubts.gradient_norms`.
        instruments: None: those at hand.
        side: pixels at which victims look.
        device, batch: of generation; see `animation.animate`.
        seed: of the controls and of the bootstrap.
        on_progress: told what is begun; what it raises ends the work.

    Raises:
        RecipeError: an unknown change, or no photos or seeds.
        SurrogateError: there is no victim at hand, or one cannot be loaded.
    """
    begun = time.monotonic()
    if not samples or not seeds:
        raise RecipeError(f"an evaluation takes photos and seeds, got {len(samples)} and {len(seeds)}")
    wanted, told = _known(changes, samples), _described(victims, optimised_on)
    nets = Instruments.at_hand(device) if instruments is None else instruments
    shown = [_shown(each, nets, side, seed + index) for index, each in enumerate(samples)]
    work = _Work(shown, seeds, steps, nets, batch, on_progress or (lambda what: None))
    scenes = [Scene({name: each.view(name) for name in CONDITIONS}, {}) for each in shown]
    rows: list[VictimEvidence] = []
    survival: list[Survival] = []
    for name_or_folder, victim in reversed(told):  # the hardest first: see `survival_on`
        work.tell(f"loading {victim.name}")
        model = load_victim(name_or_folder, device=device)
        table, videos = work.conditions(model, victim.name)
        for index, scene in enumerate(scenes):
            scene.videos[victim.name] = {name: videos[name][index, :KEPT].copy() for name in CONDITIONS}
        rows.insert(0, _row(victim, table, videos["clean"].shape[2], steps, seed))
        if wanted and (not survival if survival_on is None else victim.name in survival_on):
            survival += work.survival(model, victim.name, table, wanted, seed)
    skipped = list(nets.missing)
    if wanted and not survival:
        skipped.append("what is left after changes: no effect on the victims looked at is surely above zero")
    if changes is None and AVERAGED not in wanted:
        skipped.append("the average of two protected versions: only one version was given")
    if any(each.shrunk < 1 for each in shown):
        skipped.append(f"photos at their own size: they were shrunk to {POSTED_EDGE} pixels before changes and victims")
    views = tuple(each.told() for each in shown)
    found = _doubts(samples, views, rows, budget, gradients, len(seeds))
    refused = any(doubt.severity == "no headline" for doubt in found)
    order = {row.name: index for index, row in enumerate(rows)}
    evidence = Evidence(
        headline=None if refused else _headline(rows[-1], len(samples), len(seeds)),
        doubts=tuple(found),
        photos=len(samples),
        seeds=tuple(seeds),
        imperceptibility=tuple(compare(each.clean, each.protected) for each in samples),
        views=views,
        victims=tuple(rows),
        survival=tuple(
            sorted(survival, key=lambda each: (order[each.victim], HEADLINE.index(each.measure), each.left.mean))
        ),
        not_measured=tuple(skipped),
        device=device,
        seconds=round(time.monotonic() - begun, 1),
        versions=versions(("torch", "diffusers", "opencv-python-headless", "scikit-image")),
    )
    return Evaluation(evidence, scenes)


Table: TypeAlias = dict[ConditionName, dict[str, NDArray[np.float64]]]
"""Condition -> measure -> (photos, seeds), NaN where it could not be measured."""


@dataclass(frozen=True, eq=False)
class _Shown:
    """One sample at the size at which changes are made, with its controls, and where victims look."""

    photos: dict[ConditionName, Rgb8]
    second: tuple[Rgb8, Rgb8] | None
    """Another protected version, and another control."""
    square: Square
    side: int
    shrunk: float
    energy: float

    def view(self, name: ConditionName) -> Rgb8:
        return cut(self.photos[name], self.square, self.side)

    def told(self) -> ViewEvidence:
        clean, protected, control = (self.view(name) for name in ("clean", "protected", "random_psnr"))
        box = (self.square.left, self.square.top, self.square.side, self.square.side)
        left, top, width, height = (round(value / self.shrunk) for value in box)
        return ViewEvidence(
            box=(left, top, width, height),
            scale=self.shrunk * self.side / self.square.side,
            energy_left=self.energy,
            psnr=_finite(psnr(clean, protected)),
            control_psnr=_finite(psnr(clean, control)),
            face=self.square.face is not None,
        )

    def changed(self, change: str) -> dict[ConditionName, Rgb8]:
        """The views after a change, of every condition but "random_levels"."""
        found: dict[ConditionName, Rgb8] = {}
        for name in _COMPARED:
            photo = self.photos[name]
            if change != AVERAGED:
                photo = CHANGES[change].apply(photo)
            elif self.second is not None and name != "clean":
                photo = averaged(photo, self.second[name == "random_psnr"])
            found[name] = cut(photo, self.square, self.side)
        return found


_COMPARED: tuple[ConditionName, ...] = ("clean", "protected", "random_psnr")


def _shown(given: Sample, nets: Instruments, side: int, seed: int) -> _Shown:
    clean, protected, second, shrunk = given.clean, given.protected, given.second, 1.0
    if max(clean.shape) > POSTED_EDGE:
        from anti_i2v.fullsize import to_working
        from anti_i2v.measure import as_uint8

        shrunk = POSTED_EDGE / max(clean.shape)
        size = (round(clean.shape[0] * shrunk), round(clean.shape[1] * shrunk))
        clean, protected = (as_uint8(to_working(photo, size)[0]) for photo in (clean, protected))
        second = None if second is None else as_uint8(to_working(second, size)[0])
    square = square_of(clean, nets.faces, side)
    levels = int(np.abs(square.of(given.protected).astype(np.int16) - square.of(given.clean)).max())
    photos: dict[ConditionName, Rgb8] = {
        "clean": clean,
        "protected": protected,
        "random_psnr": _control(clean, protected, square, side, seed),
        "random_levels": _at_size(clean, square, side, lambda view: random_levels(view, min(levels, 127), seed)),
    }
    other = None if second is None else (second, _control(clean, second, square, side, seed + 10_000))
    return _Shown(photos, other, square, side, shrunk, energy_left(given.clean, given.protected, square, side))


def _control(clean: Rgb8, protected: Rgb8, square: Square, side: int, seed: int) -> Rgb8:
    """A random perturbation whose PSNR at the victims' size is the protection's."""
    views = cut(clean, square, side), cut(protected, square, side)
    return _at_size(clean, square, side, lambda view: random_psnr(view, views[1], seed), _power(*views))


def _at_size(clean: Rgb8, square: Square, side: int, draw: Callable[[Rgb8], Rgb8], power: float | None = None) -> Rgb8:
    """The photo with what is drawn on its view, scaled up; stronger where scaling there and back would weaken it.

    Args:
        draw: view -> the view with a perturbation.
        power: mean square in levels that the perturbation is to have in the view; None: as scaling leaves it.
    """
    view = cut(clean, square, side)
    delta = draw(view).astype(np.int16) - view
    place = square.place(clean)
    found = spread(clean, place, delta)
    gain, turns = 1.0, 8 if power and square.side != side else 0
    for _ in range(turns):
        gain *= math.sqrt((power or 0) / max(_power(view, cut(found, square, side)), 1e-6))
        found = spread(clean, place, delta, gain)
    return found


def _power(first: Rgb8, second: Rgb8) -> float:
    return float(np.square(first.astype(np.float64) - second).mean())


@dataclass(frozen=True, eq=False)
class _Work:
    """What every victim is given to do."""

    shown: list[_Shown]
    seeds: Sequence[int]
    steps: int
    nets: Instruments
    batch: int
    tell: Callable[[str], None]

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
            each = [photo.changed(change) for photo in self.shown]
            views = {condition: np.stack([photo[condition] for photo in each]) for condition in _COMPARED}
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
                        left=left[0],
                        control_left=left[1],
                        fall=lost[0],
                        control_fall=lost[1],
                    )

    def _judged(
        self, model: Backbone, views: Mapping[ConditionName, Rgb8], what: str, measures: Collection[str]
    ) -> tuple[Table, dict[ConditionName, Rgb8]]:
        from anti_i2v.evaluation.animation import animate

        videos: dict[ConditionName, Rgb8] = {}
        table: Table = {}
        for condition, photos in views.items():
            self.tell(f"{what}: {CONDITIONS[condition]}")
            videos[condition] = animate(model, photos, self.seeds, self.steps, batch=self.batch)
            numbers = [
                [
                    judge(video, clean, beside, self.nets, measures)
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
        return [*CHANGES, *([AVERAGED] if twice else [])]
    for name in changes:
        if name not in CHANGES and name != AVERAGED:
            raise RecipeError(f"unknown change {name!r}: choose from {', '.join([*CHANGES, AVERAGED])}")
    if AVERAGED in changes and not twice:
        raise RecipeError("averaging takes a second protected version of every photo: give it, or leave it out")
    return list(changes)


def _described(
    victims: Sequence[str | Path] | None, optimised_on: Sequence[str] | None
) -> list[tuple[str | Path, Victim]]:
    """What to load, and its victim with the role that it has here; the easiest to spoil first."""
    asked: Sequence[str | Path] = [each.name for each in at_hand()] if victims is None else victims
    if not asked:
        raise SurrogateError(
            "no victim is at hand: name a folder with an image-to-video model, or pull the encoders that the package's "
            "victims work on: `anti-i2v surrogates pull taef1`"
        )
    told = [(each, describe(each)) for each in asked]
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


def _row(victim: Victim, table: Table, frames: int, steps: int, seed: int) -> VictimEvidence:
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
    return VictimEvidence(
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
    views: Sequence[ViewEvidence],
    rows: Sequence[VictimEvidence],
    budget: int | None,
    gradients: Sequence[float] | None,
    seeds: int,
) -> list[Doubt]:
    """Everything that `doubts` looks for."""
    pairs = [(each.clean, each.protected) for each in samples]
    found = [
        *suspicions.unchanged(pairs),
        *suspicions.over_budget(pairs, budget),
        *suspicions.no_gradient(gradients),
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


def _headline(row: VictimEvidence, photos: int, seeds: int) -> Headline:
    """Of one victim, in a sentence. Without a doubt, each measure is clearly above the control's."""
    compared = tuple(each for each in row.comparisons if each.measure in HEADLINE)
    parts = []
    for each in compared:
        unit = MEASURES[each.measure].unit
        parts.append(
            f"{_SPOKEN[each.measure]} fell by {_interval(each.fall, unit)}, clearly more than the "
            f"{_interval(each.control_fall, unit)} under a random perturbation of the same PSNR"
        )
    sentence = (
        f"In the videos of {row.name} ({ROLES[row.role]}) {'; '.join(parts)}. Measured on {photos} "
        f"photo{'s' * (photos != 1)} under {seeds} seed{'s' * (seeds != 1)}, on a small model: it adds friction there, "
        "and says nothing sure of other models."
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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
