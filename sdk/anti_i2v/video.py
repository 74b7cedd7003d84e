"""What a whole image-to-video model is told beside the photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from anti_i2v.errors import PhotoError, RecipeError

__all__ = ["GENERATED", "Video", "read_frames"]

GENERATED = "generated"
"""In the place of a reference: whatever model is told of it makes the clip itself."""


class Video(msgspec.Struct, frozen=True, kw_only=True):
    """The video that models are made to fail on. Encoders alone take no notice of it.

    Attributes:
        caption: what it is to show; one that fits the photo is nearest to what an adversary would write.
        frames: latent frames; more see more of the video and cost more.
        reference: a clip of the same scene, a file that OpenCV reads; "generated": each model generates its own from
            the clean photo, once (a file of that name is Path("generated")); None: the photo stands still.
        low_memory: recompute blocks in the backward pass instead of keeping them.
        captioner: makes a caption of each photo: the folder or hub name of a BLIP model (see `captions`).
        stage: "high" or "low", of a model with a denoiser for high and one for low noise (Wan 2.2 A14B).
    """

    caption: str = ""
    frames: int = 4
    reference: str | Path | None = None
    low_memory: bool = False
    captioner: str | Path | None = None
    stage: str | None = None

    def __post_init__(self) -> None:
        if self.caption and self.captioner is not None:
            raise RecipeError("a caption is given or made: leave out caption, or captioner")
        if self.stage not in (None, "high", "low"):
            raise RecipeError(f"stage must be high or low, got {self.stage!r}")
        if not 1 <= self.frames <= 64:
            raise RecipeError(f"frames must be 1..64 latent frames, got {self.frames}")


def read_frames(path: Path, count: int) -> npt.NDArray[np.float32]:
    """The first frames of a clip, (count, 3, H, W) in [0, 1]; its last frame again where it is shorter.

    Raises:
        PhotoError: OpenCV is missing, or the file is no video that it reads.
    """
    try:
        import cv2
    except ImportError:
        raise PhotoError('a reference video needs OpenCV: pip install "anti-i2v-sdk[evaluate]"') from None
    if not path.is_file():
        raise PhotoError(f"{path} does not exist: name a video file")
    clip: Any = cv2.VideoCapture(str(path))
    frames: list[npt.NDArray[np.uint8]] = []
    try:
        while len(frames) < count:
            more, frame = clip.read()
            if not more:
                break
            frames.append(frame[..., ::-1])  # OpenCV gives blue, green, red
    finally:
        clip.release()
    if not frames:
        raise PhotoError(f"{path} is no video that can be read: re-encode it as MP4 (H.264)")
    frames += [frames[-1]] * (count - len(frames))
    stacked = np.stack(frames).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stacked, np.float32) / np.float32(255)
