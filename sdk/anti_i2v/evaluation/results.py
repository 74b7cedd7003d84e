"""Results of an evaluation: numbers for a JSON file, and pictures for the HTML report."""

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
    "CONTROL",
    "HEADLINE_METRICS",
    "Comparison",
    "Condition",
    "ConditionName",
    "CropResult",
    "Evaluation",
    "Evidence",
    "Headline",
    "PhotoMedia",
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
"""Condition -> the input that victims animate."""

CONTROL: ConditionName = "random_psnr"
"""The condition that a protection is compared with."""

HEADLINE_METRICS = ("identity", "first_frame_psnr")
"""The metrics that a headline reports, if they were measured."""


class CropResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The crop of one photo that victims animated.

    Attributes:
        box: left, top, width, height of the square, in pixels of the photo.
        scale: pixels of the crop per pixel of the photo; 1 if it was not scaled.
        retained_energy: share of the perturbation's energy (mean square in the square) that scaling retained, 0 to 1.
        psnr: dB between the protected and the clean crop; None if they are equal.
        control_psnr: the same for the control. A validity issue reports where it is not close to `psnr`.
        face: whether the square surrounds a face; otherwise it is the central one.
    """

    box: tuple[int, int, int, int]
    scale: float
    retained_energy: float = msgspec.field(name="energyLeft")
    psnr: float | None
    control_psnr: float | None
    face: bool


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One victim under one condition, over photos and seeds.

    Attributes:
        metrics: metric -> its mean over videos. Metrics that could not be computed are missing.
        effects: metric -> how much worse than the clean photo's videos of the same seeds, paired. Positive is damage,
            also for metrics that damage raises. {} for "clean".
    """

    name: ConditionName
    metrics: dict[str, Estimate] = msgspec.field(name="verdicts")
    effects: dict[str, Estimate] = msgspec.field(name="falls", default_factory=dict)


class Comparison(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One metric of one victim: the protection against the control.

    Attributes:
        effect: effect of the protection.
        control_effect: effect of the control.
        difference: effect - control_effect, paired.
        ratio: effect / control_effect; None if the control's effect may be 0.
        beats_control: whether the whole interval of `difference` lies above 0.
    """

    metric: str = msgspec.field(name="measure")
    effect: Estimate = msgspec.field(name="fall")
    control_effect: Estimate = msgspec.field(name="controlFall")
    difference: Estimate
    ratio: Estimate | None
    beats_control: bool = msgspec.field(name="clearlyMore")


class VictimResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The results of one victim.

    Attributes:
        role: role towards this protection, one of `victims.ROLES`.
        frames: number of frames of a video.
        steps: number of sampler steps.
        conditions: in the order of `CONDITIONS`.
        comparisons: in the order of `METRICS`, without "motion", which does not tell of damage.
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
        """Return one of `conditions`. Raises KeyError."""
        return {each.name: each for each in self.conditions}[name]


class Survival(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The effect on one victim that is retained after a degradation of the clean, the protected and the control photo.

    Attributes:
        degradation: a name of `DEGRADATIONS`, or `AVERAGED`.
        retained: the protection's effect after the degradation as a fraction of its effect before; may exceed 1.
        control_retained: the control's effect after the degradation as a fraction of the PROTECTION's effect before,
            so that both have one scale.
        effect, control_effect: after the degradation.
    """

    degradation: str = msgspec.field(name="change")
    victim: str
    metric: str = msgspec.field(name="measure")
    retained: Estimate = msgspec.field(name="left")
    control_retained: Estimate = msgspec.field(name="controlLeft")
    effect: Estimate = msgspec.field(name="fall")
    control_effect: Estimate = msgspec.field(name="controlFall")


class Headline(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A one-sentence summary, for the measured victim that is hardest to reach.

    Attributes:
        sentence: plain words with the numbers.
        comparisons: one for each of `HEADLINE_METRICS`.
    """

    victim: str
    role: Role
    sentence: str
    comparisons: tuple[Comparison, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All numbers of an evaluation. Holds no pixels and no file names.

    Attributes:
        headline: None if a validity issue forbids it.
        issues: those that forbid a headline first.
        photos, seeds: number of photos, and the seeds of each.
        side: side of the videos, in pixels.
        optimised_on: the surrogates and victims that the protection was optimised on, None if unknown.
        imperceptibility: metrics of each pair at the photo's own size.
        crops: crop of each photo.
        victims: the easiest to reach first.
        survival: the least retained first, for each victim and metric in turn.
        not_measured: a sentence for each thing left out, with the reason.
        versions, device, seconds: library versions, device and duration of the run.
    """

    format_version: int = FORMAT_VERSION
    headline: Headline | None
    issues: tuple[ValidityIssue, ...] = msgspec.field(name="doubts")
    photos: int
    seeds: tuple[int, ...]
    side: int
    optimised_on: tuple[str, ...] | None = None
    imperceptibility: tuple[Imperceptibility, ...]
    crops: tuple[CropResult, ...] = msgspec.field(name="views")
    victims: tuple[VictimResult, ...]
    survival: tuple[Survival, ...] = ()
    not_measured: tuple[str, ...] = ()
    device: str = "cpu"
    seconds: float = 0.0
    versions: dict[str, str] = msgspec.field(default_factory=dict)

    def to_json(self) -> bytes:
        """Encode as indented JSON, camelCase, UTF-8. Numbers are finite: unmeasured ones are missing or null."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Evidence:
        """Decode the JSON of `to_json`. Raises msgspec.ValidationError for anything else."""
        return msgspec.json.decode(data, type=cls)


@dataclass(frozen=True, eq=False)
class PhotoMedia:
    """Pictures of one photo for the HTML report.

    Attributes:
        crops: condition -> the crop that victims animated, (side, side, 3) uint8.
        videos: victim -> condition -> videos under the first one or two seeds, (S, T, side, side, 3) uint8.
    """

    crops: dict[ConditionName, Rgb8] = field(repr=False)
    videos: dict[str, dict[ConditionName, Rgb8]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `evaluate`: numbers for JSON, and pictures of each photo for the HTML report."""

    evidence: Evidence
    media: list[PhotoMedia] = field(repr=False)
