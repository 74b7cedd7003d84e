"""Encoders that are known by name, or that a folder holds: where they are, and how they load.

Importing this module does not import torch.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import msgspec

from anti_i2v.errors import SurrogateError
from anti_i2v.recipes import DENOISER_LAYERS
from anti_i2v.surrogates.hub import CONFIG, HubEntry

if TYPE_CHECKING:
    import torch

    from anti_i2v.surrogates.autoencoders import Autoencoder

__all__ = ["EncoderEntry", "EncoderRole", "encoders"]

EncoderRole = Literal["surrogate", "held-out"]
"""Photos are optimised on a "surrogate". A "held-out" encoder only measures."""


@final
class EncoderEntry(HubEntry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An encoder, not loaded.

    Attributes:
        role: whether photos are optimised on it.
        fingerprint: pins the values of the weights (see `autoencoders.fingerprint`); None accepts any.
    """

    role: EncoderRole = "surrogate"
    fingerprint: str | None = None

    place: ClassVar[str] = "surrogates"
    marker: ClassVar[str] = CONFIG
    size: ClassVar[str] = "about 5 MB"
    is_video_model: ClassVar[bool] = False

    @property
    def pulled_by_default(self) -> bool:
        """Whether `anti-i2v surrogates pull` without names fetches it."""
        return self.role == "surrogate"

    def load(
        self,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        hooks: tuple[str, ...] = (),
        **backbone: Any,
    ) -> Autoencoder:
        """Load it; options of video models (`backbone`) have no effect.

        Args:
            dtype: None: float32.
            hooks: names of its layers whose outputs become features.

        Raises:
            SurrogateError: it is not on this machine or unusable, or it has no such layer.
        """
        import torch

        from anti_i2v.surrogates.autoencoders import load_autoencoder

        folder = self.locate()
        if denoising := set(DENOISER_LAYERS) & set(hooks):
            raise SurrogateError(
                f"{folder.name} is an encoder and has no {min(denoising)!r} layers: name a video model"
            )
        return load_autoencoder(
            folder,
            name=self.name,
            pinned=self.fingerprint,
            licence=self.licence,
            source=self.hub or folder.name,
            hooks=hooks,
            device=device,
            dtype=dtype or torch.float32,
        )


@cache
def encoders() -> dict[str, EncoderEntry]:
    """Read the known encoders from data/surrogates.toml, by name."""
    text = resources.files("anti_i2v").joinpath("data/surrogates.toml").read_bytes()
    table = msgspec.toml.decode(text, type=dict[str, list[EncoderEntry]])
    return {entry.name: entry for entry in table["surrogate"]}
