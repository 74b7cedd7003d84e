"""The reference video: the frames of a clip that shows the photo's scene.

A model can also generate its own reference from the clean photo: see `backbones.video_generation`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anti_i2v.errors import PhotoError

__all__ = ["GENERATED", "read_frames"]

GENERATED = "generated"
"""In place of a clip: each model generates its own reference."""


def read_frames(path: Path, count: int) -> npt.NDArray[np.float32]:
    """Read the first frames of a clip, (count, 3, H, W) in [0, 1]. A shorter clip repeats its last frame.

    Raises:
        PhotoError: OpenCV is missing, or cannot read the file.
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
        raise PhotoError(f"{path} is not a readable video: re-encode it as MP4 (H.264)")
    frames += [frames[-1]] * (count - len(frames))
    stacked = np.stack(frames).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stacked, np.float32) / np.float32(255)
