"""Generate videos with a backbone and diffusers' own schedulers: reference videos, and the videos of victims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.base import DenoiserInputs
from anti_i2v.tensors import Feature, Pixels

__all__ = ["STEPS", "generate", "sample_noise"]

STEPS = 20
"""Denoising steps of a reference video."""


def generate(
    backbone: Backbone,
    pixels: Pixels,
    *,
    seeds: Sequence[int] | int,
    steps: int = STEPS,
    conditioning: DenoiserInputs | None = None,
    on_step: Callable[[], None] | None = None,
) -> Feature:
    """Generate the latents of a video of each photo, in the layout of `Backbone.add_noise`'s reference.

    Classifier-free guidance is off (a scale of 1): a reference shows how the scene moves and need not look its best,
    and guidance doubles the cost. Noise is sampled on the CPU, photo by photo, so a photo's video does not depend on
    the other photos, nor (up to rounding) on the device. No gradients are kept.

    Args:
        pixels: (B, 3, H, W) in [0, 1], sides multiples of `backbone.multiple`.
        seeds: one for each photo, or one for all.
        steps: number of scheduler steps.
        conditioning: the result of `backbone.photo_conditioning` for these photos, if it is known already.
        on_step: called before each step. What it raises ends the generation.

    Raises:
        ValueError: the numbers of seeds and photos differ, or there are no steps.
        SurrogateError: the scheduler is unknown, or this model cannot generate a video without another.
    """
    each = [seeds] * len(pixels) if isinstance(seeds, int) else list(seeds)
    if len(each) != len(pixels):
        raise ValueError(f"one seed a photo: got {len(each)} for {len(pixels)}")
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}")
    with torch.no_grad(), backbone.without_hooks():
        noise = sample_noise(backbone, pixels, each)
        scheduler = backbone.sampler(steps, noise["noise"])
        if conditioning is None:
            conditioning = backbone.photo_conditioning(pixels)
        latent, inputs = backbone.encode_condition(pixels, {**backbone.context, **conditioning, **noise})
        video = backbone.initial_latents(noise["noise"], latent) * getattr(scheduler, "init_noise_sigma", 1.0)
        for timestep in scheduler.timesteps:
            if on_step is not None:
                on_step()
            now = {**inputs, **backbone.timestep_inputs(timestep.to(video.device).expand(len(video)))}
            prediction = backbone.denoise(_scaled(scheduler, video, timestep), latent, pixels, now).to(video.dtype)
            if backbone.replaces_first_frame:
                later = scheduler.step(prediction, timestep, video[:, :, 1:], return_dict=False)[0]
                video = torch.cat([latent.unsqueeze(2), later], 2)
            else:
                video = scheduler.step(prediction, timestep, video, return_dict=False)[0]
        return video


def _scaled(scheduler: Any, video: Feature, timestep: torch.Tensor) -> Feature:
    if not hasattr(scheduler, "scale_model_input"):
        return video
    scaled: Feature = scheduler.scale_model_input(video, timestep)
    return scaled


def sample_noise(backbone: Backbone, pixels: Pixels, seeds: Sequence[int]) -> dict[str, torch.Tensor]:
    """Sample the random inputs of each photo, (B, ...), but not the noise level, which the scheduler sets."""
    height, width = pixels.shape[-2:]
    sizes = {
        name: random.size(1, height, width) for name, random in backbone.random_inputs.items() if len(random.shape) > 1
    }
    samples: dict[str, list[torch.Tensor]] = {name: [] for name in sizes}
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for name, size in sizes.items():
            samples[name].append(torch.randn(size, generator=generator))
    return {name: torch.cat(tensors).to(pixels) for name, tensors in samples.items()}
