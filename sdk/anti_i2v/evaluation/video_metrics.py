"""Numbers on a generated video: whether it still shows the person and the photo, and how it looks and moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from anti_i2v.arrays import Rgb8, Video8
from anti_i2v.errors import SurrogateError
from anti_i2v.metrics.faces import FaceIdentity
from anti_i2v.metrics.imperceptibility import psnr, ssim
from anti_i2v.paths import FACE_WEIGHTS, LPIPS_WEIGHTS, find_weights, home

__all__ = ["CLOSEST", "MEASURES", "Instruments", "Measure", "coherence", "flow", "measure_video", "motion", "sharpness"]


CLOSEST = 60.0
"""dB at which a PSNR ends: equal frames have none, and means need a number. Half a level everywhere is 54 dB."""


class Measure(msgspec.Struct, frozen=True):
    """What a number is, for tables and pages.

    Attributes:
        label: in plain words.
        unit: "" for a plain number.
        spoiled: whether a spoiled video has a "lower" or a "higher" value; "neither" where it tells nothing of damage.
        needs_face: it exists only for photos in which a face is found.
    """

    label: str
    unit: str
    spoiled: Literal["lower", "higher", "neither"]
    needs_face: bool = False

    @property
    def sign(self) -> int:
        """What makes a fall of (clean - other): positive for damage, whichever way the number goes."""
        return -1 if self.spoiled == "higher" else 1


MEASURES: dict[str, Measure] = {
    "identity": Measure("the same person (cosine of faces)", "", "lower", needs_face=True),
    "first_frame_psnr": Measure("the first frame is the photo (PSNR)", "dB", "lower"),
    "first_frame_lpips": Measure("the first frame differs from the photo (LPIPS)", "", "higher"),
    "lpips": Measure("differs from the clean photo's own video (LPIPS)", "", "higher"),
    "ssim": Measure("like the clean photo's own video (SSIM)", "", "lower"),
    "sharpness": Measure("sharpness (1 - blur)", "", "lower"),
    "face": Measure("a face is there (the detector's score)", "", "lower", needs_face=True),
    "coherence": Measure("each frame follows from the one before (PSNR after optical flow)", "dB", "lower"),
    "motion": Measure("movement between frames", "px", "neither"),
}
"""Name -> measure, the most telling first. The names are the keys of verdicts, falls and ratios everywhere."""


@dataclass(frozen=True)
class Instruments:
    """The nets that verdicts take, None where they are not at hand, and why.

    Attributes:
        lpips: of two batches (B, 3, H, W) float32 in [0, 1], one number a photo.
        missing: a sentence for each that is not at hand.
    """

    faces: FaceIdentity | None = None
    lpips: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]] | None = None
    missing: tuple[str, ...] = ()

    @classmethod
    def available(cls, device: str = "cpu") -> Instruments:
        """From the folder of weights (see `home`)."""
        faces, lpips, missing = None, None, []
        try:
            if find_weights(FACE_WEIGHTS):
                faces = FaceIdentity()
            else:
                missing.append("identity and faces: no face nets in the folder that ANTI_I2V_HOME names")
        except SurrogateError as problem:
            missing.append(f"identity and faces: {problem}")
        try:
            lpips = _lpips(device)
        except SurrogateError as problem:
            missing.append(f"LPIPS: {problem}")
        return cls(faces, lpips, tuple(missing))


def measure_video(
    video: Video8, photo: Rgb8, beside: Video8, instruments: Instruments, measures: Collection[str] = tuple(MEASURES)
) -> dict[str, float]:
    """Measures of one video; what cannot be measured (no net, no face in the photo) is missing.

    Args:
        video: (T, H, W, 3).
        photo: the clean view of it, (H, W, 3): who and what the video should show.
        beside: the video of the clean photo under the same seed, T frames.
        measures: names of those that are wanted.
    """
    wanted = {name: _JUDGES[name] for name in MEASURES if name in measures}
    found: dict[str, float] = {}
    for part in dict.fromkeys(wanted.values()):
        found |= part(video, photo, beside, instruments)
    return {name: found[name] for name in wanted if name in found}


def _person(video: Video8, photo: Rgb8, beside: Video8, instruments: Instruments) -> dict[str, float]:
    faces = instruments.faces
    face = faces.find(photo) if faces is not None else None
    if faces is None or face is None:
        return {}
    person = faces.embed(photo, face)
    # A frame without a face shows nobody. Frames are searched anew, for people in videos move.
    seen = [(frame, faces.find(frame)) for frame in video]
    alike = [0.0 if there is None else float(person @ faces.embed(frame, there)) for frame, there in seen]
    scores = [0.0 if there is None else there.score for _, there in seen]
    return {"identity": float(np.clip(np.mean(alike), -1, 1)), "face": float(np.mean(scores))}


def _fidelity(video: Video8, photo: Rgb8, beside: Video8, instruments: Instruments) -> dict[str, float]:
    return {"first_frame_psnr": min(CLOSEST, psnr(photo, video[0]))}


def _perceived(video: Video8, photo: Rgb8, beside: Video8, instruments: Instruments) -> dict[str, float]:
    if instruments.lpips is None:
        return {}
    first = instruments.lpips(_batch(video[:1]), _batch(photo[None]))
    return {
        "first_frame_lpips": float(first[0]),
        "lpips": float(instruments.lpips(_batch(video), _batch(beside)).mean()),
    }


def _structure(video: Video8, photo: Rgb8, beside: Video8, instruments: Instruments) -> dict[str, float]:
    return {"ssim": float(np.mean([ssim(one, other) for one, other in zip(beside, video, strict=True)]))}


def _clarity(video: Video8, photo: Rgb8, beside: Video8, instruments: Instruments) -> dict[str, float]:
    return {"sharpness": float(np.mean([sharpness(frame) for frame in video]))}


def _movement(video: Video8, photo: Rgb8, beside: Video8, instruments: Instruments) -> dict[str, float]:
    pairs = list(pairwise(video))
    if not pairs:  # a single frame
        return {}
    flows = [flow(*pair) for pair in pairs]
    follows = [coherence(*pair, steps) for pair, steps in zip(pairs, flows, strict=True)]
    return {"coherence": float(np.mean(follows)), "motion": float(np.mean([motion(steps) for steps in flows]))}


_JUDGES: dict[str, Callable[[Video8, Rgb8, Video8, Instruments], dict[str, float]]] = {
    "identity": _person,
    "face": _person,
    "first_frame_psnr": _fidelity,
    "first_frame_lpips": _perceived,
    "lpips": _perceived,
    "ssim": _structure,
    "sharpness": _clarity,
    "coherence": _movement,
    "motion": _movement,
}


def sharpness(frame: Rgb8) -> float:
    """1 for the sharpest, 0 for the blurriest, without a reference: 1 - the perceptual blur metric of Crete, Dolmiere,
    Ladret and Nicolas 2007 (scikit-image's `blur_effect`). Noise is sharp too: read it beside the others.
    """
    from skimage.measure import blur_effect

    return 1 - float(blur_effect(frame, h_size=11, channel_axis=-1))  # type: ignore[no-untyped-call]  # scikit-image


def flow(before: Rgb8, after: Rgb8) -> NDArray[np.float32]:
    """Where each pixel of `after` was in `before`, as steps (x, y) in pixels, (H, W, 2): DIS (Kroeger et al. 2016)."""
    import cv2

    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (after, before)]
    nothing = np.zeros((*grey[0].shape, 2), np.float32)
    return np.asarray(finder.calc(grey[0], grey[1], nothing), np.float32)


def coherence(before: Rgb8, after: Rgb8, steps: NDArray[np.float32]) -> float:
    """PSNR (dB, at most `CLOSEST`) of `after` and of `before` brought there by the flow, where that is inside."""
    import cv2

    height, width = before.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    across, down = columns + steps[..., 0], rows + steps[..., 1]
    moved = cv2.remap(before, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
    if not inside.any():
        return 0.0
    error = float(np.square(moved.astype(np.float64) - after)[inside].mean())
    return CLOSEST if error == 0 else min(CLOSEST, 10 * math.log10(255**2 / error))


def motion(steps: NDArray[np.float32]) -> float:
    """Mean length of the flow in pixels a frame."""
    return float(np.hypot(steps[..., 0], steps[..., 1]).mean())


def _batch(frames: Rgb8) -> NDArray[np.float32]:
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


def _lpips(device: str) -> Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]:
    """Raises SurrogateError where its weights are not at hand."""
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
