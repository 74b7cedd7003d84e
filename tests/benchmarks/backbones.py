"""Measure the cost of a step on a whole video model, beside the work of the published baseline loop.

    hatch run bench-backbones                  # tiny model on the CPU: ratios only
    hatch run bench-backbones --real           # CogVideoX-5B's shape, 480 x 720, 13 frames, random weights, on a GPU
    hatch run bench-backbones --real --device cpu --shrink 8      # the same path, an eighth of every size: no figures

The weights are random, because speed does not depend on them. The baseline repeats the work of each step of the
authors' published loop: encode the reference video, the target and the photo, compute the rotary tables, run the whole
denoiser on both, and synchronise. All rows run in turn on one model in one process. Figures are medians of the rounds
after the first, which warms up and compiles; its seconds are reported separately.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import diffusers
import numpy as np
import torch

from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import Objective
from anti_i2v.objectives.binding import bind_objectives
from anti_i2v.objectives.denoising import DenoisingLoss
from anti_i2v.objectives.representation_anchor import RepresentationAnchor
from anti_i2v.objectives.representation_collapse import RepresentationCollapse
from anti_i2v.objectives.targets import checkerboard
from anti_i2v.optim.update_rules import value_and_gradient
from anti_i2v.surrogates.backbones.cogvideox import CogVideoX, alphas_of
from anti_i2v.surrogates.info import SurrogateInfo, sample_inputs

TINY = {
    "vae": {
        "down_block_types": ("CogVideoXDownBlock3D",) * 4,
        "up_block_types": ("CogVideoXUpBlock3D",) * 4,
        "block_out_channels": (8, 8, 16, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "latent_channels": 4,
    },
    "transformer": {
        "num_attention_heads": 4,
        "attention_head_dim": 32,
        "in_channels": 8,
        "out_channels": 4,
        "time_embed_dim": 32,
        "text_embed_dim": 32,
        "num_layers": 8,
        "max_text_seq_length": 16,
        "sample_width": 24,
        "sample_height": 16,
        "use_rotary_positional_embeddings": True,
    },
    "size": (128, 192),
    "frames": 4,
}
REAL = {
    "vae": {
        "down_block_types": ("CogVideoXDownBlock3D",) * 4,
        "up_block_types": ("CogVideoXUpBlock3D",) * 4,
        "block_out_channels": (128, 256, 256, 512),
        "layers_per_block": 3,
        "norm_num_groups": 32,
        "latent_channels": 16,
    },
    "transformer": {
        "num_attention_heads": 48,
        "attention_head_dim": 64,
        "in_channels": 32,
        "out_channels": 16,
        "time_embed_dim": 512,
        "text_embed_dim": 4096,
        "num_layers": 42,
        "max_text_seq_length": 226,
        "sample_width": 90,
        "sample_height": 60,
        "use_rotary_positional_embeddings": True,
    },
    "size": (480, 720),
    "frames": 4,  # latent: 13 frames of video, the first and three groups of 4
}


def shrunk(shape: dict, by: int) -> dict:
    """Divide every size of the real shape, as far as the model allows, to test the code path on a small machine."""
    vae, transformer = shape["vae"], shape["transformer"]
    groups = max(1, vae["norm_num_groups"] // by)
    return {
        "vae": {
            **vae,
            "block_out_channels": tuple(max(groups, each // by) for each in vae["block_out_channels"]),
            "norm_num_groups": groups,
        },
        "transformer": {
            **transformer,
            "num_attention_heads": max(1, transformer["num_attention_heads"] // by),
            "num_layers": max(5, transformer["num_layers"] // by),
            "text_embed_dim": transformer["text_embed_dim"] // by,
            "time_embed_dim": transformer["time_embed_dim"] // by,
        },
        "size": tuple(max(16, side // by // 16 * 16) for side in shape["size"]),
        "frames": shape["frames"],
    }


def build(
    shape: dict, device: torch.device, dtype: torch.dtype, hooks: tuple[str, ...], **options: object
) -> CogVideoX:
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            vae = diffusers.AutoencoderKLCogVideoX(**shape["vae"])
            transformer = diffusers.CogVideoXTransformer3DModel(**shape["transformer"])
    finally:
        torch.set_default_dtype(torch.float32)
    settings = shape["transformer"]
    text = torch.zeros(1, settings["max_text_seq_length"], settings["text_embed_dim"], device=device)
    info = SurrogateInfo(name="random", kind="CogVideoX", source="random", fingerprint="", licence="none")
    alphas = alphas_of({"prediction_type": "v_prediction", "snr_shift_scale": 1.0})
    made = CogVideoX(
        vae, transformer, info, alphas, context={"text": text}, hooks=hooks, frames=shape["frames"], **options
    )
    return made.to(device)


@dataclass(eq=False)
class Row:
    """One row of the table: a step on a model, and how the model runs."""

    name: str
    model: CogVideoX
    make: Callable[[], Callable]
    saving: bool = False
    compiled: dict[str, Callable] | None = None
    step: Callable | None = None
    begun: float = 0.0  # seconds until the first step was done: binding, and compiling if requested
    seconds: list[float] = field(default_factory=list)
    peak: float = 0.0

    def arrange(self) -> None:
        for part in (self.model.autoencoder, self.model.denoiser):
            (part.enable_gradient_checkpointing if self.saving else part.disable_gradient_checkpointing)()
        for name in self.model.layers:
            block = self.model.denoiser.get_submodule(name)
            block.__dict__.pop("forward", None)
            if self.compiled is not None:
                # Only `forward`, so that the hooks that end a forward pass early stay outside.
                block.forward = self.compiled.setdefault(name, torch.compile(block.forward))


def baseline_step(model: CogVideoX, clean: torch.Tensor, target: torch.Tensor, video: torch.Tensor) -> Callable:
    """Make a step with the published loop's work: everything computed anew, the terms unscaled."""
    generator = np.random.default_rng(0)

    def step(candidate: torch.Tensor) -> float:
        model._rotary.clear()
        arrays = sample_inputs(model.random_inputs, tuple(clean.shape), generator)
        samples = {name: torch.from_numpy(value).to(clean.device) for name, value in arrays.items()}
        with torch.no_grad():
            inputs = {**model.context, "reference": model.encode_video(video), **samples}
            wanted = model.features(target, inputs)

        def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
            seen = model.features(pixels, inputs)
            collapse = sum(mean_square(seen[late] - seen[early]) for late, early in model.collapse_pairs())
            anchor = sum(mean_square(seen[name] - wanted[name]) for name in ("latent", *model.resolve_layers("late")))
            return collapse + anchor - mean_square(seen["prediction"] - seen["target"])

        loss, _ = value_and_gradient(loss_fn, candidate)
        return float(loss.sum())  # printed by the published loop, which waits for the device

    return step


def our_step(model: CogVideoX, objectives: dict[Objective, float], clean: torch.Tensor, draws: int) -> Callable:
    bound = bind_objectives(objectives, model, clean, noise_samples=draws)
    generator = np.random.default_rng(0)
    loss_fn = bound.with_fresh_inputs(generator)
    for _ in range(8 * draws):  # bind every sample once, as a long run does at its start
        if all(bound._samples):
            break
        with torch.no_grad():
            loss_fn(clean)

    def step(candidate: torch.Tensor) -> torch.Tensor:
        return value_and_gradient(loss_fn, candidate)[0]

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="CogVideoX-5B's shape in bfloat16, on a GPU")
    parser.add_argument("--device", help="by default cuda with --real, else cpu")
    parser.add_argument("--shrink", type=int, default=1, metavar="N", help="with --real: divide every size")
    parser.add_argument("--no-compile", action="store_true", help="leave out the rows with torch.compile")
    parser.add_argument("--rounds", type=int, default=5)
    settings = parser.parse_args()
    device = torch.device(settings.device or ("cuda" if settings.real else "cpu"))
    gpu = device.type == "cuda"
    if gpu and not torch.cuda.is_available():
        parser.error("no CUDA device here: try the path by --real --device cpu --shrink 8")
    shape = shrunk(REAL, settings.shrink) if settings.real else TINY
    dtype = torch.bfloat16 if settings.real else torch.float32
    clean = torch.rand(1, 3, *shape["size"], generator=torch.Generator().manual_seed(0)).to(device)
    candidate = (clean + 0.01).clamp(0, 1)
    video = clean.expand(4 * (shape["frames"] - 1) + 1, -1, -1, -1)
    target = torch.from_numpy(checkerboard(*shape["size"])).to(device)
    anchor = RepresentationAnchor(target, ("latent", "late"))
    full: dict[Objective, float] = {RepresentationCollapse(): 1.0, anchor: 1.0, DenoisingLoss(): 1.0}
    inner: dict[Objective, float] = {RepresentationCollapse(): 1.0, anchor: 1.0}
    early: dict[Objective, float] = {RepresentationAnchor(target, ("latent", "early")): 1.0}

    whole = build(shape, device, dtype, ("early", "late", "prediction"))
    compiled: dict[str, Callable] = {}

    def baseline() -> Callable:
        return baseline_step(whole, clean, target, video)

    def ours() -> Callable:
        return our_step(whole, full, clean, 2)

    rows = [
        Row("baseline loop: all terms, all work in every step", whole, baseline),
        Row("ours: all terms, 2 noise samples bound once", whole, ours),
        Row("ours, --low-memory", whole, ours, saving=True),
    ]
    if not settings.no_compile:
        rows.append(Row("ours, blocks compiled", whole, ours, compiled=compiled))
        rows.append(Row("ours, --low-memory, blocks compiled", whole, ours, saving=True, compiled=compiled))
    if not settings.real:  # only one model of five billion weights fits
        inside, first = (build(shape, device, dtype, hooks) for hooks in (("early", "late"), ("early",)))
        rows.append(Row("ours, no DM (IRC, IRA)", inside, lambda: our_step(inside, inner, clean, 2)))
        rows.append(Row("ours, only IRA on an early block", first, lambda: our_step(first, early, clean, 2)))

    def timed(row: Row) -> float:
        row.arrange()
        if gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        begun = time.perf_counter()
        if row.step is None:
            row.step = row.make()
        row.step(candidate)
        if gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    for row in rows:
        row.begun = timed(row)
        if gpu:  # measure again, without what the other rows have bound
            timed(row)
            row.peak = torch.cuda.max_memory_allocated() / 2**30
            row.step = None
    for turn in range(settings.rounds + 1):
        for row in rows:
            seconds = timed(row)
            if turn:  # rows bind again in the first one
                row.seconds.append(seconds)

    medians = [statistics.median(row.seconds) for row in rows]
    where = torch.cuda.get_device_name(device) if gpu else f"CPU, {torch.get_num_threads()} threads"
    kind = (
        "tiny CogVideoX"
        if not settings.real
        else "CogVideoX-5B shape" + f" / {settings.shrink}" * (settings.shrink > 1)
    )
    print(f"{kind}, {shape['size']}, {str(dtype).removeprefix('torch.')}, {where}")
    print(f"{'':<52}{'seconds a step':>16}{'faster':>9}{'first step':>12}{'peak GiB':>10}")
    for row, median in zip(rows, medians, strict=True):
        peak = f"{row.peak:.1f}" if gpu else "-"
        print(f"{row.name:<52}{median:>16.3f}{medians[0] / median:>8.2f}x{row.begun:>12.1f}{peak:>10}")


if __name__ == "__main__":
    main()
