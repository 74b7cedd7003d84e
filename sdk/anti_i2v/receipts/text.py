"""A receipt as text for a terminal."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources

from anti_i2v.images.platforms import PRESETS
from anti_i2v.metrics.imperceptibility import Imperceptibility
from anti_i2v.receipts.fields import Effect, ReceiptFields, Survival, VersusRandom
from anti_i2v.receipts.tables import TABLES, Measure

__all__ = ["as_text", "describe_smooth_areas", "student_error"]

COLUMNS = 100
"""Widest line, in characters. Only ASCII, which terminals of every system show."""


def as_text(receipt: ReceiptFields) -> str:
    """Format a receipt for a terminal: plain ASCII without markup, no line longer than `COLUMNS`."""
    sections = (_summary, _visibility, _effects, _survival, _encoding, _notes, _scope)
    return "\n\n".join("\n".join(lines) for lines in (list(section(receipt)) for section in sections) if lines)


def _summary(receipt: ReceiptFields) -> Iterator[str]:
    rows, columns = receipt.working_size
    seconds = sum(receipt.seconds.values())
    where = f"{seconds:.1f} s on {receipt.device}, at a working size of {columns} x {rows}"
    if receipt.recipe is None:
        yield f"A pair of photos, checked in {where}."
        return
    preset = f", preset {receipt.preset}" if receipt.preset else ""
    yield f"Recipe {receipt.recipe}{preset}, seed {receipt.seed}: {where}."
    if receipt.steps_asked:
        yield from _wrapped(_steps(receipt), indent="")


def _steps(receipt: ReceiptFields) -> str:
    reasons = {"deadline": ", stopped by the deadline", "no surrogates": ", because no surrogate was available"}
    surrogates = f" on {', '.join(map(_shortened, receipt.surrogates))}" if receipt.surrogates else ""
    return f"{receipt.steps} of {receipt.steps_asked} steps{surrogates}{reasons.get(receipt.stopped, '')}."


def _visibility(receipt: ReceiptFields) -> Iterator[str]:
    visible = receipt.imperceptibility
    allowed = "" if receipt.budget_asked is None else f" of {receipt.budget_asked} allowed"
    yield "Visible change"
    yield _row("levels (1/255)", f"{receipt.budget_spent}{allowed} at most, {visible.mean_levels:.1f} on average")
    if visible.psnr is None:
        yield _row("PSNR", "infinite", "the two photos are equal")
        return
    smooth = visible.smooth_area_rms
    structure = next(words for end, words in TABLES.bands.structure if visible.ssim >= end)
    colour = next(words for end, words in TABLES.bands.colour if visible.de2000_mean <= end)
    yield _row("PSNR", f"{visible.psnr:.1f} dB")
    yield _row("smooth areas", "-" if smooth is None else f"{smooth:.1f} levels", describe_smooth_areas(smooth))
    yield _row("SSIM", f"{visible.ssim:.3f}", structure)
    yield _row("dE2000", f"{visible.de2000_mean:.1f}, 95 % below {visible.de2000_p95:.1f}", colour)
    yield from _sampled(visible)


def describe_smooth_areas(rms: float | None) -> str:
    """Describe `Imperceptibility.smooth_area_rms` in words."""
    bands = TABLES.bands
    return bands.no_smooth_areas if rms is None else next(words for end, words in bands.smooth_areas if rms <= end)


def _row(name: str, value: str, words: str = "") -> str:
    return f"  {name:<16}{value:<24}{words}".rstrip()


def _sampled(visible: Imperceptibility) -> Iterator[str]:
    if visible.sampled_share < 1:
        yield f"  SSIM and dE2000 were measured on {visible.sampled_share:.0%} of the pixels, evenly spread."


def _effects(receipt: ReceiptFields) -> Iterator[str]:
    """Yield one line per surrogate; a measure that no surrogate has gets no column."""
    if not receipt.effects:
        return
    measures = [measure for measure in TABLES.measures if any(measure.field in row.pairs for row in receipt.effects)]
    yield "Effect on surrogates (in brackets: a random change of the same size)"
    yield f"  {'':<20}{'':<11}" + "".join(f"{measure.title:<17}" for measure in measures).rstrip()
    for effect in receipt.effects:
        cells = "".join(f"{_cell(effect.pairs.get(measure.field), measure.decimals):<17}" for measure in measures)
        yield f"  {_shortened(effect.surrogate):<20}{effect.role:<11}{cells}".rstrip()
    yield from _wrapped(_legend(measures, starred=receipt.beats_random < receipt.compared))
    yield (f"  {receipt.beats_random} of {receipt.compared} comparisons clearly beat a random change of the same size.")
    if receipt.beats_random * 2 <= receipt.compared:
        yield f"  {TABLES.sentences.weak}"
    yield from _same_person(receipt.effects)


def _same_person(effects: Sequence[Effect]) -> Iterator[str]:
    """Yield a warning if every decoder keeps the face: beating a random change then means little."""
    scores = [effect.decoded_identity.protected for effect in effects if effect.decoded_identity is not None]
    if scores and min(scores) >= TABLES.same_person:
        yield f"  {TABLES.sentences.same_person.format(f'{min(scores):.2f}')}"


def _cell(pair: VersusRandom | None, decimals: int) -> str:
    if pair is None:
        return "-"
    star = "" if pair.beats_control else "*"
    return f"{pair.protected:.{decimals}f} ({pair.random:.{decimals}f}){star}"


def _legend(measures: Sequence[Measure], starred: bool) -> str:
    star = ["* not clearly more than the random change."] if starred else []
    return " ".join(
        [f"{measure.title[0].upper()}{measure.title[1:]}: {measure.meaning}" for measure in measures] + star
    )


def _shortened(name: str) -> str:
    """Shorten a surrogate's name, which may be that of a folder."""
    return name if len(name) <= 18 else f"{name[:15]}..."


def _survival(receipt: ReceiptFields) -> Iterator[str]:
    if not receipt.survival:
        return
    surrogate = _shortened(receipt.survival[0].surrogate)
    known = any(receipt.shift_after(row) for row in receipt.survival)
    yield f"Latent shift on {surrogate} after a change of the photo (in brackets: a random change)"
    yield f"  {'':<24}{'remaining':<19}{'shift after' if known else ''}".rstrip()
    for row in receipt.survival:
        yield _survival_row(row, receipt.shift_after(row))
    if any(row.retained.protected > 1.02 for row in receipt.survival):
        yield "  Over 100 %: the change itself responds to any perturbation, so compare with the brackets."
    if any(row.change in PRESETS for row in receipt.survival):
        yield f"  {TABLES.sentences.platforms}"


def _survival_row(row: Survival, shift: VersusRandom | None) -> str:
    name = TABLES.changes.get(row.change, f"preset {row.change}")
    remaining = f"{row.retained.protected:.0%} ({row.retained.random:.0%})"
    return f"  {name:<24}{remaining:<19}{'' if shift is None else _cell(shift, 3)}".rstrip()


def _encoding(receipt: ReceiptFields) -> Iterator[str]:
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


def _notes(receipt: ReceiptFields) -> Iterator[str]:
    """Yield what was not measured and why, and the notes of reading and protecting."""
    notes = [*_not_measured(receipt), *receipt.notes]
    if notes:
        yield "Notes"
    for note in notes:
        yield from textwrap.wrap(note, COLUMNS, initial_indent="  - ", subsequent_indent="    ")


def _not_measured(receipt: ReceiptFields) -> Iterator[str]:
    if not receipt.effects:
        yield "no effect was measured: the receipt shows how visible the change is, not whether it has an effect"
        return
    real = [effect for effect in receipt.effects if effect.role != "gauge"]
    if not real:
        yield _estimate()
        return
    decoders = [effect for effect in real if effect.decoded_psnr is not None]
    if decoders and not any(effect.decoded_lpips for effect in decoders):
        yield "decoded LPIPS was not measured: its weights are not on this machine"
    if decoders and not any(effect.decoded_identity for effect in decoders):
        yield "decoded identity was not measured: no face was found, or the face models are not on this machine"


def _estimate() -> str:
    error = student_error()
    shift, correlation, cosine = (
        format(error[name], style) if name in error else "unknown"
        for name, style in (("shift_relative_error", ".0%"), ("shift_correlation", ".2f"), ("gradient_cosine", ".2f"))
    )
    return (
        "an estimate: no real encoder was available, only the packaged student, a small network that imitates three. "
        f"Its error on photos outside its training: relative error of the shift {shift}, correlation with the true "
        f"shift {correlation}, cosine of its gradients to the true ones {cosine}. Nothing was decoded. "
        "`anti-i2v surrogates pull` downloads the real encoders (5 MB each)"
    )


@cache
def student_error() -> dict[str, float]:
    """Return the student's error, as its training measured it; empty if that was not recorded."""
    file = resources.files("anti_i2v").joinpath("data/student.json")
    try:
        recorded = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: float(value) for name, value in recorded.items() if isinstance(value, int | float)}


def _scope(receipt: ReceiptFields) -> Iterator[str]:
    if receipt.effects:
        yield from _wrapped(TABLES.sentences.measured_on, indent="")
    yield from _wrapped(TABLES.sentences.video_models, indent="")


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent=indent, subsequent_indent=indent)
