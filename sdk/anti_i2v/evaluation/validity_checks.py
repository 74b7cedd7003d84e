"""What speaks against a number: the ways in which an evaluation deceives itself, each looked for.

A doubt of the severity "no headline" forbids a headline; a "note" stands beside it.
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
    "KINDS",
    "Fingerprint",
    "Severity",
    "ValidityIssue",
    "control_strays",
    "few",
    "fingerprint",
    "not_above_control",
    "over_budget",
    "scaled_away",
    "seen_in_training",
    "training_photos",
    "unchanged",
    "unfit",
    "without_face",
]

Severity: TypeAlias = Literal["no headline", "note"]

KINDS = {
    "unchanged": "a protected photo is the clean photo",
    "budget": "a protected photo differs by more levels than its budget",
    "control": "the random control is missing, or not of the protection's PSNR",
    "training": "a photo is among those that victims were trained on",
    "victim": "a victim does not do its work on the clean photo: it does not keep it, or does not move",
    "effect": "the effect is not above that of the random control",
    "few": "few photos or seeds: the interval tells little",
    "view": "scaling the photo to the victims' size took most of the perturbation away",
    "face": "no face was looked for or found: nothing is said of the person",
}
"""Kind of a doubt -> what it means."""

KEEPS_PSNR = 16.0
"""dB of the clean photo's first frame below which a victim does not keep the photo; a grey square reaches 10 to 14."""
KEEPS_IDENTITY = 0.3
"""Cosine below which it does not keep the person: two persons reach .15, one person in two photos .68."""
MOVES = 0.05
"""Pixels a frame below which a video stands still."""
STRAYS = 0.3
"""dB that the control's PSNR may be above the protection's (weaker), or below."""
VISIBLE_ENERGY = 0.1
"""Share of the perturbation's energy below which victims hardly saw it."""
PHOTOS, SEEDS = 10, 4
"""Below which an interval tells little: bootstrap percentiles of few photos are too narrow."""
ALIKE = 8
"""Bits of 64 by which the difference hashes of two files of one photo differ at most. Of 82 photos, scaled to short
sides of 128, 256 and 600 pixels and saved as JPEG 70, none moved by more than 6, and no two were closer than 13."""


class ValidityIssue(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One reason to distrust the numbers.

    Attributes:
        kind: of `KINDS`.
        severity: "no headline" or "note".
        reason: what was found, in plain words with the numbers.
        victim: whom it concerns; None for all.
    """

    kind: str
    severity: Severity
    reason: str
    victim: str | None = None


# The protection -------------------------------------------------------------------------------------------------------


def unchanged(pairs: Sequence[tuple[Rgb8, Rgb8]]) -> Iterator[ValidityIssue]:
    """A protection that did nothing, of (clean, protected)."""
    same = sum(np.array_equal(clean, protected) for clean, protected in pairs)
    if same:
        yield _refusal("unchanged", f"{_of(same, len(pairs))} equal to the clean photo, pixel by pixel")


def over_budget(pairs: Sequence[tuple[Rgb8, Rgb8]], budget: int | None) -> Iterator[ValidityIssue]:
    """A file that differs by more than was promised: equal budgets are then not compared. `budget` in levels."""
    if budget is None:
        return
    spent = [int(np.abs(protected.astype(np.int16) - clean).max()) for clean, protected in pairs]
    over = sum(levels > budget for levels in spent)
    if over:
        yield _refusal(
            "budget",
            f"{_of(over, len(pairs))} over the budget of {budget} levels: {max(spent)} were spent (lossy files may)",
        )


# The controls and the views -------------------------------------------------------------------------------------------


def control_strays(pairs: Sequence[tuple[float | None, float | None]]) -> Iterator[ValidityIssue]:
    """A comparison without a control, or with one of another PSNR.

    Args:
        pairs: (protected, control) in dB at the victims' size; None where a view equals the clean one.
    """
    if not pairs:
        yield _refusal("control", "there is no random control")
    for protected, control in pairs:
        if protected is None or control is None:
            if protected is not control:
                yield _refusal("control", "the random control, or the protection, is nothing at the victims' size")
                return
        elif abs(control - protected) > STRAYS:
            yield _refusal("control", f"the random control has {control:.1f} dB, the protection {protected:.1f} dB")
            return


def scaled_away(shares: Sequence[float]) -> Iterator[ValidityIssue]:
    """Perturbations that victims hardly saw; `shares` of `views.energy_left`."""
    if shares and min(shares) < VISIBLE_ENERGY:
        yield _note(
            "view",
            f"scaling to the victims' size left {min(shares):.0%} of a perturbation's energy: they hardly saw it",
        )


def without_face(faces: Sequence[bool]) -> Iterator[ValidityIssue]:
    """Photos without a face."""
    missing = len(faces) - sum(faces)
    if missing:
        yield _note("face", f"{_of(missing, len(faces))} without a face that was found: nothing is said of the person")


def few(photos: int, seeds: int) -> Iterator[ValidityIssue]:
    """A sample too small for its interval."""
    if photos < PHOTOS or seeds < SEEDS:
        what = f"{photos} photo{'s' * (photos != 1)} under {seeds} seed{'s' * (seeds != 1)}"
        more = "another photo may fare otherwise" if photos == 1 else "the intervals are too narrow"
        yield _note("few", f"{what}: {more} ({PHOTOS} photos and {SEEDS} seeds would tell more)")


# The victims ----------------------------------------------------------------------------------------------------------


def unfit(victim: str, clean: Mapping[str, Estimate]) -> Iterator[ValidityIssue]:
    """A victim that fails without any protection, by its verdicts on the clean photos."""
    for measure, least, what in (
        (
            "first_frame_psnr",
            KEEPS_PSNR,
            "does not keep the clean photo: its first frame has {:.1f} dB of {:g} at least",
        ),
        (
            "identity",
            KEEPS_IDENTITY,
            "does not keep the person of the clean photo: a cosine of {:.2f} of {:g} at least",
        ),
        ("motion", MOVES, "does not move: {:.2f} pixels a frame of {:g} at least"),
    ):
        if measure in clean and clean[measure].mean < least:
            yield _refusal("victim", f"{victim} {what.format(clean[measure].mean, least)}", victim)


def not_above_control(victim: str, differences: Mapping[str, Estimate], *, headline: bool) -> Iterator[ValidityIssue]:
    """An effect that a random perturbation of the same PSNR has too.

    Args:
        differences: measure -> what the protection lowers it more than the control.
        headline: whether the headline is of this victim; it is refused where any measure is not clearly above the
            control: a random perturbation, judged as a protection, passed one of two by chance.
    """
    within = [measure for measure, difference in differences.items() if not difference.above_zero]
    if within:
        reason = f"on {victim} the protection does not clearly do more than the random control ({', '.join(within)})"
        yield _refusal("effect", reason, victim) if headline else _note("effect", reason, victim)
    if headline and not differences:
        yield _refusal("effect", f"nothing was measured on {victim} that could be compared with the control", victim)


# The photos -----------------------------------------------------------------------------------------------------------


class Fingerprint(msgspec.Struct, frozen=True):
    """What tells whether a photo is another one: SHA-256 of the file and of its pixels, and a difference hash.

    Attributes:
        file, pixels: hexadecimal; `file` is "" for pixels without a file.
        look: 64 bits, see `fingerprint`.
    """

    file: str
    pixels: str
    look: int


def fingerprint(photo: Rgb8, file: bytes | None = None) -> Fingerprint:
    """Of upright sRGB pixels (H, W, 3), and of the file that they come from.

    The difference hash (dHash, Krawetz 2013) is what survives scaling and recompression: the photo in grey, scaled to
    9 x 8 by area; a bit says whether a pixel is lighter than the one on its left.
    """
    small = np.asarray(Image.fromarray(photo).convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    shape = f"{photo.shape[0]} {photo.shape[1]} ".encode()
    return Fingerprint(
        file="" if file is None else hashlib.sha256(file).hexdigest(),
        pixels=hashlib.sha256(shape + np.ascontiguousarray(photo).tobytes()).hexdigest(),
        look=int("".join("1" if bit else "0" for bit in bits), 2),
    )


@cache
def training_photos() -> tuple[Fingerprint, ...]:
    """Of the photos that victims were trained on, from data/victims-training.txt (made by sdk/training/known.py)."""
    text = resources.files("anti_i2v").joinpath("data/victims-training.txt").read_text(encoding="utf-8")
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(Fingerprint(file, pixels, int(look, 16)) for file, pixels, look in lines)


def seen_in_training(
    photos: Sequence[Fingerprint], trained: Sequence[Fingerprint] | None = None
) -> Iterator[ValidityIssue]:
    """Photos that victims know by heart. A crop of a training photo is not found, nor a frame of the footage.

    Args:
        trained: `training_photos()` where None.
    """
    known = training_photos() if trained is None else trained
    files, pixels = {each.file for each in known}, {each.pixels for each in known}
    same = sum((photo.file != "" and photo.file in files) or photo.pixels in pixels for photo in photos)
    closest = [min(((photo.look ^ each.look).bit_count() for each in known), default=64) for photo in photos]
    alike = sum(bits <= ALIKE for bits in closest)
    if same:
        yield _refusal("training", f"{_of(same, len(photos))} among those that victims were trained on")
    elif alike:
        yield _refusal(
            "training",
            f"{_of(alike, len(photos))} alike to one that victims were trained on "
            f"(difference hashes within {min(closest)} of 64 bits)",
        )


def _of(some: int, total: int) -> str:
    return f"{some} of {total} photos {'is' if some == 1 else 'are'}" if total > 1 else "the photo is"


def _refusal(kind: str, reason: str, victim: str | None = None) -> ValidityIssue:
    return ValidityIssue(kind=kind, severity="no headline", reason=reason, victim=victim)


def _note(kind: str, reason: str, victim: str | None = None) -> ValidityIssue:
    return ValidityIssue(kind=kind, severity="note", reason=reason, victim=victim)
