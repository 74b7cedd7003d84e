"""The effect of a perturbation on one surrogate, beside that of a random control.

Models run on one window of the photo at the working size, around the largest face or the centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anti_i2v.arrays import PixelArray, Rgb8, Window
from anti_i2v.engines.base import Engine, FrozenEncoder, PerceptualDistance
from anti_i2v.errors import SurrogateError
from anti_i2v.images.resize import resize_to_working, working_size
from anti_i2v.metrics.faces import Face, FaceIdentity
from anti_i2v.metrics.latents import mean_square, relative_shift
from anti_i2v.paths import FACE_WEIGHTS, find_weights
from anti_i2v.receipts.fields import Effect, VersusRandom
from anti_i2v.surrogates.catalogue import STUDENT, STUDENT_ROLE, encoders

__all__ = [
    "PATCH",
    "MeasurementModels",
    "as_uint8",
    "choose_window",
    "decoded_windows",
    "effect_on",
    "latent_shift",
    "stack_views",
    "working_uint8",
]

WINDOW = 256
"""Side of the window in pixels, a multiple of every encoder's patch."""

PATCH = 8
"""Windows start at multiples of this, in step with the encoders' patches."""


@dataclass(frozen=True)
class MeasurementModels:
    """The models with which a receipt measures.

    Attributes:
        encoders: each with its role: "surrogate", "held-out" or "gauge" (the student).
        lpips, faces: None if their weights are not on this machine.
        unavailable: models on this machine that could not be used, and why, one line each.
    """

    encoders: Sequence[tuple[FrozenEncoder, str]]
    lpips: PerceptualDistance | None = None
    faces: FaceIdentity | None = None
    unavailable: tuple[str, ...] = ()

    @classmethod
    def load(cls, engine: Engine) -> MeasurementModels:
        """Load the encoders (optimised on, and all others on this machine), the student, LPIPS and faces.

        A model that cannot be loaded is left out and named in `unavailable`.
        """
        unavailable: list[str] = []
        optimised = engine.optimised_encoders()
        # An optimised encoder never counts as held-out, and the student never stands for a real encoder.
        own = [(encoder, STUDENT_ROLE if encoder.info.name == STUDENT else "surrogate") for encoder in optimised]
        others = _load_others(engine, {encoder.info.name for encoder in optimised}, unavailable)
        lpips = faces = None
        try:
            lpips = engine.load_lpips()
            faces = FaceIdentity() if find_weights(FACE_WEIGHTS) else None
        except SurrogateError as problem:
            unavailable.append(str(problem))
        return cls([*own, *others], lpips, faces, tuple(unavailable))


def _load_others(engine: Engine, optimised: set[str], unavailable: list[str]) -> list[tuple[FrozenEncoder, str]]:
    known = [*((entry.name, entry.role) for entry in encoders().values()), (STUDENT, STUDENT_ROLE)]
    found = []
    for name, role in known:
        if name in optimised or not engine.is_available(name):
            continue
        try:
            found.append((engine.load_encoder(name), role))
        except SurrogateError as problem:
            unavailable.append(str(problem))
    return found


def decoded_windows(
    clean: Rgb8, protected: Rgb8, encoder: FrozenEncoder, short_side: int, faces: FaceIdentity | None
) -> list[Rgb8]:
    """Encode and decode the window of both photos: [clean, protected], each (WINDOW, WINDOW, 3)."""
    size = working_size(clean.shape[0], clean.shape[1], short_side, PATCH)
    pair = [working_uint8(photo, size) for photo in (clean, protected)]
    window, _ = choose_window(pair[0], faces)
    return [as_uint8(photo) for photo in encoder.decode(encoder.encode(stack_views(pair, window)))]


def working_uint8(photo: Rgb8, size: tuple[int, int]) -> Rgb8:
    """Resize a photo to the working size (height, width)."""
    return as_uint8(resize_to_working(photo, size)[0])


def as_uint8(pixels: npt.NDArray[np.float32]) -> Rgb8:
    """Convert (3, h, w) in [0, 1] to (h, w, 3)."""
    levels = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def choose_window(clean: Rgb8, faces: FaceIdentity | None) -> tuple[Window, Face | None]:
    """Return the window around the largest face or the centre, and the face in the window's coordinates."""
    face = faces.find(clean) if faces is not None else None
    centre = [side / 2 for side in clean.shape[:2]]
    if face is not None:
        left, top, width, height = face.box
        centre = [top + height / 2, left + width / 2]
    rows, columns = (_span(middle, side) for middle, side in zip(centre, clean.shape[:2], strict=True))
    window = (rows, columns)
    # Detected again: the face may not fit into the window.
    return window, faces.find(np.ascontiguousarray(clean[window])) if faces is not None and face is not None else None


def _span(middle: float, side: int) -> slice:
    length = min(WINDOW, side)
    start = int(min(max(0.0, middle - length / 2), side - length)) // PATCH * PATCH
    return slice(start, start + length)


def stack_views(photos: Sequence[Rgb8], window: Window) -> PixelArray:
    """Crop several photos to a window and stack them, (B, 3, h, w) in [0, 1]."""
    stacked = np.stack([photo[window] for photo in photos])
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


def latent_shift(encoder: FrozenEncoder, views: PixelArray) -> VersusRandom:
    """Return the relative shift of the latents of [clean, protected, random] from the first."""
    latent = encoder.encode(views)
    return _pair(relative_shift(latent[1:], _first_repeated(latent)))


def _first_repeated(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.broadcast_to(values[:1], values[1:].shape)


def _pair(values: npt.NDArray[np.float32]) -> VersusRandom:
    protected, random = (float(value) for value in values)
    return VersusRandom(protected, random)


def effect_on(
    encoder: FrozenEncoder, role: str, views: PixelArray, models: MeasurementModels, face: Face | None
) -> Effect:
    """Measure one encoder on [clean, protected, random], as `stack_views` stacks them."""
    name, latent = encoder.info.name, encoder.encode(views)
    shift = _pair(relative_shift(latent[1:], _first_repeated(latent)))
    if not encoder.decodes:
        return Effect(surrogate=name, role=role, shift=shift)
    decoded = encoder.decode(latent)
    clean = np.ascontiguousarray(_first_repeated(decoded))
    error = mean_square(decoded[1:] - clean)
    return Effect(
        surrogate=name,
        role=role,
        shift=shift,
        decoded_psnr=_pair(-10 * np.log10(error.clip(1e-10))),
        decoded_lpips=None if models.lpips is None else _pair(models.lpips(decoded[1:], clean)),
        decoded_identity=None if models.faces is None or face is None else _identity(models.faces, decoded, face),
    )


def _identity(faces: FaceIdentity, decoded: PixelArray, face: Face) -> VersusRandom:
    clean, protected, random = (as_uint8(photo) for photo in decoded)
    return VersusRandom(faces.identity(clean, protected, face), faces.identity(clean, random, face))
