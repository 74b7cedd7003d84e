"""Identity of faces: the cosine of two face embeddings.

Detector: YuNet (Wu et al. 2023, Apache-2.0). Embedding: MobileFaceNet (Chen et al. 2018, Apache-2.0, trained on
MS-Celeb-1M), on faces aligned as for ArcFace (Deng et al. 2019). In a small check, photos of one person had a cosine
of at least .68, photos of two persons at most .15. It measures how well a generator keeps a face. Do not use it to
identify people.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import SurrogateError
from anti_i2v.paths import FACE_WEIGHTS, home

if TYPE_CHECKING:
    from skimage.transform import SimilarityTransform

__all__ = ["Face", "FaceIdentity"]

Point: TypeAlias = tuple[float, float]

_LONG_EDGES = (640, 320, 1280)
"""Sizes at which faces are detected, in this order. YuNet misses faces of a few pixels and faces above some 500 pixels,
so a close portrait is found at 320 and a face in a crowd at 1280."""

_MIN_SCORE = 0.8
"""Detections below are dropped: people score .9 and more, turned heads somewhat less, a cat .75."""

_SIDE = 112
_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""ArcFace's five landmarks (x, y) in its 112 x 112 crop, in the order of Face.landmarks."""

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
"""ImageNet statistics of RGB in [0, 1], with which this MobileFaceNet was trained."""


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
    """Detects and compares faces. Safe to share between threads, which take turns.

    Args:
        folder: with `face/yunet_n_dynamic.onnx` and `face/mobilefacenet.onnx`; None for `paths.home()`.

    Raises:
        SurrogateError: OpenCV or a weight file is missing or unfit.
    """

    def __init__(self, folder: Path | None = None) -> None:
        try:
            import cv2
        except ImportError:
            raise SurrogateError('face identity needs OpenCV: pip install "anti-i2v-sdk[evaluate]"') from None
        weights = home() if folder is None else folder
        detector, embedder = (
            _read(weights / FACE_WEIGHTS / f"{name}.onnx") for name in ("yunet_n_dynamic", "mobilefacenet")
        )
        try:
            with _opencv_warnings_off():
                # From bytes: on Windows OpenCV can open only ASCII paths.
                self._detector = cv2.FaceDetectorYN.create(
                    "onnx", detector, np.empty(0, np.uint8), (320, 320), _MIN_SCORE
                )
                self._embedder = cv2.dnn.readNetFromONNX(embedder)
        except cv2.error:
            where = weights / FACE_WEIGHTS
            raise SurrogateError(f"OpenCV cannot read the face weights in {where}: download them again") from None
        # Both networks keep their input and buffers between calls.
        self._lock = Lock()

    def find(self, pixels: Rgb8) -> Face | None:
        """Return the largest face of an (H, W, 3) photo of any size, or None."""
        for long_edge in _LONG_EDGES:
            faces = self._detect(pixels, long_edge)
            if faces:
                return max(faces, key=lambda face: face.box[2] * face.box[3])
        return None

    def embed(self, pixels: Rgb8, face: Face) -> NDArray[np.float32]:
        """Return the (128,) embedding of unit length of a face of an (H, W, 3) photo."""
        crop = align(pixels, face).astype(np.float32) / 255
        batch = np.ascontiguousarray(((crop - _MEAN) / _STD).transpose(2, 0, 1)[None])
        with self._lock:
            self._embedder.setInput(batch)
            # Copied before the lock is released: the network owns its output.
            embedding = np.array(self._embedder.forward()[0], np.float32)
        unit: NDArray[np.float32] = embedding / np.linalg.norm(embedding)
        return unit

    def identity(self, clean: Rgb8, other: Rgb8, face: Face) -> float:
        """Return the cosine in [-1, 1] of the face in the clean photo and the same place in the other photo.

        Both are aligned by the clean photo's landmarks, because the measured perturbation could mislead a detector on
        the other photo. A face that is gone therefore scores low; so does one that moved, so both photos must have the
        same geometry.

        Raises ValueError for photos of different sizes.
        """
        if clean.shape != other.shape:
            raise ValueError(f"identity compares photos of one size, got {clean.shape} and {other.shape}")
        return float(np.clip(self.embed(clean, face) @ self.embed(other, face), -1, 1))

    def _detect(self, pixels: Rgb8, long_edge: int) -> list[Face]:
        small = _resized(pixels, long_edge / max(pixels.shape[:2]))
        height, width = small.shape[:2]
        bgr = np.ascontiguousarray(small[..., ::-1])  # as YuNet was trained
        with self._lock:
            self._detector.setInputSize((width, height))
            _, rows = self._detector.detect(bgr)
        scale = np.array([pixels.shape[1] / width, pixels.shape[0] / height])
        # OpenCV returns None if it finds no face.
        return [] if rows is None else [_face(row.astype(float), scale) for row in rows]


def align(pixels: Rgb8, face: Face) -> Rgb8:
    """Crop a face to (112, 112, 3), its landmarks on ArcFace's by a least-squares similarity transform."""
    import cv2

    landmarks = np.array(face.landmarks)
    shrink = float(_to_template(landmarks).scale)
    if shrink < 1:
        # Shrunk by area averaging first: bilinear sampling of a large face would skip most of its pixels.
        small = _resized(pixels, shrink)
        scale = np.array([small.shape[1] / pixels.shape[1], small.shape[0] / pixels.shape[0]])
        pixels, landmarks = small, (landmarks + 0.5) * scale - 0.5
    matrix = _to_template(landmarks).params[:2]
    crop = cv2.warpAffine(pixels, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8)


def _to_template(landmarks: NDArray[np.float64]) -> SimilarityTransform:
    """Estimate the transform of five landmarks to the template (Umeyama's method)."""
    from skimage.transform import SimilarityTransform

    found = SimilarityTransform.from_estimate(landmarks, _TEMPLATE)
    if not isinstance(found, SimilarityTransform):
        raise ValueError(f"these landmarks have no similarity transform: {landmarks.tolist()}")
    return found


def _face(row: NDArray[np.float64], scale: NDArray[np.float64]) -> Face:
    """Convert a row of YuNet (box, five landmarks, score), in pixels of the resized photo."""
    left, top, width, height = (row[:4].reshape(2, 2) * scale).ravel().tolist()
    right_eye, left_eye, nose, right_corner, left_corner = (
        (float(x), float(y)) for x, y in row[4:14].reshape(5, 2) * scale
    )
    return Face((left, top, width, height), (right_eye, left_eye, nose, right_corner, left_corner), float(row[14]))


def _resized(pixels: Rgb8, scale: float) -> Rgb8:
    import cv2

    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        raise SurrogateError(
            f"no face weights at {path}: point ANTI_I2V_HOME at a folder with face/{path.name}"
        ) from None


@contextmanager
def _opencv_warnings_off() -> Iterator[None]:
    """Suppress the warning of OpenCV 5 about a setting of its own face detector."""
    from cv2.utils import logging

    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        logging.setLogLevel(before)
