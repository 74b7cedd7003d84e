"""The interface of an engine. Everything that crosses it is a numpy array."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from anti_i2v.arrays import PixelArray
from anti_i2v.optim.optimise import PhotoOptimiser
from anti_i2v.recipes import Recipe
from anti_i2v.surrogates.info import SurrogateInfo

__all__ = ["Engine", "FrozenEncoder", "PerceptualDistance"]


class FrozenEncoder(Protocol):
    """A surrogate without gradients, as receipts measure with it.

    Attributes:
        info: name, source, fingerprint and licence.
        decodes: whether it has a decoder.
    """

    info: SurrogateInfo
    decodes: bool

    def encode(self, pixels: PixelArray) -> PixelArray:
        """Encode pixels to latents, (B, ...)."""

    def decode(self, latent: PixelArray) -> PixelArray:
        """Decode latents to pixels in [0, 1]. Raises TypeError unless `decodes`."""


class PerceptualDistance(Protocol):
    """LPIPS on numpy arrays."""

    def __call__(self, first: PixelArray, second: PixelArray) -> npt.NDArray[np.float32]:
        """Return the distance of each pair, (B,)."""


class Engine(Protocol):
    """Loads the surrogates that a recipe optimises on, creates optimisers, and measures with frozen encoders.

    Attributes:
        name: "torch" or "onnx".
        libraries: distributions whose versions influence the result.
        no_surrogates_note: the receipt's note where no surrogate is installed.
    """

    name: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    no_surrogates_note: ClassVar[str]

    @property
    def device(self) -> str:
        """The device in use, as the receipt names it. Raises RecipeError where it is missing."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on this installation, for the receipt."""

    @property
    def surrogates(self) -> list[str]:
        """Names of the surrogates to optimise on; loads nothing."""

    @property
    def multiple(self) -> int:
        """The sides of the pixels must be multiples of this number."""

    def prepare(self) -> None:
        """Load the surrogates to optimise on. Raises RecipeError, SurrogateError."""

    def initial_candidate(
        self, clean: PixelArray, pattern: PixelArray, budget: float, floor: float
    ) -> tuple[PixelArray, PixelArray]:
        """Return the first candidate and the radius of each pixel: see `perceptual_mask.initial_candidate`."""

    def caption(self, clean: PixelArray) -> str | None:
        """Caption a photo, and condition whole video models on the caption from now on.

        Returns None where no captioner was requested. Raises SurrogateError where the captioner is unfit.
        """

    def create_optimiser(
        self, clean: PixelArray, start: PixelArray, radius: PixelArray, recipe: Recipe, seed: int
    ) -> PhotoOptimiser[Any]:
        """Create the optimiser of a photo.

        Args:
            clean, start: (B, 3, H, W) in [0, 1].
            radius: the budget of each pixel, (B, 1, H, W), in units of the [0, 1] range.
            seed: seed of the random inputs of scores and steps.
        """

    def is_available(self, name: str) -> bool:
        """Return whether `load_encoder` can load a known surrogate."""

    def load_encoder(self, name: str) -> FrozenEncoder:
        """Load a known surrogate without gradients. Raises SurrogateError."""

    def optimised_encoders(self) -> list[FrozenEncoder]:
        """Return the encoders that photos are optimised on."""

    def load_lpips(self) -> PerceptualDistance | None:
        """Load LPIPS; None where its weights are not installed. Raises SurrogateError where they are unfit."""
