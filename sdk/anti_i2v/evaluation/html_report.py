"""The HTML report of an evaluation, one file for the person whose photo it is: summary, pictures, numbers and limits.

It has no script and no external resource: style and pictures are embedded, and its policy forbids a browser to load
anything else. It contains the clean photo as victims received it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from importlib import resources

import htpy as h
from markupsafe import Markup

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.degradations import AVERAGED
from anti_i2v.evaluation.html_elements import (
    MAX_STRIP_FRAMES,
    ToUri,
    bar,
    figure,
    film_strip,
    scroll_box,
    table,
    two_lines,
    webp_uri,
)
from anti_i2v.evaluation.report_wording import (
    CONDITION_LABELS,
    NO_HEADLINE,
    PICTURED_CONDITIONS,
    count_noun,
    degradation_label,
    describe_comparison,
    describe_issue,
    describe_scope,
    format_interval,
    format_value,
    list_unmeasured,
    only_project_victims,
    plain_summary,
)
from anti_i2v.evaluation.results import (
    CONDITIONS,
    HEADLINE_METRICS,
    Comparison,
    ConditionName,
    Evaluation,
    Evidence,
    PhotoMedia,
    Survival,
    VictimResult,
)
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.victims import ROLES, victims
from anti_i2v.evaluation.video_metrics import METRICS
from anti_i2v.metrics.imperceptibility import Imperceptibility
from anti_i2v.receipts.text import describe_smooth_areas

__all__ = ["MAX_BYTES", "render_html"]

MAX_BYTES = 3_000_000
"""Size that a report stays below."""

_QUALITIES = (None, 95, 85, 70, 50, 25)
"""WebP qualities, None for lossless: the first with which the report stays below `MAX_BYTES`."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render_html(evaluation: Evaluation) -> str:
    """Render a whole HTML document, below `MAX_BYTES` if the lowest of `_QUALITIES` suffices.

    The pictures are of the first photo and the first seed, so that nobody selected them. They are lossless if they fit,
    otherwise WebP of the best quality that fits. `film_strip` thins long or large videos.
    """
    document = ""
    for quality in _QUALITIES:
        document = _document(evaluation, quality)
        if len(document.encode()) < MAX_BYTES:
            break
    return document


def _document(evaluation: Evaluation, quality: int | None) -> str:
    def to_uri(pixels: Rgb8) -> str:
        return webp_uri(pixels, quality)

    evidence = evaluation.evidence
    media = evaluation.media[0] if evaluation.media else None
    small = "small " if only_project_victims(evidence) else ""
    title = f"Videos of this photo by {small}video models, with and without protection"
    body = h.body[
        h.main[
            h.h1[title],
            _summary(evidence),
            _victims(evidence, media, to_uri),
            _survival(evidence),
            _visibility(evidence, media, to_uri),
            _unmeasured(evidence),
            _method(evidence, quality),
        ],
        h.footer[h.p["Made by anti-i2v evaluate. This page contains the clean photo: do not post it."]],
    ]
    return f"{h.html(lang='en')[_head(title), body]}\n"  # htpy writes the doctype


def _head(title: str) -> h.Node:
    style = resources.files("anti_i2v.evaluation").joinpath("html_report.css").read_text(encoding="utf-8")
    return h.head[
        h.meta(charset="utf-8"),
        h.meta(name="viewport", content="width=device-width, initial-scale=1"),
        h.meta(http_equiv="Content-Security-Policy", content=POLICY),
        h.meta(name="referrer", content="no-referrer"),
        h.title[title],
        h.style[Markup(style)],  # noqa: S704  # the package's own file
    ]


# Summary.


def _summary(evidence: Evidence) -> h.Node:
    refused = " refused" if evidence.headline is None else ""
    notes = [describe_issue(issue) for issue in evidence.issues if issue.severity == "note"]
    listed = [h.h3["Notes"], h.ul[(h.li[note] for note in notes)]] if notes else []
    return h.fragment[
        h.section(class_=f"summary{refused}", aria_labelledby="summary")[_headline(evidence)],
        h.section(class_="notes", aria_label="Notes")[listed, h.p(class_="quiet")[describe_scope(evidence)]],
    ]


def _headline(evidence: Evidence) -> list[h.Node]:
    if evidence.headline is not None:
        return [
            h.h2(id="summary")["Summary"],
            h.p(class_="plain")[plain_summary(evidence)],
            h.p[evidence.headline.sentence],
        ]
    reasons = [describe_issue(issue) for issue in evidence.issues if issue.severity == "no headline"]
    return [
        h.h2(id="summary")[NO_HEADLINE],
        h.p["The numbers below do not support a one-sentence summary, because:"],
        h.ul[(h.li[reason] for reason in reasons)],
    ]


# Results of each model.


def _victims(evidence: Evidence, media: PhotoMedia | None, to_uri: ToUri) -> h.Node:
    photos = "this photo" if evidence.photos == 1 else f"{evidence.photos} photos"
    lead = (
        f"Each model made {count_noun(len(evidence.seeds), 'video')} of {photos} under each condition, always from the "
        "same random seeds. The pictures show the first seed"
        f"{'' if evidence.photos == 1 else ' of the first photo'}: nobody selected them."
    )
    return h.section(aria_labelledby="models")[
        h.h2(id="models")["Results of each model"],
        h.p[lead],
        (_victim(victim, media, to_uri) for victim in evidence.victims),
    ]


def _victim(victim: VictimResult, media: PhotoMedia | None, to_uri: ToUri) -> h.Node:
    videos = {} if media is None else media.videos.get(victim.name, {})
    return h.article(class_="card", aria_label=victim.name)[
        h.h3[victim.name],
        h.p(class_="role")[h.b[victim.role], f" {_capitalised(ROLES[victim.role])}."],
        h.p(class_="quiet")[f"{_capitalised(victim.summary)}."],
        _pictures(victim, videos, to_uri) if videos else None,
        (
            h.p(class_="finding more" if each.beats_control else "finding")[describe_comparison(each)]
            for each in victim.comparisons
            if each.metric in (*HEADLINE_METRICS, "first_frame_lpips")
        ),
        _headline_values(victim),
        h.details[h.summary[f"All numbers of {victim.name}"], _all_values(victim), _all_effects(victim)],
    ]


def _pictures(victim: VictimResult, videos: dict[ConditionName, Rgb8], to_uri: ToUri) -> Iterator[h.Node]:
    """Show the last frames side by side, then the whole videos frame by frame."""
    shown = [(name, CONDITION_LABELS[name], videos[name][0]) for name in PICTURED_CONDITIONS if name in videos]
    last = (figure(name, label, video[-1], f"last frame by {victim.name}", to_uri) for name, label, video in shown)
    frames = min(victim.frames, MAX_STRIP_FRAMES)
    strips = (
        figure(name, label, film_strip(video), f"{frames} frames by {victim.name}", to_uri)
        for name, label, video in shown
    )
    yield h.h4["The last frame"]
    yield scroll_box(f"Last frames by {victim.name}", h.div(class_="trio")[last])
    yield h.h4["The whole video, frame by frame" if frames == victim.frames else f"{frames} of {victim.frames} frames"]
    yield scroll_box(f"Frames by {victim.name}", h.div(class_="rows")[strips])


def _headline_values(victim: VictimResult) -> h.Node:
    conditions = [each for each in victim.conditions if each.name in PICTURED_CONDITIONS]
    metrics = [name for name in HEADLINE_METRICS if any(name in each.metrics for each in conditions)]
    if not metrics:
        return h.p["Neither the person nor the first frame was measured."]
    return table(
        f"{victim.name}: mean over videos, with its 95 % interval in brackets",
        ["", *(CONDITION_LABELS[each.name] for each in conditions)],
        [[METRICS[name].label, *(_cell(each.metrics.get(name), name) for each in conditions)] for name in metrics],
    )


def _all_values(victim: VictimResult) -> h.Node:
    return table(
        f"All metrics of {victim.name}",
        ["", *(CONDITION_LABELS[each.name] for each in victim.conditions)],
        [
            [metric.label, *(_cell(each.metrics.get(name), name) for each in victim.conditions)]
            for name, metric in METRICS.items()
            if any(name in each.metrics for each in victim.conditions)
        ],
    )


def _all_effects(victim: VictimResult) -> h.Node:
    """Show the damage under each condition but the clean photo, and its ratio to the control's."""
    compared = {each.metric: each for each in victim.comparisons}
    conditions = [each for each in victim.conditions if each.effects]
    rows = [
        [metric.label, *(_cell(each.effects.get(name), name) for each in conditions), *_ratio_cells(compared[name])]
        for name, metric in METRICS.items()
        if name in compared and any(name in each.effects for each in conditions)
    ]
    if not rows:
        return None
    return table(
        f"Difference of {victim.name} from the videos without protection (positive is damage)",
        ["", *(CONDITION_LABELS[each.name] for each in conditions), "protection / random", ""],
        rows,
    )


def _ratio_cells(comparison: Comparison) -> tuple[h.Node, h.Node]:
    ratio = comparison.ratio
    conclusion = "clearly more" if comparison.beats_control else "not clearly more"
    if ratio is None:
        return "no ratio: the random change may have no effect", conclusion
    return two_lines(f"{ratio.mean:.1f} times", f"({ratio.low:.1f} to {ratio.high:.1f})"), conclusion


def _cell(estimate: Estimate | None, metric: str) -> h.Node:
    if estimate is None:
        return "not measured"
    unit = METRICS[metric].unit
    value = f"{format_value(estimate.mean, metric)}{f' {unit}' if unit else ''}"
    return two_lines(value, format_interval(estimate, metric))


def _capitalised(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


# Effect retained after degradations.


def _survival(evidence: Evidence) -> h.Node:
    groups: dict[tuple[str, str], list[Survival]] = {}
    for row in evidence.survival:
        groups.setdefault((row.victim, row.metric), []).append(row)
    if not groups:
        return None
    lead = (
        "Websites and people re-encode, scale and filter photos. 100 % (the thin upright line) is the protection's "
        "effect on the unchanged photo; the grey bar is the random change's effect after the same step. The least "
        "retained comes first. Over 100 % does not mean more damage: clean and protected photo are changed alike, and "
        "smoothing improves the clean photo's video, so the same perturbation lowers quality further."
    )
    return h.section(aria_labelledby="survival")[
        h.h2(id="survival")["Effect retained after the photo was changed"],
        h.p[lead],
        (_survival_group(victim, metric, rows) for (victim, metric), rows in groups.items()),
    ]


def _survival_group(victim: str, metric: str, rows: Sequence[Survival]) -> h.Node:
    # One scale for all bars of a group, from 0 to the longest but at most 200 %.
    scale = min(2.0, max(1.0, *(max(row.retained.high, row.control_retained.high) for row in rows)))
    bars = (
        h.li[
            h.b[degradation_label(row.degradation)],
            bar("protection", row.retained, scale),
            bar("random change", row.control_retained, scale, "control"),
        ]
        for row in sorted(rows, key=lambda row: row.retained.mean)
    )
    return h.article(class_="card")[h.h3[f"{victim}: {METRICS[metric].label}"], h.ol(class_="bars", role="list")[bars]]


# Visibility of the change.


def _visibility(evidence: Evidence, media: PhotoMedia | None, to_uri: ToUri) -> h.Node:
    if not evidence.imperceptibility:
        return None
    which = "" if evidence.photos == 1 else " (first photo)"
    return h.section(aria_labelledby="visibility")[
        h.h2(id="visibility")[f"Visibility of the change{which}"],
        _definitions(_visibility_rows(evidence.imperceptibility[0])),
        () if media is None else (_crops(media, to_uri), _crop_note(evidence)),
    ]


def _visibility_rows(found: Imperceptibility) -> list[tuple[str, str]]:
    if found.psnr is None:
        return [("The photos", "are equal")]
    rms = "" if found.smooth_area_rms is None else f"{found.smooth_area_rms:.1f} steps: "
    return [
        ("Largest change", f"{count_noun(found.max_levels, 'step')} of 255, {found.mean_levels:.1f} on average"),
        ("PSNR", f"{found.psnr:.1f} dB: higher is closer"),
        ("Smooth areas", f"{rms}{describe_smooth_areas(found.smooth_area_rms)}"),
        ("SSIM", f"{found.ssim:.3f}: 1 is the same fine structure"),
        (
            "Colour (dE2000)",
            f"{found.de2000_mean:.1f} on average, 95 % of the pixels below {found.de2000_p95:.1f}: 1 is about what a "
            "trained eye can distinguish on plain patches",
        ),
    ]


def _crops(media: PhotoMedia, to_uri: ToUri) -> h.Node:
    from anti_i2v.preview import GAIN, difference

    clean, protected = media.crops["clean"], media.crops["protected"]
    shown = (
        ("clean", CONDITION_LABELS["clean"], clean),
        ("protected", CONDITION_LABELS["protected"], protected),
        ("difference", f"the difference, {GAIN} times, around grey", difference(clean, protected)),
    )
    figures = (figure(kind, label, pixels, "the models' input", to_uri) for kind, label, pixels in shown)
    return scroll_box("The models' input", h.div(class_="crops")[figures])


def _crop_note(evidence: Evidence) -> Iterator[h.Node]:
    for crop in evidence.crops[:1]:
        what = "the largest face" if crop.face else "the middle of the photo (no face was found)"
        scaled = "without scaling" if crop.scale == 1 else f"scaled to {crop.scale:.0%}"
        yield h.p(class_="quiet")[
            f"The models received a square around {what}, {scaled}, with {crop.retained_energy:.0%} of the energy of "
            "the protection's change there. Judge its visibility on the photo itself, not on these crops."
        ]


# Limits and how to repeat the measurement.


def _unmeasured(evidence: Evidence) -> h.Node:
    command, placeholders = _command(evidence)
    folders = [victim.name for victim in evidence.victims if victim.name not in victims()]
    folder_note = f" For {' and '.join(folders)}, give the folder." if folders else ""
    replace = ", ".join(f"{name} by {meaning}" for name, meaning in placeholders.items())
    return h.section(aria_labelledby="unmeasured")[
        h.h2(id="unmeasured")["What was not measured"],
        h.ul[(h.li[sentence] for sentence in list_unmeasured(evidence))],
        h.h3["Repeat the measurement"],
        h.pre(tabindex="0")[h.code[command]],
        h.p[
            f"Replace {replace}.{folder_note} The same photos, models, seeds and versions on one machine give the same "
            "numbers. More seeds narrow the intervals. --victim accepts a folder with another video model."
        ],
    ]


def _command(evidence: Evidence) -> tuple[str, dict[str, str]]:
    """Return the command that repeats the evaluation, and its placeholders with their meaning."""
    placeholders = {"PHOTO": "your photo", "PROTECTED": "its protected version"}
    names = "".join(f" --victim {shlex.quote(victim.name)}" for victim in evidence.victims)
    steps = max((victim.steps for victim in evidence.victims), default=0)
    degradations = dict.fromkeys(row.degradation for row in evidence.survival)
    options = "".join(f" --change {shlex.quote(name)}" for name in degradations)
    if AVERAGED in degradations:
        options += " --second ANOTHER"
        placeholders["ANOTHER"] = "its other protected version"
    if evidence.optimised_on is not None:
        options += " --receipt RECEIPT"
        placeholders["RECEIPT"] = "the protection's receipt"
    command = (
        f"anti-i2v evaluate PHOTO PROTECTED{names} --seeds {len(evidence.seeds)} --steps {steps} "
        f"--side {evidence.side}{options} -o report/"
    )
    return command, placeholders


def _method(evidence: Evidence, quality: int | None) -> h.Node:
    return h.section(aria_labelledby="method")[
        h.h2(id="method")["How it was measured"],
        h.details[
            h.summary["Pairs, controls, intervals, roles, versions"],
            _definitions([*_method_rows(evidence), *_run_rows(evidence, quality)]),
        ],
    ]


def _method_rows(evidence: Evidence) -> list[tuple[str, str]]:
    one_photo = " With one photo they cover only its seeds: another photo may give other results."
    return [
        (
            "Pairs",
            "A model's video depends on the photo and on a seed. All conditions use the same seeds, and differences "
            "are taken within one seed.",
        ),
        (
            "Random change",
            "The protection's own changes at random places with random signs: the same strength (PSNR) without intent. "
            "On smooth areas it may be less visible. An effect that it has too is not due to the protection.",
        ),
        (
            "Intervals",
            f"95 %, by bootstrap over photos and seeds.{one_photo if evidence.photos == 1 else ''}",
        ),
        (
            "Roles",
            "apply to protections by this package's recipes. Other tools may have optimised on other models.",
        ),
        ("Conditions", f"{'; '.join(CONDITIONS.values())}."),
    ]


def _run_rows(evidence: Evidence, quality: int | None) -> list[tuple[str, str]]:
    pictures = "lossless" if quality is None else f"WebP of quality {quality}; the numbers are of the uncompressed ones"
    versions = ", ".join(f"{name} {version}" for name, version in evidence.versions.items())
    return [
        ("Pictures", f"are {pictures}; a browser may scale them."),
        ("Seeds", ", ".join(map(str, evidence.seeds))),
        ("Run", f"{evidence.seconds:.0f} s on {evidence.device}"),
        ("Versions", versions or "not recorded"),
    ]


def _definitions(rows: Sequence[tuple[str, str]]) -> h.Node:
    return h.dl[((h.dt[name], h.dd[value]) for name, value in rows)]
