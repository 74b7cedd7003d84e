"""One HTML page of an evaluation, for the person whose photo it is: the answer, pictures, numbers and limits.

No script and nothing from elsewhere: style and pictures are in the file, and its policy lets a browser load nothing
else. It holds the clean photo, as victims saw it.
"""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from typing import TypeAlias

import htpy as h
import numpy as np
from markupsafe import Markup
from PIL import Image

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.degradations import AVERAGED
from anti_i2v.evaluation.results import (
    CONDITIONS,
    HEADLINE,
    Condition,
    ConditionName,
    Evaluation,
    Evidence,
    Scene,
    Survival,
    VictimResult,
)
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.text_report import (
    CONDITION_WORDS,
    REFUSAL,
    ROLE_WORDS,
    SHOWN,
    between,
    change_words,
    counted,
    doubted,
    finding,
    left_out,
    meaning,
    number,
    ours,
    plain_answer,
)
from anti_i2v.evaluation.victims import ROLES
from anti_i2v.evaluation.victims import victims as known
from anti_i2v.evaluation.video_metrics import MEASURES
from anti_i2v.receipts.text import describe_smooth_areas

__all__ = ["LARGEST", "page"]

Draw: TypeAlias = Callable[[Rgb8], str]
"""Pixels (H, W, 3) -> a data URI."""

LARGEST = 3_000_000
"""Bytes that a page stays below."""

_QUALITIES = (None, 95, 85, 70, 50, 25)
"""WebP qualities, None for lossless: the first with which the page stays below `LARGEST`."""

LONGEST_STRIP, STRIP_HEIGHT = 16, 256
"""Frames and pixels."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(evaluation: Evaluation) -> str:
    """The page, a whole HTML document of less than `LARGEST` bytes where the lowest of `_QUALITIES` is enough for that.

    Pictures are of the first photo and the first seed, so that nobody chose them, and are kept without loss where they
    fit, else as WebP of the best quality that does. Strips of long or large videos are thinned: see `_strip`.
    """
    made = ""
    for quality in _QUALITIES:
        made = _document(evaluation, quality)
        if len(made.encode()) < LARGEST:
            break
    return made


def _document(evaluation: Evaluation, quality: int | None) -> str:
    def draw(pixels: Rgb8) -> str:
        return _uri(pixels, quality)

    evidence = evaluation.evidence
    scene = evaluation.scenes[0] if evaluation.scenes else None
    style = resources.files("anti_i2v.evaluation").joinpath("html_report.css").read_text(encoding="utf-8")
    small = "small " if ours(evidence) else ""
    title = f"What {small}video models make of this photo, with and without protection"
    head = h.head[
        h.meta(charset="utf-8"),
        h.meta(name="viewport", content="width=device-width, initial-scale=1"),
        h.meta(http_equiv="Content-Security-Policy", content=POLICY),
        h.meta(name="referrer", content="no-referrer"),
        h.title[title],
        h.style[Markup(style)],  # noqa: S704  # the package's own file
    ]
    body = h.body[
        h.main[
            h.h1[title],
            _answer(evidence),
            _victims(evidence, scene, draw),
            _survival(evidence),
            _eye(evidence, scene, draw),
            _unmeasured(evidence),
            _method(evidence, quality),
        ],
        h.footer[h.p["Made by anti-i2v evaluate. This page holds the clean photo: do not post it."]],
    ]
    return f"{h.html(lang='en')[head, body]}\n"  # htpy writes the doctype


# The answer.


def _answer(evidence: Evidence) -> h.Node:
    if evidence.headline is not None:
        said = [
            h.h2(id="answer")["The answer"],
            h.p(class_="said")[plain_answer(evidence)],
            h.p[evidence.headline.sentence],
        ]
    else:
        refusals = [doubted(doubt) for doubt in evidence.doubts if doubt.severity == "no headline"]
        said = [
            h.h2(id="answer")[REFUSAL],
            h.p["No answer in one sentence can be given, and none should be made of the numbers below, because:"],
            h.ul[(h.li[reason] for reason in refusals)],
        ]
    notes = [doubted(doubt) for doubt in evidence.doubts if doubt.severity == "note"]
    beside = [h.h3["To keep in mind"], h.ul[(h.li[note] for note in notes)]] if notes else []
    refused = " refused" if evidence.headline is None else ""
    return h.fragment[
        h.section(class_=f"answer{refused}", aria_labelledby="answer")[said],
        h.section(class_="notes", aria_label="To keep in mind")[beside, h.p(class_="quiet")[meaning(evidence)]],
    ]


# What each victim made of it.


def _victims(evidence: Evidence, scene: Scene | None, draw: Draw) -> h.Node:
    photos = "this photo" if evidence.photos == 1 else f"{evidence.photos} photos"
    lead = (
        f"Each model made {counted(len(evidence.seeds), 'video')} of {photos} under each condition, always from "
        "the same random starting points. The pictures are of the first of them"
        f"{'' if evidence.photos == 1 else ' and of the first photo'}: nobody chose them."
    )
    return h.section(aria_labelledby="models")[
        h.h2(id="models")["What each model made of it"],
        h.p[lead],
        (_victim(victim, evidence, scene, draw) for victim in evidence.victims),
    ]


def _victim(victim: VictimResult, evidence: Evidence, scene: Scene | None, draw: Draw) -> h.Node:
    videos = {} if scene is None else scene.videos.get(victim.name, {})
    return h.article(class_="card", aria_label=victim.name)[
        h.h3[victim.name],
        h.p(class_="role")[h.b[victim.role], f" {ROLE_WORDS[victim.role]}."],
        h.p(class_="quiet")[f"{victim.summary[:1].upper()}{victim.summary[1:]}."],
        _pictures(victim, videos, draw) if videos else None,
        (
            h.p(class_="verdict more" if each.clearly_more else "verdict")[finding(each)]
            for each in victim.comparisons
            if each.measure in (*HEADLINE, "first_frame_lpips")
        ),
        _values(victim),
        h.details[h.summary[f"All numbers of {victim.name}"], _all_values(victim), _all_falls(victim)],
    ]


def _pictures(victim: VictimResult, videos: dict[ConditionName, Rgb8], draw: Draw) -> Iterator[h.Node]:
    """The last frames side by side and large, then the whole videos frame by frame."""
    shown = [(name, CONDITION_WORDS[name], videos[name][0]) for name in SHOWN if name in videos]
    last = (_figure(name, said, video[-1], f"last frame that {victim.name} made", draw) for name, said, video in shown)
    frames = min(victim.frames, LONGEST_STRIP)
    whole = (
        _figure(name, said, _strip(video), f"{frames} frames that {victim.name} made", draw)
        for name, said, video in shown
    )
    yield h.h4["The last frame"]
    yield _scroll(f"Last frames of {victim.name}", h.div(class_="trio")[last])
    yield h.h4[
        "The whole video, frame by frame" if frames == victim.frames else f"{frames} of its {victim.frames} frames"
    ]
    yield _scroll(f"Frames of {victim.name}", h.div(class_="rows")[whole])


def _strip(video: Rgb8) -> Rgb8:
    """Frames beside each other (T, H, W, 3) -> (h, T w, 3).

    At most `LONGEST_STRIP` of them, evenly over the video, at most `STRIP_HEIGHT` pixels high: WebP takes 16383 pixels.
    """
    chosen = np.linspace(0, len(video) - 1, min(len(video), LONGEST_STRIP)).round().astype(int)
    strip = np.concatenate(list(video[chosen]), axis=1)
    height, width = strip.shape[:2]
    if height <= STRIP_HEIGHT:
        return strip
    size = (round(width * STRIP_HEIGHT / height), STRIP_HEIGHT)
    return np.asarray(Image.fromarray(strip).resize(size, Image.Resampling.LANCZOS))


def _figure(kind: str, caption: str, pixels: Rgb8, what: str, draw: Draw) -> h.Node:
    """A picture; `what` comes before the caption in its alternative text."""
    height, width = pixels.shape[:2]
    return h.figure(class_=kind)[
        h.figcaption[caption],
        h.img(src=draw(pixels), alt=f"{what}, {caption}", width=str(width), height=str(height)),
    ]


def _values(victim: VictimResult) -> h.Node:
    conditions = [each for each in victim.conditions if each.name in SHOWN]
    measures = [name for name in HEADLINE if any(name in each.verdicts for each in conditions)]
    if not measures:
        return h.p["Neither the person nor the first frame was measured."]
    return _table(
        f"{victim.name}: mean over videos, in brackets its 95 % interval",
        ["", *(CONDITION_WORDS[each.name] for each in conditions)],
        [[MEASURES[name].label, *(_cell(each.verdicts.get(name), name) for each in conditions)] for name in measures],
    )


def _all_values(victim: VictimResult) -> h.Node:
    return _table(
        f"Every measure of {victim.name}",
        ["", *(CONDITION_WORDS[each.name] for each in victim.conditions)],
        [
            [measure.label, *(_cell(each.verdicts.get(name), name) for each in victim.conditions)]
            for name, measure in MEASURES.items()
            if any(name in each.verdicts for each in victim.conditions)
        ],
    )


def _all_falls(victim: VictimResult) -> h.Node:
    """Damage, under each condition but the clean photo, and the multiple of the control's."""
    compared = {each.measure: each for each in victim.comparisons}
    conditions: list[Condition] = [each for each in victim.conditions if each.falls]
    rows = []
    for name, measure in MEASURES.items():
        if name in compared and any(name in each.falls for each in conditions):
            ratio = compared[name].ratio
            times = (
                "no multiple: the random change may do nothing"
                if ratio is None
                else _two_lines(f"{ratio.mean:.1f} times", f"({ratio.low:.1f} to {ratio.high:.1f})")
            )
            sure = "clearly more" if compared[name].clearly_more else "not clearly more"
            rows.append([measure.label, *(_cell(each.falls.get(name), name) for each in conditions), times, sure])
    if not rows:
        return None
    return _table(
        f"How much worse {victim.name} did than without protection (above 0 is damage)",
        ["", *(CONDITION_WORDS[each.name] for each in conditions), "protection by random", ""],
        rows,
    )


def _cell(estimate: Estimate | None, measure: str) -> h.Node:
    if estimate is None:
        return "not measured"
    unit = MEASURES[measure].unit
    return _two_lines(f"{number(estimate.mean, measure)}{f' {unit}' if unit else ''}", between(estimate, measure))


def _two_lines(above: str, below: str) -> h.Node:
    return h.fragment[above, h.small[below]]


# What is left after a change.


def _survival(evidence: Evidence) -> h.Node:
    groups: dict[tuple[str, str], list[Survival]] = {}
    for row in evidence.survival:
        groups.setdefault((row.victim, row.measure), []).append(row)
    if not groups:
        return None
    lead = (
        "Photos are re-encoded, scaled and filtered on their way. 100 % is what the protection did to the photo as it "
        "is (the thin upright line); the grey bar is what the random change does after the same. Worst first. "
        "Above 100 % is no more damage: clean photo and protected photo are changed alike, and of a smoothed photo a "
        "model keeps more, so the same perturbation costs it more."
    )
    return h.section(aria_labelledby="survival")[
        h.h2(id="survival")["What is left after what happens to a photo"],
        h.p[lead],
        (_group(victim, measure, rows) for (victim, measure), rows in groups.items()),
    ]


def _group(victim: str, measure: str, rows: Sequence[Survival]) -> h.Node:
    # One scale for all bars of a group, from 0 to the longest, which ends at twice the effect: beyond, numbers tell.
    scale = min(2.0, max(1.0, *(max(row.retained.high, row.control_retained.high) for row in rows)))
    bars = (
        h.li[
            h.b[change_words(row.change)],
            _bar("protection", row.retained, scale),
            _bar("random change", row.control_retained, scale, "control"),
        ]
        for row in sorted(rows, key=lambda row: row.retained.mean)
    )
    return h.article(class_="card")[
        h.h3[f"{victim}: {MEASURES[measure].label}"], h.ol(class_="bars", role="list")[bars]
    ]


def _bar(who: str, left: Estimate, scale: float, kind: str = "") -> h.Node:
    """A bar, for eyes alone, and its numbers."""

    def at(value: float) -> float:
        return 100 * min(max(value, 0.0), scale) / scale

    interval = f"({left.low:.0%} to {left.high:.0%})" if left.count > 1 else "(one video: no interval)"
    drawn = h.span(class_="bar", aria_hidden="true")[
        h.span(class_="left", style=f"width: {at(left.mean):.1f}%"),
        h.span(class_="whole", style=f"left: {at(1.0):.1f}%"),
        h.span(class_="interval", style=f"left: {at(left.low):.1f}%; right: {100 - at(left.high):.1f}%")
        if left.count > 1
        else None,
    ]
    return h.p(class_=kind or None)[drawn, h.span[f"{who} {left.mean:.0%} {interval}"]]


# What it costs the eye.


def _eye(evidence: Evidence, scene: Scene | None, draw: Draw) -> h.Node:
    if not evidence.imperceptibility:
        return None
    seen = evidence.imperceptibility[0]
    which = "" if evidence.photos == 1 else " (of the first photo)"
    if seen.psnr is None:
        rows = [("The photos", "are equal")]
    else:
        rows = [
            ("Largest change", f"{counted(seen.max_levels, 'step')} of 255, {seen.mean_levels:.1f} on average"),
            ("PSNR", f"{seen.psnr:.1f} dB: higher is closer"),
            (
                "Smooth areas",
                ("" if seen.smooth_area_rms is None else f"{seen.smooth_area_rms:.1f} steps: ")
                + describe_smooth_areas(seen.smooth_area_rms),
            ),
            ("SSIM", f"{seen.ssim:.3f}: 1 is the same fine structure"),
            (
                "Colour (dE2000)",
                f"{seen.de2000_mean:.1f} on average, 95 % of the pixels below {seen.de2000_p95:.1f}: 1 is about what a "
                "trained eye tells apart on plain patches",
            ),
        ]
    shown = () if scene is None else (_views(scene, draw), _zoom(evidence))
    return h.section(aria_labelledby="eye")[
        h.h2(id="eye")[f"What the change costs the eye{which}"],
        h.dl[((h.dt[name], h.dd[value]) for name, value in rows)],
        shown,
    ]


def _views(scene: Scene, draw: Draw) -> h.Node:
    from anti_i2v.preview import GAIN, difference

    clean, protected = scene.views["clean"], scene.views["protected"]
    shown = (
        ("clean", CONDITION_WORDS["clean"], clean),
        ("protected", CONDITION_WORDS["protected"], protected),
        ("difference", f"the difference, {GAIN} times, around grey", difference(clean, protected)),
    )
    figures = (_figure(kind, said, pixels, "the photo as the models saw it", draw) for kind, said, pixels in shown)
    return _scroll("What the models were shown", h.div(class_="views")[figures])


def _zoom(evidence: Evidence) -> Iterator[h.Node]:
    for view in evidence.views[:1]:
        what = "the largest face" if view.face else "the middle of the photo (no face was found)"
        scaled = "as it is" if view.scale == 1 else f"at {view.scale:.0%} of its size"
        yield h.p(class_="quiet")[
            f"The models saw a square around {what}, {scaled}. That left {view.energy_left:.0%} of the energy of the "
            "protection's change there. Judge the photo itself by eye at its own size; these are the models' views."
        ]


# What was not measured, and how to do it again.


def _unmeasured(evidence: Evidence) -> h.Node:
    victims = "".join(f" --victim {shlex.quote(victim.name)}" for victim in evidence.victims)
    steps = max((victim.steps for victim in evidence.victims), default=0)
    changes = dict.fromkeys(row.change for row in evidence.survival)
    asked = "".join(f" --change {shlex.quote(name)}" for name in changes)
    places = {"PHOTO": "your photo", "PROTECTED": "its protected version"}
    if AVERAGED in changes:
        asked += " --second ANOTHER"
        places["ANOTHER"] = "its other protected version"
    if evidence.optimised_on is not None:
        asked += " --receipt RECEIPT"
        places["RECEIPT"] = "the protection's receipt"
    command = (
        f"anti-i2v evaluate PHOTO PROTECTED{victims} --seeds {len(evidence.seeds)} --steps {steps} "
        f"--side {evidence.side}{asked} -o report/"
    )
    folders = [victim.name for victim in evidence.victims if victim.name not in known()]
    placed = f" Of {' and '.join(folders)} give the folder." if folders else ""
    return h.section(aria_labelledby="unmeasured")[
        h.h2(id="unmeasured")["What was not measured"],
        h.ul[(h.li[sentence] for sentence in left_out(evidence))],
        h.h3["To measure it again"],
        h.pre(tabindex="0")[h.code[command]],
        h.p[
            f"Put {', '.join(f'{what} for {name}' for name, what in places.items())}.{placed} The same photos, models, "
            "seeds and versions on one machine give the same numbers. More seeds make the intervals narrower; a folder "
            "with another video model can be given to --victim."
        ],
    ]


def _method(evidence: Evidence, quality: int | None) -> h.Node:
    kept = (
        "without loss" if quality is None else f"as WebP of quality {quality}; numbers are of the pictures before that"
    )
    said = (
        (
            "Pairs",
            "A model's video depends on the photo and on a seed. The same seeds were used under every condition, and "
            "what is compared are differences under one seed.",
        ),
        (
            "Random change",
            "The protection's own changes put in random places with random signs: as strong (PSNR), without a plan; on "
            "smooth areas it may show less. "
            "What it does too is nothing that the protection earned.",
        ),
        (
            "Intervals",
            "95 %, by bootstrap over photos and seeds. "
            + (
                "With one photo they tell of its seeds alone: another photo may fare otherwise."
                if evidence.photos == 1
                else ""
            ),
        ),
        *(
            (f"Role: {role}", f"{words}.")
            for role, words in ROLES.items()
            if role in {v.role for v in evidence.victims}
        ),
        (
            "Roles",
            "hold for protections made by this package's recipes; those of other tools may have met other models.",
        ),
        ("Pictures", f"are kept in this page {kept}; a browser may scale them."),
        ("Conditions", "; ".join(CONDITIONS.values()) + "."),
        ("Seeds", ", ".join(map(str, evidence.seeds))),
        ("Run", f"{evidence.seconds:.0f} s on {evidence.device}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in evidence.versions.items()) or "not recorded"),
    )
    return h.section(aria_labelledby="method")[
        h.h2(id="method")["How it was measured"],
        h.details[
            h.summary["Pairs, controls, intervals, roles, versions"],
            h.dl[((h.dt[name], h.dd[words]) for name, words in said)],
        ],
    ]


# HTML.


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[h.Node]]) -> h.Node:
    return _scroll(
        caption,
        h.table[
            h.caption[caption],
            h.thead[h.tr[(h.th(scope="col")[head] if head else h.td for head in heads)]],
            h.tbody[(h.tr[h.th(scope="row")[row[0]], (h.td[cell] for cell in row[1:])] for row in rows)],
        ],
    )


def _scroll(label: str, content: h.Node) -> h.Node:
    """A box that scrolls by itself where the window is narrow; keys reach it."""
    return h.div(class_="scroll", tabindex="0", role="region", aria_label=label)[content]


def _uri(pixels: Rgb8, quality: int | None) -> str:
    data = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if quality is None:
        image.save(data, "WEBP", lossless=True, method=2, quality=40)  # a tenth of the time of 6 for 1 % of the size
    else:
        image.save(data, "WEBP", quality=quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
