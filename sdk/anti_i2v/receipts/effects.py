"""Measures a protection, ours or another tool's: what surrogates make of it, beside a random control.

The control is a perturbation of the same values in random places with random signs, at the working size: the same
PSNR, the same L-infinity, no intent. Models are run on one window of the photo at the working size, around the largest
face or the centre, so that a receipt takes seconds and not minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anti_i2v.arrays import PixelArray, Rgb8, Window
from anti_i2v.engines.base import Engine, FrozenEncoder, Perceptual
from anti_i2v.errors import SurrogateError
from anti_i2v.images.resize import resize_to_working, working_size
from anti_i2v.metrics.faces import Face, FaceIdentity
from anti_i2v.metrics.latents import mean_square, relative_shift
from anti_i2v.paths import find_weights
from anti_i2v.receipts.receipt import Effect, VersusRandom
from anti_i2v.surrogates.catalogue import STUDENT, encoders

__all__ = [
    "PATCH",
    "Instruments",
    "as_uint8",
    "choose_window",
    "decoded_windows",
    "effect_on",
    "latent_shift",
    "stack_views",
    "working_uint8",
]

WINDOW = 256
"""Side in pixels of what models are shown, a multiple of every encoder's patch."""

PATCH = 8
"""The window keeps in step with the encoders' patches."""


@dataclass(frozen=True)
class Instruments:
    """What is at hand to measure with.

    Attributes:
        judges: each with its role: "surrogate", "held-out" or "gauge". What is left after a change is measured on
            the first of them.
        lpips, faces: None where their weights are not on this machine.
        missing: why an instrument that is there cannot be used, a line each.
    """

    encoders: Sequence[tuple[FrozenEncoder, str]]
    lpips: Perceptual | None = None
    faces: FaceIdentity | None = None
    missing: tuple[str, ...] = ()

    @classmethod
    def available(cls, engine: Engine) -> Instruments:
        """What steps are taken on, every known encoder on this machine, the gauge, the perceptual and face nets."""
        steps = engine.optimised_encoders()
        taken = {judge.info.name for judge in steps}
        # Whatever steps were taken on does not judge as a held-out encoder; the gauge never stands for a real one.
        rows = [(judge, "gauge" if judge.info.name == STUDENT else "surrogate") for judge in steps]
        missing: list[str] = []
        known: list[tuple[str, str]] = [(entry.name, entry.role) for entry in encoders().values()]
        for name, role in [*known, (STUDENT, "gauge")]:
            if name not in taken and engine.is_available(name):
                try:
                    rows.append((engine.load_encoder(name), role))
                except SurrogateError as problem:  # a judge that is unfit costs its row, not the photo
                    missing.append(str(problem))
        lpips = faces = None
        try:
            lpips = engine.load_lpips()
            faces = FaceIdentity() if find_weights("face") else None
        except SurrogateError as problem:
            missing.append(str(problem))
        return cls(rows, lpips, faces, tuple(missing))


def decoded_windows(
    clean: Rgb8, protected: Rgb8, judge: FrozenEncoder, short_side: int, faces: FaceIdentity | None
) -> list[Rgb8]:
    """What the surrogate's decoder makes of the window, (WINDOW, WINDOW, 3): [of the clean photo, of the protected]."""
    size = working_size(clean.shape[0], clean.shape[1], short_side, PATCH)
    pair = [working_uint8(photo, size) for photo in (clean, protected)]
    window, _ = choose_window(pair[0], faces)
    return [as_uint8(photo) for photo in judge.decode(judge.encode(stack_views(pair, window)))]


def working_uint8(photo: Rgb8, size: tuple[int, int]) -> Rgb8:
    """Resize a photo to the working size (height, width)."""
    return as_uint8(resize_to_working(photo, size)[0])


def as_uint8(pixels: npt.NDArray[np.float32]) -> Rgb8:
    """(3, h, w) in [0, 1] -> (h, w, 3)."""
    levels = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def choose_window(clean: Rgb8, faces: FaceIdentity | None) -> tuple[Window, Face | None]:
    """Rows and columns around the largest face or the centre, in step with the patches, and the face inside it."""
    face = faces.find(clean) if faces is not None else None
    centre = [side / 2 for side in clean.shape[:2]]
    if face is not None:
        left, top, width, height = face.box
        centre = [top + height / 2, left + width / 2]
    spans = []
    for middle, side in zip(centre, clean.shape[:2], strict=True):
        length = min(WINDOW, side)
        first = int(min(max(0.0, middle - length / 2), side - length)) // PATCH * PATCH
        spans.append(slice(first, first + length))
    window = (spans[0], spans[1])
    # Looked for again: its place is needed in the window's own coordinates, and it may not fit into it.
    return window, faces.find(np.ascontiguousarray(clean[window])) if faces is not None and face is not None else None


def stack_views(photos: Sequence[Rgb8], window: Window) -> PixelArray:
    """The same window of several photos as one batch, (B, 3, h, w) in [0, 1]."""
    stacked = np.stack([photo[window] for photo in photos])
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


def latent_shift(judge: FrozenEncoder, views: PixelArray) -> VersusRandom:
    """Of [clean, protected, random]: how far the latent moved from the first."""
    latent = judge.encode(views)
    return _pair(relative_shift(latent[1:], _repeated(latent)))


def _repeated(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The first of [clean, protected, random], beside each of the others."""
    return np.broadcast_to(values[:1], values[1:].shape)


def _pair(values: npt.NDArray[np.float32]) -> VersusRandom:
    protected, random = (float(value) for value in values)
    return VersusRandom(protected, random)


def effect_on(
    judge: FrozenEncoder, role: str, views: PixelArray, instruments: Instruments, face: Face | None
) -> Effect:
    """What one surrogate makes of [clean, protected, random], stacked by `stack_views`."""
    name, latent = judge.info.name, judge.encode(views)
    shift = _pair(relative_shift(latent[1:], _repeated(latent)))
    if not judge.decodes:
        return Effect(surrogate=name, role=role, shift=shift)
    decoded = judge.decode(latent)
    clean = np.ascontiguousarray(_repeated(decoded))
    error = mean_square(decoded[1:] - clean)
    lpips = identity = None
    if instruments.lpips is not None:
        lpips = _pair(instruments.lpips(decoded[1:], clean))
    if instruments.faces is not None and face is not None:
        first, *others = (as_uint8(photo) for photo in decoded)
        protected, random = (instruments.faces.identity(first, other, face) for other in others)
        identity = VersusRandom(protected, random)
    return Effect(
        surrogate=name,
        role=role,
        shift=shift,
        decoded_psnr=_pair(-10 * np.log10(error.clip(1e-10))),
        decoded_lpips=lpips,
        decoded_identity=identity,
    )
