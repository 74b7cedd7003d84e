"""Make clips to train small video models on, from free photos (synthetic motion) and free footage.

    python sdk/training/clips.py PHOTOS_FOLDER -o clips/ --surrogates SURROGATES_FOLDER [--footage CLIPS_FOLDER]

A synthetic clip starts with an exact window of a photo. Then the camera pans, zooms and turns, parts of the scene sway
(a bump that moves sideways looks like a turning head), and the light drifts. Motion is small, a few pixels in eight
frames: with three times as much, models of this size and schedule lost the photo after two frames. Clip `i` depends
only on the seed and on `i`. Output: `pixels.npy` (N, T, 3, SIDE, SIDE) uint8, and the latents of each named encoder,
float16.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image, ImageOps
from torch import nn

FRAMES, SIDE = 8, 128
SHORT_SIDES = (150, 420)
"""Range of a photo's short side in pixels, from which a window of `SIDE` is cut."""

TEST_PHOTOS = Path(__file__).parents[2] / "tests" / "data"


def photos_of(folder: Path) -> list[Image.Image]:
    """Read every photo of the folder, upright, its short side at most 900 pixels.

    Raises:
        SystemExit: there is none, or one is a photo of the tests, which training must not see.
    """
    tested = {digest(path) for path in TEST_PHOTOS.rglob("*.jpg")}
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in {".jpg", ".jpeg", ".png", ".webp"}:
            continue
        if digest(path) in tested:
            raise SystemExit(f"{path.name} is a photo of the tests: take it out")
        with Image.open(path) as file:
            photo = ImageOps.exif_transpose(file).convert("RGB")
        ratio = 900 / min(photo.size)
        if ratio < 1:
            photo = photo.resize((round(photo.width * ratio), round(photo.height * ratio)), Image.Resampling.LANCZOS)
        found.append(photo)
    if not found:
        raise SystemExit(f"no photos in {folder}: put .jpg, .png or .webp files there")
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def synthetic_clip(photo: Image.Image, draw: np.random.Generator) -> torch.Tensor:
    """Make a clip, (FRAMES, 3, SIDE, SIDE) in [0, 1]; its first frame is an exact window of the photo."""
    low, high = SHORT_SIDES
    short = round(float(np.exp(draw.uniform(np.log(low), np.log(high)))))
    ratio = short / min(photo.size)
    size = (max(SIDE, round(photo.width * ratio)), max(SIDE, round(photo.height * ratio)))
    seen = np.asarray(photo.resize(size, Image.Resampling.LANCZOS), np.float32) / 255
    if draw.random() < 0.5:
        seen = seen[:, ::-1]
    left, top = draw.integers(0, size[0] - SIDE + 1), draw.integers(0, size[1] - SIDE + 1)
    # Source coordinates of each pixel, in pixels of `seen`.
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    middle = (SIDE - 1) / 2
    speed, growth, turn = draw.normal(0, 0.55, 2), draw.normal(0, 0.005), draw.normal(0, 0.004)
    ease = draw.uniform(0.7, 1.3)
    bumps = [
        (draw.uniform(20, SIDE - 20, 2), draw.uniform(14, 40), draw.normal(0, 2.5, 2), draw.uniform(0.2, 0.7))
        for _ in range(draw.integers(0, 4))
    ]
    light = draw.normal(0, 0.006)
    frames = []
    for number in range(FRAMES):
        gone = (number / (FRAMES - 1)) ** ease * (FRAMES - 1)
        angle, zoom = turn * gone, np.exp(growth * gone)
        x, y = columns - middle, rows - middle
        across = zoom * (np.cos(angle) * x - np.sin(angle) * y) + middle + speed[0] * gone
        down = zoom * (np.sin(angle) * x + np.cos(angle) * y) + middle + speed[1] * gone
        for (cx, cy), width, reach, pace in bumps:
            weight = np.exp(-((across - cx) ** 2 + (down - cy) ** 2) / (2 * width**2)) * np.sin(pace * gone)
            across, down = across - reach[0] * weight, down - reach[1] * weight
        frame = cv2.remap(
            seen,
            (across + left).astype(np.float32),
            (down + top).astype(np.float32),
            cv2.INTER_CUBIC if number else cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        frames.append(np.clip(frame * (1 + light * gone), 0, 1))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def footage_clips(path: Path, count: int, draw: np.random.Generator) -> list[torch.Tensor]:
    """Cut clips from footage at random moments, strides and square windows."""
    film = cv2.VideoCapture(str(path))
    frames = []
    while True:
        more, frame = film.read()
        if not more:
            break
        ratio = 270 / min(frame.shape[:2])
        if ratio < 1:
            frame = cv2.resize(frame, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        frames.append(frame[..., ::-1])
    film.release()
    cut: list[torch.Tensor] = []
    for _ in range(20 * count):
        if len(cut) == count:
            break
        stride = int(draw.integers(1, 4))
        if len(frames) < stride * FRAMES:
            stride = 1
        if len(frames) < FRAMES:
            break
        begin = int(draw.integers(0, len(frames) - stride * (FRAMES - 1)))
        height, width = frames[0].shape[:2]
        side = int(draw.integers(min(SIDE, height, width), min(height, width) + 1))
        top, left = draw.integers(0, height - side + 1), draw.integers(0, width - side + 1)
        windows = [
            cv2.resize(frame[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            for frame in frames[begin : begin + stride * FRAMES : stride]
        ]
        clip = torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2).float() / 255
        steps = (clip[1:] - clip[:-1]).abs().mean((1, 2, 3))
        # Skip cuts of the film, and black or still pictures.
        if steps.max() < 0.12 and steps.mean() > 0.002 and clip[0].std() > 0.05:
            cut.append(clip)
    return cut


def encode(pixels: np.ndarray, folder: Path) -> torch.Tensor:
    """Encode all frames, (N, T, C, h, w) float16. The encoder runs in bfloat16, twice as fast on a CPU."""
    model = AutoencoderTiny.from_pretrained(folder, torch_dtype=torch.bfloat16).eval()
    encoder: nn.Module = model.encoder.to(memory_format=torch.channels_last)
    latents, begun = [], time.monotonic()
    with torch.no_grad():
        for index, clip in enumerate(pixels):
            given = torch.from_numpy(np.array(clip)).to(torch.bfloat16).div(127.5).sub(1)
            latents.append(encoder(given.contiguous(memory_format=torch.channels_last)).half().contiguous())
            if index % 200 == 199:
                print(json.dumps({"encoded": index + 1, "seconds": round(time.monotonic() - begun)}), flush=True)
    return torch.stack(latents)


def make(
    photos: Sequence[Image.Image], footage: Sequence[Path], count: int, filmed_share: float, seed: int
) -> np.ndarray:
    """Make (count, FRAMES, 3, SIDE, SIDE) uint8: synthetic clips first, then those cut from footage."""
    cuts: list[torch.Tensor] = []
    if footage:
        wanted = round(count * filmed_share / len(footage))
        for number, path in enumerate(footage):
            cuts += footage_clips(path, wanted, np.random.default_rng((seed, 1, number)))
    made = (
        synthetic_clip(photos[index % len(photos)], np.random.default_rng((seed, 0, index)))
        for index in range(count - len(cuts))
    )
    clips = np.empty((count, FRAMES, 3, SIDE, SIDE), np.uint8)
    for index, clip in enumerate([*made, *cuts]):
        clips[index] = clip.mul(255).round().to(torch.uint8).numpy()
    return clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--surrogates", type=Path, required=True, help="folder with taesd/, taef1/, taesd3/")
    parser.add_argument("--encoders", nargs="+", default=["taesd", "taef1", "taesd3"])
    parser.add_argument("--footage", type=Path, help="folder of free video files")
    parser.add_argument("--filmed", type=float, default=0.2, help="share of clips cut from footage")
    parser.add_argument("--clips", type=int, default=1200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    settings.output.mkdir(parents=True, exist_ok=True)
    store = settings.output / "pixels.npy"
    if not store.exists():
        footage = sorted(path for path in settings.footage.iterdir()) if settings.footage else []
        clips = make(photos_of(settings.photos), footage, settings.clips, settings.filmed, settings.seed)
        part = store.with_suffix(f".{os.getpid()}.npy")  # two processes may run at the same time
        np.save(part, clips)
        part.replace(store)
    pixels = np.load(store, mmap_mode="r")
    for name in settings.encoders:
        target = settings.output / f"{name}.pt"
        if not target.exists():
            torch.save(encode(pixels, settings.surrogates / name), target)
            print(json.dumps({"written": target.name}), flush=True)


if __name__ == "__main__":
    main()
