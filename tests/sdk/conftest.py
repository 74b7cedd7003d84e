"""A tiny video model: diffusers' real classes, random weights, on a tiny autoencoder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FRAMES = 3


@pytest.fixture(scope="session")
def dit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As CogVideoX has it: two blocks, three frames."""
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers: pip install 'anti-i2v-sdk[backbones]'")
    folder = tmp_path_factory.mktemp("victims") / "toy-dit"
    denoiser = _seeded(
        lambda: diffusers.CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=8,
            out_channels=4,
            time_embed_dim=8,
            text_embed_dim=16,
            num_layers=2,
            sample_width=4,
            sample_height=4,
            sample_frames=FRAMES,
            patch_size=2,
            temporal_compression_ratio=1,
            max_text_seq_length=2,
            use_rotary_positional_embeddings=True,
        )
    )
    denoiser.save_pretrained(folder / "transformer")
    _write(folder / "model_index.json", {"_class_name": "CogVideoXImageToVideoPipeline"})
    levels = {"_class_name": "CogVideoXDDIMScheduler", "prediction_type": "v_prediction"}
    _write(folder / "scheduler" / "scheduler_config.json", levels)
    widths, blocks = (8, 8, 8, 8), (1, 1, 1, 1)
    tiny = _seeded(
        lambda: diffusers.AutoencoderTiny(
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            num_encoder_blocks=blocks,
            num_decoder_blocks=blocks,
        )
    )
    tiny.save_pretrained(folder / "vae")
    return folder


def _seeded(make: Any) -> Any:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
        for parameter in model.parameters():
            if not parameter.detach().any():
                torch.nn.init.normal_(parameter, std=0.05)
        return model.eval()


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
