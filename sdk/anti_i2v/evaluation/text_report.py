"""Evidence in words: what roles, conditions and numbers mean to a person, and all of it as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from anti_i2v.evaluation.degradations import AVERAGED, DEGRADATIONS
from anti_i2v.evaluation.results import (
    HEADLINE,
    Comparison,
    ConditionName,
    Evidence,
    Headline,
    Survival,
    VictimResult,
)
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.validity_checks import ValidityIssue
from anti_i2v.evaluation.victims import Role, victims
from anti_i2v.evaluation.video_metrics import MEASURES
from anti_i2v.receipts.tables import TABLES
from anti_i2v.receipts.text import describe_smooth_areas

__all__ = [
    "CONDITION_WORDS",
    "CONTROL",
    "REFUSAL",
    "ROLE_WORDS",
    "SHOWN",
    "as_text",
    "between",
    "change_words",
    "counted",
    "doubted",
    "finding",
    "left_out",
    "meaning",
    "number",
    "ours",
    "plain_answer",
    "with_interval",
]

COLUMNS = 100
"""Widest line of the text, in characters, as in receipts."""

CONTROL: ConditionName = "random_psnr"
"""What a protection stands beside."""

SHOWN: tuple[ConditionName, ...] = ("clean", "protected", CONTROL)
"""The conditions whose pictures are shown side by side."""

ROLE_WORDS: dict[Role, str] = {
    "white-box": "a model that the protection was made on",
    "sibling": "a sibling of a model that the protection was made on: built alike, trained apart",
    "encoder": "a model that the protection never met; it was made on this model's image encoder",
    "untouched": "a model that the protection never met, nor its image encoder",
    "unknown": "a model of which it is not known whether the protection has met it",
}
"""Role of a victim -> what it is to a person who protects a photo."""

CONDITION_WORDS: dict[ConditionName, str] = {
    "clean": "without protection",
    "protected": "with protection",
    "random_psnr": "with a random change of the same strength",
    "random_levels": "with a random change of the same largest step",
}
"""Condition -> the photo that a video was made of, as one says it of the video."""

REFUSAL = "No headline"

SEEN = {"identity": 0.15, "first_frame_psnr": 2.5}
"""Falls (a cosine, dB) below which our own victims' videos of five portraits of six looked alike to us with and without
protection, but for rougher skin (transformers) or paler colours (the U-Net). The sixth fell by .32 and 4.0 dB."""

_WAYS = {"identity": "the likeness of the person", "first_frame_psnr": "the first frame"}

_ABOUT = {
    "identity": "the likeness of the person",
    "first_frame_psnr": "the first frame's likeness to the photo",
    "first_frame_lpips": "the first frame's distance to the photo",
}
"""Measure -> what one says of it in a sentence; the others go by their label."""


def ours(evidence: Evidence) -> bool:
    """Whether every victim is one of the small models that this project trained."""
    return {victim.name for victim in evidence.victims} <= victims().keys()


def meaning(evidence: Evidence) -> str:
    """What the numbers hold for, and what they do not."""
    if ours(evidence):
        return (
            "These numbers hold for the models named here, small ones that this project trained. A protection adds "
            "friction for models that read photos as these do. Models that people use are a thousand times larger, and "
            "what a protection does to those was not measured here."
        )
    return (
        "These numbers hold for the models named here. A protection adds friction for models that read photos as these "
        "do; what it does to others was not measured here."
    )


def change_words(name: str) -> str:
    """What happens to a photo, for a person; a name that is not known here says it itself."""
    if name == AVERAGED:
        return "averaged with another protected version"
    return DEGRADATIONS[name].label if name in DEGRADATIONS else name


def counted(count: int, what: str) -> str:
    """1 photo, 2 photos."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def number(value: float, measure: str) -> str:
    """A value of a measure, without its unit."""
    digits = 1 if MEASURES[measure].unit == "dB" else 2
    said = f"{value:.{digits}f}"
    return said.removeprefix("-") if not float(said) else said  # -0.00 says nothing that 0.00 does not


def between(estimate: Estimate, measure: str) -> str:
    """The interval in brackets; what there is instead where one video was looked at."""
    if estimate.count == 1:
        return "(one video: no interval)"
    return f"({number(estimate.low, measure)} to {number(estimate.high, measure)})"


def with_interval(estimate: Estimate, measure: str) -> str:
    """A mean, its unit and its interval."""
    unit = MEASURES[measure].unit
    return f"{number(estimate.mean, measure)}{f' {unit}' if unit else ''} {between(estimate, measure)}"


def finding(comparison: Comparison) -> str:
    """One sentence: how much worse a measure became, beside the random change."""
    name = comparison.measure
    about = _ABOUT.get(name, MEASURES[name].label)
    worse, better = ("rose", "fell") if MEASURES[name].spoiled == "higher" else ("fell", "rose")

    def moved(fall: Estimate) -> str:
        if not float(number(fall.mean, name)):
            return "did not change"
        size = _size(fall)
        return f"{worse if fall.mean > 0 else better} by {with_interval(size, name)}"

    return (
        f"With the protection {about} {moved(comparison.fall)}; with the random change it "
        f"{moved(comparison.control_fall)}: {_compared(comparison)}."
    )


def _size(fall: Estimate) -> Estimate:
    """The size of a change, for a sentence that says its direction."""
    if fall.mean >= 0:
        return fall
    return Estimate(-fall.mean, -fall.high, -fall.low, fall.count)


def _compared(comparison: Comparison) -> str:
    if comparison.fall.mean <= 0:
        return "no damage"
    if not comparison.clearly_more:
        return "not clearly more than the random change"
    if comparison.ratio is None:
        return "clearly more; the random change did nothing that can be measured"
    return f"clearly more, {comparison.ratio.mean:.1f} times as far"


def left_out(evidence: Evidence) -> list[str]:
    """What was not measured, a sentence each: what the evaluation says so of, and what else was not asked for."""
    found = [f"{sentence[:1].upper()}{sentence[1:]}" for sentence in evidence.not_measured]
    run = [victim.name for victim in evidence.victims]
    absent = [name for name in victims() if name not in run]
    if absent:
        found.append(f"Models of this project that made no videos here: {', '.join(absent)}")
    judges = {row.victim for row in evidence.survival}
    others = [name for name in run if name not in judges]
    if judges and others:
        found.append(
            f"What is left after changes on {', '.join(others)}: it was looked at on {', '.join(judges)} alone"
        )
    looked = {row.change for row in evidence.survival}
    changes = [change_words(name) for name in (*DEGRADATIONS, AVERAGED) if name not in looked]
    if looked and changes:
        found.append(f"What is left after: {'; '.join(changes)}")
    return [*found, f"Any {'' if ours(evidence) else 'other '}model that people use to make videos"]


def plain_answer(evidence: Evidence) -> str:
    """What the headline comes to, for somebody who reads no numbers: whether it does more than chance, and enough."""
    headline = evidence.headline
    if headline is None:
        return f"{REFUSAL}."
    # Each of them clearly, or there is no headline: see `doubts`.
    spoiled = " and ".join(_WAYS[each.measure] for each in headline.comparisons)
    said = (
        f"On {headline.victim}, {ROLE_WORDS[headline.role]}, the protection spoils {spoiled} clearly more than a "
        "random change of the same strength does."
    )
    return " ".join([said, *_enough(evidence, headline)])


def _enough(evidence: Evidence, headline: Headline) -> Iterator[str]:
    """Beating a random change is little where videos look alike, or still show the person: say so."""
    small = all(each.fall.mean < SEEN[each.measure] for each in headline.comparisons)
    little = small and headline.victim in victims()  # what looks alike was looked at on these alone
    if little:
        yield (
            "But it spoils little: in the portraits that we looked at, falls this small left the videos much alike, "
            "rougher or paler at most."
        )
    means = {
        each.name: each.verdicts["identity"].mean
        for row in evidence.victims
        if row.name == headline.victim
        for each in row.conditions
        if "identity" in each.verdicts
    }
    if not {"clean", "protected"} <= set(means):
        yield "Whether the person is still recognised was not measured."
    elif means["clean"] < TABLES.same_person:
        yield "This model does not keep the person well even without protection."
    elif means["protected"] >= TABLES.same_person:
        yield f"{'And' if little else 'But'} the videos still show the same person."
    elif not little:
        yield "The videos no longer pass for the same person."


def doubted(doubt: ValidityIssue) -> str:
    """A doubt with the victim that it concerns."""
    return doubt.reason if doubt.victim is None or doubt.victim in doubt.reason else f"{doubt.victim}: {doubt.reason}"


# For a terminal.


def as_text(evidence: Evidence) -> str:
    """The evidence for a terminal: plain text, no line longer than `COLUMNS`; no headline where a doubt forbids it."""
    sections = (_run, _answer, _victims, _survival, _eye, _unmeasured)
    return "\n\n".join("\n".join(lines) for lines in (list(section(evidence)) for section in sections) if lines)


def _run(evidence: Evidence) -> Iterator[str]:
    asked = f"{counted(len(evidence.victims), 'model')}, {counted(len(evidence.seeds), 'video')} each"
    photos = counted(evidence.photos, "photo")
    yield f"Evidence for {photos}: {asked} and condition, {evidence.seconds:.0f} s on {evidence.device}."


def _answer(evidence: Evidence) -> Iterator[str]:
    if evidence.headline is not None:
        yield from _wrapped(plain_answer(evidence))
        yield from _wrapped(evidence.headline.sentence)
    else:
        yield f"{REFUSAL}: the numbers below must not be summed up in a sentence."
    for doubt in evidence.doubts:
        yield from _listed(doubted(doubt) if doubt.severity == "no headline" else f"note: {doubted(doubt)}")


def _victims(evidence: Evidence) -> Iterator[str]:
    if not evidence.victims:
        return
    yield "What became of the videos: without protection, with it (with a random change of the same strength)"
    yield f"  {'':<18}{'':<11}" + "".join(f"{head:<26}" for head in ("same person", "first frame, dB")).rstrip()
    for victim in evidence.victims:
        cells = "".join(f"{_cell(victim, measure):<26}" for measure in HEADLINE)
        yield f"  {_short(victim.name):<18}{victim.role:<11}{cells}".rstrip()
    if any(_unsure(victim, measure) for victim in evidence.victims for measure in HEADLINE):
        yield "  * not clearly worse than with the random change"


def _cell(victim: VictimResult, measure: str) -> str:
    found = {each.name: each.verdicts[measure] for each in victim.conditions if measure in each.verdicts}
    if not {"clean", "protected", CONTROL} <= set(found):
        return "not measured"
    clean, protected, control = (number(found[name].mean, measure) for name in ("clean", "protected", CONTROL))
    return f"{clean} -> {protected} ({control}){'*' if _unsure(victim, measure) else ''}"


def _unsure(victim: VictimResult, measure: str) -> bool:
    return any(each.measure == measure and not each.clearly_more for each in victim.comparisons)


def _survival(evidence: Evidence) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Survival]] = {}
    for row in evidence.survival:
        groups.setdefault((row.victim, row.measure), []).append(row)
    for (victim, measure), rows in groups.items():
        yield f"What is left on {_short(victim)} after a change: {MEASURES[measure].label} (of the random change)"
        for row in sorted(rows, key=lambda row: row.retained.mean):
            yield f"  {change_words(row.change):<52}{row.retained.mean:.0%} ({row.control_retained.mean:.0%})"


def _eye(evidence: Evidence) -> Iterator[str]:
    for seen in evidence.imperceptibility[:1]:
        first = "" if evidence.photos == 1 else " (of the first photo)"
        decibels = "infinite" if seen.psnr is None else f"{seen.psnr:.1f} dB"
        yield f"What it costs the eye{first}"
        colours = f"dE2000 {seen.de2000_mean:.1f} on average"
        yield f"  PSNR {decibels}, SSIM {seen.ssim:.3f}, {colours}, at most {counted(seen.max_levels, 'level')}"
        if seen.psnr is not None:
            yield f"  smooth areas: {describe_smooth_areas(seen.smooth_area_rms)}"


def _unmeasured(evidence: Evidence) -> Iterator[str]:
    yield "Not measured"
    for sentence in left_out(evidence):
        yield from _listed(sentence)
    yield from _listed(meaning(evidence))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS)


def _listed(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent="  - ", subsequent_indent="    ")


def _short(name: str) -> str:
    """Folders may have long names."""
    return name if len(name) <= 17 else f"{name[:14]}..."
