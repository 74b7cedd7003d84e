"""Train the purifiers of evaluations: a denoiser of FFDNet's design, and an upscaler.

    python sdk/training/purifiers.py denoiser PHOTOS_FOLDER -o sdk/anti_i2v/data/purifiers/denoiser.safetensors
    python sdk/training/purifiers.py upscaler PHOTOS_FOLDER -o sdk/anti_i2v/data/purifiers/upscaler.safetensors

The denoiser gets crops with Gaussian noise of 0 to 25 levels, and the noise level. The upscaler gets crops at half size
(bicubic), half of them with some noise or JPEG as well. Both minimise L1, and neither sees our perturbations. The last
line prints the validation: PSNR on crops of held-out photos, with the weights rounded to fp16 as they ship. A run takes
minutes on one core and cannot be resumed. It is deterministic by seed on one machine.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from clips import photos_of
from PIL import Image
from safetensors.torch import load_file, save_file

from anti_i2v.evaluation.purifiers import MAX_NOISE_LEVEL, Denoiser, Upscaler

SIDE = 64
EDGE = 8
"""Pixels at a crop's edge that the loss excludes: a photo's edges are mirrored, a crop's are not."""
SHORT_SIDES = (160, 900)
"""Range of a photo's short side in pixels when a crop is cut; at most 80 % of its own, which removes JPEG artefacts."""


def crops(photos: Sequence[Image.Image], count: int, seed: int) -> torch.Tensor:
    """Cut `count` crops, (count, 3, SIDE, SIDE) uint8, from each photo in turn at random scales."""
    draw = random.Random(seed)
    cut = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for index in range(count):
        photo = photos[index % len(photos)]
        most = max(SHORT_SIDES[0], min(SHORT_SIDES[1], 0.8 * min(photo.size)))
        ratio = math.exp(draw.uniform(math.log(SHORT_SIDES[0]), math.log(most))) / min(photo.size)
        side = SIDE / ratio
        left, top = draw.uniform(0, photo.width - side), draw.uniform(0, photo.height - side)
        box = (left, top, left + side, top + side)
        cut[index] = photo.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box)
    return torch.from_numpy(cut).permute(0, 3, 1, 2)


def rotate_and_flip(clean: torch.Tensor, draw: random.Random) -> torch.Tensor:
    """Apply one of the eight symmetries of a square to the whole batch."""
    clean = clean.rot90(draw.randrange(4), (2, 3))
    return clean.flip(3) if draw.random() < 0.5 else clean


def downscaled(clean: torch.Tensor, draw: random.Random, degraded: float) -> torch.Tensor:
    """Halve the size of a batch, and degrade this share of it with up to 5 levels of noise and perhaps JPEG."""
    found = []
    for crop in clean:
        window = Image.fromarray(crop.permute(1, 2, 0).numpy())
        window = window.resize((window.width // 2, window.height // 2), Image.Resampling.BICUBIC)
        if draw.random() < degraded:
            noise = np.random.default_rng(draw.randrange(2**32)).normal(0, draw.uniform(0, 5), (*window.size, 3))
            window = Image.fromarray((np.asarray(window) + noise).round().clip(0, 255).astype(np.uint8))
            if draw.random() < 0.5:
                file = io.BytesIO()
                window.save(file, "JPEG", quality=draw.randrange(60, 96))
                window = Image.open(file)
        found.append(torch.from_numpy(np.array(window)).permute(2, 0, 1))
    return torch.stack(found).float().div(255)


def noisy(clean: torch.Tensor, level: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return (clean + level.view(-1, 1, 1, 1) * torch.randn(clean.shape, generator=generator)).clamp(0, 1)


def psnr(found: torch.Tensor, clean: torch.Tensor) -> float:
    """Compute the mean PSNR of crops without their edges."""
    inner = (found.clamp(0, 1) - clean)[..., EDGE:-EDGE, EDGE:-EDGE]
    return round(float(-10 * inner.square().mean((1, 2, 3)).clamp_min(1e-9).log10().mean()), 2)


@torch.no_grad()
def validate(network: Denoiser | Upscaler, held_out: torch.Tensor, seed: int) -> dict[str, float]:
    """Measure PSNR before and after, in dB, on held-out crops."""
    clean, generator, found = held_out.float().div(255), torch.Generator().manual_seed(seed), {}
    if isinstance(network, Denoiser):
        for levels in (5, 15):
            given = noisy(clean, torch.full((len(clean),), levels / 255), generator)
            found[f"noise_{levels}"] = psnr(given, clean)
            found[f"denoised_{levels}"] = psnr(network(given, torch.full((len(clean),), levels / 255)), clean)
        return found
    for name, degraded in (("", 0.0), ("_degraded", 1.0)):
        given = downscaled(held_out, random.Random(seed), degraded)
        enlarged = torch.nn.functional.interpolate(given, scale_factor=2, mode="bicubic", align_corners=False)
        found |= {f"bicubic{name}": psnr(enlarged, clean), f"upscaled{name}": psnr(network(given), clean)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=("denoiser", "upscaler"))
    parser.add_argument("photos", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=20, help="the run ends then, wherever its learning rate is")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crops", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()

    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    generator, draw = torch.Generator().manual_seed(settings.seed), random.Random(settings.seed)
    settings.output.parent.mkdir(parents=True, exist_ok=True)
    photos = photos_of(settings.photos)
    held = photos[::10] if len(photos) > 1 else photos
    cut = crops([photo for index, photo in enumerate(photos) if index % 10] or photos, settings.crops, settings.seed)
    network: Denoiser | Upscaler = Denoiser() if settings.network == "denoiser" else Upscaler()
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), settings.rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.rate, total_steps=settings.steps + 1, pct_start=0.1, final_div_factor=1000
    )

    begun, total = time.monotonic(), 0.0
    for step in range(1, settings.steps + 1):
        if time.monotonic() - begun > 60 * settings.minutes:
            break
        rows = rotate_and_flip(cut[torch.randint(len(cut), (settings.batch,), generator=generator)], draw)
        clean = rows.float().div(255)
        # Twice as fast, at an error of a tenth of a level.
        with torch.autocast("cpu", torch.bfloat16):
            if isinstance(network, Denoiser):
                level = torch.rand(len(clean), generator=generator) * (MAX_NOISE_LEVEL / 255)
                found = network(noisy(clean, level, generator), level)
            else:
                found = network(downscaled(rows, draw, degraded=0.5))
        loss = (found.float() - clean)[..., EDGE:-EDGE, EDGE:-EDGE].abs().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimiser.step()
        schedule.step()
        total += loss.item()
        if step % settings.every == 0:
            minutes = round((time.monotonic() - begun) / 60, 1)
            line = {"step": step, "minutes": minutes, "levels": round(255 * total / settings.every, 3)}
            print(json.dumps(line), flush=True)
            total = 0.0
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, settings.output)
    network.load_state_dict({name: value.float() for name, value in load_file(settings.output).items()})
    print(json.dumps(validate(network.eval(), crops(held, 96, settings.seed + 1), settings.seed)))


if __name__ == "__main__":
    main()
