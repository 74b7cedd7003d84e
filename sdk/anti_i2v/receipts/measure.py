"""The measurements of a receipt: effects on surrogates, and the latent shift that remains after changes of the photo.

Each number stands beside that of a random control: the perturbation's own values at the working size, moved to other
pixels with random signs, so PSNR and L-infinity are equal. The protected photo may come from any tool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from anti_i2v.arrays import Rgb8
from anti_i2v.images.degradations import SURVIVAL_CHECKS
from anti_i2v.images.perturbation import add_delta
from anti_i2v.images.platforms import PRESETS, simulate_platform
from anti_i2v.images.resize import working_size
from anti_i2v.metrics.random_controls import random_psnr
from anti_i2v.receipts.effects import (
    PATCH,
    MeasurementModels,
    choose_window,
    effect_on,
    latent_shift,
    stack_views,
    working_uint8,
)
from anti_i2v.receipts.fields import Effect, Survival, VersusRandom
from anti_i2v.timing import Pacer

__all__ = ["Measurements", "measure"]

MEASURE_SIDE = 512
"""Short side in pixels of the photos that are measured, whatever the recipe's working size."""

MAX_UPLOAD_EDGE = 1600
"""Longer photos are shrunk to this long edge before platforms are simulated: 12 megapixels through seven codecs three
times would take half a minute."""


@dataclass
class Measurements:
    """Rows of a receipt.

    Attributes:
        skipped: measurements that the deadline left out.
        unavailable: models that could not be used, and why.
    """

    effects: list[Effect] = field(default_factory=list)
    survival: list[Survival] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unavailable: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each measurement left out, with the reason."""
        late = (f"not measured, the deadline came first: {', '.join(self.skipped)}",) if self.skipped else ()
        return (*late, *self.unavailable)


def measure(
    clean: Rgb8,
    protected: Rgb8,
    models: MeasurementModels,
    *,
    short_side: int = MEASURE_SIDE,
    presets: Sequence[str] = ("instagram", "facebook", "whatsapp"),
    seed: int = 0,
    deadline: float | None = None,
) -> Measurements:
    """Measure a pair of photos and its random control on one window, so that it takes seconds and not minutes.

    Args:
        clean, protected: (H, W, 3) of one size.
        models: survival is measured on the first encoder.
        short_side: short side of the photos that the encoders receive, pixels.
        presets: platforms to simulate, at the photo's size up to `MAX_UPLOAD_EDGE`.
        seed: seed of the control.
        deadline: `time.monotonic()` after which no measurement starts; the rest is named in `skipped`.
    """
    size = working_size(clean.shape[0], clean.shape[1], short_side, PATCH)
    trio = [working_uint8(photo, size) for photo in (clean, protected)]
    trio.append(random_psnr(trio[0], trio[1], seed))
    window, face = choose_window(trio[0], models.faces)
    views = stack_views(trio, window)
    measured, pacer = Measurements(unavailable=models.unavailable), Pacer(deadline)
    for encoder, role in pacer.each(models.encoders, measured.skipped, lambda item: item[0].info.name):
        measured.effects.append(effect_on(encoder, role, views, models, face))
    if not measured.effects:
        return measured

    first, before = models.encoders[0][0], measured.effects[0].shift
    full = _at_upload_size(clean, protected, trio)
    # Platforms act at full size, so their baseline is the same photos, only scaled down.
    full_before = latent_shift(first, stack_views(_scaled(full, size), window))
    changes = [change for change in (*SURVIVAL_CHECKS, *presets) if change != "as is"]
    for change in pacer.each(changes, measured.skipped, lambda name: f"the shift after {name}"):
        check = change in SURVIVAL_CHECKS
        changed = [SURVIVAL_CHECKS[change](photo) for photo in trio] if check else _after_platform(full, change, size)
        shift = latent_shift(first, stack_views(changed, window))
        retained = _ratio(shift, before if check else full_before)
        measured.survival.append(Survival(change=change, surrogate=first.info.name, retained=retained))
    return measured


def _at_upload_size(clean: Rgb8, protected: Rgb8, trio: Sequence[Rgb8]) -> list[Rgb8]:
    """Return [clean, protected, control] at the photo's size; the control is scaled up as a perturbation is."""
    if clean.shape == trio[2].shape:
        return [clean, protected, trio[2]]
    height, width = clean.shape[:2]
    scale = min(1.0, MAX_UPLOAD_EDGE / max(height, width))
    pair = _scaled((clean, protected), (round(height * scale), round(width * scale)))
    delta = (trio[2].astype(np.float32) - trio[0]).transpose(2, 0, 1) / np.float32(255)
    return [*pair, add_delta(pair[0], delta, 255)]


def _scaled(photos: Sequence[Rgb8], size: tuple[int, int]) -> list[Rgb8]:
    return [working_uint8(photo, size) for photo in photos]


def _after_platform(photos: Sequence[Rgb8], preset: str, size: tuple[int, int]) -> list[Rgb8]:
    return [working_uint8(simulate_platform(photo, PRESETS[preset]), size) for photo in photos]


def _ratio(after: VersusRandom, before: VersusRandom) -> VersusRandom:
    return VersusRandom(after.protected / max(before.protected, 1e-9), after.random / max(before.random, 1e-9))
