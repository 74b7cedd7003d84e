"""Train small image-to-video models: the victims that protections are measured on.

    python sdk/training/victims.py dit-taef1 CLIPS_FOLDER -o victims/dit-taef1

Each uses a family of `anti_i2v.surrogates.backbones` with a small version of diffusers' denoiser, on the latents of a
real tiny autoencoder: a DiT as in CogVideoX, and a U-Net as in Stable Video Diffusion. The loss is the backbone's
(`add_noise` and `denoise`): v-prediction at the scheduler's levels, EDM's for the U-Net. CLIPS_FOLDER is the output of
`clips.py`. Runs are resumable (the state is written every `--every` steps) and deterministic: samples depend on the
seed and the step. The rate is constant and falls to zero over the last quarter of `--steps`, so a stopped run can be
resumed with fewer steps. If the state is lost, `--onward` continues from the written weights with a new optimiser, not
to the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, CogVideoXTransformer3DModel, UNetSpatioTemporalConditionModel
from safetensors.torch import load_file
from torch import nn

from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.backbones.cogvideox import ROTARY_SLICE, CogVideoX, alphas_of
from anti_i2v.surrogates.backbones.framewise import Framewise
from anti_i2v.surrogates.backbones.svd import AUGMENTATION, StableVideoDiffusion
from anti_i2v.surrogates.info import SurrogateInfo, sample_inputs

FRAMES, SIDE, DOWN = 8, 128, 8


@dataclass(frozen=True)
class Victim:
    """One model to train: its family, its encoder's latents, its size and its seed."""

    family: str
    encoder: str
    seed: int
    width: int | tuple[int, ...]
    layers: int = 0


VICTIMS = {
    "dit-taef1": Victim("cogvideox", "taef1", seed=1, width=192, layers=7),
    "unet-taesd": Victim("svd", "taesd", seed=2, width=(32, 64, 128)),
    "dit-taef1-second": Victim("cogvideox", "taef1", seed=3, width=160, layers=9),
    "dit-taesd3": Victim("cogvideox", "taesd3", seed=4, width=192, layers=7),
}

HEAD = 32
NEARBY = 3.5
"""Initial bias of every second block's queries and keys, beside a content of deviation 1."""

CAPTION_TOKENS, CAPTION_WIDTH = 2, 16
"""The DiTs read no caption: two tokens of zeros take its place."""

DIT_LEVELS = {"_class_name": "CogVideoXDDIMScheduler", "prediction_type": "v_prediction"}
UNET_LEVELS = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "prediction_type": "v_prediction",
    "sigma_max": 80.0,
    "sigma_min": 0.002,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "use_karras_sigmas": True,
}
CLIP_SIZE, CLIP_WIDTH = 224, 64


def denoiser_of(victim: Victim, channels: int) -> nn.Module:
    if victim.family == "cogvideox":
        assert isinstance(victim.width, int)  # noqa: S101  # by the table above
        model: nn.Module = CogVideoXTransformer3DModel(
            num_attention_heads=victim.width // HEAD,
            attention_head_dim=HEAD,
            in_channels=2 * channels,
            out_channels=channels,
            time_embed_dim=64,
            text_embed_dim=CAPTION_WIDTH,
            num_layers=victim.layers,
            sample_width=SIDE // DOWN,
            sample_height=SIDE // DOWN,
            sample_frames=FRAMES,
            patch_size=2,
            temporal_compression_ratio=1,
            max_text_seq_length=CAPTION_TOKENS,
            use_rotary_positional_embeddings=True,
        )
        for block in model.transformer_blocks:  # each starts as the identity (adaLN-Zero, Peebles and Xie 2023)
            for norm in (block.norm1, block.norm2):
                nn.init.zeros_(norm.linear.weight)
                nn.init.zeros_(norm.linear.bias)
        for block in model.transformer_blocks[::2]:
            # With a common part in queries and keys, rotary attention favours the same place in all frames, so frames
            # learn to copy the photo. Without it a thousand steps were not enough.
            nn.init.constant_(block.attn1.norm_q.bias, NEARBY)
            nn.init.constant_(block.attn1.norm_k.bias, NEARBY)
        return model
    widths = tuple(victim.width) if not isinstance(victim.width, int) else (victim.width,)
    return UNetSpatioTemporalConditionModel(
        sample_size=SIDE // DOWN,
        in_channels=2 * channels,
        out_channels=channels,
        block_out_channels=widths,
        down_block_types=(*["CrossAttnDownBlockSpatioTemporal"] * (len(widths) - 1), "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", *["CrossAttnUpBlockSpatioTemporal"] * (len(widths) - 1)),
        layers_per_block=1,
        num_attention_heads=tuple(width // HEAD for width in widths),
        cross_attention_dim=CLIP_WIDTH // 2,
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        num_frames=FRAMES,
    )


def image_encoder_of() -> nn.Module:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=CLIP_WIDTH,
            intermediate_size=2 * CLIP_WIDTH,
            projection_dim=CLIP_WIDTH // 2,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=CLIP_SIZE,
            patch_size=32,
        )
    )


def build_backbone(name: str, victim: Victim, encoders: Path) -> Backbone:
    """Build the untrained backbone, with gradients for its trained parts."""
    torch.manual_seed(victim.seed)
    tiny = AutoencoderTiny.from_pretrained(encoders / victim.encoder, torch_dtype=torch.float32)
    autoencoder = Framewise(tiny.to(memory_format=torch.channels_last))
    info = SurrogateInfo(name=name, kind=victim.family, source="trained here", fingerprint="", licence="MIT")
    denoiser = denoiser_of(victim, autoencoder.config.latent_channels)
    model: Backbone
    if victim.family == "cogvideox":
        words = {"text": torch.zeros(1, CAPTION_TOKENS, CAPTION_WIDTH)}
        model = CogVideoX(autoencoder, denoiser, info, alphas_of(DIT_LEVELS), frames=FRAMES, context=words)
    else:
        model = StableVideoDiffusion(autoencoder, denoiser, info, image_encoder_of(), {}, frames=FRAMES)
    for part in trained_parts(model).values():
        part.train().requires_grad_(True)
    return model


def trained_parts(model: Backbone) -> dict[str, nn.Module]:
    """Map parts of the folder to the modules that are trained."""
    if isinstance(model, StableVideoDiffusion):
        return {"unet": model.denoiser, "image_encoder": model.image_encoder}
    return {"transformer": model.denoiser}


def loss_of(model: Backbone, pixels: torch.Tensor, latents: torch.Tensor, draws: np.random.Generator) -> torch.Tensor:
    """Compute the family's training loss on clips, (B, T, 3, H, W) uint8, and their latents, (B, T, C, h, w)."""
    photo, videos = pixels[:, 0].float().div(255), latents.float()
    inputs: dict[str, Any] = {
        key: torch.from_numpy(value)
        for key, value in sample_inputs(model.random_inputs, tuple(photo.shape), draws).items()
    }
    first = videos[:, 0]
    if isinstance(model, StableVideoDiffusion):
        inputs["image"] = model.embedding(photo)
        with torch.no_grad():
            first = model.encode(photo + inputs["augmentation"] * (AUGMENTATION / 2))
    noisy, target = model.add_noise(videos, inputs)
    prediction = model.denoise(noisy, first, photo, {**model.context, **inputs})
    return (prediction.float() - target).square().mean()


def save_folder(folder: Path, victim: Victim, model: Backbone, averaged: Mapping[str, torch.Tensor]) -> None:
    """Save the averaged weights in the hub's layout, as fp16. The encoder is named, not copied."""
    folder.mkdir(parents=True, exist_ok=True)
    cog = victim.family == "cogvideox"
    index = {"_class_name": "CogVideoXImageToVideoPipeline" if cog else "StableVideoDiffusionPipeline"}
    if cog:  # so that it also generates at sizes other than SIDE
        index[ROTARY_SLICE[0]] = ROTARY_SLICE[1]
    _json(folder / "model_index.json", index)
    _json(folder / "vae" / "config.json", {"_class_name": "AutoencoderTiny", "encoder": victim.encoder})
    _json(folder / "scheduler" / "scheduler_config.json", DIT_LEVELS if cog else UNET_LEVELS)
    if not cog:
        _json(folder / "feature_extractor" / "preprocessor_config.json", {})
    for part, module in trained_parts(model).items():
        kept = {name: value.clone() for name, value in module.state_dict().items()}
        module.load_state_dict({name: averaged.get(f"{part}.{name}", value) for name, value in kept.items()})
        module.half().save_pretrained(folder / part, safe_serialization=True)
        module.float().load_state_dict(kept)


def _json(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("victim", choices=VICTIMS)
    parser.add_argument("clips", type=Path, nargs="+", help="folders of clips.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--surrogates", type=Path, required=True, help="folder with taesd/, taef1/, taesd3/")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--until", type=int, default=10**9, help="stop after this step, as if the time were over")
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--onward", type=Path, help="a folder written by an earlier run whose state is lost")
    parser.add_argument("--done", type=int, default=0, help="the steps that it had")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    settings = parser.parse_args()
    if (settings.onward is None) != (settings.done == 0):
        parser.error("give --onward and --done together: a run's folder and its number of steps")

    torch.set_num_threads(settings.threads)
    victim, device = VICTIMS[settings.victim], torch.device(settings.device)
    model = build_backbone(settings.victim, victim, settings.surrogates).to(device)
    pixels = [np.load(folder / "pixels.npy", mmap_mode="r") for folder in settings.clips]
    latents = torch.cat([torch.load(folder / f"{victim.encoder}.pt") for folder in settings.clips])
    ends = np.cumsum([len(part) for part in pixels])
    weights = {
        f"{part}.{name}": value
        for part, module in trained_parts(model).items()
        for name, value in module.named_parameters()
    }
    optimiser = torch.optim.AdamW(weights.values(), lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.01)
    if settings.onward:
        for part, module in trained_parts(model).items():
            (file,) = (settings.onward / part).glob("*.safetensors")
            module.load_state_dict(load_file(file))  # fp16 in the file, float32 in the module
    averaged = {name: value.detach().clone() for name, value in weights.items()}
    done, kept = settings.done, settings.output / "state.pt"
    begun_at = done
    if kept.exists():
        state = torch.load(kept, map_location=device)
        done, begun_at = state["step"], state.get("begun_at", 0)
        optimiser.load_state_dict(state["optimiser"])
        averaged = state["averaged"]
        for name, value in weights.items():
            value.data.copy_(state["weights"][name])
    settings.output.mkdir(parents=True, exist_ok=True)

    def keep() -> None:
        state = {
            "step": done,
            "begun_at": begun_at,
            "optimiser": optimiser.state_dict(),
            "averaged": averaged,
            "weights": {name: value.detach() for name, value in weights.items()},
        }
        torch.save(state, kept.with_suffix(".part"))
        os.replace(kept.with_suffix(".part"), kept)
        save_folder(settings.output, victim, model, averaged)

    begun, losses = time.monotonic(), []
    for step in range(done + 1, settings.steps + 1):
        if time.monotonic() - begun > 60 * settings.minutes or step > settings.until:
            break
        draws = np.random.default_rng((victim.seed, step))
        rows = np.sort(draws.integers(0, len(latents), settings.batch))
        files = np.searchsorted(ends, rows, side="right")
        starts = ends[files] - [len(pixels[file]) for file in files]
        seen = np.stack([pixels[file][row] for file, row in zip(files, rows - starts, strict=True)])
        warm = (step - begun_at) / 50  # warm up again when a run continues without the optimiser's state
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * min(1, warm, 4 * (1 - (step - 1) / settings.steps))
        with torch.autocast(device.type, torch.bfloat16):
            loss = loss_of(model, torch.from_numpy(seen).to(device), latents[rows].to(device), draws)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        with torch.no_grad():
            for name, value in averaged.items():
                value.lerp_(weights[name], 1 - min(0.995, (1 + step) / (10 + step)))
        losses.append(loss.detach())
        done = step
        if step % 25 == 0:
            line = {
                "step": step,
                "minutes": round((time.monotonic() - begun) / 60, 1),
                "loss": round(float(torch.stack(losses).mean()), 4),
            }
            with (settings.output / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            losses = []
        if step % settings.every == 0:
            keep()
    keep()


if __name__ == "__main__":
    main()
