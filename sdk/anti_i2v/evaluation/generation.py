"""Generate videos of photos with a victim. The noise depends only on the seed, so conditions are paired by seed.

By default photos go through the model one at a time, because a batch of another size may be summed in another order:
then a photo's video does not depend on the other photos. A larger `batch` gives up bit equality for speed on a GPU.
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
    """Generate a video of each photo under each seed.

    Args:
        photos: (N, H, W, 3), sides multiples of `victim.multiple`.
        seeds: the same for every photo.
        steps: number of sampler steps.
        batch: videos generated at once; with 1 a photo's video does not depend on the other photos.
        on_step: called before each step of each batch; an exception from it ends the generation.

    Returns:
        (N, S, T, H, W, 3).

    Raises:
        ValueError: no photos or no seeds, or sides that do not fit.
    """
    if not len(photos) or not len(seeds):
        raise ValueError(f"videos need photos and seeds, got {len(photos)} and {len(seeds)}")
    if any(side % victim.multiple for side in photos.shape[1:3]):
        raise ValueError(f"sides must be multiples of {victim.multiple}, got {photos.shape[2]}x{photos.shape[1]}")
    wanted = [(photo, seed) for photo in range(len(photos)) for seed in seeds]
    videos = []
    for start in range(0, len(wanted), batch):
        chosen, chosen_seeds = zip(*wanted[start : start + batch], strict=True)
        videos.append(_generate_batch(victim, photos[list(chosen)], list(chosen_seeds), steps, on_step))
    made = np.concatenate(videos)
    return np.ascontiguousarray(made.reshape(len(photos), len(seeds), *made.shape[1:]))


def _generate_batch(
    victim: Backbone, photos: Rgb8, seeds: Sequence[int], steps: int, on_step: Callable[[], None] | None
) -> Rgb8:
    """Generate one video for each pair of photo and seed: (B, H, W, 3) -> (B, T, H, W, 3)."""
    import torch

    device = next(victim.parameters()).device
    pixels = torch.from_numpy(photos).to(device).permute(0, 3, 1, 2).float().div(255)
    latents = generate(victim, pixels, seeds=seeds, steps=steps, on_step=on_step)
    with torch.no_grad():
        video = victim.decode_video(latents)
    levels = video.float().mul(255).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 1, 3, 4, 2).cpu().numpy()
