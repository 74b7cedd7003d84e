"""Videos that a victim makes of photos. Noise depends on the seed alone, so conditions are paired over seeds.

A photo's video does not depend on the others of its batch: `sampling.generate` draws for each photo by itself, and the
photos go through the model one at a time here, for a batch of another size may be summed in another order. On a GPU,
where a batch of one leaves most of the device idle, `batch` trades bit-equality for time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from anti_i2v.arrays import Rgb8
from anti_i2v.surrogates.backbones.video_generation import STEPS, generate

if TYPE_CHECKING:
    from anti_i2v.surrogates.backbones.base import Backbone

__all__ = ["generate_videos"]


def generate_videos(
    victim: Backbone,
    photos: Rgb8,
    seeds: Sequence[int],
    steps: int = STEPS,
    *,
    batch: int = 1,
    on_step: Callable[[], None] | None = None,
) -> Rgb8:
    """Videos of each photo under each seed.

    Args:
        photos: (N, H, W, 3), sides multiples of `victim.multiple`.
        seeds: the same for every photo.
        steps: of the sampler.
        batch: videos that are made at once; 1 gives a photo the very same video whatever stands beside it.
        on_step: called before each step of each batch; what it raises ends the work.

    Returns:
        (N, S, T, H, W, 3).

    Raises:
        ValueError: no photos or no seeds, or sides that do not fit.
    """
    import torch

    if not len(photos) or not len(seeds):
        raise ValueError(f"videos take photos and seeds, got {len(photos)} and {len(seeds)}")
    if any(side % victim.multiple for side in photos.shape[1:3]):
        raise ValueError(f"sides must be multiples of {victim.multiple}, got {photos.shape[2]}x{photos.shape[1]}")
    device = next(victim.parameters()).device
    wanted = [(photo, seed) for photo in range(len(photos)) for seed in seeds]
    videos = []
    for start in range(0, len(wanted), batch):
        some = wanted[start : start + batch]
        pixels = torch.from_numpy(photos[[photo for photo, _ in some]]).to(device).permute(0, 3, 1, 2).float().div(255)
        latents = generate(victim, pixels, seeds=[seed for _, seed in some], steps=steps, on_step=on_step)
        with torch.no_grad():
            video = victim.decode_video(latents)
        levels = video.float().mul(255).round().clamp(0, 255).to(torch.uint8)
        videos.append(levels.permute(0, 1, 3, 4, 2).cpu().numpy())
    made = np.concatenate(videos)
    return np.ascontiguousarray(made.reshape(len(photos), len(seeds), *made.shape[1:]))
