"""What the rest of the SDK asks of an engine. Everything that crosses this border is a numpy array."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from anti_i2v.arrays import PixelArray
from anti_i2v.optim.optimise import OpenPhoto
from anti_i2v.recipes import Recipe
from anti_i2v.surrogates.info import SurrogateInfo

__all__ = [
    "Engine",
    "FrozenEncoder",
    "Perceptual",
]


class FrozenEncoder(Protocol):
    """A surrogate as a receipt uses it: forward only.

    Attributes:
        info: where it comes from.
        decodes: whether it has a decoder.
    """

    info: SurrogateInfo
    decodes: bool

    def encode(self, pixels: PixelArray) -> PixelArray:
        """Latents, (B, ...)."""

    def decode(self, latent: PixelArray) -> PixelArray:
        """Pixels in [0, 1]. Only where `decodes`."""


class Perceptual(Protocol):
    """A perceptual distance, LPIPS."""

    def __call__(self, first: PixelArray, second: PixelArray) -> npt.NDArray[np.float32]:
        """The distance of each pair, (B,)."""


class Engine(Protocol):
    """Runs surrogates: loads what a recipe optimises on, opens photos, judges.

    Attributes:
        name: "torch" or "onnx".
        libraries: distributions whose versions numbers depend on.
        no_surrogates: what to tell a person where there is nothing to take steps on.
    """

    name: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    no_surrogates: ClassVar[str]

    @property
    def device(self) -> str:
        """What it really runs on, as a receipt says it. Raises RecipeError where the device is not there."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of this installation, for the receipt."""

    @property
    def surrogates(self) -> list[str]:
        """Names of what steps are taken on; loads nothing."""

    @property
    def multiple(self) -> int:
        """Sides of the pixels are multiples of it."""

    def prepare(self) -> None:
        """Load what steps are taken on. Raises RecipeError, SurrogateError."""

    def initial_candidate(
        self, clean: PixelArray, pattern: PixelArray, budget: float, floor: float
    ) -> tuple[PixelArray, PixelArray]:
        """See `visibility.begin`."""

    def caption(self, clean: PixelArray) -> str | None:
        """Have a photo's caption made, and tell it whole video models from now on; None where nobody asked for that.

        Raises:
            SurrogateError: the captioner is unfit.
        """

    def open_photo(
        self,
        clean: PixelArray,
        start: PixelArray,
        radius: PixelArray,
        recipe: Recipe,
        target: PixelArray | None,
        seed: int,
    ) -> OpenPhoto[Any]:
        """A photo to take steps on.

        Args:
            radius: the budget of each pixel, (B, 1, H, W).
            target: the anchor's unrelated photo, (1, 3, H, W); None takes the recipe's (see `targets`).
            seed: of the draws by which candidates are compared.
        """

    def is_available(self, name: str) -> bool:
        """Whether a known surrogate can judge here."""

    def load_encoder(self, name: str) -> FrozenEncoder:
        """A known surrogate as a judge. Raises SurrogateError."""

    def optimised_encoders(self) -> list[FrozenEncoder]:
        """What steps are taken on, as judges."""

    def load_lpips(self) -> Perceptual | None:
        """LPIPS, where its weights are at hand. Raises SurrogateError where they are unfit."""
