"""What a step on a whole video model costs, beside the work of the published baseline loop.

    hatch run bench-backbones                  # tiny model on the CPU: ratios only
    hatch run bench-backbones --real           # CogVideoX-5B's shape, 480 x 720, 16 frames, random weights, on a GPU

Speed does not depend on what the weights hold, so they are random. The baseline is the work that the authors' published
loop does in every step, re-created here: encode the reference video, the target and the photo, make the rotary tables,
run the whole denoiser on both, and wait for the device. Both run in turn in one process; figures are
medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import diffusers
import numpy as np
import torch

from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives import Anchor, Collapse, Denoising, Objective, bind
from anti_i2v.optimise import value_and_gradient
from anti_i2v.refine import anchor_target
from anti_i2v.surrogates.backbones.cogvideox import CogVideoX, alphas_of
from anti_i2v.surrogates.info import SurrogateInfo, draw_all

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
    "frames": 4,  # latent: 16 frames of video, in groups of 4
}


def build(
    shape: dict, device: torch.device, dtype: torch.dtype, hooks: tuple[str, ...], **options: object
) -> CogVideoX:
    with torch.device(device):
        torch.manual_seed(0)
        torch.set_default_dtype(dtype)
        vae = diffusers.AutoencoderKLCogVideoX(**shape["vae"])
        transformer = diffusers.CogVideoXTransformer3DModel(**shape["transformer"])
        torch.set_default_dtype(torch.float32)
    settings = shape["transformer"]
    text = torch.zeros(1, settings["max_text_seq_length"], settings["text_embed_dim"], device=device)
    info = SurrogateInfo(name="random", kind="CogVideoX", source="random", fingerprint="", licence="none")
    alphas = alphas_of({"prediction_type": "v_prediction", "snr_shift_scale": 1.0})
    made = CogVideoX(
        vae, transformer, info, alphas, context={"text": text}, hooks=hooks, frames=shape["frames"], **options
    )
    return made.to(device)


def baseline_step(model: CogVideoX, clean: torch.Tensor, target: torch.Tensor, video: torch.Tensor) -> Callable:
    """One step with the published loop's work: everything anew, each once, and the terms unscaled."""
    generator = np.random.default_rng(0)

    def step(candidate: torch.Tensor) -> float:
        model._rotary.clear()
        drawn = draw_all(model.draws, tuple(clean.shape), generator)
        draw = {name: torch.from_numpy(value).to(clean.device) for name, value in drawn.items()}
        with torch.no_grad():
            draw = {**model.context, "reference": model.encode_video(video), **draw}
            wanted = model.features(target, draw)

        def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
            seen = model.features(pixels, draw)
            collapse = sum(mean_square(seen[late] - seen[early]) for late, early in model.pairs())
            anchor = sum(mean_square(seen[name] - wanted[name]) for name in ("latent", *model.resolve("late")))
            return collapse + anchor - mean_square(seen["prediction"] - seen["target"])

        loss, _ = value_and_gradient(loss_fn, candidate)
        return float(loss.sum())  # printed by the published loop, which waits for the device

    return step


def our_step(model: CogVideoX, objectives: dict[Objective, float], clean: torch.Tensor, draws: int) -> Callable:
    bound = bind(objectives, model, clean, draws=draws)
    generator = np.random.default_rng(0)
    loss_fn = bound.with_fresh_draws(generator)
    for _ in range(8 * draws):  # every draw was bound once: what a run of hundreds of steps pays at its start
        if all(bound._kept):
            break
        with torch.no_grad():
            loss_fn(clean)

    def step(candidate: torch.Tensor) -> torch.Tensor:
        return value_and_gradient(loss_fn, candidate)[0]

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="CogVideoX-5B's shape, on a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.real and not torch.cuda.is_available():
        parser.error("--real needs a CUDA device")
    shape = REAL if asked.real else TINY
    device = torch.device("cuda" if asked.real else "cpu")
    dtype = torch.bfloat16 if asked.real else torch.float32
    clean = torch.rand(1, 3, *shape["size"], generator=torch.Generator().manual_seed(0)).to(device)
    candidate = (clean + 0.01).clamp(0, 1)
    video = clean.expand(4 * (shape["frames"] - 1) + 1, -1, -1, -1)
    target = torch.from_numpy(anchor_target(*shape["size"])).to(device)
    anchor = Anchor(target, ("latent", "late"))
    full: dict[Objective, float] = {Collapse(): 1.0, anchor: 1.0, Denoising(): 1.0}
    inner: dict[Objective, float] = {Collapse(): 1.0, anchor: 1.0}
    early: dict[Objective, float] = {Anchor(target, ("latent", "early")): 1.0}
    everything, inside = ("early", "late", "prediction"), ("early", "late")

    rows: list[tuple[str, Callable]] = []
    whole = build(shape, device, dtype, everything)
    rows.append(("baseline loop: all terms, all work in every step", baseline_step(whole, clean, target, video)))
    rows.append(("ours: all terms, 2 draws bound once", our_step(whole, full, clean, 2)))
    if asked.real:  # one copy of five billion weights at a time would not be side by side
        whole.denoiser.enable_gradient_checkpointing()
        rows.append(("ours, --low-memory", our_step(whole, full, clean, 2)))
    else:
        saving = build(shape, device, dtype, everything, checkpointing=True)
        rows.append(("ours, --low-memory", our_step(saving, full, clean, 2)))
        rows.append(("ours, no DM (IRC, IRA)", our_step(build(shape, device, dtype, inside), inner, clean, 2)))
        rows.append(
            ("ours, IRA on an early block alone", our_step(build(shape, device, dtype, ("early",)), early, clean, 2))
        )

    times: dict[str, list[float]] = {name: [] for name, _ in rows}
    peaks: dict[str, float] = {}
    for turn in range(asked.rounds + 1):
        for name, step in rows:
            if asked.real:
                checkpointing = "low-memory" in name
                whole.denoiser.gradient_checkpointing = checkpointing
                torch.cuda.reset_peak_memory_stats()
                torch.cuda.synchronize()
            begun = time.perf_counter()
            step(candidate)
            if asked.real:
                torch.cuda.synchronize()
                peaks[name] = torch.cuda.max_memory_allocated() / 2**30
            if turn:  # the first one warms up
                times[name].append(time.perf_counter() - begun)

    base = statistics.median(times[rows[0][0]])
    where = torch.cuda.get_device_name() if asked.real else f"CPU, {torch.get_num_threads()} threads"
    print(f"{'CogVideoX-5B shape' if asked.real else 'tiny CogVideoX'}, {shape['size']}, {where}")
    print(f"{'':<52}{'seconds a step':>16}{'faster':>9}{'peak GiB':>10}")
    for name, _ in rows:
        median = statistics.median(times[name])
        peak = f"{peaks[name]:.1f}" if name in peaks else "-"
        print(f"{name:<52}{median:>16.3f}{base / median:>8.2f}x{peak:>10}")


if __name__ == "__main__":
    main()
