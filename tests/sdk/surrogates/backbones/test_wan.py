from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.clip_view import clip_view
from anti_i2v.surrogates.backbones.loading import load_backbone
from anti_i2v.surrogates.backbones.wan import Wan, levels_of

VERSIONS = ["wan21", "wan22", "wan5b"]


@pytest.fixture(params=VERSIONS)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_folder")
    return found


def load(folder: Path, **options: Any) -> Wan:
    model = load_backbone(folder, **{"frames": 3, "dtype": torch.float64, **options})
    assert isinstance(model, Wan)
    return model


@pytest.fixture
def photo() -> torch.Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_all_latents_of_the_condition_depend_on_the_photo_and_the_first_is_its_own(
    wan22_folder: Path, photo: torch.Tensor
) -> None:
    model = load(wan22_folder)
    photo.requires_grad_(True)
    latents = model._condition(photo)[:, 4:]
    torch.testing.assert_close(latents[:, :, 0], model.encode(photo))
    for frame in range(3):
        gradient = torch.autograd.grad(latents[:, :, frame].square().sum(), photo, retain_graph=True)[0]
        assert (gradient != 0).any(1).double().mean() >= 0.99


def test_the_first_latent_of_a_clip_is_that_of_its_first_frame(folder: Path, photo: torch.Tensor) -> None:
    model = load(folder)
    clip = torch.cat([photo, photo.flip(-1), photo.flip(-2)])  # too short: the last frame is repeated
    latents = model.encode_video(clip)
    assert latents.shape[:3] == (1, 4, 3)
    torch.testing.assert_close(latents[:, :, 0], model.encode(photo))
    assert not torch.allclose(latents[:, :, 1], latents[:, :, 2])


def test_decoding_is_the_autoencoders_own_but_for_its_clamp(folder: Path, photo: torch.Tensor) -> None:
    model = load(folder)
    model.autoencoder.decoder.conv_out.weight.mul_(20)
    latent = model.encode(photo)
    decoded = model.decode(latent)
    raw = latent.unsqueeze(2) * model.deviation + model.mean
    theirs = model.autoencoder.decode(raw).sample[:, :, 0].add(1).div(2)
    assert decoded.abs().max() > 1
    torch.testing.assert_close(decoded.clamp(0, 1), theirs)


def test_each_denoiser_is_used_at_the_noise_levels_of_the_pipeline(wan22_folder: Path) -> None:
    high, low = (load(wan22_folder, stage=stage) for stage in ("high", "low"))
    assert high.levels.min() >= 0.9 > low.levels.max()
    scheduler = json.loads((wan22_folder / "scheduler" / "scheduler_config.json").read_text())
    torch.testing.assert_close(torch.cat([low.levels, high.levels]), levels_of(scheduler).float())
    assert high.random_inputs["timestep"].high == len(high.levels)


def test_a_stage_needs_only_its_own_denoiser(wan22_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(wan22_folder, tmp_path / "model"))
    shutil.rmtree(folder / "transformer")
    assert load(folder, stage="low").layers
    with pytest.raises(SurrogateError, match=r"transformer has no config\.json"):
        load(folder)


@pytest.mark.parametrize(
    ("stage", "denoiser"), [(None, "transformer"), ("high", "transformer"), ("low", "transformer_2")]
)
def test_a_stage_is_one_of_the_video_options(wan22_folder: Path, stage: str | None, denoiser: str) -> None:
    from anti_i2v import VideoOptions
    from anti_i2v.engines.torch_engine import TorchEngine
    from anti_i2v.recipes import load_recipe

    engine = TorchEngine([wan22_folder], load_recipe("full"), "cpu", VideoOptions(frames=3, stage=stage))
    engine.prepare()
    (model,) = engine._models
    assert torch.equal(model.levels, load(wan22_folder, stage=stage).levels)
    assert (model.levels.min() >= 0.9) == (denoiser == "transformer")


@pytest.mark.parametrize(
    ("family", "stage", "message"),
    [
        ("wan22", "middle", "stage must be high or low, got 'middle'"),
        ("wan21", "low", "has no stage 'low': it has a single denoiser"),
        ("cogvideox", "high", "has no stage 'high': it has a single denoiser"),
    ],
    ids=["an unknown stage", "a single denoiser", "another family"],
)
def test_an_unknown_stage_is_refused_by_the_command_line(
    family: str, stage: str, message: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from anti_i2v_cli import app

    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    folder = request.getfixturevalue(f"{family}_folder")
    arguments = ["--recipe", "full", "--surrogate", str(folder), "--device", "cpu", "--stage", stage]
    result = CliRunner().invoke(app, ["protect", str(tmp_path / "photo.png"), *arguments])
    assert result.exit_code in (1, 2)
    assert message in result.output


def test_without_accelerate_the_extra_is_named(wan22_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anti_i2v.surrogates.backbones.wan.find_spec", lambda name: None)
    with pytest.raises(SurrogateError, match=r'needs accelerate: pip install "anti-i2v-sdk\[backbones\]"'):
        load(wan22_folder)


def test_levels_are_those_of_the_schedulers() -> None:
    import diffusers

    euler = diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0)  # in its initial state: the noise levels of training
    torch.testing.assert_close(levels_of(euler.config).float().flip(0), euler.sigmas)
    unipc = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, num_train_timesteps=100
    )
    unipc.set_timesteps(100)  # from 1 - 1/100 down to 0
    torch.testing.assert_close(levels_of(unipc.config)[:-1].flip(0).float(), unipc.sigmas[1:-1], rtol=0, atol=0.03)


@pytest.mark.parametrize("sides", [(40, 64), (64, 40), (24, 24)], ids=str)
@pytest.mark.parametrize("size", [{"shortest_edge": 16}, {"height": 16, "width": 20}], ids=str)
def test_clip_reads_what_its_processor_returns(sides: tuple[int, int], size: dict[str, int]) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(size=size, crop_size={"height": 16, "width": 16})
    coarse = Image.fromarray(np.random.default_rng(0).integers(30, 226, (8, 8, 3), np.uint8))
    image = coarse.resize(sides, Image.Resampling.BICUBIC)
    theirs = processor(image, return_tensors="pt")["pixel_values"]
    ours = clip_view(torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0) / 255, processor.to_dict())
    torch.testing.assert_close(
        ours, theirs, rtol=0, atol=1.01 / 255 / 0.26
    )  # the processor rounds to 8 bits after each axis


def test_checkpoints_of_the_frame_by_frame_encoder_change_nothing(folder: Path, photo: torch.Tensor) -> None:
    plain, saving = load(folder), load(folder, checkpointing=True)
    photo.requires_grad_(True)
    video = torch.cat([photo, photo.new_zeros(8, 3, 32, 32)]).movedim(0, 1).unsqueeze(0)
    one, other = plain._latents(video), saving._latents(video)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(*(torch.autograd.grad(each.square().sum(), photo)[0] for each in (one, other)))


def change(folder: Path, file: str, **settings: object) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


@pytest.mark.parametrize(
    ("version", "spoil", "options", "message"),
    [
        ("wan5b", {"expand_timesteps": False}, {}, "generates videos from text only: its denoiser takes no photo"),
        ("wan21", {}, {"stage": "low"}, "has no stage 'low': it has a single denoiser"),
        ("wan22", {}, {"stage": "middle"}, "has no stage 'middle': choose from high, low"),
        ("wan5b", {}, {"frames": 1}, "needs 2 latent frames or more: the first one is the photo itself"),
    ],
    ids=["text to video", "no second denoiser", "an unknown stage", "a single frame"],
)
def test_models_that_take_no_single_photo_are_refused(
    version: str,
    spoil: dict[str, object],
    options: dict[str, Any],
    message: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(f"{version}_folder"), tmp_path / "model"))
    change(folder, "model_index.json", **spoil)
    with pytest.raises(SurrogateError, match=message):
        load(folder, **options)
