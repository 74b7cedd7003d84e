"""A receipt in plain words: what it cost, what it did beside a random change of the same size, what that is not."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources

from anti_i2v.images.platforms import PRESETS
from anti_i2v.metrics.imperceptibility import Imperceptibility
from anti_i2v.receipts.receipt import Effect, Receipt, VersusRandom, beats_control

__all__ = ["as_text", "describe_smooth_areas", "student_error"]

COLUMNS = 100
"""Widest line, in characters. ASCII alone: terminals of every system show it."""

GAUGE = "gauge"

SAME_PERSON = 0.68
"""Identity that photos of one person had at least, on the small check of `metrics.faces`."""

MEASURED_ON = (
    "These numbers hold for the surrogates named above, on one window of this photo. A protection adds friction for "
    "models that read photos as these do; it says nothing about models that are not listed. Latent shift is not "
    "damage: a latent can move and still be decoded into the same picture."
)
VIDEO_MODELS = (
    "Video models with 16 or more latent channels (CogVideoX, Wan, HunyuanVideo, LTX) hardly budge when only encoders "
    "were aimed at: do not take this as protection against them."
)
PLATFORMS = "Presets are models of what platforms do to a photo, not the platforms."

_CHANGES = {"jpeg75": "JPEG quality 75", "half size": "half size and back", "blur": "slight blur"}

# (upper end, words). The ends are rough guides of ours, by looking; eyes, screens and photos differ. PSNR has no words:
# at one PSNR a grain may be hard to find and a pattern plain.
_RELIEF = (
    (0.4, "next to nothing for an eye to find"),
    (0.8, "seen only by flipping between the two photos"),
    (1.2, "a faint relief, at a close look"),
    (1.6, "a relief that many people notice"),
    (float("inf"), "a relief that shows plainly"),
)
_NOTHING_SMOOTH = "the photo has none that would show it"
_SSIM = (  # (lower end, words)
    (0.98, "fine structure as it was"),
    (0.95, "fine structure slightly rougher"),
    (0.90, "fine structure rougher"),
    (-1.0, "fine structure changed"),
)
_DELTA_E = (  # (upper end, words); 1 is about what a trained eye tells apart on uniform patches
    (1.0, "colours as they were, for most eyes"),
    (2.0, "colours differ at a close look"),
    (3.5, "colours differ side by side"),
    (float("inf"), "colours differ at a glance"),
)

# Heading, field of Effect, decimals.
_MEASURES = (
    ("latent shift", "shift", 3),
    ("decoded PSNR", "decoded_psnr", 1),
    ("decoded LPIPS", "decoded_lpips", 3),
    ("decoded identity", "decoded_identity", 3),
)


def as_text(receipt: Receipt) -> str:
    """The receipt for a terminal: plain ASCII without markup, no line longer than `COLUMNS`."""
    sections = (_made, _eye, _effects, _survival, _encoding, _unknown, _meaning)
    return "\n\n".join("\n".join(lines) for lines in (list(section(receipt)) for section in sections) if lines)


def _made(receipt: Receipt) -> Iterator[str]:
    rows, columns = receipt.working_size
    seconds = sum(receipt.seconds.values())
    where = f"{seconds:.1f} s on {receipt.device}, at a working size of {columns} x {rows}"
    if receipt.recipe is None:
        yield f"A pair of photos, checked in {where}."
        return
    preset = f", preset {receipt.preset}" if receipt.preset else ""
    yield f"Recipe {receipt.recipe}{preset}, seed {receipt.seed}: {where}."
    if receipt.steps_asked:
        why = {"deadline": ", the deadline came first", "no surrogates": ", there was nothing to take them on"}
        on = f" on {', '.join(map(_short, receipt.surrogates))}" if receipt.surrogates else ""
        yield from _wrapped(
            f"{receipt.steps} of {receipt.steps_asked} steps{on}{why.get(receipt.stopped, '')}.", indent=""
        )


def _eye(receipt: Receipt) -> Iterator[str]:
    seen = receipt.imperceptibility
    asked = "" if receipt.budget_asked is None else f" of {receipt.budget_asked} allowed"
    yield "What it costs the eye"
    yield _row("levels (1/255)", f"{receipt.budget_spent}{asked} at most, {seen.mean_levels:.1f} on average")
    if seen.psnr is None:
        yield _row("PSNR", "infinite", "the two photos are equal")
        return
    yield _row("PSNR", f"{seen.psnr:.1f} dB")
    shown = "-" if seen.smooth_area_rms is None else f"{seen.smooth_area_rms:.1f} levels"
    yield _row("smooth areas", shown, describe_smooth_areas(seen.smooth_area_rms))
    yield _row("SSIM", f"{seen.ssim:.3f}", next(words for end, words in _SSIM if seen.ssim >= end))
    mean = next(words for end, words in _DELTA_E if seen.de2000_mean <= end)
    yield _row("dE2000", f"{seen.de2000_mean:.1f}, 95 % below {seen.de2000_p95:.1f}", mean)
    yield from _sampled(seen)


def describe_smooth_areas(relief: float | None) -> str:
    """What `Imperceptibility.relief` means to an eye."""
    return _NOTHING_SMOOTH if relief is None else next(words for end, words in _RELIEF if relief <= end)


def _row(name: str, value: str, words: str = "") -> str:
    return f"  {name:<16}{value:<24}{words}".rstrip()


def _sampled(seen: Imperceptibility) -> Iterator[str]:
    if seen.sampled_share < 1:
        yield f"  SSIM and dE2000 were measured on {seen.sampled_share:.0%} of the pixels, evenly spread."


def _effects(receipt: Receipt) -> Iterator[str]:
    """One line a surrogate; a measure that none of them has gets no column."""
    if not receipt.effects:
        return
    measures = [measure for measure in _MEASURES if any(getattr(effect, measure[1]) for effect in receipt.effects)]
    yield "What surrogates make of it (in brackets: of a random change of the same size)"
    yield f"  {'':<20}{'':<11}" + "".join(f"{heading:<17}" for heading, *_ in measures).rstrip()
    for effect in receipt.effects:
        cells = "".join(f"{_cell(field, getattr(effect, field), decimals):<17}" for _, field, decimals in measures)
        yield f"  {_short(effect.surrogate):<20}{effect.role:<11}{cells}".rstrip()
    won = [more for _, more in receipt.checks()]
    yield from _wrapped(_key([heading for heading, *_ in measures], starred=not all(won)))
    yield f"  {sum(won)} of {len(won)} comparisons clearly beat a random change of the same size."
    if sum(won) * 2 <= len(won):
        yield "  That is half of them or fewer: treat this photo as not protected."
    yield from _still_the_same_person(receipt.effects)


def _still_the_same_person(effects: Sequence[Effect]) -> Iterator[str]:
    """Beating a random change is little where a decoder still draws the face: say so."""
    scores = [effect.decoded_identity.protected for effect in effects if effect.decoded_identity is not None]
    if scores and min(scores) >= SAME_PERSON:
        yield f"  Every decoder still draws the same person: the lowest identity is {min(scores):.2f}."


def _cell(field: str, pair: VersusRandom | None, decimals: int) -> str:
    if pair is None:
        return "-"
    star = "" if beats_control(field, pair) else "*"
    return f"{pair.protected:.{decimals}f} ({pair.random:.{decimals}f}){star}"


def _key(headings: Sequence[str], starred: bool) -> str:
    words = {
        "latent shift": "Latent shift: how far the encoding moved, higher is more.",
        "decoded PSNR": "Decoded PSNR, dB: lower is more damage.",
        "decoded LPIPS": "LPIPS: higher is more damage.",
        "decoded identity": f"Identity: 1 is the same face, lower is more damage; one person: {SAME_PERSON} or more.",
    }
    star = ["* not clearly more than the random change."] if starred else []
    return " ".join([words[heading] for heading in headings] + star)


def _short(name: str) -> str:
    """Folders may have long names."""
    return name if len(name) <= 18 else f"{name[:15]}..."


def _survival(receipt: Receipt) -> Iterator[str]:
    if not receipt.survival:
        return
    judge = receipt.survival[0].surrogate
    before = next((effect.shift for effect in receipt.effects if effect.surrogate == judge), None)
    yield f"What a change leaves of the latent shift on {_short(judge)} (in brackets: of the random change's)"
    then = "shift then" if before else ""
    yield f"  {'':<24}{'left':<19}{then}".rstrip()
    for row in receipt.survival:
        left = f"{row.retained.protected:.0%} ({row.retained.random:.0%})"
        after = ""
        if before is not None:
            shift = VersusRandom(before.protected * row.retained.protected, before.random * row.retained.random)
            after = _cell("shift", shift, 3)
        name = _CHANGES.get(row.change, f"preset {row.change}")
        yield f"  {name:<24}{left:<19}{after}".rstrip()
    if any(row.retained.protected > 1.02 for row in receipt.survival):
        yield "  Above 100 %: the change itself answers to any perturbation, so compare with the brackets."
    if any(row.change in PRESETS for row in receipt.survival):
        yield f"  {PLATFORMS}"


def _encoding(receipt: Receipt) -> Iterator[str]:
    saved = receipt.encoding
    if saved is None:
        return
    if saved.lossless:
        yield f"The {saved.format} file holds exactly the protected pixels."
        return
    yield from _wrapped(
        f"The {saved.format} file keeps {saved.perturbation_kept:.0%} of the perturbation; after its lossy encoding "
        f"the largest difference to the clean photo is {saved.max_levels} levels.",
        indent="",
    )


def _unknown(receipt: Receipt) -> Iterator[str]:
    """What was not measured and why, and what reading or protecting had to say."""
    notes = [*_missing(receipt), *receipt.notes]
    if notes:
        yield "Notes"
    for note in notes:
        yield from textwrap.wrap(note, COLUMNS, initial_indent="  - ", subsequent_indent="    ")


def _missing(receipt: Receipt) -> Iterator[str]:
    if not receipt.effects:
        yield "no surrogate was asked: this says what the change costs the eye, not whether it does anything"
        return
    real = [effect for effect in receipt.effects if effect.role != GAUGE]
    if not real:
        yield _estimate()
        return
    decoders = [effect for effect in real if effect.decoded_psnr is not None]
    if decoders and not any(effect.decoded_lpips for effect in decoders):
        yield "decoded LPIPS was not measured: its weights are not on this machine"
    if decoders and not any(effect.decoded_identity for effect in decoders):
        yield "decoded identity was not measured: no face was found, or the face nets are not on this machine"


def _estimate() -> str:
    error = student_error()
    shift, correlation, cosine = (
        format(error[name], style) if name in error else "unknown"
        for name, style in (("shift_relative_error", ".0%"), ("shift_correlation", ".2f"), ("gradient_cosine", ".2f"))
    )
    return (
        "an estimate: no real encoder was at hand, only the embedded gauge, a small network that imitates three. "
        f"Its known error, on photos that it never saw: relative error of the shift {shift}, correlation with the true "
        f"shift {correlation}, cosine of its gradients to the true ones {cosine}. Nothing was decoded. "
        "`anti-i2v surrogates pull` fetches the real encoders (5 MB each)"
    )


@cache
def student_error() -> dict[str, float]:
    """The embedded gauge's known error, as its training measured it; empty where that was not recorded."""
    file = resources.files("anti_i2v").joinpath("data/student.json")
    try:
        recorded = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: float(value) for name, value in recorded.items() if isinstance(value, int | float)}


def _meaning(receipt: Receipt) -> Iterator[str]:
    if receipt.effects:
        yield from _wrapped(MEASURED_ON, indent="")
    yield from _wrapped(VIDEO_MODELS, indent="")


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent=indent, subsequent_indent=indent)
