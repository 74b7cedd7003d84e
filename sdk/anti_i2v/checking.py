"""`check()`: the same receipt for any pair of photos, protected by us or by another tool."""

from __future__ import annotations

import time
from typing import Any

from anti_i2v.engines import make_engine
from anti_i2v.errors import PhotoError
from anti_i2v.images.decode import open_photo
from anti_i2v.images.photo import Photo
from anti_i2v.images.resize import working_size
from anti_i2v.metrics.imperceptibility import compare
from anti_i2v.receipts.receipt import Receipt, versions

__all__ = ["check"]


def check(
    clean: Any, protected: Any, *, short_side: int = 512, engine: str = "auto", device: str = "auto", seed: int = 0
) -> Receipt:
    """Measure what a protection costs the eye and what surrogates make of it, beside a random control of the same PSNR.

    Args:
        clean, protected: paths, bytes, PIL images or uint8 arrays, of one size.
        short_side: of the size at which models look, pixels.
        engine, device: as in `Protector`.
        seed: of the control.

    Raises:
        PhotoError: a photo cannot be read, or the sizes differ.
    """
    from anti_i2v.images.platforms import PRESETS
    from anti_i2v.receipts.effects import Instruments
    from anti_i2v.receipts.measure import measure

    begun = time.monotonic()
    before, after = (photo if isinstance(photo, Photo) else open_photo(photo) for photo in (clean, protected))
    if before.pixels.shape != after.pixels.shape:
        sizes = " and ".join(f"{photo.pixels.shape[1]}x{photo.pixels.shape[0]}" for photo in (before, after))
        raise PhotoError(f"a check needs two photos of one size, got {sizes}: give the pair as it was before upload")
    seen = compare(before.pixels, after.pixels)
    judging = make_engine(engine, [], None, device)
    measured = measure(
        before.pixels,
        after.pixels,
        Instruments.available(judging),
        short_side=short_side,
        presets=list(PRESETS),
        seed=seed,
    )
    return Receipt(
        recipe=None,
        preset=None,
        seed=None,
        budget_asked=None,
        budget_spent=seen.max_levels,
        steps=0,
        steps_asked=0,
        stopped="checked",
        imperceptibility=seen,
        effects=tuple(measured.effects),
        survival=tuple(measured.survival),
        working_size=working_size(before.pixels.shape[0], before.pixels.shape[1], short_side, 8),
        device=judging.device,
        engine=judging.name,
        seconds={"measure": round(time.monotonic() - begun, 3)},
        versions=versions(judging.libraries),
        notes=(*before.notes, *after.notes, *judging.notes),
    )
