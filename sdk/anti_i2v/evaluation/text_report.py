"""The text report of an evaluation, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from anti_i2v.evaluation.report_wording import (
    NO_HEADLINE,
    count_noun,
    degradation_label,
    describe_issue,
    describe_scope,
    format_value,
    list_unmeasured,
    plain_summary,
)
from anti_i2v.evaluation.results import CONTROL, HEADLINE_METRICS, Evidence, Survival, VictimResult
from anti_i2v.evaluation.video_metrics import METRICS
from anti_i2v.receipts.text import describe_smooth_areas

__all__ = ["render_text"]

COLUMNS = 100
"""Characters of the longest line, as in receipts."""


def render_text(evidence: Evidence) -> str:
    """Render the evidence as plain text, no line longer than `COLUMNS`."""
    sections = (_run, _summary, _victims, _survival, _visibility, _unmeasured)
    return "\n\n".join("\n".join(lines) for lines in (list(section(evidence)) for section in sections) if lines)


def _run(evidence: Evidence) -> Iterator[str]:
    photos, models = count_noun(evidence.photos, "photo"), count_noun(len(evidence.victims), "model")
    videos = count_noun(len(evidence.seeds), "video")
    yield f"{photos}, {models}, {videos} for each model and condition: {evidence.seconds:.0f} s on {evidence.device}."


def _summary(evidence: Evidence) -> Iterator[str]:
    if evidence.headline is not None:
        yield from _wrapped(plain_summary(evidence))
        yield from _wrapped(evidence.headline.sentence)
    else:
        yield f"{NO_HEADLINE}: the numbers below do not support a one-sentence summary."
    for issue in evidence.issues:
        text = describe_issue(issue)
        yield from _listed(text if issue.severity == "no headline" else f"note: {text}")


def _victims(evidence: Evidence) -> Iterator[str]:
    if not evidence.victims:
        return
    yield "Videos without protection -> with protection (with a random change of the same strength)"
    yield f"  {'':<18}{'':<11}" + "".join(f"{head:<26}" for head in ("same person", "first frame, dB")).rstrip()
    for victim in evidence.victims:
        cells = "".join(f"{_cell(victim, metric):<26}" for metric in HEADLINE_METRICS)
        yield f"  {_short(victim.name):<18}{victim.role:<11}{cells}".rstrip()
    if any(_within_control(victim, metric) for victim in evidence.victims for metric in HEADLINE_METRICS):
        yield "  * not clearly worse than with the random change"


def _cell(victim: VictimResult, metric: str) -> str:
    found = {each.name: each.metrics[metric] for each in victim.conditions if metric in each.metrics}
    if not {"clean", "protected", CONTROL} <= set(found):
        return "not measured"
    clean, protected, control = (format_value(found[name].mean, metric) for name in ("clean", "protected", CONTROL))
    return f"{clean} -> {protected} ({control}){'*' if _within_control(victim, metric) else ''}"


def _within_control(victim: VictimResult, metric: str) -> bool:
    return any(each.metric == metric and not each.beats_control for each in victim.comparisons)


def _survival(evidence: Evidence) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Survival]] = {}
    for row in evidence.survival:
        groups.setdefault((row.victim, row.metric), []).append(row)
    for (victim, metric), rows in groups.items():
        yield f"Effect retained on {_short(victim)}: {METRICS[metric].label} (random change in brackets)"
        for row in sorted(rows, key=lambda row: row.retained.mean):
            label = degradation_label(row.degradation)
            yield f"  {label:<52}{row.retained.mean:.0%} ({row.control_retained.mean:.0%})"


def _visibility(evidence: Evidence) -> Iterator[str]:
    for found in evidence.imperceptibility[:1]:
        first = "" if evidence.photos == 1 else " (first photo)"
        decibels = "infinite" if found.psnr is None else f"{found.psnr:.1f} dB"
        yield f"Visibility of the change{first}"
        colours = f"dE2000 {found.de2000_mean:.1f} on average"
        yield f"  PSNR {decibels}, SSIM {found.ssim:.3f}, {colours}, at most {count_noun(found.max_levels, 'level')}"
        if found.psnr is not None:
            yield f"  smooth areas: {describe_smooth_areas(found.smooth_area_rms)}"


def _unmeasured(evidence: Evidence) -> Iterator[str]:
    yield "Not measured"
    for sentence in list_unmeasured(evidence):
        yield from _listed(sentence)
    yield from _listed(describe_scope(evidence))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS)


def _listed(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent="  - ", subsequent_indent="    ")


def _short(name: str) -> str:
    """Shorten the name of a folder to the table's column."""
    return name if len(name) <= 17 else f"{name[:14]}..."
