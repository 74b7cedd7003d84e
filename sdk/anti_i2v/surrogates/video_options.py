"""Options of whole image-to-video models: caption, reference video, frames."""

from __future__ import annotations

from pathlib import Path

import msgspec

from anti_i2v.errors import RecipeError

__all__ = ["VideoOptions"]


class VideoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The video that models are made to fail on. Encoders ignore it.

    Attributes:
        caption: description of the video, close to the prompt that an adversary would write.
        frames: latent frames; more cover more of the video and cost more.
        reference: a clip of the same scene, as a file that OpenCV reads; "generated": each model generates its own from
            the clean photo, once (for a file of that name, pass Path("generated")); None: the photo stands still.
        low_memory: recompute blocks in the backward pass instead of storing their activations.
        captioner: captions each photo: the folder or hub name of a BLIP model (see `captioner`).
        stage: "high" or "low", for a model with one denoiser for high and one for low noise (Wan 2.2 A14B).
    """

    caption: str = ""
    frames: int = 4
    reference: str | Path | None = None
    low_memory: bool = False
    captioner: str | Path | None = None
    stage: str | None = None

    def __post_init__(self) -> None:
        if self.caption and self.captioner is not None:
            raise RecipeError("caption and captioner exclude each other: leave one of them out")
        if self.stage not in (None, "high", "low"):
            raise RecipeError(f"stage must be high or low, got {self.stage!r}")
        if not 1 <= self.frames <= 64:
            raise RecipeError(f"frames must be 1..64 latent frames, got {self.frames}")
