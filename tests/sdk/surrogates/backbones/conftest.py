"""Tiny models of every family: diffusers' real classes, random weights, in folders of the hub's layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}

SIDE = 32
"""Of the test photos; every tiny autoencoder divides by 8 at most."""


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Embeddings of captions are kept there and nowhere else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTI_I2V_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def seeded() -> Callable[[Callable[[], Any]], Any]:
    """Builds a model with the same random weights every time; zero-initialised layers get small values as well."""

    def build(make: Callable[[], Any]) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = make()
            for parameter in model.parameters():
                if not parameter.detach().any():
                    torch.nn.init.normal_(parameter, std=0.05)
            return model.eval()

    return build


@pytest.fixture(scope="session")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes parts (name -> model, tokenizer or settings) and a pipeline's settings as a hub repository holds them."""

    def write(pipeline: str, parts: Mapping[str, Any], **settings: Any) -> Path:
        folder = tmp_path_factory.mktemp("models") / pipeline.lower()
        index: dict[str, Any] = {"_class_name": pipeline, **settings}
        for name, part in parts.items():
            index[name] = [type(part).__module__.partition(".")[0], type(part).__name__]
            part.save_pretrained(folder / name)
        (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def tiny_t5(seeded: Callable[..., Any]) -> dict[str, Any]:
    """A T5 encoder of 16 channels and a tokenizer of a dozen words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    words = ["<pad>", "</s>", "<unk>", "a", "person", "smiles", "in", "the", "sun"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    settings = T5Config(
        vocab_size=16, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, tie_word_embeddings=False
    )
    return {
        "tokenizer": PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL),
        "text_encoder": seeded(lambda: T5EncoderModel(settings)),
    }


@pytest.fixture(scope="session")
def cogvideox_folder(seeded: Callable[..., Any], hub_folder: Callable[..., Path], tiny_t5: dict[str, Any]) -> Path:
    import diffusers

    vae = seeded(
        lambda: diffusers.AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 2,
            up_block_types=("CogVideoXUpBlock3D",) * 2,
            block_out_channels=(8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            temporal_compression_ratio=2,
        )
    )
    transformer = seeded(
        lambda: diffusers.CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=8,
            out_channels=4,
            time_embed_dim=8,
            text_embed_dim=16,
            num_layers=5,
            max_text_seq_length=6,
            sample_width=16,
            sample_height=16,
            use_rotary_positional_embeddings=True,
        )
    )
    scheduler = diffusers.CogVideoXDDIMScheduler(prediction_type="v_prediction", snr_shift_scale=1.0)
    parts = {"vae": vae, "transformer": transformer, "scheduler": scheduler, **tiny_t5}
    return hub_folder("CogVideoXImageToVideoPipeline", parts)


@pytest.fixture(scope="session")
def cogvideox15_folder(cogvideox_folder: Path, seeded: Callable[..., Any], hub_folder: Callable[..., Path]) -> Path:
    """1.5: patches over time, an embedded offset, and the photo's latents divided by their factor."""
    import diffusers

    old = diffusers.CogVideoXImageToVideoPipeline.from_pretrained(cogvideox_folder)
    vae = seeded(lambda: diffusers.AutoencoderKLCogVideoX.from_config(old.vae.config, invert_scale_latents=True))
    changes = {"patch_size_t": 2, "ofs_embed_dim": 8, "patch_bias": False, "sample_width": 32}
    transformer = seeded(lambda: diffusers.CogVideoXTransformer3DModel.from_config(old.transformer.config, **changes))
    return hub_folder("CogVideoXImageToVideoPipeline", {**old.components, "vae": vae, "transformer": transformer})


@pytest.fixture(scope="session")
def cogvideox_learned_folder(
    cogvideox_folder: Path, seeded: Callable[..., Any], hub_folder: Callable[..., Path]
) -> Path:
    """The 5B I2V of 1.0: places that were learned for one size and number of frames."""
    import diffusers

    old = diffusers.CogVideoXImageToVideoPipeline.from_pretrained(cogvideox_folder)
    changes = {"use_learned_positional_embeddings": True, "sample_frames": 5, "temporal_compression_ratio": 2}
    transformer = seeded(lambda: diffusers.CogVideoXTransformer3DModel.from_config(old.transformer.config, **changes))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        transformer.patch_embed.pos_embedding.normal_()
    return hub_folder("CogVideoXImageToVideoPipeline", {**old.components, "transformer": transformer})


WAN = {"base_dim": 8, "dim_mult": [1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [True, True]}


def tiny_wan(seeded: Callable[..., Any], vae: dict[str, Any], transformer: dict[str, Any]) -> dict[str, Any]:
    import diffusers
    from transformers import UMT5Config, UMT5EncoderModel

    means = {"latents_mean": [-0.5, 0.1, 0.3, 1.0], "latents_std": [2.0, 1.5, 0.7, 3.0]}
    settings = UMT5Config(
        vocab_size=16, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, tie_word_embeddings=False
    )

    def denoiser() -> Any:
        return diffusers.WanTransformer3DModel(
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
        "vae": seeded(lambda: diffusers.AutoencoderKLWan(z_dim=4, **WAN, **means, **vae)),
        "transformer": seeded(denoiser),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0),
        "text_encoder": seeded(lambda: UMT5EncoderModel(settings)),
    }


@pytest.fixture(scope="session")
def wan21_folder(seeded: Callable[..., Any], hub_folder: Callable[..., Path], tiny_t5: dict[str, Any]) -> Path:
    from transformers import CLIPVisionConfig, CLIPVisionModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    sees = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    parts = tiny_wan(
        seeded, {"scale_factor_spatial": 4}, {"in_channels": 12, "image_dim": 8, "added_kv_proj_dim": 24}
    ) | {
        "tokenizer": tiny_t5["tokenizer"],
        "image_encoder": seeded(lambda: CLIPVisionModel(sees)),
        "image_processor": CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
    }
    return hub_folder("WanImageToVideoPipeline", parts)


@pytest.fixture(scope="session")
def wan22_folder(seeded: Callable[..., Any], hub_folder: Callable[..., Path], tiny_t5: dict[str, Any]) -> Path:
    """A14B: two denoisers, and nothing that sees but the autoencoder."""
    parts = tiny_wan(seeded, {"scale_factor_spatial": 4}, {"in_channels": 12})
    parts |= {"tokenizer": tiny_t5["tokenizer"], "transformer_2": parts["transformer"]}
    return hub_folder("WanImageToVideoPipeline", parts, boundary_ratio=0.9)


@pytest.fixture(scope="session")
def wan5b_folder(seeded: Callable[..., Any], hub_folder: Callable[..., Path], tiny_t5: dict[str, Any]) -> Path:
    """TI2V 5B: an autoencoder of another build, and the photo as the video's first frame."""
    vae = {"scale_factor_spatial": 8, "patch_size": 2, "is_residual": True, "in_channels": 12, "out_channels": 12}
    parts = tiny_wan(seeded, vae, {"in_channels": 4}) | {"tokenizer": tiny_t5["tokenizer"]}
    return hub_folder("WanPipeline", parts, expand_timesteps=True)


@pytest.fixture(scope="session")
def ltx_folder(seeded: Callable[..., Any], hub_folder: Callable[..., Path], tiny_t5: dict[str, Any]) -> Path:
    import diffusers

    def autoencoder() -> Any:
        vae = diffusers.AutoencoderKLLTXVideo(
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
        lambda: diffusers.LTXVideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            cross_attention_dim=16,
            num_layers=5,
            caption_channels=16,
        )
    )
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024, max_image_seq_len=4096
    )
    parts = {"vae": seeded(autoencoder), "transformer": transformer, "scheduler": scheduler, **tiny_t5}
    return hub_folder("LTXImageToVideoPipeline", parts)


def word_tokenizer(words: list[str], pattern: str, template: str, **special: Any) -> Any:
    """Words as tokens, in the template's frame."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate([*SPECIAL.values(), *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    frame = [(token, vocabulary[token]) for token in template.split() if token in vocabulary]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=frame)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL, **special)


@pytest.fixture(scope="session")
def tiny_clip(seeded: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """CLIP of 8 channels: its halves and what stands before them, by the sides of what it sees."""
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    sizes: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2}
    reads = CLIPTextConfig(vocab_size=16, pad_token_id=0, eos_token_id=1, bos_token_id=3, **sizes)

    def make(side: int, patch: int, width: int) -> dict[str, Any]:
        sees = CLIPVisionConfig(image_size=side, patch_size=patch, projection_dim=width, **sizes)
        size = {"height": side, "width": side}
        return {
            "tokenizer": word_tokenizer(
                ["<s>", "a", "person", "smiles", "in", "the", "sun"], r"\w+", "<s> $A </s>", model_max_length=77
            ),
            "text_encoder": seeded(lambda: CLIPTextModel(reads)),
            "image_encoder": seeded(lambda: CLIPVisionModelWithProjection(sees)),
            "feature_extractor": CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=size),
        }

    return make


def tiny_hunyuan(seeded: Callable[..., Any], clip: dict[str, Any], **transformer: Any) -> dict[str, Any]:
    """With LLaVA's own number of image tokens, and a prompt of the length that the pipeline cuts off."""
    import diffusers
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    sizes: dict[str, Any] = {"intermediate_size": 16, "num_attention_heads": 2}
    roles = ["<s>", "<image>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    words = [*roles, "\n\n", "\n", "system", "user", "assistant", "video", "a", "person", "smiles", "in", "the", "sun"]
    llava = LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=8, num_hidden_layers=1, image_size=336, patch_size=14, **sizes),
        text_config=LlamaConfig(hidden_size=16, num_hidden_layers=3, vocab_size=24, **sizes),
        image_token_index=3 + roles.index("<image>"),
        pad_token_id=0,
    )
    vae = seeded(
        lambda: diffusers.AutoencoderKLHunyuanVideo(
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
        lambda: diffusers.HunyuanVideoTransformer3DModel(
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
    side = {"height": 336, "width": 336}
    return {
        "vae": vae,
        "transformer": denoiser,
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        "tokenizer": word_tokenizer(
            words, r"\n\n|\n|transit|\w+|[^\w\s]", "<s> $A", additional_special_tokens=roles, padding_side="right"
        ),
        "text_encoder": seeded(lambda: LlavaForConditionalGeneration(llava)),
        "image_processor": CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size=side),
        "tokenizer_2": clip["tokenizer"],
        "text_encoder_2": clip["text_encoder"],
    }


@pytest.fixture(scope="session")
def hunyuan_folder(
    seeded: Callable[..., Any], hub_folder: Callable[..., Path], tiny_clip: Callable[..., dict[str, Any]]
) -> Path:
    """The photo in place of the first frame, and a distilled guidance."""
    asked = {"in_channels": 4, "image_condition_type": "token_replace", "guidance_embeds": True}
    return hub_folder("HunyuanVideoImageToVideoPipeline", tiny_hunyuan(seeded, tiny_clip(16, 8, 8), **asked))


@pytest.fixture(scope="session")
def hunyuan33_folder(
    seeded: Callable[..., Any], hub_folder: Callable[..., Path], tiny_clip: Callable[..., dict[str, Any]]
) -> Path:
    """The photo beside the channels: 16 + 16 + 1 in the published weights."""
    asked = {"in_channels": 9, "image_condition_type": "latent_concat", "guidance_embeds": False}
    return hub_folder("HunyuanVideoImageToVideoPipeline", tiny_hunyuan(seeded, tiny_clip(16, 8, 8), **asked))


@pytest.fixture(scope="session")
def svd_folder(
    seeded: Callable[..., Any], hub_folder: Callable[..., Path], tiny_clip: Callable[..., dict[str, Any]]
) -> Path:
    """32 channels: the least that its groups of channels allow."""
    import diffusers

    clip = tiny_clip(224, 56, 8)
    vae = seeded(
        lambda: diffusers.AutoencoderKLTemporalDecoder(
            block_out_channels=(32, 32, 32), down_block_types=("DownEncoderBlock2D",) * 3, latent_channels=4
        )
    )
    unet = seeded(
        lambda: diffusers.UNetSpatioTemporalConditionModel(
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
    scheduler = diffusers.EulerDiscreteScheduler(
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
    seen = {name: clip[name] for name in ("image_encoder", "feature_extractor")}
    return hub_folder("StableVideoDiffusionPipeline", {"vae": vae, "unet": unet, "scheduler": scheduler, **seen})


@pytest.fixture(scope="session")
def i2vgenxl_folder(
    seeded: Callable[..., Any], hub_folder: Callable[..., Path], tiny_clip: Callable[..., dict[str, Any]]
) -> Path:
    import diffusers
    from diffusers.models.unets import I2VGenXLUNet

    vae = seeded(
        lambda: diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            latent_channels=4,
            norm_num_groups=2,
        )
    )
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
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        steps_offset=1,
    )
    parts = {"vae": vae, "unet": unet, "scheduler": scheduler, **tiny_clip(16, 8, 8)}
    return hub_folder("I2VGenXLPipeline", parts)
