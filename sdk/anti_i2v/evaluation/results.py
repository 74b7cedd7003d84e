"""What an evaluation found: the numbers that go to a file, and the pictures that go to a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.validity_checks import ValidityIssue
from anti_i2v.evaluation.victims import Role
from anti_i2v.metrics.imperceptibility import Imperceptibility

__all__ = [
    "CONDITIONS",
    "HEADLINE",
    "Comparison",
    "Condition",
    "ConditionName",
    "CropResult",
    "Evaluation",
    "Evidence",
    "Headline",
    "Scene",
    "Survival",
    "VictimResult",
]

FORMAT_VERSION = 1


ConditionName: TypeAlias = Literal["clean", "protected", "random_psnr", "random_levels"]

CONDITIONS: dict[ConditionName, str] = {
    "clean": "the clean photo",
    "protected": "the protected photo",
    "random_psnr": "a random perturbation of the same PSNR",
    "random_levels": "a random perturbation of the same largest change (L-infinity)",
}
"""What victims are shown: name -> plain words. The control of a headline is "random_psnr"."""

HEADLINE = ("identity", "first_frame_psnr")
"""The measures (of `verdicts.MEASURES`) that a headline speaks of, where they were measured."""


class CropResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
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


class VictimResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
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
    retained: Estimate = msgspec.field(name="left")
    control_retained: Estimate = msgspec.field(name="controlLeft")
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
        side: pixels of a side of the videos.
        optimised_on: the surrogates and victims that took part in the protection, None where nobody said.
        imperceptibility: of each pair at the photo's own size.
        views: of each photo.
        victims: as they were asked for, the easiest to spoil first.
        survival: worst first (least left), for each victim and measure in turn.
        not_measured: what was left out and why, a sentence each.
        versions, device, seconds: of the run.
    """

    format_version: int = FORMAT_VERSION
    headline: Headline | None
    doubts: tuple[ValidityIssue, ...]
    photos: int
    seeds: tuple[int, ...]
    side: int
    optimised_on: tuple[str, ...] | None = None
    imperceptibility: tuple[Imperceptibility, ...]
    views: tuple[CropResult, ...]
    victims: tuple[VictimResult, ...]
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
