"""What a whole image-to-video model is told beside the photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anti_i2v.errors import PhotoError

__all__ = ["GENERATED", "read_frames"]

GENERATED = "generated"
"""In the place of a reference: whatever model is told of it makes the clip itself."""


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
