"""Metrics of a generated video: identity, fidelity to the photo, image quality and motion."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from anti_i2v.arrays import Rgb8, Video8
from anti_i2v.errors import SurrogateError
from anti_i2v.metrics.faces import FaceIdentity
from anti_i2v.metrics.imperceptibility import psnr, ssim
from anti_i2v.paths import FACE_WEIGHTS, LPIPS_WEIGHTS, find_weights, home

__all__ = [
    "MAX_PSNR",
    "METRICS",
    "Metric",
    "MetricModels",
    "coherence",
    "measure_video",
    "motion",
    "optical_flow",
    "sharpness",
]


MAX_PSNR = 60.0
"""dB at which PSNR is capped, so that equal frames have a finite mean. An error of half a level is 54 dB."""

PerceptualDistance: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Two batches (B, 3, H, W) in [0, 1] -> one LPIPS distance a photo, (B,)."""


class Metric(msgspec.Struct, frozen=True):
    """How a metric is named and read.

    Attributes:
        label: for tables.
        unit: "" for a plain number.
        damage: whether damage makes the value "lower" or "higher"; "neither" if it does not tell.
        needs_face: whether it exists only for photos in which a face is found.
    """

    label: str
    unit: str
    damage: Literal["lower", "higher", "neither"]
    needs_face: bool = False

    @property
    def sign(self) -> int:
        """The factor that makes (clean - other) positive for damage."""
        return -1 if self.damage == "higher" else 1


METRICS: dict[str, Metric] = {
    "identity": Metric("the same person (cosine of faces)", "", "lower", needs_face=True),
    "first_frame_psnr": Metric("the first frame is the photo (PSNR)", "dB", "lower"),
    "first_frame_lpips": Metric("the first frame differs from the photo (LPIPS)", "", "higher"),
    "lpips": Metric("differs from the clean photo's own video (LPIPS)", "", "higher"),
    "ssim": Metric("like the clean photo's own video (SSIM)", "", "lower"),
    "sharpness": Metric("sharpness (1 - blur)", "", "lower"),
    "face": Metric("a face is there (the detector's score)", "", "lower", needs_face=True),
    "coherence": Metric("each frame follows from the one before (PSNR after optical flow)", "dB", "lower"),
    "motion": Metric("movement between frames", "px", "neither"),
}
"""Name -> metric, the most telling first. Metrics, effects and ratios of the evaluation use these names as keys."""


@dataclass(frozen=True)
class MetricModels:
    """The networks that metrics need, None where they are not available.

    Attributes:
        missing: a sentence for each that is not available.
    """

    faces: FaceIdentity | None = None
    lpips: PerceptualDistance | None = None
    missing: tuple[str, ...] = ()

    @classmethod
    def available(cls, device: str = "cpu") -> MetricModels:
        """Load the networks whose weights are on this machine (see `paths.home`)."""
        faces, lpips, missing = None, None, []
        try:
            if find_weights(FACE_WEIGHTS):
                faces = FaceIdentity()
            else:
                missing.append("identity and faces: no face networks in the folder that ANTI_I2V_HOME names")
        except SurrogateError as problem:
            missing.append(f"identity and faces: {problem}")
        try:
            lpips = _load_lpips(device)
        except SurrogateError as problem:
            missing.append(f"LPIPS: {problem}")
        return cls(faces, lpips, tuple(missing))


def measure_video(
    video: Video8, photo: Rgb8, reference: Video8, models: MetricModels, metrics: Collection[str] = tuple(METRICS)
) -> dict[str, float]:
    """Compute metrics of one video. Those without their network, or without a face in the photo, are left out.

    Args:
        video: (T, H, W, 3).
        photo: the clean crop, (H, W, 3): the person and the picture that the video should show.
        reference: the clean photo's video under the same seed, T frames.
        metrics: names of those to compute.
    """
    wanted = {name: _COMPUTE[name] for name in METRICS if name in metrics}
    found: dict[str, float] = {}
    for compute in dict.fromkeys(wanted.values()):
        found |= compute(video, photo, reference, models)
    return {name: found[name] for name in wanted if name in found}


def _identity(video: Video8, photo: Rgb8, reference: Video8, models: MetricModels) -> dict[str, float]:
    faces = models.faces
    face = faces.find(photo) if faces is not None else None
    if faces is None or face is None:
        return {}
    person = faces.embed(photo, face)
    # Faces are searched in each frame, because people move. A frame without a face counts as 0.
    found = [(frame, faces.find(frame)) for frame in video]
    cosines = [0.0 if there is None else float(person @ faces.embed(frame, there)) for frame, there in found]
    scores = [0.0 if there is None else there.score for _, there in found]
    return {"identity": float(np.clip(np.mean(cosines), -1, 1)), "face": float(np.mean(scores))}


def _first_frame(video: Video8, photo: Rgb8, reference: Video8, models: MetricModels) -> dict[str, float]:
    return {"first_frame_psnr": min(MAX_PSNR, psnr(photo, video[0]))}


def _lpips(video: Video8, photo: Rgb8, reference: Video8, models: MetricModels) -> dict[str, float]:
    if models.lpips is None:
        return {}
    first = models.lpips(_batch(video[:1]), _batch(photo[None]))
    return {
        "first_frame_lpips": float(first[0]),
        "lpips": float(models.lpips(_batch(video), _batch(reference)).mean()),
    }


def _ssim(video: Video8, photo: Rgb8, reference: Video8, models: MetricModels) -> dict[str, float]:
    return {"ssim": float(np.mean([ssim(one, other) for one, other in zip(reference, video, strict=True)]))}


def _sharpness(video: Video8, photo: Rgb8, reference: Video8, models: MetricModels) -> dict[str, float]:
    return {"sharpness": float(np.mean([sharpness(frame) for frame in video]))}


def _motion(video: Video8, photo: Rgb8, reference: Video8, models: MetricModels) -> dict[str, float]:
    pairs = list(pairwise(video))
    if not pairs:  # a single frame
        return {}
    flows = [optical_flow(*pair) for pair in pairs]
    follows = [coherence(*pair, flow) for pair, flow in zip(pairs, flows, strict=True)]
    return {"coherence": float(np.mean(follows)), "motion": float(np.mean([motion(flow) for flow in flows]))}


_COMPUTE: dict[str, Callable[[Video8, Rgb8, Video8, MetricModels], dict[str, float]]] = {
    "identity": _identity,
    "face": _identity,
    "first_frame_psnr": _first_frame,
    "first_frame_lpips": _lpips,
    "lpips": _lpips,
    "ssim": _ssim,
    "sharpness": _sharpness,
    "coherence": _motion,
    "motion": _motion,
}


def sharpness(frame: Rgb8) -> float:
    """Return the sharpness of a frame without a reference, from 0 (blurry) to 1.

    1 - the perceptual blur metric of Crete, Dolmiere, Ladret and Nicolas 2007 (scikit-image's `blur_effect`). Noise
    counts as sharp, so read it beside the other metrics.
    """
    from skimage.measure import blur_effect

    return 1 - float(blur_effect(frame, h_size=11, channel_axis=-1))  # type: ignore[no-untyped-call]  # scikit-image


def optical_flow(before: Rgb8, after: Rgb8) -> NDArray[np.float32]:
    """Return the flow from `after` back to `before`, (x, y) in pixels, (H, W, 2): DIS (Kroeger et al. 2016)."""
    import cv2

    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (after, before)]
    zero = np.zeros((*grey[0].shape, 2), np.float32)
    return np.asarray(finder.calc(grey[0], grey[1], zero), np.float32)


def coherence(before: Rgb8, after: Rgb8, flow: NDArray[np.float32]) -> float:
    """Return the PSNR (dB, at most `MAX_PSNR`) between `after` and `before` warped by the flow, within the frame."""
    import cv2

    height, width = before.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    across, down = columns + flow[..., 0], rows + flow[..., 1]
    warped = cv2.remap(before, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
    if not inside.any():
        return 0.0
    error = float(np.square(warped.astype(np.float64) - after)[inside].mean())
    return MAX_PSNR if error == 0 else min(MAX_PSNR, 10 * math.log10(255**2 / error))


def motion(flow: NDArray[np.float32]) -> float:
    """Return the mean length of the flow, in pixels a frame."""
    return float(np.hypot(flow[..., 0], flow[..., 1]).mean())


def _batch(frames: Rgb8) -> NDArray[np.float32]:
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


def _load_lpips(device: str) -> PerceptualDistance:
    """Load LPIPS. Raises SurrogateError if its weights are missing."""
    import torch

    from anti_i2v.metrics.perceptual import Lpips

    net = Lpips.load(home() / LPIPS_WEIGHTS).to(device)

    def distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = (
                net(*(torch.from_numpy(each).to(device) for each in (first, second))).cpu().numpy()
            )
        return found

    return distance
