"""Each family passes its denoiser the inputs of diffusers' pipeline, for the same folder, photo, caption and noise."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.backbones.i2vgenxl import _central_square
from anti_i2v.surrogates.backbones.loading import load_backbone

CAPTION = "a person smiles"
HEIGHT, WIDTH = 32, 64
"""Not square, so that swapped sides fail."""


class Captured(Exception):  # ends a pipeline at its denoiser, which is not an error
    """The denoiser's arguments by name."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__()
        self.given = {name: value for name, value in given.items() if value is not None and name != "return_dict"}


def captured_arguments(denoiser: nn.Module, run: Callable[[], object]) -> dict[str, Any]:
    def tell(module: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        raise Captured(inspect.signature(module.forward).bind(*positional, **named).arguments)

    handle = denoiser.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        with torch.no_grad():
            run()
    except Captured as found:
        return found.given
    finally:
        handle.remove()
    raise AssertionError("the denoiser was not called")


@pytest.fixture
def photo() -> Image.Image:
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (4, 8, 3), np.uint8))
    return coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def pixels_of(photo: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1).unsqueeze(0) / 255


@pytest.fixture
def mode_for_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pipelines take the mode of the photo's latent, which they would sample."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())


def pipeline_of(name: str, folder: Path) -> Any:
    import diffusers

    pipeline = getattr(diffusers, name).from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ours(model: Backbone, noisy: torch.Tensor, photo: Image.Image, timestep: torch.Tensor) -> dict[str, Any]:
    pixels = pixels_of(photo)
    latent, inputs = model.encode_condition(pixels, {**model.context, "timestep": timestep})
    return captured_arguments(model.denoiser, lambda: model.denoise(noisy, latent, pixels, inputs))


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


COGVIDEOX = "CogVideoXImageToVideoPipeline"


@pytest.mark.usefixtures("mode_for_sample")
@pytest.mark.parametrize(("version", "frames"), [("cogvideox", 3), ("cogvideox15", 3), ("cogvideox15", 4)])
def test_cogvideox_conditions_as_its_pipeline_does(
    version: str, frames: int, photo: Image.Image, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(f"{version}_folder")
    model, pipeline = load_backbone(folder, caption=CAPTION, frames=frames), pipeline_of(COGVIDEOX, folder)
    noisy = noise(1, model.frames, 4, HEIGHT // 2, WIDTH // 2)
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 2 * (frames - 1) + 1, "guidance_scale": 1}
    settings |= {"num_inference_steps": 1, "max_sequence_length": 6}
    theirs = captured_arguments(
        pipeline.transformer,
        lambda: pipeline(photo, CAPTION, latents=noisy, **settings),
    )
    assert ("ofs" in theirs) == (version == "cogvideox15")
    assert theirs["image_rotary_emb"][0].abs().sum() > 0
    torch.testing.assert_close(ours(model, noisy, photo, theirs["timestep"]), theirs)


WAN = {
    "2.1": ("wan21", "transformer", None, 1),
    "2.2 of high noise": ("wan22", "transformer", "high", 1),
    "2.2 of low noise": ("wan22", "transformer_2", "low", 4),
    "2.2 5B": ("wan5b", "transformer", None, 1),
}
"""Version -> folder, the pipeline's denoiser, our stage, and steps after which the pipeline uses this denoiser."""


@pytest.mark.parametrize(("version", "denoiser", "stage", "steps"), WAN.values(), ids=WAN)
def test_wan_conditions_as_its_pipeline_does(
    version: str,
    denoiser: str,
    stage: str | None,
    steps: int,
    photo: Image.Image,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from diffusers.pipelines.wan import pipeline_wan_i2v

    monkeypatch.setattr(pipeline_wan_i2v, "basic_clean", str.strip)  # it would need ftfy
    folder = request.getfixturevalue(f"{version}_folder")
    model = load_backbone(folder, caption=f" {CAPTION}\n", frames=3, stage=stage)
    pipeline = pipeline_of("WanImageToVideoPipeline", folder)
    down = model.autoencoder.config.scale_factor_spatial
    noisy = noise(1, 4, 3, HEIGHT // down, WIDTH // down)
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 9, "guidance_scale": 1}
    theirs = captured_arguments(
        getattr(pipeline, denoiser),
        lambda: pipeline(photo, f" {CAPTION}\n", num_inference_steps=steps, latents=noisy, **settings),
    )
    level = theirs["timestep"].max()
    nearest = (model.levels * 1000 - level).abs().argmin()
    given = ours(model, theirs["hidden_states"][:, :4], photo, nearest.view(1))
    if version == "wan21":  # the pipeline's processor rounds to 8 bits
        image, seen = given.pop("encoder_hidden_states_image"), theirs.pop("encoder_hidden_states_image")
        torch.testing.assert_close(image, seen, rtol=0, atol=0.02)
    assert model.levels[nearest] * 1000 == pytest.approx(float(level), abs=0.5)
    torch.testing.assert_close(given.pop("timestep"), theirs.pop("timestep"), rtol=0, atol=0.5)
    torch.testing.assert_close(given, theirs)


@pytest.mark.usefixtures("mode_for_sample")
def test_ltx_conditions_as_its_pipeline_does(ltx_folder: Path, photo: Image.Image) -> None:
    model = load_backbone(ltx_folder, caption=CAPTION, frames=3)
    pipeline = pipeline_of("LTXImageToVideoPipeline", ltx_folder)
    settings = {"num_frames": 9, "guidance_scale": 1, "num_inference_steps": 1}
    theirs = captured_arguments(
        pipeline.transformer,
        lambda: pipeline(photo, CAPTION, height=HEIGHT, width=WIDTH, generator=torch.Generator(), **settings),
    )
    noisy = pipeline._unpack_latents(theirs["hidden_states"], 3, HEIGHT // 8, WIDTH // 8)
    torch.testing.assert_close(ours(model, noisy, photo, torch.tensor([40.0])), theirs)  # the sigmoid of 40 is 1


@pytest.mark.parametrize("version", ["hunyuan", "hunyuan33"])
def test_hunyuan_conditions_as_its_pipeline_does(
    version: str, photo: Image.Image, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(f"{version}_folder")
    model = load_backbone(folder, caption=CAPTION, frames=3)
    pipeline = pipeline_of("HunyuanVideoImageToVideoPipeline", folder)
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 9, "guidance_scale": 6.0}
    theirs = captured_arguments(
        pipeline.transformer,
        lambda: pipeline(
            photo, CAPTION, num_inference_steps=1, sigmas=[0.6], latents=noise(1, 4, 3, 8, 16), **settings
        ),
    )
    pixels, level = pixels_of(photo), torch.tensor([0.6]).logit()
    inputs = {**model.context, **model.precompute(pixels), "level": level}
    noisy = theirs["hidden_states"][:, :4]
    given = captured_arguments(model.denoiser, lambda: model.denoise(noisy, model.encode(pixels), pixels, inputs))
    assert ("guidance" in theirs) == (version == "hunyuan")
    text, read = given.pop("encoder_hidden_states"), theirs.pop("encoder_hidden_states")
    assert 576 / 4 + 200 < text.shape[1] < 576 / 2 + 256  # tokens of the photo, interleaved, and of the caption
    torch.testing.assert_close(text, read, rtol=0, atol=0.02)  # the pipeline's processor rounds to 8 bits
    torch.testing.assert_close(given, theirs, check_dtype=False)  # the pipeline's mask is of floats


SCHEDULER_OF_OLD = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""diffusers' EulerDiscreteScheduler, with NumPy 2."""


@SCHEDULER_OF_OLD
def test_svd_conditions_as_its_pipeline_does(svd_folder: Path, photo: Image.Image) -> None:
    model = load_backbone(svd_folder, hooks=("prediction",), frames=3)
    pipeline = pipeline_of("StableVideoDiffusionPipeline", svd_folder)
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 3, "max_guidance_scale": 1.0, "num_inference_steps": 1}
    augmentation, generator = noise(1, 3, HEIGHT, WIDTH), torch.Generator().manual_seed(0)
    theirs = captured_arguments(
        pipeline.unet,
        lambda: pipeline(photo, latents=noise(1, 3, 4, 8, 16), generator=generator, **settings),
    )
    pixels, sigma = pixels_of(photo), theirs["timestep"].mul(4).exp()
    precomputed = model.precompute(pixels)
    sampled = theirs["sample"][:, :, :4] * (1 + sigma.square()).sqrt() - precomputed["reference"]
    inputs = {"noise": sampled / sigma, "level": ((sigma.log() - 0.7) / 1.6).view(1), "augmentation": augmentation}
    given = captured_arguments(model.denoiser, lambda: model.features(pixels, {**precomputed, **inputs}))
    torch.testing.assert_close(given.pop("timestep"), theirs.pop("timestep").view(1))
    torch.testing.assert_close(given, theirs)


@pytest.mark.usefixtures("mode_for_sample")
def test_i2vgenxl_conditions_as_its_pipeline_does(i2vgenxl_folder: Path, photo: Image.Image) -> None:
    model = load_backbone(i2vgenxl_folder, caption=CAPTION, frames=3)
    pipeline = pipeline_of("I2VGenXLPipeline", i2vgenxl_folder)
    encoder = pipeline.text_encoder
    object.__setattr__(encoder, "text_model", encoder)  # the pipeline needs it; transformers 5 removed it
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 3, "guidance_scale": 1, "num_inference_steps": 2}
    noisy = noise(1, 4, 3, 8, 16)
    theirs = captured_arguments(pipeline.unet, lambda: pipeline(CAPTION, photo, latents=noisy, **settings))
    given = ours(model, noisy, photo, theirs.pop("timestep").view(1))
    assert given.pop("timestep") > 0
    image, seen = given.pop("image_embeddings"), theirs.pop("image_embeddings")
    torch.testing.assert_close(image, seen, rtol=0, atol=0.01)  # the pipeline's resizing rounds to 8 bits
    torch.testing.assert_close(given, theirs)


@pytest.mark.parametrize("size", [(32, 32), (64, 32), (32, 64), (40, 24), (80, 44), (1280, 704)])
def test_i2vgenxl_reads_the_square_that_its_pipeline_crops(size: tuple[int, int]) -> None:
    from diffusers.pipelines.deprecated.i2vgen_xl.pipeline_i2vgen_xl import _center_crop_wide

    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8))
    theirs = _center_crop_wide(photo, (photo.width, photo.width))
    square = _central_square(pixels_of(photo)).mul(255).round().squeeze(0).movedim(0, -1).byte().numpy()
    assert np.array_equal(square, np.asarray(theirs))


NOISED = {
    "hunyuan": ("hunyuan", "FlowMatchEulerDiscreteScheduler", 2),
    "hunyuan33": ("hunyuan33", "FlowMatchEulerDiscreteScheduler", 2),
    "svd": ("svd", "EulerDiscreteScheduler", 1),
    "i2vgenxl": ("i2vgenxl", "DDIMScheduler", 2),
}
"""Family -> folder, its scheduler, and the axis of its frames."""


@SCHEDULER_OF_OLD
@pytest.mark.parametrize(("version", "scheduler", "axis"), NOISED.values(), ids=NOISED)
def test_a_scheduler_step_with_the_target_restores_the_video(
    version: str, scheduler: str, axis: int, photo: Image.Image, request: pytest.FixtureRequest
) -> None:
    """A perfect prediction restores the video in one scheduler step."""
    import diffusers

    folder = request.getfixturevalue(f"{version}_folder")
    model = load_backbone(folder, frames=3)
    made = getattr(diffusers, scheduler).from_pretrained(folder / "scheduler")
    shape = (1, 3, 4, 8, 16) if axis == 1 else (1, 4, 3, 8, 16)
    video, sampled, inputs = noise(*shape) + 1, noise(*shape).flip(-1), {}
    if scheduler == "FlowMatchEulerDiscreteScheduler":
        made.set_timesteps(sigmas=[0.3])
        inputs["level"] = torch.tensor([0.3]).logit()
    else:
        made.set_timesteps(4)
    timestep = made.timesteps[:1] if len(made.timesteps) == 1 else made.timesteps[1:2]
    if scheduler == "EulerDiscreteScheduler":
        inputs["level"] = (timestep * 4 - 0.7) / 1.6
    elif scheduler == "DDIMScheduler":
        inputs["timestep"] = timestep
    noisy, target = model.add_noise(video, {**inputs, "noise": sampled})
    add = getattr(made, "scale_noise", None) or made.add_noise
    arguments = (video, timestep, sampled) if scheduler.startswith("Flow") else (video, sampled, timestep)
    expected = add(*arguments)
    torch.testing.assert_close(noisy, made.scale_model_input(expected, timestep[0]) if axis == 1 else expected)
    whole = target if target.shape == video.shape else torch.cat([(sampled - video)[:, :, :1], target], 2)
    stepped = made.step(whole, timestep[0], expected)
    back = stepped.prev_sample if scheduler.startswith("Flow") else stepped.pred_original_sample
    torch.testing.assert_close(back, video, rtol=1e-3, atol=1e-3)


def test_learned_positions_are_the_models_own_at_its_size_and_scaled_at_others(cogvideox_learned_folder: Path) -> None:
    own = load_backbone(cogvideox_learned_folder, frames=3, hooks=("prediction",))
    embed = own.denoiser.patch_embed
    table = embed.pos_embedding.clone()
    generator = torch.Generator().manual_seed(0)

    def at(model: Any, height: int, width: int) -> torch.Tensor:
        pixels = torch.rand(1, 3, height, width, generator=generator)
        noise = torch.randn(1, model.frames, 4, height // 2, width // 2, generator=generator)
        inputs = {**model.context, "timestep": torch.tensor([300]), "noise": noise}
        with torch.no_grad():
            prediction: torch.Tensor = model.features(pixels, inputs)["prediction"]
        return prediction

    at(own, 32, 32)
    torch.testing.assert_close(embed.pos_embedding, table)
    assert at(own, 48, 64).shape == (1, 3, 4, 24, 32)
    words = 6
    assert torch.equal(embed.pos_embedding[:, :words], table[:, :words])
    scaled = embed.pos_embedding[0, words:].reshape(3, 12, 16, -1)
    learned = table[0, words:].reshape(3, 8, 8, -1)
    assert scaled.amax() <= learned.amax()
    torch.testing.assert_close(scaled[:, 0, 0], learned[:, 0, 0])  # corners stay
    torch.testing.assert_close(scaled[:, -1, -1], learned[:, -1, -1])
    fewer = load_backbone(cogvideox_learned_folder, frames=2, hooks=("prediction",))
    at(fewer, 32, 32)
    frame = 64
    assert torch.equal(fewer.denoiser.patch_embed.pos_embedding, table[:, : words + 2 * frame])
    with pytest.raises(SurrogateError, match="learned positions for 3 latent frames: set frames to 3 or fewer"):
        load_backbone(cogvideox_learned_folder, frames=4)
