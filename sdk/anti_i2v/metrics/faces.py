"""Whether a model still sees the same person: the cosine of two face embeddings.

Detector: YuNet (Wu et al. 2023, Apache-2.0). Embedding: MobileFaceNet (Chen et al. 2018, Apache-2.0, trained on
MS-Celeb-1M), on faces aligned as ArcFace does (Deng et al. 2019). On a small check of ours the same person gave a
cosine of at least .68 and two persons at most .15. A gauge of what a generator keeps, never a means to name somebody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TypeAlias, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import SurrogateError
from anti_i2v.paths import home

__all__ = ["Face", "FaceIdentity"]

Point: TypeAlias = tuple[float, float]

_LONG_EDGES = (640, 320, 1280)
"""Sizes that a photo is brought to for detection, in this order: YuNet misses faces of a few pixels, and faces above
some 500 pixels, so a close portrait is found at 320 and a face in a crowd at 1280."""

_SCORE = 0.8
"""Detections below are dropped: people score .9 and more, turned heads somewhat less, a cat .75."""

_SIDE = 112
_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""ArcFace's five landmarks (x, y) in its 112 x 112 crop, in the order of Face.landmarks."""

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
"""ImageNet statistics of RGB in [0, 1]: what this MobileFaceNet was trained with."""


class Face(msgspec.Struct, frozen=True):
    """A face in a photo, in pixels of that photo.

    Attributes:
        box: left, top, width, height. It may reach beyond the photo.
        landmarks: (x, y) of the eyes, the nose tip and the mouth's corners, those on the left of the photo first.
        score: the detector's, in [0, 1].
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[Point, Point, Point, Point, Point]
    score: float


@final
class FaceIdentity:
    """Finds faces and compares them. Safe to share between threads: the nets are used by one at a time.

    Args:
        folder: holds `face/yunet_n_dynamic.onnx` and `face/mobilefacenet.onnx`; the weights' home if None.

    Raises:
        SurrogateError: OpenCV or a weight file is missing or unfit.
    """

    def __init__(self, folder: Path | None = None) -> None:
        try:
            import cv2
        except ImportError:
            raise SurrogateError('face identity needs OpenCV: pip install "anti-i2v-sdk[evaluate]"') from None
        weights = home() if folder is None else folder
        detector, embedder = (_read(weights / "face" / f"{name}.onnx") for name in ("yunet_n_dynamic", "mobilefacenet"))
        try:
            with _only_errors():
                # From bytes, for OpenCV cannot open paths beyond ASCII on Windows.
                self._detector = cv2.FaceDetectorYN.create("onnx", detector, np.empty(0, np.uint8), (320, 320), _SCORE)
                self._embedder = cv2.dnn.readNetFromONNX(embedder)
        except cv2.error:
            where = weights / "face"
            raise SurrogateError(f"OpenCV cannot read the face weights in {where}: fetch them again") from None
        # Both nets keep their input and their buffers between calls.
        self._lock = Lock()

    def find(self, pixels: Rgb8) -> Face | None:
        """The largest face of an (H, W, 3) photo of any size, or None."""
        for long_edge in _LONG_EDGES:
            faces = self._detect(pixels, long_edge)
            if faces:
                return max(faces, key=lambda face: face.box[2] * face.box[3])
        return None

    def embed(self, pixels: Rgb8, face: Face) -> NDArray[np.float32]:
        """The (128,) embedding of unit length of a face of an (H, W, 3) photo."""
        crop = align(pixels, face).astype(np.float32) / 255
        batch = np.ascontiguousarray(((crop - _MEAN) / _STD).transpose(2, 0, 1)[None])
        with self._lock:
            self._embedder.setInput(batch)
            # Copied before the lock is let go: the net owns what it returns.
            embedding = np.array(self._embedder.forward()[0], np.float32)
        unit: NDArray[np.float32] = embedding / np.linalg.norm(embedding)
        return unit

    def identity(self, clean: Rgb8, other: Rgb8, face: Face) -> float:
        """Cosine in [-1, 1] between a face of the clean photo and what stands at the same place of the other.

        Both are aligned with the clean photo's landmarks. A detector run on the other photo could fail, or be led
        astray, by the very perturbation that is measured; then there would be no number, or a flattering one. Here a
        face that is gone scores low, as it should. The price: a generated face that moved scores low too, so this
        is for photos that keep their geometry.

        Raises ValueError for photos of different sizes.
        """
        if clean.shape != other.shape:
            raise ValueError(f"identity compares photos of one size, got {clean.shape} and {other.shape}")
        return float(np.clip(self.embed(clean, face) @ self.embed(other, face), -1, 1))

    def _detect(self, pixels: Rgb8, long_edge: int) -> list[Face]:
        small = _resized(pixels, long_edge / max(pixels.shape[:2]))
        height, width = small.shape[:2]
        blue_first = np.ascontiguousarray(small[..., ::-1])  # as YuNet was trained
        with self._lock:
            self._detector.setInputSize((width, height))
            _, rows = self._detector.detect(blue_first)
        scale = np.array([pixels.shape[1] / width, pixels.shape[0] / height])
        # OpenCV gives None where it finds nothing.
        return [] if rows is None else [_face(row.astype(float), scale) for row in rows]


def align(pixels: Rgb8, face: Face) -> Rgb8:
    """The (112, 112, 3) crop in which a face's landmarks lie on ArcFace's, by a least-squares similarity transform."""
    import cv2

    landmarks = np.array(face.landmarks)
    shrink = float(np.hypot(*_similarity(landmarks)[0, :2]))
    if shrink < 1:
        # Shrunk by area first: bilinear sampling of a large face would skip most of its pixels.
        small = _resized(pixels, shrink)
        scale = np.array([small.shape[1] / pixels.shape[1], small.shape[0] / pixels.shape[0]])
        pixels, landmarks = small, (landmarks + 0.5) * scale - 0.5
    crop = cv2.warpAffine(pixels, _similarity(landmarks), (_SIDE, _SIDE), flags=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8)


def _similarity(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (2, 3) matrix [[a, -b, s], [b, a, t]] that brings five landmarks closest to the template."""
    x, y = landmarks.T
    one, zero = np.ones(5), np.zeros(5)
    equations = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, s, t = np.linalg.lstsq(equations, _TEMPLATE.T.ravel(), rcond=None)[0]
    return np.array([[a, -b, s], [b, a, t]])


def _face(row: NDArray[np.float64], scale: NDArray[np.float64]) -> Face:
    """From one of YuNet's rows: box, five landmarks, score, in pixels of the resized photo."""
    left, top, width, height = (row[:4].reshape(2, 2) * scale).ravel().tolist()
    right_eye, left_eye, nose, right_corner, left_corner = (
        (float(x), float(y)) for x, y in row[4:14].reshape(5, 2) * scale
    )
    return Face((left, top, width, height), (right_eye, left_eye, nose, right_corner, left_corner), float(row[14]))


def _resized(pixels: Rgb8, scale: float) -> Rgb8:
    import cv2

    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        raise SurrogateError(
            f"no face weights at {path}: point ANTI_I2V_HOME at a folder with face/{path.name}"
        ) from None


@contextmanager
def _only_errors() -> Iterator[None]:
    """OpenCV 5 warns on stderr about a setting that its own face detector makes; users can do nothing about it."""
    from cv2.utils import logging

    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        logging.setLogLevel(before)
