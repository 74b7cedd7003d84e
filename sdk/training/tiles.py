"""Train the universal tiles of the `draft` recipe, through the decoders of real encoders.

    python sdk/training/tiles.py PHOTOS_FOLDER SURROGATES_FOLDER -o sdk/anti_i2v/data/tiles.safetensors

There are two phases, and each step uses the next teacher in turn. The first phase, which is cheap, maximises the log
relative latent shift, to find directions in which encoders move. The second adds the error between the decoded photos,
in dB and in LPIPS, so that the tiles disrupt the decoder's output and not only the latent. (With the decoded terms
only, the gradient was too noisy at this batch size, and the tiles left their bounds.) Each step applies one random
transform. `taesd3` is held out and refused as a teacher.
Resumable: the state is written every `--every` steps and at the end. Deterministic by seed on one machine; a resumed
run samples from the seed and the step at which it resumes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file

from anti_i2v.metrics.latents import relative_shift
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.optim.eot import apply_transform
from anti_i2v.optim.transforms import Transform, weighted_choice
from anti_i2v.optim.universal_perturbation import TILE, sample_layout, tile_pattern

HELD_OUT = "taesd3"
CROP = 96
BUDGET = 8 / 255


def photos_of(folder: Path) -> list[Image.Image]:
    """Read every photo of the folder, upright, at most 1600 x 1600 pixels."""
    photos = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in {".jpg", ".jpeg", ".png", ".webp"}:
            continue
        with Image.open(path) as file:
            photo = ImageOps.exif_transpose(file).convert("RGB")
        photo.thumbnail((1600, 1600), Image.Resampling.LANCZOS)
        photos.append(photo)
    if not photos:
        raise SystemExit(f"no photos in {folder}: put .jpg, .png or .webp files there")
    return photos


def crops(photos: list[Image.Image], count: int, seed: int) -> torch.Tensor:
    """Cut `count` square crops, (count, 3, CROP, CROP) uint8, at random scales.

    The photo's short side is 192 to 640 pixels when a crop is cut, as for a video model.
    """
    draw = random.Random(seed)
    cut = torch.empty(count, 3, CROP, CROP, dtype=torch.uint8)
    for index in range(count):
        photo = photos[index % len(photos)]
        short = draw.randint(192, 640)
        scale = short / min(photo.size)
        size = [max(CROP, round(side * scale)) for side in photo.size]
        left, top = draw.randint(0, size[0] - CROP), draw.randint(0, size[1] - CROP)
        box = (left / scale, top / scale, (left + CROP) / scale, (top + CROP) / scale)
        box = (box[0], box[1], min(box[2], photo.width), min(box[3], photo.height))
        window = photo.resize((CROP, CROP), Image.Resampling.LANCZOS, box=box)
        if draw.random() < 0.5:
            window = ImageOps.mirror(window)
        cut[index] = (
            torch.frombuffer(bytearray(window.tobytes()), dtype=torch.uint8).view(CROP, CROP, 3).permute(2, 0, 1)
        )
    return cut


def teacher(folder: Path, name: str) -> AutoencoderTiny:
    """Load a frozen real encoder and decoder, channels_last (1.5x faster on a CPU)."""
    if name == HELD_OUT:
        raise SystemExit(f"{HELD_OUT} is held out and never used in training")
    model = AutoencoderTiny.from_pretrained(folder / name, torch_dtype=torch.float32)
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def encoded(model: AutoencoderTiny, pixels: torch.Tensor) -> torch.Tensor:
    """Encode pixels in [0, 1]."""
    return model.encoder(pixels.mul(2).sub(1).contiguous(memory_format=torch.channels_last))


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order.split(size)


def with_tiles(pixels: torch.Tensor, tiles: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Add the tiles to a batch, with a new layout for each crop."""
    laid = [
        tile_pattern(tiles, sample_layout(int(torch.randint(2**62, (), generator=generator)), len(tiles)), CROP, CROP)
        for _ in pixels
    ]
    return (pixels + BUDGET * torch.stack(laid)).clamp(0, 1)


def transformed(pixels: torch.Tensor, transform: Transform, draws: np.random.Generator) -> torch.Tensor:
    """Apply one sample of the transform to the batch."""
    batch, channels, height, width = pixels.shape
    return apply_transform(transform((batch, channels, height, width), draws, lambda: pixels.detach().numpy()), pixels)


def save(output: Path, tiles: torch.Tensor, first: torch.Tensor, second: torch.Tensor, step: int) -> None:
    """Save the tiles as they ship, and the state to resume from."""
    state = {"tiles": tiles.detach(), "first": first, "second": second, "step": torch.tensor(step)}
    save_file(state, state_of(output))
    save_file({"tiles": tiles.detach().mul(127).round().to(torch.int8)}, output)


def state_of(output: Path) -> Path:
    return output.with_suffix(".state.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("surrogates", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--lpips", type=Path, required=True, help="lpips_alex.safetensors")
    parser.add_argument("--teachers", nargs="+", default=["taesd", "taesdxl", "taef1"])
    parser.add_argument("--tiles", type=int, default=2)
    parser.add_argument("--steps", type=int, default=850)
    parser.add_argument("--latent-steps", type=int, default=450, help="number of these steps that use only the latent")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crops", type=int, default=1600)
    parser.add_argument("--rates", type=float, nargs=2, default=(0.08, 0.03), help="of the two phases")
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()

    settings.output.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(settings.threads)
    generator = torch.Generator().manual_seed(settings.seed)
    cut = crops(photos_of(settings.photos), settings.crops, settings.seed)
    models = {name: teacher(settings.surrogates, name) for name in settings.teachers}
    perceptual = Lpips.load(settings.lpips)
    transform = weighted_choice({"identity": 0.5, "resize": 0.25, "jpeg": 0.15, "blur": 0.1})

    log_path = settings.output.with_suffix(".log.jsonl")
    tiles = 0.7 * torch.empty(settings.tiles, 3, TILE, TILE).uniform_(-1, 1, generator=generator)
    first, second, done = torch.zeros_like(tiles), torch.zeros_like(tiles), 0
    if state_of(settings.output).exists():
        state = load_file(state_of(settings.output))
        tiles, first, second, done = state["tiles"], state["first"], state["second"], int(state["step"])
        generator.manual_seed(settings.seed + done)
    draws = np.random.default_rng(settings.seed + done)
    tiles.requires_grad_(True)

    begun = time.monotonic()
    gains: dict[str, list[float]] = {name: [] for name in models}
    for step, rows in enumerate(batches(len(cut), settings.batch, generator), start=done + 1):
        if step > settings.steps or time.monotonic() - begun > 60 * settings.minutes:
            break
        latent_phase = step <= settings.latent_steps
        if step == settings.latent_steps + 1:  # another objective: its gradients have another scale
            first.zero_()
            second.zero_()
        clean = cut[rows].float().div(255)
        name = settings.teachers[step % len(models)]
        candidate = transformed(with_tiles(clean, tiles, generator), transform, draws)
        latent = encoded(models[name], candidate)
        with torch.no_grad():
            wanted = encoded(models[name], clean)
        gain = torch.log(relative_shift(latent, wanted) + 1e-3)
        loss = -gain.mean()
        if not latent_phase:
            with torch.no_grad():
                expected = models[name].decoder(wanted).add(1).div(2).clamp(0, 1)
            decoded = models[name].decoder(latent).add(1).div(2)
            error = (decoded - expected).square().flatten(1).mean(1)
            gain = 10 * torch.log10(error + 1e-5)
            loss = 2 * loss - (gain / 6 + 4 * perceptual(decoded, expected)).mean()
        (gradient,) = torch.autograd.grad(loss, tiles)
        with torch.no_grad():  # Adam with a cosine schedule, and projection onto the budget
            first.lerp_(gradient, 0.1)
            second.lerp_(gradient.square(), 0.02)
            begins = 0 if latent_phase else settings.latent_steps
            ends = settings.latent_steps if latent_phase else settings.steps
            turn, rate = step - begins, settings.rates[0 if latent_phase else 1]
            rate *= 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * turn / (ends - begins)))
            update = (first / (1 - 0.9**turn)) / ((second / (1 - 0.98**turn)).sqrt() + 1e-12)
            tiles.sub_(rate * update).clamp_(-1, 1)
        gains[name].append(float(gain.detach().mean()))
        done = step
        if step % settings.every == 0:
            save(settings.output, tiles, first, second, done)
            line = {
                "step": step,
                "minutes": round((time.monotonic() - begun) / 60, 1),
                "log_shift" if latent_phase else "decoded_error_db": {
                    name: round(sum(of) / len(of), 2) for name, of in gains.items() if of
                },
                "saturated": round(float((tiles.abs() > 0.98).float().mean()), 3),
            }
            with log_path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            gains = {name: [] for name in models}
    if done % settings.every:  # stopped by the time limit between two saves
        save(settings.output, tiles, first, second, done)


if __name__ == "__main__":
    main()
