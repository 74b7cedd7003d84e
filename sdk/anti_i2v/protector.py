"""Protecting photos: `protect()` for one, `Protector` for many, and the `Protection` that they return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from anti_i2v.arrays import PixelArray, Rgb8
from anti_i2v.engines import choose_engine, make_engine
from anti_i2v.errors import RecipeError
from anti_i2v.files import write_atomic
from anti_i2v.images.decode import open_photo
from anti_i2v.images.encode import encode as encode_photo
from anti_i2v.images.formats import format_of
from anti_i2v.images.perturbation import STRIP, add_delta, check_budget
from anti_i2v.images.photo import Photo
from anti_i2v.images.platforms import PRESETS, Preset, get_preset
from anti_i2v.images.resize import resize_to_working, working_size
from anti_i2v.metrics.imperceptibility import Imperceptibility, compare
from anti_i2v.optim.initialisation import initial_pattern
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.optim.pgd import Step
from anti_i2v.receipts.effects import MeasurementModels
from anti_i2v.receipts.measure import Measurements, measure
from anti_i2v.receipts.receipt import Encoding, Receipt, versions
from anti_i2v.recipes import Recipe, load_recipe
from anti_i2v.surrogates.catalogue import STUDENT
from anti_i2v.surrogates.video_options import VideoOptions
from anti_i2v.timing import Stopwatch

if TYPE_CHECKING:
    from anti_i2v.engines.base import Engine

__all__ = ["Protection", "Protector", "protect"]

Source = Any
"""A path, the bytes of an image file, a PIL image, an (H, W, 3 | 4) or (H, W) uint8 array, or a `Photo`."""

OPTIMISATION_SHARE = 0.7
"""Share of the time before a deadline for the steps; the rest is for the measurements."""

STUDENT_NOTE = (
    "steps were taken on the packaged student: in measurements this did less than the draft at the same PSNR, and the "
    "student's own number is too favourable, because the photo was optimised on it"
)
ONLY_ENCODERS_NOTE = (
    "steps were taken only on encoders: the recipe's small video model ({}) is not available for this engine (ONNX: "
    "`anti-i2v export`); in measurements this did less to identity on a model that was not optimised on"
)
CAPTION_NOTE = "a captioner made the caption; it is not stored here, because it describes the photo"


def protect(
    source: Source,
    *,
    recipe: str | Recipe = "balanced",
    preset: str | None = None,
    deadline: float | None = None,
    seed: int = 0,
    engine: str = "auto",
    device: str = "auto",
    surrogates: Sequence[str | Path] | None = None,
    video: VideoOptions | None = None,
    **settings: object,
) -> Protection:
    """Protect one photo. For many, keep a `Protector`, which has the same arguments and errors."""
    protector = Protector(recipe, surrogates=surrogates, engine=engine, device=device, video=video, **settings)
    return protector.protect(source, preset=preset, deadline=deadline, seed=seed)


class Protector:
    """Keeps models loaded to protect many photos; safe to call from several threads.

    Args:
        recipe: a name ("draft", "balanced", "strong") or a Recipe.
        surrogates: names or folders to optimise on; None for the real encoders on this machine and the recipe's small
            video models.
        engine: "torch", "onnx" (ONNX Runtime, on exported surrogates), or "auto" for torch where it is installed.
        device: "auto" (CUDA where available), "cpu", "cuda", "cuda:1" or "mps" (only torch).
        video: options of whole video models among the surrogates: caption or captioner, frames, a reference clip.
        settings: replace settings of the recipe, such as `budget=6`, also of the draft where no step can be taken.

    Raises:
        RecipeError: an unknown recipe, setting, engine or device, or an engine that is not installed.
        SurrogateError: a surrogate is unknown or unfit (raised when it is first needed).
    """

    def __init__(
        self,
        recipe: str | Recipe = "balanced",
        *,
        surrogates: Sequence[str | Path] | None = None,
        engine: str = "auto",
        device: str = "auto",
        video: VideoOptions | None = None,
        **settings: object,
    ) -> None:
        self.recipe = load_recipe(recipe, **settings)
        self.engine, self.device = choose_engine(engine), device
        self._recipe_without_steps = _recipe_without_steps(recipe, self.recipe, settings)
        self._requested_surrogates, self._video = surrogates, video
        # One photo at a time on the models: two at once would take twice the memory and save no time.
        self._lock = threading.Lock()

    @cached_property
    def _engine(self) -> Engine:
        return make_engine(self.engine, self._requested_surrogates, self.recipe, self.device, self._video)

    @cached_property
    def _measurement_models(self) -> MeasurementModels:
        return MeasurementModels.load(self._engine)

    def prepare(self) -> None:
        """Load the models that photos are optimised on, to report problems with them before the first photo.

        Raises:
            RecipeError: the device is not available.
            SurrogateError: a surrogate is unknown or unfit.
        """
        with self._lock:
            self._engine.prepare()

    def protect(
        self,
        source: Source,
        *,
        preset: str | None = None,
        deadline: float | None = None,
        seed: int = 0,
        effects: bool = True,
        on_step: Callable[[Step], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Protection:
        """Protect one photo.

        Args:
            source: a path, bytes, a PIL image, a uint8 array or a Photo.
            preset: the platform that the photo is for; the optimiser then simulates its codec.
            deadline: seconds for everything, receipt included; the best candidate by then is returned. Waiting for
                another thread's photo does not count. None for the recipe's.
            seed: the same seed, recipe and versions on one machine give the same result, unless a deadline stops the
                steps.
            effects: whether to measure effects on surrogates; False leaves these rows out.
            on_step: called after each step.
            cancel: set it from another thread to stop before the next step.

        Raises:
            PhotoError, RecipeError, SurrogateError, Cancelled, BudgetError.
        """
        limit = self.recipe.deadline if deadline is None else deadline
        _check_arguments(limit, seed)
        platform = None if preset is None else get_preset(preset)
        stopwatch = Stopwatch(limit)
        photo = source if isinstance(source, Photo) else open_photo(source)
        stopwatch.lap("read")
        with self._lock:
            stopwatch.pause()  # without the wait for the lock
            steps_deadline = stopwatch.deadline(OPTIMISATION_SHARE if effects else 1.0)
            optimised = self._optimise(photo, platform, seed, on_step, cancel, steps_deadline)
            spent = check_budget(photo.pixels, optimised.pixels, optimised.budget)
            stopwatch.lap("protect")
            imperceptibility = compare(photo.pixels, optimised.pixels)
            stopwatch.lap("compare")
            measured = Measurements()
            if effects:
                measured = self._measure(photo, optimised, platform, seed, stopwatch.deadline())
            stopwatch.lap("effects")
        receipt = self._receipt(photo, optimised, imperceptibility, measured, spent, preset, seed, stopwatch.seconds)
        return Protection(replace(photo, pixels=optimised.pixels), photo.pixels, receipt, optimised.caption)

    def _optimise(
        self,
        photo: Photo,
        platform: Preset | None,
        seed: int,
        on_step: Callable[[Step], None] | None,
        cancel: threading.Event | None,
        deadline: float | None,
    ) -> _Optimised:
        """Take the recipe's steps, and apply the perturbation at full size."""
        engine, recipe = self._engine, self.recipe
        engine.prepare()
        if not engine.surrogates:
            if not recipe.steps:
                return self._without_steps(photo, seed, stopped="steps")
            return self._without_steps(photo, seed, stopped="no surrogates", notes=(engine.no_surrogates_note,))
        start = self._initialise(photo, recipe, seed)
        caption = engine.caption(start.clean)
        optimiser = engine.create_optimiser(start.clean, start.candidate, start.radius, recipe, seed)
        result = optimise_photo(
            optimiser, recipe, seed=seed, preset=platform, callback=on_step, deadline=deadline, cancel=cancel
        )
        notes = self._step_notes(caption)
        if recipe.steps and not result.steps:
            return self._without_steps(photo, seed, stopped=result.stopped, notes=notes, caption=caption)
        candidate = optimiser.to_numpy(result.candidate)
        return _apply_to_photo(photo, start, candidate, recipe.budget, result.steps, result.stopped, notes, caption)

    def _without_steps(
        self, photo: Photo, seed: int, *, stopped: str, notes: tuple[str, ...] = (), caption: str | None = None
    ) -> _Optimised:
        recipe = self._recipe_without_steps
        start = self._initialise(photo, recipe, seed)
        return _apply_to_photo(photo, start, start.candidate, recipe.budget, 0, stopped, notes, caption)

    def _initialise(self, photo: Photo, recipe: Recipe, seed: int) -> _Start:
        height, width = photo.pixels.shape[:2]
        size = working_size(height, width, recipe.short_side, self._engine.multiple)
        clean = resize_to_working(photo.pixels, size)
        pattern = initial_pattern(clean, recipe.start, seed)
        candidate, radius = self._engine.initial_candidate(clean, pattern, recipe.budget / 255, recipe.mask_floor)
        return _Start(clean, candidate, radius)

    def _step_notes(self, caption: str | None) -> tuple[str, ...]:
        names, video_models = self._engine.surrogates, self.recipe.video_models
        notes: list[str] = []
        if STUDENT in names:
            notes.append(STUDENT_NOTE)
        if self._requested_surrogates is None and video_models and not {*video_models} & {*names}:
            notes.append(ONLY_ENCODERS_NOTE.format(", ".join(video_models)))
        if caption is not None:
            notes.append(CAPTION_NOTE)
        return tuple(notes)

    def _measure(
        self, photo: Photo, optimised: _Optimised, platform: Preset | None, seed: int, deadline: float | None
    ) -> Measurements:
        return measure(
            photo.pixels,
            optimised.pixels,
            self._measurement_models,
            presets=[platform.name] if platform else list(PRESETS),
            seed=seed,
            deadline=deadline,
        )

    def _receipt(
        self,
        photo: Photo,
        optimised: _Optimised,
        imperceptibility: Imperceptibility,
        measured: Measurements,
        spent: int,
        preset: str | None,
        seed: int,
        seconds: dict[str, float],
    ) -> Receipt:
        return Receipt(
            recipe=self.recipe.name,
            preset=preset,
            seed=seed,
            budget_asked=self.recipe.budget,
            budget_spent=spent,
            steps=optimised.steps,
            steps_asked=self.recipe.steps,
            stopped=optimised.stopped,
            surrogates=tuple(self._engine.surrogates) if optimised.steps else (),
            imperceptibility=imperceptibility,
            effects=tuple(measured.effects),
            survival=tuple(measured.survival),
            working_size=optimised.working_size,
            engine=self._engine.name,
            device=self._engine.device,
            seconds=seconds,
            versions=versions(self._engine.libraries),
            notes=(*photo.notes, *optimised.notes, *measured.notes, *self._engine.notes),
        )


def _recipe_without_steps(requested: str | Recipe, recipe: Recipe, settings: Mapping[str, object]) -> Recipe:
    """Return the recipe for a photo on which no step can be taken.

    A packaged recipe that starts from the draft is replaced by `draft` with the same settings: its own start has a
    different size and budget. Any other recipe is kept, and its start is the result.
    """
    if not isinstance(requested, str) or not recipe.steps or recipe.start != "draft":
        return recipe
    draft = load_recipe("draft", **settings)
    return msgspec.structs.replace(draft, budget=min(recipe.budget, draft.budget))


def _check_arguments(limit: float | None, seed: int) -> None:
    if limit is not None and not limit > 0:
        raise RecipeError(f"a deadline must be above 0 seconds, got {limit}")
    if not 0 <= seed < 2**63:
        raise RecipeError(f"a seed must be 0..2**63 - 1, got {seed}")


@dataclass(frozen=True)
class _Start:
    """A photo at the working size before the first step, (1, 3, h, w), and the budget of each pixel."""

    clean: PixelArray
    candidate: PixelArray
    radius: PixelArray


@dataclass(frozen=True)
class _Optimised:
    """The protected pixels at full size; `budget` is that of the recipe in use, which may be the draft."""

    pixels: Rgb8
    budget: int
    working_size: tuple[int, int]
    steps: int
    stopped: str
    notes: tuple[str, ...]
    caption: str | None


def _apply_to_photo(
    photo: Photo,
    start: _Start,
    candidate: PixelArray,
    budget: int,
    steps: int,
    stopped: str,
    notes: tuple[str, ...],
    caption: str | None,
) -> _Optimised:
    pixels = add_delta(photo.pixels, (candidate - start.clean)[0], budget)
    height, width = start.clean.shape[2:]
    return _Optimised(pixels, budget, (height, width), steps, stopped, notes, caption)


@dataclass(frozen=True, eq=False)
class Protection:
    """A protected photo.

    Attributes:
        photo: the protected pixels, with the clean photo's alpha, format and safe metadata.
        clean: the clean pixels, (H, W, 3) uint8, for previews.
        receipt: the settings used and the effects measured.
        caption: the captioner's, if one was used; it is written to no file.
    """

    photo: Photo
    clean: Rgb8 = field(repr=False)  # a photo must not reach a log through a repr
    receipt: Receipt = field(repr=False)
    caption: str | None = field(default=None, repr=False)

    def save(
        self,
        path: str | Path,
        *,
        quality: int | None = None,
        keep_metadata: bool = False,
        overwrite: bool = False,
    ) -> Receipt:
        """Write the photo atomically, in the format of the path's suffix.

        Returns the receipt with its `encoding`. Raises OutputError, and then leaves no file behind.
        """
        path = Path(path)
        data, receipt = self.encode_with_receipt(format_of(path), quality, keep_metadata)
        write_atomic(path, data, overwrite=overwrite)
        return receipt

    def encode_with_receipt(
        self, format: str | None = None, quality: int | None = None, keep_metadata: bool = False
    ) -> tuple[bytes, Receipt]:
        """Encode the photo, and complete the receipt with what the encoding changed. Raises OutputError."""
        data = self.encode(format, quality, keep_metadata)
        encoding = _compare_encoding(data, format or self.photo.format, self.clean, self.photo.pixels)
        return data, msgspec.structs.replace(self.receipt, encoding=encoding)

    def encode(self, format: str | None = None, quality: int | None = None, keep_metadata: bool = False) -> bytes:
        """Encode the photo, by default in its own format. Raises OutputError."""
        return encode_photo(self.photo, self.photo.pixels, format=format, quality=quality, keep_metadata=keep_metadata)

    # Earlier names, until 0.3.
    encoded = encode
    finished = encode_with_receipt


def _compare_encoding(data: bytes, file_format: str, clean: Rgb8, protected: Rgb8) -> Encoding:
    decoded = open_photo(data).pixels
    energy = kept = 0.0
    largest = 0
    for top in range(0, clean.shape[0], STRIP):  # in strips, to make no full-size copies in floating point
        rows = slice(top, top + STRIP)
        wanted = (protected[rows].astype(np.int16) - clean[rows]).astype(np.float32).ravel()
        found = (decoded[rows].astype(np.int16) - clean[rows]).astype(np.float32).ravel()
        energy += float(wanted @ wanted)
        kept += float(wanted @ found)
        largest = max(largest, int(np.abs(found).max()))
    return Encoding(
        format=file_format,
        lossless=bool(np.array_equal(decoded, protected)),
        perturbation_kept=kept / energy if energy else 1.0,
        max_levels=largest,
    )
