"""Train the universal tiles of the `draft` recipe, through the decoders of real encoders.

    python sdk/training/tiles.py PHOTOS_FOLDER SURROGATES_FOLDER -o sdk/anti_i2v/data/tiles.safetensors

Two phases, one teacher a step in turn. First, cheaply, the log relative latent shift finds the directions in which
encoders move at all. Then what is minimised is minus the decoded error in dB between the photo and the protected photo,
minus LPIPS of the same pair: so the tiles end at what a decoder shows, not at latent energy. Each step sees one random
transform. `taesd3` is held out: naming it as a teacher is refused.
Resumable: the state is written every `--every` steps and taken up again. Deterministic by seed on one machine.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file

from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives import relative_shift
from anti_i2v.tiles import TILE, draw_layout, lay
from anti_i2v.transforms import sampler

HELD_OUT = "taesd3"
CROP = 96
BUDGET = 8 / 255


def photos_of(folder: Path) -> list[Image.Image]:
    """Every photo of the folder, upright, with its short side at most 900 pixels (what crops are cut from)."""
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
    """`count` square crops as uint8 (count, 3, CROP, CROP), each seen at a random scale: the short side is
    192 to 640 pixels when it is cut, as a video model would see it."""
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
    """A frozen real encoder and decoder, channels_last (1.5x faster on a CPU)."""
    if name == HELD_OUT:
        raise SystemExit(f"{HELD_OUT} is held out: it selects and reports, it never trains")
    model = AutoencoderTiny.from_pretrained(folder / name, torch_dtype=torch.float32)
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def encoded(model: AutoencoderTiny, pixels: torch.Tensor) -> torch.Tensor:
    """The latent of pixels in [0, 1]."""
    return model.encoder(pixels.mul(2).sub(1).contiguous(memory_format=torch.channels_last))


def through(model: AutoencoderTiny, pixels: torch.Tensor) -> torch.Tensor:
    """Encoded and decoded again, in [0, 1] (not clamped: a clamp would end the gradient)."""
    return model.decoder(encoded(model, pixels)).add(1).div(2)


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order.split(size)


def sideways(pixels: torch.Tensor, tiles: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The batch with a freshly laid perturbation, one layout a crop."""
    laid = [
        lay(tiles, draw_layout(int(torch.randint(2**62, (), generator=generator)), len(tiles)), CROP, CROP)
        for _ in pixels
    ]
    return (pixels + BUDGET * torch.stack(laid)).clamp(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("surrogates", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--lpips", type=Path, required=True, help="lpips_alex.safetensors")
    parser.add_argument("--teachers", nargs="+", default=["taesd", "taesdxl", "taef1"])
    parser.add_argument("--tiles", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1300)
    parser.add_argument("--latent-steps", type=int, default=400, help="of these, how many look at the latent alone")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--crops", type=int, default=1600)
    parser.add_argument("--rate", type=float, default=0.08)
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
    transform = sampler({"identity": 0.5, "resize": 0.25, "jpeg": 0.15, "blur": 0.1})

    state_path = settings.output.with_suffix(".state.safetensors")
    log_path = settings.output.with_suffix(".log.jsonl")
    tiles = 0.7 * torch.empty(settings.tiles, 3, TILE, TILE).uniform_(-1, 1, generator=generator)
    first, second, done = torch.zeros_like(tiles), torch.zeros_like(tiles), 0
    if state_path.exists():
        state = load_file(state_path)
        tiles, first, second, done = state["tiles"], state["first"], state["second"], int(state["step"])
        generator.manual_seed(settings.seed + done)
    tiles.requires_grad_(True)

    begun, sums = time.monotonic(), dict.fromkeys(models, 0.0)
    for step, rows in enumerate(batches(len(cut), settings.batch, generator), start=done + 1):
        progress = step / settings.steps
        if progress > 1 or time.monotonic() - begun > 60 * settings.minutes:
            break
        clean = cut[rows].float().div(255)
        name = settings.teachers[step % len(models)]
        candidate = transform(sideways(clean, tiles, generator), generator)
        if step <= settings.latent_steps:
            with torch.no_grad():
                wanted = encoded(models[name], clean)
            gain = torch.log(relative_shift(encoded(models[name], candidate), wanted) + 1e-3)
            loss = -gain.mean()
        else:
            with torch.no_grad():
                expected = through(models[name], clean).clamp(0, 1)
            decoded = through(models[name], candidate)
            error = (decoded - expected).square().flatten(1).mean(1)
            gain = 10 * torch.log10(error + 1e-5)
            loss = -(gain / 6 + 4 * perceptual(decoded, expected)).mean()
        (gradient,) = torch.autograd.grad(loss, tiles)
        with torch.no_grad():  # Adam with a cosine schedule, and projection onto the budget
            first.lerp_(gradient, 0.1)
            second.lerp_(gradient.square(), 0.02)
            scale = settings.rate * (0.05 + 0.95 * 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi))))
            update = (first / (1 - 0.9**step)) / ((second / (1 - 0.98**step)).sqrt() + 1e-12)
            tiles.sub_(scale * update).clamp_(-1, 1)
        sums[name] += float(gain.mean())
        if step % settings.every == 0:
            kept = {"tiles": tiles.detach(), "first": first, "second": second, "step": torch.tensor(step)}
            save_file(kept, state_path)
            share = settings.every / len(models)
            line = {
                "step": step,
                "minutes": round((time.monotonic() - begun) / 60, 1),
                "log_shift" if step <= settings.latent_steps else "decoded_error_db": {
                    name: round(total / share, 2) for name, total in sums.items()
                },
                "saturated": round(float((tiles.abs() > 0.98).float().mean()), 3),
            }
            with log_path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            sums = dict.fromkeys(models, 0.0)
            save_file({"tiles": tiles.detach().mul(127).round().to(torch.int8)}, settings.output)


if __name__ == "__main__":
    main()
