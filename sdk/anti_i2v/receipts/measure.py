"""Measures a protection, ours or another tool's: what surrogates make of it, beside a random control.

The control is a perturbation of the same values in random places with random signs, at the working size: the same
PSNR, the same L-infinity, no intent. Models are run on one window of the photo at the working size, around the largest
face or the centre, so that a receipt takes seconds and not minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from anti_i2v.arrays import Rgb8
from anti_i2v.images.degradations import SURVIVAL_CHECKS
from anti_i2v.images.perturbation import add_delta
from anti_i2v.images.platforms import PRESETS, simulate_platform
from anti_i2v.images.resize import working_size
from anti_i2v.metrics.random_controls import random_psnr
from anti_i2v.receipts.effects import (
    PATCH,
    Instruments,
    choose_window,
    effect_on,
    latent_shift,
    stack_views,
    working_uint8,
)
from anti_i2v.receipts.receipt import Effect, Survival, VersusRandom

__all__ = ["Measured", "measure"]

Item = TypeVar("Item")

MEASURE_SIDE = 512
"""Short side in pixels at which receipts look, whatever size a recipe worked at."""

FIRST_PIECE = 1.0
"""Seconds that the first measurement is expected to take; later ones are judged by the longest so far."""

POSTED_EDGE = 1600
"""Larger photos are shrunk to this long edge before platforms are modelled on them: 12 megapixels through seven codecs
three times would take half a minute."""


@dataclass
class Measured:
    """Rows of a receipt, and what time did not allow."""

    effects: list[Effect] = field(default_factory=list)
    survival: list[Survival] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def measure(
    clean: Rgb8,
    protected: Rgb8,
    instruments: Instruments,
    *,
    short_side: int = MEASURE_SIDE,
    presets: Sequence[str] = ("instagram", "facebook", "whatsapp"),
    seed: int = 0,
    until: float | None = None,
) -> Measured:
    """What each surrogate makes of the protected photo and of the control.

    Args:
        clean, protected: (H, W, 3) of one size.
        short_side: of the size at which models look, pixels.
        presets: platforms whose effect on the protection is measured, at the photo's size up to POSTED_EDGE.
        until: `time.monotonic()` seconds after which nothing more is begun; what is left out is named.
    """
    size = working_size(clean.shape[0], clean.shape[1], short_side, PATCH)
    trio = [working_uint8(photo, size) for photo in (clean, protected)]
    trio.append(random_psnr(trio[0], trio[1], seed))
    window, face = choose_window(trio[0], instruments.faces)
    measured, clock = Measured(), _Clock(until)
    views = stack_views(trio, window)
    for judge, role in clock.each(instruments.encoders, measured.skipped, lambda item: item[0].info.name):
        measured.effects.append(effect_on(judge, role, views, instruments, face))
    if not measured.effects:
        return measured
    first = instruments.encoders[0][0]
    delivered = _at_full_size(clean, protected, trio)
    # A platform acts at full size: what is left is told against the same photos scaled down untouched.
    before = {
        True: measured.effects[0].shift,
        False: latent_shift(first, stack_views(_scaled(delivered, size), window)),
    }
    changes = [change for change in (*SURVIVAL_CHECKS, *presets) if change != "as is"]
    for change in clock.each(changes, measured.skipped, lambda name: f"what is left after {name}"):
        check = change in SURVIVAL_CHECKS
        photos = [SURVIVAL_CHECKS[change](photo) for photo in trio] if check else _posted(delivered, change, size)
        left = _left(latent_shift(first, stack_views(photos, window)), before[check])
        measured.survival.append(Survival(change=change, surrogate=first.info.name, retained=left))
    return measured


class _Clock:
    """Lets work begin while there is time for it, judged by the longest piece so far."""

    def __init__(self, until: float | None) -> None:
        self.until, self.longest = until, FIRST_PIECE

    def each(self, items: Iterable[Item], skipped: list[str], describe: Callable[[Item], str]) -> Iterator[Item]:
        for item in items:
            begun = time.monotonic()
            if self.until is not None and begun + self.longest > self.until:
                skipped.append(describe(item))
                continue
            yield item
            self.longest = max(self.longest, time.monotonic() - begun)


def _left(after: VersusRandom, before: VersusRandom) -> VersusRandom:
    return VersusRandom(after.protected / max(before.protected, 1e-9), after.random / max(before.random, 1e-9))


def _at_full_size(clean: Rgb8, protected: Rgb8, trio: Sequence[Rgb8]) -> list[Rgb8]:
    """[clean, protected, random] as they are posted: the control is scaled up like any perturbation."""
    if clean.shape == trio[2].shape:
        return [clean, protected, trio[2]]
    height, width = clean.shape[:2]
    scale = min(1.0, POSTED_EDGE / max(height, width))
    size = (round(height * scale), round(width * scale))
    posted = [working_uint8(photo, size) for photo in (clean, protected)]
    delta = (trio[2].astype(np.float32) - trio[0]).transpose(2, 0, 1) / np.float32(255)
    return [*posted, add_delta(posted[0], delta, 255)]


def _scaled(photos: Sequence[Rgb8], size: tuple[int, int]) -> list[Rgb8]:
    return [working_uint8(photo, size) for photo in photos]


def _posted(photos: Sequence[Rgb8], platform: str, size: tuple[int, int]) -> list[Rgb8]:
    return [working_uint8(simulate_platform(photo, PRESETS[platform]), size) for photo in photos]
