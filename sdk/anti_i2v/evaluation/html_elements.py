"""HTML building blocks of the report: pictures, film strips, tables and bars, without scripts or external resources."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import htpy as h
import numpy as np
from PIL import Image

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.statistics import Estimate

__all__ = ["MAX_STRIP_FRAMES", "ToUri", "bar", "figure", "film_strip", "scroll_box", "table", "two_lines", "webp_uri"]

ToUri: TypeAlias = Callable[[Rgb8], str]
"""Pixels (H, W, 3) -> a data URI."""

MAX_STRIP_FRAMES, MAX_STRIP_HEIGHT = 16, 256


def webp_uri(pixels: Rgb8, quality: int | None) -> str:
    """Encode pixels as a data URI; `quality` None is lossless."""
    data = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if quality is None:
        image.save(data, "WEBP", lossless=True, method=2, quality=40)  # a tenth of the time of 6 for 1 % of the size
    else:
        image.save(data, "WEBP", quality=quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


def figure(kind: str, caption: str, pixels: Rgb8, subject: str, to_uri: ToUri) -> h.Node:
    """Show a picture; its alternative text is `subject` and the caption."""
    height, width = pixels.shape[:2]
    return h.figure(class_=kind)[
        h.figcaption[caption],
        h.img(src=to_uri(pixels), alt=f"{subject}, {caption}", width=str(width), height=str(height)),
    ]


def film_strip(video: Rgb8) -> Rgb8:
    """Lay frames (T, H, W, 3) side by side, (h, T w, 3).

    At most `MAX_STRIP_FRAMES`, evenly over the video, and `MAX_STRIP_HEIGHT` pixels high, because WebP is limited to
    16383 pixels a side.
    """
    chosen = np.linspace(0, len(video) - 1, min(len(video), MAX_STRIP_FRAMES)).round().astype(int)
    strip = np.concatenate(list(video[chosen]), axis=1)
    height, width = strip.shape[:2]
    if height <= MAX_STRIP_HEIGHT:
        return strip
    size = (round(width * MAX_STRIP_HEIGHT / height), MAX_STRIP_HEIGHT)
    return np.asarray(Image.fromarray(strip).resize(size, Image.Resampling.LANCZOS))


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[h.Node]]) -> h.Node:
    """Build a table whose first column holds row headers."""
    return scroll_box(
        caption,
        h.table[
            h.caption[caption],
            h.thead[h.tr[(h.th(scope="col")[head] if head else h.td for head in heads)]],
            h.tbody[(h.tr[h.th(scope="row")[row[0]], (h.td[cell] for cell in row[1:])] for row in rows)],
        ],
    )


def scroll_box(label: str, content: h.Node) -> h.Node:
    """Wrap content in a box that scrolls in narrow windows, also by keyboard."""
    return h.div(class_="scroll", tabindex="0", role="region", aria_label=label)[content]


def two_lines(above: str, below: str) -> h.Node:
    """Put a small second line below the first."""
    return h.fragment[above, h.small[below]]


def bar(label: str, share: Estimate, scale: float, kind: str = "") -> h.Node:
    """Draw a bar from 0 to `scale`, hidden from screen readers, beside its numbers; a thin line marks 100 %."""

    def at(value: float) -> float:
        return 100 * min(max(value, 0.0), scale) / scale

    interval = f"({share.low:.0%} to {share.high:.0%})" if share.count > 1 else "(one video: no interval)"
    drawn = h.span(class_="bar", aria_hidden="true")[
        h.span(class_="retained", style=f"width: {at(share.mean):.1f}%"),
        h.span(class_="whole", style=f"left: {at(1.0):.1f}%"),
        h.span(class_="interval", style=f"left: {at(share.low):.1f}%; right: {100 - at(share.high):.1f}%")
        if share.count > 1
        else None,
    ]
    return h.p(class_=kind or None)[drawn, h.span[f"{label} {share.mean:.0%} {interval}"]]
