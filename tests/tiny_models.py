"""Tiny models for tests: diffusers' and transformers' real classes with random weights, in the hub's layout.

Each function builds one model, or the parts of one family; fixtures in the conftest files write them into folders.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch

SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
CAPTION_WORDS = ["a", "person", "smiles", "in", "the", "sun"]

classes: Any = diffusers  # it ships no type information


def seeded(make: Callable[[], Any], *, fill_zeros: bool = True) -> Any:
    """Build a model with the same random weights every time.

    Args:
        fill_zeros: give layers that are initialised with zeros small values, so that they have an effect.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
        for parameter in model.parameters() if fill_zeros else ():
            if not parameter.detach().any():
                torch.nn.init.normal_(parameter, std=0.05)
        return model.eval()


def write_folder(folder: Path, pipeline: str, parts: Mapping[str, Any], **settings: Any) -> Path:
    """Write parts (name -> model, tokenizer or scheduler) and a pipeline's settings as a hub repository holds them."""
    index: dict[str, Any] = {"_class_name": pipeline, **settings}
    for name, part in parts.items():
        index[name] = [type(part).__module__.partition(".")[0], type(part).__name__]
        part.save_pretrained(folder / name)
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


# Image autoencoders ---------------------------------------------------------------------------------------------------


def autoencoder_tiny(widths: tuple[int, ...] = (8, 8, 8, 8), latent_channels: int = 4) -> Any:
    """AutoencoderTiny, one halving fewer than it has widths."""
    blocks = (1,) * len(widths)
    return classes.AutoencoderTiny(
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=blocks,
        num_decoder_blocks=blocks,
        latent_channels=latent_channels,
    )


def autoencoder_kl(stages: int = 2, groups: int = 4) -> Any:
    """AutoencoderKL of 8 channels, one halving fewer than it has stages."""
    return classes.AutoencoderKL(
        block_out_channels=(8,) * stages,
        down_block_types=("DownEncoderBlock2D",) * stages,
        up_block_types=("UpDecoderBlock2D",) * stages,
        latent_channels=4,
        norm_num_groups=groups,
    )


def autoencoder_cogvideox(stages: int = 4, **changes: Any) -> Any:
    """AutoencoderKLCogVideoX of 8 channels, one halving fewer than it has stages."""
    settings: dict[str, Any] = {
        "block_out_channels": (8,) * stages,
        "down_block_types": ("CogVideoXDownBlock3D",) * stages,
        "up_block_types": ("CogVideoXUpBlock3D",) * stages,
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 2,
    }
    return classes.AutoencoderKLCogVideoX(**settings | changes)


# Text and image encoders ----------------------------------------------------------------------------------------------


def t5() -> dict[str, Any]:
    """A T5 encoder of 16 channels and its tokenizer of a dozen words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    words = [*SPECIAL.values(), *CAPTION_WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    settings = T5Config(
        vocab_size=16, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, tie_word_embeddings=False
    )
    return {
        "tokenizer": PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL),
        "text_encoder": seeded(lambda: T5EncoderModel(settings)),
    }


def word_tokenizer(words: list[str], pattern: str, template: str, **special: Any) -> Any:
    """Build a tokenizer of whole words, which puts them into a template."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate([*SPECIAL.values(), *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    frame = [(token, vocabulary[token]) for token in template.split() if token in vocabulary]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=frame)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL, **special)


def clip(side: int, patch: int, width: int) -> dict[str, Any]:
    """CLIP of 8 channels, with its tokenizer and its feature extractor.

    Args:
        side, patch: of the image that it reads, in pixels.
        width: of the image's embedding.
    """
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    sizes: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2}
    reads = CLIPTextConfig(vocab_size=16, pad_token_id=0, eos_token_id=1, bos_token_id=3, **sizes)

    sees = CLIPVisionConfig(image_size=side, patch_size=patch, projection_dim=width, **sizes)
    size = {"height": side, "width": side}
    return {
        "tokenizer": word_tokenizer(["<s>", *CAPTION_WORDS], r"\w+", "<s> $A </s>", model_max_length=77),
        "text_encoder": seeded(lambda: CLIPTextModel(reads)),
        "image_encoder": seeded(lambda: CLIPVisionModelWithProjection(sees)),
        "feature_extractor": CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=size),
    }


# Families -------------------------------------------------------------------------------------------------------------


def cogvideox_transformer(**changes: Any) -> Any:
    """CogVideoXTransformer3DModel of 32 channels and five blocks."""
    settings: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 8,
        "out_channels": 4,
        "time_embed_dim": 8,
        "text_embed_dim": 16,
        "num_layers": 5,
        "max_text_seq_length": 6,
        "use_rotary_positional_embeddings": True,
    }
    return classes.CogVideoXTransformer3DModel(**settings | changes)


def small_dit(frames: int, blocks: int = 2) -> dict[str, Any]:
    """A small video model on AutoencoderTiny, as the project trains them, without a caption."""
    transformer = {
        "num_layers": blocks,
        "max_text_seq_length": 2,
        "sample_width": 4,
        "sample_height": 4,
        "sample_frames": frames,
        "temporal_compression_ratio": 1,
    }
    return {
        "transformer": seeded(lambda: cogvideox_transformer(**transformer)),
        "vae": seeded(autoencoder_tiny),
        "scheduler": classes.CogVideoXDDIMScheduler(prediction_type="v_prediction"),
    }


def cogvideox() -> dict[str, Any]:
    """CogVideoX 1.0 with rotary positions."""
    return {
        "vae": seeded(lambda: autoencoder_cogvideox(2, temporal_compression_ratio=2)),
        "transformer": seeded(lambda: cogvideox_transformer(sample_width=16, sample_height=16)),
        "scheduler": classes.CogVideoXDDIMScheduler(prediction_type="v_prediction", snr_shift_scale=1.0),
        **t5(),
    }


def cogvideox15(old: Any) -> dict[str, Any]:
    """CogVideoX 1.5, from a 1.0 pipeline: patches over time, an embedded offset, latents divided by their factor."""
    vae = seeded(lambda: classes.AutoencoderKLCogVideoX.from_config(old.vae.config, invert_scale_latents=True))
    changes = {"patch_size_t": 2, "ofs_embed_dim": 8, "patch_bias": False, "sample_width": 32}
    transformer = seeded(lambda: classes.CogVideoXTransformer3DModel.from_config(old.transformer.config, **changes))
    return {**old.components, "vae": vae, "transformer": transformer}


def cogvideox_learned(old: Any) -> dict[str, Any]:
    """CogVideoX 1.0 5B I2V, from a 1.0 pipeline: positions that were learned for one size and number of frames."""
    changes = {"use_learned_positional_embeddings": True, "sample_frames": 5, "temporal_compression_ratio": 2}
    transformer = seeded(lambda: classes.CogVideoXTransformer3DModel.from_config(old.transformer.config, **changes))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        transformer.patch_embed.pos_embedding.normal_()
    return {**old.components, "transformer": transformer}


def wan(vae: dict[str, Any], transformer: dict[str, Any]) -> dict[str, Any]:
    """Wan: settings of the autoencoder and the transformer beside the common ones."""
    from transformers import UMT5Config, UMT5EncoderModel

    common = {"base_dim": 8, "dim_mult": [1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [True, True]}
    means = {"latents_mean": [-0.5, 0.1, 0.3, 1.0], "latents_std": [2.0, 1.5, 0.7, 3.0]}
    settings = UMT5Config(
        vocab_size=16, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, tie_word_embeddings=False
    )

    def denoiser() -> Any:
        return classes.WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            out_channels=4,
            text_dim=16,
            freq_dim=8,
            ffn_dim=16,
            num_layers=5,
            rope_max_seq_len=32,
            **transformer,
        )

    return {
        "vae": seeded(lambda: classes.AutoencoderKLWan(z_dim=4, **common, **means, **vae)),
        "transformer": seeded(denoiser),
        "scheduler": classes.FlowMatchEulerDiscreteScheduler(shift=5.0),
        "text_encoder": seeded(lambda: UMT5EncoderModel(settings)),
        "tokenizer": t5()["tokenizer"],
    }


def wan21() -> dict[str, Any]:
    """Wan 2.1, which also sees the photo through CLIP."""
    from transformers import CLIPVisionConfig, CLIPVisionModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    image_encoder = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    return wan({"scale_factor_spatial": 4}, {"in_channels": 12, "image_dim": 8, "added_kv_proj_dim": 24}) | {
        "image_encoder": seeded(lambda: CLIPVisionModel(image_encoder)),
        "image_processor": CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
    }


def wan22() -> dict[str, Any]:
    """Wan 2.2 A14B: two denoisers, no image encoder."""
    parts = wan({"scale_factor_spatial": 4}, {"in_channels": 12})
    return parts | {"transformer_2": parts["transformer"]}


def wan5b() -> dict[str, Any]:
    """Wan 2.2 TI2V 5B: another autoencoder, and the photo as the video's first frame."""
    vae = {"scale_factor_spatial": 8, "patch_size": 2, "is_residual": True, "in_channels": 12, "out_channels": 12}
    return wan(vae, {"in_channels": 4})


def ltx() -> dict[str, Any]:
    """LTX-Video."""

    def autoencoder() -> Any:
        vae = classes.AutoencoderKLLTXVideo(
            latent_channels=4,
            block_out_channels=(8, 8),
            down_block_types=("LTXVideoDownBlock3D",) * 2,
            decoder_block_out_channels=(8, 8),
            layers_per_block=(1, 1, 1),
            decoder_layers_per_block=(1, 1, 1),
            spatio_temporal_scaling=(True, True),
            decoder_spatio_temporal_scaling=(True, True),
            decoder_inject_noise=(True, False, False),
            downsample_type=("conv", "conv"),
            upsample_residual=(False, False),
            upsample_factor=(1, 1),
            timestep_conditioning=True,
            patch_size=2,
        )
        vae.latents_mean += torch.tensor([-0.5, 0.1, 0.3, 1.0])
        vae.latents_std *= torch.tensor([2.0, 1.5, 0.7, 3.0])
        return vae

    transformer = seeded(
        lambda: classes.LTXVideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            cross_attention_dim=16,
            num_layers=5,
            caption_channels=16,
        )
    )
    scheduler = classes.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024, max_image_seq_len=4096
    )
    return {"vae": seeded(autoencoder), "transformer": transformer, "scheduler": scheduler, **t5()}


def hunyuan(**transformer: Any) -> dict[str, Any]:
    """HunyuanVideo, with LLaVA's real number of image tokens, and a prompt of the length that the pipeline crops."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    sizes: dict[str, Any] = {"intermediate_size": 16, "num_attention_heads": 2}
    roles = ["<s>", "<image>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    words = [*roles, "\n\n", "\n", "system", "user", "assistant", "video", *CAPTION_WORDS]
    llava = LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=8, num_hidden_layers=1, image_size=336, patch_size=14, **sizes),
        text_config=LlamaConfig(hidden_size=16, num_hidden_layers=3, vocab_size=24, **sizes),
        image_token_index=3 + roles.index("<image>"),
        pad_token_id=0,
    )
    vae = seeded(
        lambda: classes.AutoencoderKLHunyuanVideo(
            latent_channels=4,
            down_block_types=("HunyuanVideoDownBlock3D",) * 3,
            up_block_types=("HunyuanVideoUpBlock3D",) * 3,
            block_out_channels=(8, 8, 8),
            layers_per_block=1,
            norm_num_groups=4,
            spatial_compression_ratio=4,
            temporal_compression_ratio=4,
        )
    )
    denoiser = seeded(
        lambda: classes.HunyuanVideoTransformer3DModel(
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=10,
            num_layers=4,
            num_single_layers=3,
            num_refiner_layers=1,
            text_embed_dim=16,
            pooled_projection_dim=8,
            rope_axes_dim=(2, 4, 4),
            **transformer,
        )
    )
    text = clip(16, 8, 8)
    side = {"height": 336, "width": 336}
    return {
        "vae": vae,
        "transformer": denoiser,
        "scheduler": classes.FlowMatchEulerDiscreteScheduler(shift=7.0),
        "tokenizer": word_tokenizer(
            words, r"\n\n|\n|transit|\w+|[^\w\s]", "<s> $A", additional_special_tokens=roles, padding_side="right"
        ),
        "text_encoder": seeded(lambda: LlavaForConditionalGeneration(llava)),
        "image_processor": CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size=side),
        "tokenizer_2": text["tokenizer"],
        "text_encoder_2": text["text_encoder"],
    }


def hunyuan_token_replace() -> dict[str, Any]:
    """The photo in place of the first frame, and a distilled guidance."""
    return hunyuan(in_channels=4, image_condition_type="token_replace", guidance_embeds=True)


def hunyuan_latent_concat() -> dict[str, Any]:
    """The photo beside the channels: 16 + 16 + 1 in the published weights."""
    return hunyuan(in_channels=9, image_condition_type="latent_concat", guidance_embeds=False)


def svd() -> dict[str, Any]:
    """Stable Video Diffusion of 32 channels, the fewest that its groups allow."""
    image = clip(224, 56, 8)
    vae = seeded(
        lambda: classes.AutoencoderKLTemporalDecoder(
            block_out_channels=(32, 32, 32), down_block_types=("DownEncoderBlock2D",) * 3, latent_channels=4
        )
    )
    unet = seeded(
        lambda: classes.UNetSpatioTemporalConditionModel(
            block_out_channels=(32, 32, 64),
            down_block_types=("CrossAttnDownBlockSpatioTemporal",) * 2 + ("DownBlockSpatioTemporal",),
            up_block_types=("UpBlockSpatioTemporal",) + ("CrossAttnUpBlockSpatioTemporal",) * 2,
            layers_per_block=1,
            cross_attention_dim=8,
            num_attention_heads=2,
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=24,
        )
    )
    scheduler = classes.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        sigma_min=0.002,
        sigma_max=700.0,
        steps_offset=1,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    )
    encoder = {name: image[name] for name in ("image_encoder", "feature_extractor")}
    return {"vae": vae, "unet": unet, "scheduler": scheduler, **encoder}


def i2vgenxl() -> dict[str, Any]:
    """I2VGen-XL."""
    from diffusers.models.unets import I2VGenXLUNet

    unet = seeded(
        lambda: I2VGenXLUNet(
            block_out_channels=(8, 8, 16),
            down_block_types=("CrossAttnDownBlock3D",) * 2 + ("DownBlock3D",),
            up_block_types=("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 2,
            layers_per_block=1,
            norm_num_groups=2,
            cross_attention_dim=8,
            attention_head_dim=4,
        )
    )
    scheduler = classes.DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        steps_offset=1,
    )
    vae = seeded(lambda: autoencoder_kl(3, groups=2))
    return {"vae": vae, "unet": unet, "scheduler": scheduler, **clip(16, 8, 8)}
