"""A picture of a protection: before, after and their difference, as they are and decoded by a surrogate."""

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
"""Longest side of a panel in pixels; smaller photos are shown at 100 %, larger ones scaled down."""

GAIN = 10
"""Amplification of the difference."""

MIN_WIDTH = 240
"""Smallest width of a column in pixels, for its captions."""

GAP, FONT_SIZE, LINE_HEIGHT = 12, 14, 19
BACKGROUND, TEXT_COLOUR = (242, 242, 242), (32, 32, 32)

HEADINGS = ("clean", "protected", f"difference x{GAIN}, around mid grey")


@dataclass(frozen=True)
class Panels:
    """A row of pictures of one size, each above its caption."""

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
    """Write the picture as a PNG, atomically.

    Args:
        pair: a protection, or (clean, protected) pixels, (H, W, 3) uint8 of one size.
        path: file to write, with any suffix.
        short_side: short side of the photo that the decoder receives, pixels.
        engine, device: as in `Protector`, for the decoder of a surrogate on this machine.

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
    """Draw the picture: the photo, for large photos a part of it at 100 %, and with a decoder both decoded photos.

    Raises ValueError for photos of different sizes.
    """
    if clean.shape != protected.shape:
        raise ValueError(f"a preview needs two photos of one size, got {clean.shape} and {protected.shape}")
    rows = [_whole(clean, protected)]
    if max(clean.shape[:2]) > SIDE:
        rows.append(_crop_at_full_scale(clean, protected, faces))
    if decoder is not None:
        rows.append(_decoded(clean, protected, decoder, faces, short_side))
    return sheet(rows)


def difference(clean: Rgb8, protected: Rgb8) -> Rgb8:
    """Return protected minus clean, times `GAIN`, around mid grey."""
    change = protected.astype(np.int16) - clean
    return (128 + GAIN * change).clip(0, 255).astype(np.uint8)


def _whole(clean: Rgb8, protected: Rgb8) -> Panels:
    # The difference is taken at full size, because scaling down would remove its fine part.
    panels = tuple(_fitted(photo) for photo in (clean, protected, difference(clean, protected)))
    scale = panels[0].shape[1] / clean.shape[1]
    return Panels(panels, tuple(f"{heading}, at {scale:.0%}" for heading in HEADINGS))


def _crop_at_full_scale(clean: Rgb8, protected: Rgb8, faces: FaceIdentity | None) -> Panels:
    rows, columns, name = _region(clean, faces)
    before, after = (photo[rows, columns] for photo in (clean, protected))
    panels = (before, after, difference(before, after))
    return Panels(panels, tuple(f"{heading}: {name} at 100%" for heading in HEADINGS))


def _region(clean: Rgb8, faces: FaceIdentity | None) -> tuple[slice, slice, str]:
    """Return rows and columns of `SIDE` pixels around the largest face or the centre, and which of them."""
    height, width = clean.shape[:2]
    face = faces.find(clean) if faces is not None else None
    middle, centre = height / 2, width / 2
    if face is not None:
        left, top, box_width, box_height = face.box
        middle, centre = top + box_height / 2, left + box_width / 2
    return _span(middle, height), _span(centre, width), "the centre" if face is None else "the largest face"


def _span(middle: float, side: int) -> slice:
    length = min(SIDE, side)
    start = int(min(max(0.0, middle - length / 2), side - length))
    return slice(start, start + length)


def _decoded(
    clean: Rgb8, protected: Rgb8, decoder: FrozenEncoder, faces: FaceIdentity | None, short_side: int
) -> Panels:
    from anti_i2v.receipts.effects import decoded_windows

    before, after = decoded_windows(clean, protected, decoder, short_side, faces)
    twice = 2 * max(before.shape[:2]) <= SIDE
    panels = [_doubled(photo) if twice else photo for photo in (before, after, difference(before, after))]
    name, scale = decoder.info.name, 200 if twice else 100
    captions = (
        f"decoded by {name}, clean: a window of the model's input, at {scale}%",
        f"decoded by {name}, protected: the same window",
        f"difference x{GAIN} of the two decoded windows",
    )
    return Panels(tuple(panels), captions)


def _decoder(engine: str, device: str) -> FrozenEncoder | None:
    """Load the first real encoder on this machine, for its decoder; None without one or without diffusers."""
    measuring_engine = make_engine(engine, [], None, device)
    for name in encoders():
        if measuring_engine.is_available(name):
            try:
                return measuring_engine.load_encoder(name)
            except SurrogateError:
                continue  # the receipt reports unfit surrogates
    return None


def _faces() -> FaceIdentity | None:
    from anti_i2v.metrics.faces import FaceIdentity

    try:
        return FaceIdentity()
    except SurrogateError:
        return None  # the centre is shown instead


def _fitted(pixels: Rgb8) -> Rgb8:
    """Scale down to at most `SIDE` pixels a side."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _doubled(pixels: Rgb8) -> Rgb8:
    """Double the size without smoothing, which would hide the perturbation."""
    return pixels.repeat(2, axis=0).repeat(2, axis=1)


def sheet(rows: Sequence[Panels]) -> Image.Image:
    """Draw rows of panels, each panel above its caption."""
    font = ImageFont.load_default(size=FONT_SIZE)
    width = max(MIN_WIDTH, *(panel.shape[1] for row in rows for panel in row.panels))
    characters = int(width / font.getlength("n"))
    captions = [[textwrap.wrap(caption, characters) for caption in row.captions] for row in rows]
    heights = [row.panels[0].shape[0] for row in rows]
    caption_heights = [LINE_HEIGHT * max(map(len, lines)) + GAP for lines in captions]
    columns = max(len(row.panels) for row in rows)
    image = Image.new(
        "RGB", (GAP + columns * (width + GAP), GAP + sum(heights) + sum(caption_heights) + GAP * len(rows)), BACKGROUND
    )
    pen = ImageDraw.Draw(image)
    top = GAP
    for row, lines, height, space in zip(rows, captions, heights, caption_heights, strict=True):
        for column, panel in enumerate(row.panels):
            left = GAP + column * (width + GAP)
            image.paste(Image.fromarray(panel), (left, top))
            pen.multiline_text(
                (left, top + height + 4), "\n".join(lines[column]), TEXT_COLOUR, font, spacing=LINE_HEIGHT - FONT_SIZE
            )
        top += height + space + GAP
    return image
