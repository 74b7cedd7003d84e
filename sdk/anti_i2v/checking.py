"""`check()`: a receipt for any pair of photos, protected by this SDK or by another tool."""

from __future__ import annotations

from typing import Any

from anti_i2v.engines import make_engine
from anti_i2v.errors import PhotoError
from anti_i2v.images.decode import open_photo
from anti_i2v.images.photo import Photo
from anti_i2v.images.platforms import PRESETS
from anti_i2v.images.resize import working_size
from anti_i2v.metrics.imperceptibility import compare
from anti_i2v.receipts.effects import PATCH, MeasurementModels
from anti_i2v.receipts.measure import measure
from anti_i2v.receipts.receipt import Receipt, versions
from anti_i2v.timing import Stopwatch

__all__ = ["check"]


def check(
    clean: Any, protected: Any, *, short_side: int = 512, engine: str = "auto", device: str = "auto", seed: int = 0
) -> Receipt:
    """Measure how visible a protection is and its effect on surrogates, beside a random control of the same PSNR.

    Args:
        clean, protected: paths, bytes, PIL images or uint8 arrays, of one size.
        short_side: short side of the photos that the surrogates receive, pixels.
        engine, device: as in `Protector`.
        seed: seed of the control.

    Raises:
        PhotoError: a photo cannot be read, or the sizes differ.
    """
    stopwatch = Stopwatch()
    before, after = _open_pair(clean, protected)
    visible = compare(before.pixels, after.pixels)
    measuring_engine = make_engine(engine, [], None, device)
    measured = measure(
        before.pixels,
        after.pixels,
        MeasurementModels.load(measuring_engine),
        short_side=short_side,
        presets=list(PRESETS),
        seed=seed,
    )
    stopwatch.lap("measure")
    return Receipt(
        recipe=None,
        preset=None,
        seed=None,
        budget_asked=None,
        budget_spent=visible.max_levels,
        steps=0,
        steps_asked=0,
        stopped="checked",
        imperceptibility=visible,
        effects=tuple(measured.effects),
        survival=tuple(measured.survival),
        working_size=working_size(before.pixels.shape[0], before.pixels.shape[1], short_side, PATCH),
        device=measuring_engine.device,
        engine=measuring_engine.name,
        seconds=stopwatch.seconds,
        versions=versions(measuring_engine.libraries),
        notes=(*before.notes, *after.notes, *measuring_engine.notes),
    )


def _open_pair(clean: Any, protected: Any) -> tuple[Photo, Photo]:
    before, after = (photo if isinstance(photo, Photo) else open_photo(photo) for photo in (clean, protected))
    if before.pixels.shape != after.pixels.shape:
        sizes = " and ".join(f"{photo.pixels.shape[1]}x{photo.pixels.shape[0]}" for photo in (before, after))
        raise PhotoError(f"a check needs two photos of one size, got {sizes}: give the pair as it was before upload")
    return before, after
