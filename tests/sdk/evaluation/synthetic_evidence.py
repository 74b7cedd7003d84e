"""Synthetic evidence: round numbers, and copies of the photo instead of a model's videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.results import (
    CONDITIONS,
    Comparison,
    Condition,
    ConditionName,
    CropResult,
    Evaluation,
    Evidence,
    Headline,
    PhotoMedia,
    Survival,
    VictimResult,
)
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.validity_checks import ValidityIssue
from anti_i2v.evaluation.victims import Role
from anti_i2v.metrics.imperceptibility import compare

PORTRAIT = Path(__file__).parents[2] / "data" / "portraits" / "filippo_giunchedi.jpg"
SIDE, FRAMES, SEEDS = 128, 8, (0, 1)
ROLE_OF: dict[str, Role] = {
    "dit-taef1": "white-box",
    "dit-taef1-second": "sibling",
    "unet-taesd": "encoder",
    "dit-taesd3": "untouched",
}
EFFECTS: dict[ConditionName, dict[str, float]] = {
    "clean": {},
    "protected": {"identity": 0.41, "first_frame_psnr": 6.3, "first_frame_lpips": 0.22},
    "random_psnr": {"identity": 0.05, "first_frame_psnr": 1.1, "first_frame_lpips": 0.04},
    "random_levels": {"identity": 0.11, "first_frame_psnr": 1.9, "first_frame_lpips": 0.07},
}
CLEAN = {"identity": 0.83, "first_frame_psnr": 24.1, "first_frame_lpips": 0.08, "motion": 0.4}


def about(mean: float, part: float = 0.2, count: int = 2) -> Estimate:
    half = abs(mean) * part
    return Estimate(mean, mean - half, mean + half, count)


def a_condition(name: ConditionName) -> Condition:
    sign = {"first_frame_lpips": -1}
    metrics = {each: about(value - sign.get(each, 1) * EFFECTS[name].get(each, 0)) for each, value in CLEAN.items()}
    return Condition(
        name=name, metrics=metrics, effects={each: about(effect) for each, effect in EFFECTS[name].items()}
    )


def a_comparison(metric: str, *, more: bool = True, ratio: Estimate | None = None) -> Comparison:
    effect, control = EFFECTS["protected"][metric], EFFECTS["random_psnr"][metric]
    return Comparison(
        metric=metric,
        effect=about(effect),
        control_effect=about(control),
        difference=about(effect - control),
        ratio=ratio,
        beats_control=more,
    )


def a_victim(name: str, role: Role) -> VictimResult:
    return VictimResult(
        name=name,
        family="CogVideoX",
        encoder=name.split("-")[1],
        role=role,
        summary="a small video transformer of CogVideoX's design, on 16-channel latents",
        frames=FRAMES,
        steps=16,
        conditions=tuple(a_condition(each) for each in CONDITIONS),
        comparisons=(
            a_comparison("identity", ratio=about(8.2)),
            a_comparison("first_frame_psnr", more=False, ratio=about(5.7)),
            a_comparison("first_frame_lpips"),
        ),
    )


def survivals(victim: str) -> tuple[Survival, ...]:
    retained = {"AdverseCleaner": 0.12, "jpeg75, half size": 0.31, "half size": 0.55, "jpeg75": 0.72, "noise": 1.04}
    return tuple(
        Survival(
            degradation=degradation,
            victim=victim,
            metric="identity",
            retained=about(part, 0.4),
            control_retained=about(0.4 * part),
            effect=about(0.4 * part),
            control_effect=about(0.05 * part),
        )
        for degradation, part in retained.items()
    )


HEADLINE = Headline(
    victim="dit-taesd3",
    role="untouched",
    sentence="On a model that no recipe optimises on, videos keep the person half as well as without protection.",
    comparisons=(a_comparison("identity", ratio=about(8.2)),),
)
NOTE = ValidityIssue(kind="few", severity="note", reason="1 photo under 2 seeds: another photo may give other results")
REFUSED = ValidityIssue(
    kind="effect", severity="no headline", reason="the effect is within the control's", victim="dit-taesd3"
)


def synthetic_crops() -> dict[ConditionName, Rgb8]:
    with Image.open(PORTRAIT) as portrait:
        clean = np.asarray(portrait.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))
    signs = np.random.default_rng(0).integers(-1, 2, (3, *clean.shape)) * 6
    moved = [(clean + delta).clip(0, 255).astype(np.uint8) for delta in signs]
    return {"clean": clean, "protected": moved[0], "random_psnr": moved[1], "random_levels": moved[2]}


def videos_of(crop: Rgb8, strength: int) -> Rgb8:
    """Return the photo with noise, shifted from frame to frame, as (S, T, side, side, 3)."""
    made = np.stack([np.stack([np.roll(crop, (seed, step), (0, 1)) for step in range(FRAMES)]) for seed in SEEDS])
    noise = np.random.default_rng(1).normal(0, strength, made.shape)
    found: Rgb8 = (made + noise).clip(0, 255).astype(np.uint8)
    return found


def synthetic_evaluation(crops: dict[ConditionName, Rgb8]) -> Evaluation:
    strengths: dict[ConditionName, int] = {"clean": 1, "protected": 40, "random_psnr": 8, "random_levels": 12}
    videos = {name: {each: videos_of(crops[each], strengths[each]) for each in CONDITIONS} for name in ROLE_OF}
    evidence = Evidence(
        headline=HEADLINE,
        issues=(NOTE,),
        photos=1,
        seeds=SEEDS,
        side=SIDE,
        imperceptibility=(compare(crops["clean"], crops["protected"]),),
        crops=(
            CropResult(
                box=(40, 20, 256, 256), scale=0.5, retained_energy=0.43, psnr=34.2, control_psnr=34.2, face=True
            ),
        ),
        victims=tuple(a_victim(name, role) for name, role in ROLE_OF.items()),
        survival=survivals("dit-taef1"),
        not_measured=("averaged: it needs a second protected version",),
        seconds=213.4,
        versions={"anti-i2v-sdk": "0.1.0"},
    )
    return Evaluation(evidence, [PhotoMedia(crops=crops, videos=videos)])


def changed(evaluation: Evaluation, **fields: Any) -> Evaluation:
    return Evaluation(msgspec.structs.replace(evaluation.evidence, **fields), evaluation.media)


def refused(evaluation: Evaluation) -> Evaluation:
    return changed(evaluation, headline=None, issues=(REFUSED, NOTE))
