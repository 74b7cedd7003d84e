"""Checks for known ways in which an evaluation misleads.

An issue of severity "no headline" forbids a headline; a "note" is reported beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from PIL import Image

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.statistics import Estimate

__all__ = [
    "ISSUE_KINDS",
    "Fingerprint",
    "Severity",
    "ValidityIssue",
    "check_changed",
    "check_control",
    "check_effect",
    "check_faces",
    "check_retained_energy",
    "check_sample_size",
    "check_training_overlap",
    "check_victim",
    "check_within_budget",
    "fingerprint",
    "training_photos",
]

Severity: TypeAlias = Literal["no headline", "note"]

ISSUE_KINDS = {
    "unchanged": "a protected photo equals the clean photo",
    "budget": "a protected photo differs by more levels than its budget",
    "control": "the random control is missing or has another PSNR than the protection",
    "training": "a photo is among those that victims were trained on",
    "victim": "a victim fails on the clean photo: it does not keep the photo or the person, or does not move",
    "effect": "the effect does not exceed the random control's",
    "few": "too few photos or seeds for a reliable interval",
    "view": "scaling to the victims' size removed most of the perturbation",
    "face": "no face was found, so nothing can be said about the person",
}
"""Kind of an issue, as evidence files name it -> its meaning."""

MIN_CLEAN_PSNR = 16.0
"""dB between the clean photo and its video's first frame, below which a victim fails. A grey square has 10 to 14."""
MIN_CLEAN_IDENTITY = 0.3
"""Face cosine below which a victim loses the clean person. Two persons reach .15, two photos of one person .68."""
MIN_MOTION = 0.05
"""Pixels a frame below which a video counts as static."""
CONTROL_PSNR_TOLERANCE = 0.3
"""dB by which the control's PSNR may differ from the protection's."""
MIN_RETAINED_ENERGY = 0.1
"""Share of the perturbation's energy below which victims hardly received it."""
MIN_PHOTOS, MIN_SEEDS = 10, 4
"""Below these an interval is unreliable: bootstrap percentiles of few photos are too narrow."""
MAX_HASH_DISTANCE = 8
"""Bits of 64 within which difference hashes count as the same photo. Of 82 photos, scaled to short sides of 128, 256
and 600 pixels and saved as JPEG 70, none moved by more than 6 bits, and no two were closer than 13."""


class ValidityIssue(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One reason to distrust the numbers.

    Attributes:
        kind: one of `ISSUE_KINDS`.
        severity: "no headline" or "note".
        reason: plain words with the numbers.
        victim: the victim concerned; None for all.
    """

    kind: str
    severity: Severity
    reason: str
    victim: str | None = None


# The protection -------------------------------------------------------------------------------------------------------


def check_changed(pairs: Sequence[tuple[Rgb8, Rgb8]]) -> Iterator[ValidityIssue]:
    """Report protected photos that equal the clean photo; `pairs` of (clean, protected)."""
    same = sum(np.array_equal(clean, protected) for clean, protected in pairs)
    if same:
        yield _refusal("unchanged", f"{_count_photos(same, len(pairs))} equal to the clean photo, pixel by pixel")


def check_within_budget(pairs: Sequence[tuple[Rgb8, Rgb8]], budget: int | None) -> Iterator[ValidityIssue]:
    """Report photos that differ by more than `budget` levels; equal budgets are then not compared."""
    if budget is None:
        return
    used = [int(np.abs(protected.astype(np.int16) - clean).max()) for clean, protected in pairs]
    over = sum(levels > budget for levels in used)
    if over:
        yield _refusal(
            "budget",
            f"{_count_photos(over, len(pairs))} over the budget of {budget} levels: up to {max(used)} levels were used "
            "(lossy files can exceed it)",
        )


# The controls and the crops -------------------------------------------------------------------------------------------


def check_control(pairs: Sequence[tuple[float | None, float | None]]) -> Iterator[ValidityIssue]:
    """Report a missing control, or one with another PSNR than the protection.

    Args:
        pairs: PSNR of (protected, control) in dB at the victims' size; None for a crop that equals the clean one.
    """
    if not pairs:
        yield _refusal("control", "there is no random control")
    for protected, control in pairs:
        if protected is None or control is None:
            if protected is not control:
                yield _refusal("control", "the random control or the protection vanishes at the victims' size")
                return
        elif abs(control - protected) > CONTROL_PSNR_TOLERANCE:
            yield _refusal("control", f"the random control has {control:.1f} dB, the protection {protected:.1f} dB")
            return


def check_retained_energy(shares: Sequence[float]) -> Iterator[ValidityIssue]:
    """Report perturbations that scaling removed before victims received them; `shares` of `crops.retained_energy`."""
    if shares and min(shares) < MIN_RETAINED_ENERGY:
        yield _note(
            "view",
            f"scaling to the victims' size retained only {min(shares):.0%} of a perturbation's energy",
        )


def check_faces(faces: Sequence[bool]) -> Iterator[ValidityIssue]:
    """Report photos in which no face was found."""
    missing = len(faces) - sum(faces)
    if missing:
        where = f"in {missing} of {len(faces)} photos" if len(faces) > 1 else "in the photo"
        yield _note("face", f"no face was found {where}: nothing can be said about the person there")


def check_sample_size(photos: int, seeds: int) -> Iterator[ValidityIssue]:
    """Report a sample that is too small for its interval."""
    if photos < MIN_PHOTOS or seeds < MIN_SEEDS:
        what = f"{photos} photo{'s' * (photos != 1)} under {seeds} seed{'s' * (seeds != 1)}"
        more = "another photo may give other results" if photos == 1 else "the intervals are too narrow"
        yield _note("few", f"{what}: {more} ({MIN_PHOTOS} photos and {MIN_SEEDS} seeds would be more reliable)")


# The victims ----------------------------------------------------------------------------------------------------------


def check_victim(victim: str, clean: Mapping[str, Estimate]) -> Iterator[ValidityIssue]:
    """Report a victim that fails even without a protection, from its metrics on the clean photos."""
    for metric, least, what in (
        (
            "first_frame_psnr",
            MIN_CLEAN_PSNR,
            "does not keep the clean photo: its first frame has {:.1f} dB, and at least {:g} dB are required",
        ),
        (
            "identity",
            MIN_CLEAN_IDENTITY,
            "does not keep the person of the clean photo: a cosine of {:.2f}, and at least {:g} is required",
        ),
        ("motion", MIN_MOTION, "does not move: {:.2f} pixels a frame, and at least {:g} are required"),
    ):
        if metric in clean and clean[metric].mean < least:
            yield _refusal("victim", f"{victim} {what.format(clean[metric].mean, least)}", victim)


def check_effect(victim: str, differences: Mapping[str, Estimate], *, headline: bool) -> Iterator[ValidityIssue]:
    """Report an effect that a random perturbation of the same PSNR has as well.

    Args:
        differences: metric -> the protection's effect minus the control's.
        headline: whether the headline is about this victim. It is refused unless every metric beats the control: a
            random perturbation, evaluated like a protection, beat it in one of two metrics by chance.
    """
    within = [metric for metric, difference in differences.items() if not difference.above_zero]
    if within:
        reason = f"on {victim} the protection does not clearly beat the random control ({', '.join(within)})"
        yield _refusal("effect", reason, victim) if headline else _note("effect", reason, victim)
    if headline and not differences:
        yield _refusal("effect", f"no metric of {victim} could be compared with the control", victim)


# The photos -----------------------------------------------------------------------------------------------------------


class Fingerprint(msgspec.Struct, frozen=True):
    """Hashes that recognise a photo.

    Attributes:
        file, pixels: SHA-256 in hexadecimal; `file` is "" for pixels without a file.
        difference_hash: 64 bits, see `fingerprint`.
    """

    file: str
    pixels: str
    difference_hash: int


def fingerprint(photo: Rgb8, file: bytes | None = None) -> Fingerprint:
    """Compute the hashes of upright sRGB pixels (H, W, 3) and of the file that they come from.

    The difference hash (dHash, Krawetz 2013) survives scaling and recompression: the photo in grey, scaled to 9 x 8 by
    area; each bit says whether a pixel is lighter than the one on its left.
    """
    small = np.asarray(Image.fromarray(photo).convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    shape = f"{photo.shape[0]} {photo.shape[1]} ".encode()
    return Fingerprint(
        file="" if file is None else hashlib.sha256(file).hexdigest(),
        pixels=hashlib.sha256(shape + np.ascontiguousarray(photo).tobytes()).hexdigest(),
        difference_hash=int("".join("1" if bit else "0" for bit in bits), 2),
    )


@cache
def training_photos() -> tuple[Fingerprint, ...]:
    """Read the photos that victims were trained on: data/victims-training.txt, written by sdk/training/known.py."""
    text = resources.files("anti_i2v").joinpath("data/victims-training.txt").read_text(encoding="utf-8")
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(Fingerprint(file, pixels, int(bits, 16)) for file, pixels, bits in lines)


def check_training_overlap(
    photos: Sequence[Fingerprint], trained: Sequence[Fingerprint] | None = None
) -> Iterator[ValidityIssue]:
    """Report photos that victims were trained on. Crops of them and frames of the training footage are not recognised.

    Args:
        trained: None for `training_photos()`.
    """
    known = training_photos() if trained is None else trained
    files, pixels = {each.file for each in known}, {each.pixels for each in known}
    same = sum((photo.file != "" and photo.file in files) or photo.pixels in pixels for photo in photos)
    closest = [
        min(((photo.difference_hash ^ each.difference_hash).bit_count() for each in known), default=64)
        for photo in photos
    ]
    similar = sum(bits <= MAX_HASH_DISTANCE for bits in closest)
    if same:
        yield _refusal("training", f"{_count_photos(same, len(photos))} among those that victims were trained on")
    elif similar:
        yield _refusal(
            "training",
            f"{_count_photos(similar, len(photos))} similar to one that victims were trained on "
            f"(difference hashes within {min(closest)} of 64 bits)",
        )


def _count_photos(some: int, total: int) -> str:
    return f"{some} of {total} photos {'is' if some == 1 else 'are'}" if total > 1 else "the photo is"


def _refusal(kind: str, reason: str, victim: str | None = None) -> ValidityIssue:
    return ValidityIssue(kind=kind, severity="no headline", reason=reason, victim=victim)


def _note(kind: str, reason: str, victim: str | None = None) -> ValidityIssue:
    return ValidityIssue(kind=kind, severity="note", reason=reason, victim=victim)
