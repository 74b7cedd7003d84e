"""One picture to judge a protection by eye: before, after and their difference, for a person and through a decoder."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anti_i2v.arrays import Rgb8
from anti_i2v.engines import make_engine
from anti_i2v.errors import SurrogateError
from anti_i2v.files import write_atomic
from anti_i2v.surrogates.catalogue import encoders

if TYPE_CHECKING:
    from anti_i2v.engines.base import FrozenEncoder
    from anti_i2v.metrics.faces import FaceIdentity
    from anti_i2v.protector import Protection

__all__ = ["Panels", "difference", "picture", "preview", "sheet"]


SIDE = 512
"""Longest side of a panel in pixels: smaller photos are shown at 100 %, larger ones scaled down to it."""

GAIN = 10
"""How much the difference is amplified."""

NARROWEST = 240
"""Width in pixels that a column has at least, for its captions."""

GAP, TEXT, LEADING = 12, 14, 19
PAPER, INK = (242, 242, 242), (32, 32, 32)

HEADINGS = ("clean", "protected", f"difference x{GAIN}, around mid grey")


@dataclass(frozen=True)
class Panels:
    """Pictures beside each other, of one size, each above its caption."""

    panels: tuple[Rgb8, ...]
    captions: tuple[str, ...]


def preview(
    pair: Protection | tuple[Rgb8, Rgb8],
    path: str | Path,
    *,
    short_side: int = 512,
    engine: str = "auto",
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Write the picture as a PNG, whole or not at all.

    Args:
        pair: a protection, or (clean, protected) pixels, (H, W, 3) uint8 of one size.
        path: where to; the suffix does not matter.
        short_side: of the size at which the decoder looks, pixels.
        engine, device: as in `Protector`; used where a surrogate's decoder is at hand, as are its face weights.

    Raises:
        OutputError: as in `write_atomic`.
        ValueError: the two photos differ in size.
    """
    clean, protected = pair if isinstance(pair, tuple) else (pair.clean, pair.photo.pixels)
    data = BytesIO()
    picture(clean, protected, decoder=_decoder(engine, device), faces=_faces(), short_side=short_side).save(data, "PNG")
    write_atomic(Path(path), data.getvalue(), overwrite=overwrite)


def picture(
    clean: Rgb8,
    protected: Rgb8,
    *,
    decoder: FrozenEncoder | None = None,
    faces: FaceIdentity | None = None,
    short_side: int = 512,
) -> Image.Image:
    """The picture: the photo, for large photos a part of it at 100 %, and with a decoder what that makes of both.

    Raises ValueError for photos of different sizes.
    """
    if clean.shape != protected.shape:
        raise ValueError(f"a preview needs two photos of one size, got {clean.shape} and {protected.shape}")
    rows = [_whole(clean, protected)]
    if max(clean.shape[:2]) > SIDE:
        rows.append(_at_full_scale(clean, protected, faces))
    if decoder is not None:
        rows.append(_decoded(clean, protected, decoder, faces, short_side))
    return sheet(rows)


def difference(clean: Rgb8, protected: Rgb8) -> Rgb8:
    """Protected minus clean, `GAIN` times, around mid grey: what a channel gained is bright, what it lost dark."""
    change = protected.astype(np.int16) - clean
    return (128 + GAIN * change).clip(0, 255).astype(np.uint8)


def _whole(clean: Rgb8, protected: Rgb8) -> Panels:
    # The difference is taken at full size: one of scaled-down photos would have lost the fine part of it.
    panels = tuple(_fitted(photo) for photo in (clean, protected, difference(clean, protected)))
    scale = panels[0].shape[1] / clean.shape[1]
    return Panels(panels, tuple(f"{heading}, at {scale:.0%}" for heading in HEADINGS))


def _at_full_scale(clean: Rgb8, protected: Rgb8, faces: FaceIdentity | None) -> Panels:
    rows, columns, what = _region(clean, faces)
    cut = [photo[rows, columns] for photo in (clean, protected)]
    panels = (cut[0], cut[1], difference(cut[0], cut[1]))
    return Panels(panels, tuple(f"{heading}: {what} at 100%" for heading in HEADINGS))


def _region(clean: Rgb8, faces: FaceIdentity | None) -> tuple[slice, slice, str]:
    """`SIDE` pixels around the largest face, else around the centre: where people look."""
    height, width = clean.shape[:2]
    face = faces.find(clean) if faces is not None else None
    down, across = height / 2, width / 2
    if face is not None:
        left, top, box_width, box_height = face.box
        down, across = top + box_height / 2, left + box_width / 2
    return _span(down, height), _span(across, width), "the centre" if face is None else "the largest face"


def _span(middle: float, side: int) -> slice:
    length = min(SIDE, side)
    first = int(min(max(0.0, middle - length / 2), side - length))
    return slice(first, first + length)


def _decoded(
    clean: Rgb8, protected: Rgb8, decoder: FrozenEncoder, faces: FaceIdentity | None, short_side: int
) -> Panels:
    from anti_i2v.receipts.effects import decoded_windows

    before, after = decoded_windows(clean, protected, decoder, short_side, faces)
    twice = 2 * max(before.shape[:2]) <= SIDE
    panels = [_enlarged(photo) if twice else photo for photo in (before, after, difference(before, after))]
    name, scale = decoder.info.name, 200 if twice else 100
    captions = (
        f"decoded by {name}, clean: a window of what models see, at {scale}%",
        f"decoded by {name}, protected: the same window",
        f"difference x{GAIN} of the two decoded windows",
    )
    return Panels(tuple(panels), captions)


def _decoder(engine: str, device: str) -> FrozenEncoder | None:
    """The first real encoder at hand, for its decoder. Without one, or without diffusers, there is no such row."""
    judging = make_engine(engine, [], None, device)
    for name in encoders():
        if judging.is_available(name):
            try:
                return judging.load_encoder(name)
            except SurrogateError:
                continue  # the receipt is where an unfit surrogate is reported
    return None


def _faces() -> FaceIdentity | None:
    from anti_i2v.metrics.faces import FaceIdentity

    try:
        return FaceIdentity()
    except SurrogateError:
        return None  # then the centre is shown


# Drawing.


def _fitted(pixels: Rgb8) -> Rgb8:
    """At most `SIDE` pixels a side."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _enlarged(pixels: Rgb8) -> Rgb8:
    """Twice the size, each pixel four times: smoothing would hide what is to be judged."""
    return pixels.repeat(2, axis=0).repeat(2, axis=1)


def sheet(rows: Sequence[Panels]) -> Image.Image:
    """Rows of panels on paper, each panel above its caption."""
    font = ImageFont.load_default(size=TEXT)
    width = max(NARROWEST, *(panel.shape[1] for row in rows for panel in row.panels))
    letters = int(width / font.getlength("n"))
    captions = [[textwrap.wrap(caption, letters) for caption in row.captions] for row in rows]
    heights = [row.panels[0].shape[0] for row in rows]
    below = [LEADING * max(map(len, lines)) + GAP for lines in captions]
    columns = max(len(row.panels) for row in rows)
    paper = Image.new("RGB", (GAP + columns * (width + GAP), GAP + sum(heights) + sum(below) + GAP * len(rows)), PAPER)
    pen = ImageDraw.Draw(paper)
    top = GAP
    for row, lines, height, space in zip(rows, captions, heights, below, strict=True):
        for column, panel in enumerate(row.panels):
            left = GAP + column * (width + GAP)
            paper.paste(Image.fromarray(panel), (left, top))
            pen.multiline_text((left, top + height + 4), "\n".join(lines[column]), INK, font, spacing=LEADING - TEXT)
        top += height + space + GAP
    return paper
