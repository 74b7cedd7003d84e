"""`protect()` and `Protector`: a photo in, a protected photo with its receipt out."""

from __future__ import annotations

import threading
import time
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
from anti_i2v.images.encode import encode
from anti_i2v.images.formats import format_of
from anti_i2v.images.perturbation import STRIP, add_delta, check_budget
from anti_i2v.images.photo import Photo
from anti_i2v.images.platforms import PRESETS, Preset
from anti_i2v.images.platforms import get_preset as preset_named
from anti_i2v.images.resize import resize_to_working, working_size
from anti_i2v.metrics.imperceptibility import compare
from anti_i2v.optim.initialisation import initial_pattern
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.optim.pgd import Step
from anti_i2v.receipts.receipt import Encoding, Receipt, versions
from anti_i2v.recipes import Recipe, load_recipe
from anti_i2v.surrogates.catalogue import STUDENT
from anti_i2v.surrogates.video_options import VideoOptions

if TYPE_CHECKING:
    from anti_i2v.engines.base import Engine
    from anti_i2v.receipts.effects import Instruments
    from anti_i2v.receipts.measure import Measured

__all__ = ["Protection", "Protector", "protect"]

Source = Any
"""A path, the bytes of an image file, a PIL image, an (H, W, 3 | 4) or (H, W) uint8 array, or a Photo read before."""

ON_STUDENT = (
    "steps were taken on the embedded student: where this was measured, that did less than the draft at the same PSNR, "
    "and the student's own number flatters, for it judges what was made on it"
)

ENCODERS_ALONE = (
    "steps were taken on encoders alone: the recipe's small video model ({}) is not at hand for this engine (ONNX: "
    "`anti-i2v export`); where it was measured, that did less to identity on a model that nothing was optimised on"
)

CAPTIONED = "a captioner made the caption; it is not kept here, for it says what the photo shows"

OPTIMISE_SHARE = 0.7
"""Of the time that a deadline leaves, for the steps; the rest is for the receipt."""


@dataclass(frozen=True, eq=False)
class Protection:
    """A protected photo.

    Attributes:
        photo: the protected pixels, with the clean photo's alpha, format and safe metadata.
        clean: the clean pixels, (H, W, 3) uint8, for previews; they are dropped with this object.
        receipt: what it cost and what it did.
        caption: what a captioner made of it, where one was asked; no file holds it.
    """

    photo: Photo
    clean: Rgb8 = field(repr=False)  # a photo never shows in a log by way of a repr
    receipt: Receipt = field(repr=False)
    caption: str | None = field(default=None, repr=False)

    def encoded(self, format: str | None = None, quality: int | None = None, keep_metadata: bool = False) -> bytes:
        """The file's bytes, by default in the photo's own format. Raises OutputError."""
        return encode(self.photo, self.photo.pixels, format=format, quality=quality, keep_metadata=keep_metadata)

    def finished(
        self, format: str | None = None, quality: int | None = None, keep_metadata: bool = False
    ) -> tuple[bytes, Receipt]:
        """The file's bytes and the receipt, completed by what the encoding changed. Raises OutputError."""
        data = self.encoded(format, quality, keep_metadata)
        encoding = _encoding(data, format or self.photo.format, self.clean, self.photo.pixels)
        return data, msgspec.structs.replace(self.receipt, encoding=encoding)

    def save(
        self,
        path: str | Path,
        *,
        quality: int | None = None,
        keep_metadata: bool = False,
        overwrite: bool = False,
    ) -> Receipt:
        """Write the photo atomically, in the format of the path's suffix.

        Returns the receipt, completed by what the encoding changed. Raises OutputError, and then leaves nothing behind.
        """
        path = Path(path)
        data, receipt = self.finished(format_of(path), quality, keep_metadata)
        write_atomic(path, data, overwrite=overwrite)
        return receipt


class Protector:
    """Loaded models for many photos; safe to call from several threads.

    Args:
        recipe: a name ("draft", "balanced", "strong") or a Recipe.
        surrogates: names or folders to optimise on; None takes the real encoders that are on this machine,
            and the recipe's small video models.
        engine: "torch", "onnx" (ONNX Runtime, on exported surrogates), or "auto": torch where it is installed.
        device: "auto" (CUDA where it is), "cpu", "cuda", "cuda:1", "mps" (torch alone).
        video: what whole video models among the surrogates are told: caption or captioner, frames, a reference clip.
        settings: replace settings of the recipe, such as `budget=6`; of the draft too, where no step can be taken.

    Raises:
        RecipeError: an unknown recipe, setting, engine or device, or an engine that is not installed.
        SurrogateError: a surrogate that is unknown or unfit (when it is first needed).
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
        self._left_alone = _left_alone(recipe, self.recipe, settings)
        self.device, self._video = device, video
        self.engine, self._asked = choose_engine(engine), surrogates
        # One photo at a time on the models: two would only halve each other's speed and double the memory.
        self._lock = threading.Lock()

    @cached_property
    def _engine(self) -> Engine:
        return make_engine(self.engine, self._asked, self.recipe, self.device, self._video)

    @cached_property
    def _instruments(self) -> Instruments:
        from anti_i2v.receipts.effects import Instruments

        return Instruments.available(self._engine)

    def _missing(self, effects: bool) -> tuple[str, ...]:
        return self._instruments.missing if effects else ()

    def prepare(self) -> None:
        """Load the models that steps are taken on, so that what is wrong with them shows before the first photo.

        Raises:
            RecipeError: the device is not there.
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
            preset: where the photo goes; the optimiser then meets that platform's codec.
            deadline: seconds for everything, receipt included; the best candidate by then is delivered. Waiting for
                another thread's photo does not count. None takes the recipe's.
            seed: same seed, recipe and versions on the same machine: same result, where no deadline cut the steps.
            effects: measure what surrogates make of the photo; False leaves those rows out.
            on_step: called after each step.
            cancel: set it from another thread to stop before the next step.

        Raises:
            PhotoError, RecipeError, SurrogateError, Cancelled, BudgetError.
        """
        clock = _Clock()
        limit = self.recipe.deadline if deadline is None else deadline
        if limit is not None and not limit > 0:
            raise RecipeError(f"a deadline must be above 0 seconds, got {limit}")
        if not 0 <= seed < 2**63:
            raise RecipeError(f"a seed must be 0..2**63 - 1, got {seed}")
        platform = preset_named(preset) if preset is not None else None
        photo = source if isinstance(source, Photo) else open_photo(source)
        clock.lap("read")
        with self._lock:
            clock.resume()
            share = OPTIMISE_SHARE if effects else 1.0
            made = self._make(photo, platform, seed, on_step, cancel, clock.share_of(limit, share))
            spent = check_budget(photo.pixels, made.protected, made.budget)
            clock.lap("protect")
            seen = compare(photo.pixels, made.protected)
            clock.lap("compare")
            measured = self._measure(photo, made, platform, seed, clock.share_of(limit, 1.0)) if effects else None
            clock.lap("effects")
        receipt = Receipt(
            recipe=self.recipe.name,
            preset=preset,
            seed=seed,
            budget_asked=self.recipe.budget,
            budget_spent=spent,
            steps=made.steps,
            steps_asked=self.recipe.steps,
            stopped=made.stopped,
            surrogates=tuple(self._engine.surrogates) if made.steps else (),
            imperceptibility=seen,
            effects=tuple(measured.effects) if measured else (),
            survival=tuple(measured.survival) if measured else (),
            working_size=made.size,
            engine=self._engine.name,
            device=self._engine.device,
            seconds=clock.laps,
            versions=versions(self._engine.libraries),
            notes=(*photo.notes, *made.notes, *_skipped(measured), *self._missing(effects), *self._engine.notes),
        )
        return Protection(replace(photo, pixels=made.protected), photo.pixels, receipt, made.caption)

    def _make(
        self,
        photo: Photo,
        platform: Preset | None,
        seed: int,
        on_step: Callable[[Step], None] | None,
        cancel: threading.Event | None,
        until: float | None,
    ) -> _Made:
        """The protected pixels at full size."""
        engine = self._engine
        engine.prepare()
        recipe = self.recipe if engine.surrogates else self._left_alone
        clean, candidate, radius = self._begin(photo, recipe, seed)
        steps, stopped = 0, "steps"
        notes: tuple[str, ...] = ()
        caption = None
        if engine.surrogates:
            caption = engine.caption(clean)
            opened = engine.open_photo(clean, candidate, radius, recipe, None, seed)
            outcome = optimise_photo(
                opened, recipe, seed=seed, preset=platform, callback=on_step, deadline=until, cancel=cancel
            )
            candidate, steps, stopped = opened.to_numpy(outcome.candidate), outcome.steps, outcome.stopped
            notes = (ON_STUDENT,) if STUDENT in engine.surrogates else ()
            if self._asked is None and recipe.video_models and not {*recipe.video_models} & {*engine.surrogates}:
                notes += (ENCODERS_ALONE.format(", ".join(recipe.video_models)),)
            notes += (CAPTIONED,) if caption is not None else ()
            if recipe.steps and not steps:
                recipe = self._left_alone
                clean, candidate, _ = self._begin(photo, recipe, seed)
        elif self.recipe.steps:
            stopped, notes = "no surrogates", (engine.no_surrogates,)
        protected = add_delta(photo.pixels, (candidate - clean)[0], recipe.budget)
        return _Made(protected, recipe.budget, (clean.shape[2], clean.shape[3]), steps, stopped, notes, caption)

    def _begin(self, photo: Photo, recipe: Recipe, seed: int) -> tuple[PixelArray, PixelArray, PixelArray]:
        """The photo at the recipe's working size, where the recipe begins, and how far it may go."""
        engine = self._engine
        size = working_size(photo.pixels.shape[0], photo.pixels.shape[1], recipe.short_side, engine.multiple)
        clean = resize_to_working(photo.pixels, size)
        laid = initial_pattern(clean, recipe.start, seed)
        candidate, radius = engine.initial_candidate(clean, laid, recipe.budget / 255, recipe.mask_floor)
        return clean, candidate, radius

    def _measure(self, photo: Photo, made: _Made, platform: Preset | None, seed: int, until: float | None) -> Measured:
        from anti_i2v.receipts.measure import measure

        presets = [platform.name] if platform else list(PRESETS)
        return measure(
            photo.pixels,
            made.protected,
            self._instruments,
            presets=presets,
            seed=seed,
            until=until,
        )


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
    """Protect one photo; for many, keep a `Protector`, whose arguments and errors these are."""
    protector = Protector(recipe, surrogates=surrogates, engine=engine, device=device, video=video, **settings)
    return protector.protect(source, preset=preset, deadline=deadline, seed=seed)


def _left_alone(asked: str | Recipe, recipe: Recipe, settings: Mapping[str, object]) -> Recipe:
    """What is delivered where no step is taken.

    A recipe of the package that begins on the draft then gives the draft itself, as it is tuned to be left, with what
    was asked for; steps begin on it at another scale and budget. Somebody's own recipe gives what it begins on.
    """
    if not isinstance(asked, str) or not recipe.steps or recipe.start != "draft":
        return recipe
    draft = load_recipe("draft", **settings)
    return msgspec.structs.replace(draft, budget=min(recipe.budget, draft.budget))


@dataclass(frozen=True)
class _Made:
    protected: Rgb8
    budget: int  # of the recipe that was delivered: the draft's may be smaller than what was asked
    size: tuple[int, int]
    steps: int
    stopped: str
    notes: tuple[str, ...]
    caption: str | None


class _Clock:
    def __init__(self) -> None:
        self.begun = self.last = time.monotonic()
        self.laps: dict[str, float] = {}

    def resume(self) -> None:
        """Time since the last lap was spent waiting: it does not count."""
        now = time.monotonic()
        self.begun, self.last = self.begun + now - self.last, now

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name], self.last = round(now - self.last, 3), now

    def share_of(self, limit: float | None, share: float) -> float | None:
        """The moment at which a share of what is left of the limit will be used up."""
        return None if limit is None else self.last + share * (self.begun + limit - self.last)


def _encoding(data: bytes, file_format: str, clean: Rgb8, protected: Rgb8) -> Encoding:
    decoded = open_photo(data).pixels
    energy = kept = 0.0
    largest = 0
    for top in range(0, clean.shape[0], STRIP):  # in strips: a large photo needs no copies in floating point
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


def _skipped(measured: Measured | None) -> tuple[str, ...]:
    if measured is None or not measured.skipped:
        return ()
    return (f"not measured, the deadline came first: {', '.join(measured.skipped)}",)
