"""Stable Video Diffusion and I2VGen-XL."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anti_i2v.errors import SurrogateError
from anti_i2v.objectives.binding import bind_objectives
from anti_i2v.objectives.representation_collapse import RepresentationCollapse
from anti_i2v.optim.spaces import Rgb
from anti_i2v.optim.update_rules import UPDATE_RULES, projected_step, value_and_gradient
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.backbones.loading import load_backbone
from anti_i2v.surrogates.backbones.unet_layers import matching
from anti_i2v.surrogates.info import sample_inputs


@pytest.fixture(params=["svd", "i2vgenxl"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_folder")
    return found


def photo(height: int = 32, width: int = 32) -> torch.Tensor:
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").mul(0.8).add(0.1)


def inputs_of(model: Backbone, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    arrays = sample_inputs(model.random_inputs, tuple(pixels.shape), np.random.default_rng(0))
    return {
        **model.context,
        **model.precompute(pixels),
        **{name: torch.from_numpy(value) for name, value in arrays.items()},
    }


def changed(folder: Path, copy: Path, file: str, **settings: Any) -> Path:
    shutil.copytree(folder, copy)
    (copy / file).write_text(json.dumps({**json.loads((copy / file).read_text()), **settings}))
    return copy


def test_up_blocks_match_the_down_blocks_whose_skip_connections_they_read(folder: Path) -> None:
    assert load_backbone(folder).collapse_pairs() == (
        ("up_blocks.0", "down_blocks.2"),
        ("up_blocks.1", "down_blocks.1"),
        ("up_blocks.2", "down_blocks.0"),
    )
    of_four = [*(f"down_blocks.{index}" for index in range(4)), "mid_block", *(f"up_blocks.{n}" for n in range(4))]
    assert [pair[0] for pair in matching(of_four)] == ["up_blocks.1", "up_blocks.2", "up_blocks.3"]
    assert [pair[1] for pair in matching(of_four)] == ["down_blocks.2", "down_blocks.1", "down_blocks.0"]


def test_late_blocks_collapse_onto_early_ones_of_another_size(folder: Path) -> None:
    model, clean = load_backbone(folder, hooks=("early", "late"), frames=2), photo()
    features = model.features(clean, inputs_of(model, clean))
    assert any(features[late].shape != features[early].shape for late, early in model.collapse_pairs())
    loss_fn = bind_objectives({RepresentationCollapse(): 1.0}, model, clean)
    start = (clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(2)).sign() / 255).clamp(0, 1)
    rule, candidate, radius = UPDATE_RULES["sign-gradient"], start, torch.full((1, 1, 1, 1), 8 / 255)
    for index, levels in enumerate(np.linspace(2, 0.2, 8)):  # always with the noise of the comparison
        _, gradient = value_and_gradient(loss_fn, candidate)
        candidate, _ = projected_step(rule, Rgb(), candidate, clean, radius, gradient, (), index, levels / 255)
    with torch.no_grad():
        assert loss_fn(candidate) < 0.99 * loss_fn(clean)


def test_frames_come_as_an_axis_of_their_own(folder: Path) -> None:
    for frames in (1, 3):
        model, pixels = load_backbone(folder, hooks=("early", "late", "prediction"), frames=frames), photo(40, 24)
        features = model.features(pixels, inputs_of(model, pixels))
        assert all(features[name].shape[0] == 1 for name in model.hooked_layers)
        if frames > 1:
            assert all(features[name].shape[1] == frames for name in model.hooked_layers)
        assert features["prediction"].shape == features["target"].shape


def test_blocks_are_recomputed_where_the_pass_ends_early_too(folder: Path) -> None:
    clean = photo()
    gradients = []
    for on in (False, True):
        model = load_backbone(folder, hooks=("early", "late"), frames=2, checkpointing=on)
        gradients.append(
            value_and_gradient(bind_objectives({RepresentationCollapse(): 1.0}, model, clean), clean + 0.01)[1]
        )
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


def test_a_clip_is_encoded_frame_by_frame_and_repeats_its_last_frame(folder: Path) -> None:
    clip = torch.cat([photo(), photo().flip(-1)])
    model = load_backbone(folder, frames=3, reference=clip)
    axis = model.random_inputs["noise"].shape.index(3)
    video = model.precompute(photo())["reference"].movedim(axis, 0)
    still = [model.static_video(model.encode(frame)).movedim(axis, 0)[0] for frame in (clip[:1], clip[1:], clip[1:])]
    torch.testing.assert_close(video, torch.stack(still))


def test_a_photo_is_decoded_from_its_latent(folder: Path) -> None:
    model, pixels = load_backbone(folder), photo(40, 24).requires_grad_()
    decoded = model.decode(model.encode(pixels))
    assert decoded.shape == pixels.shape
    decoded.sum().backward()
    assert pixels.grad is not None
    own = model.autoencoder.encode(pixels * 2 - 1).latent_dist.mode()
    torch.testing.assert_close(model.encode(pixels) / model.latent_scale, own)


@pytest.mark.parametrize("part", ["autoencoder", "image_encoder"])
def test_gradients_flow_through_every_way_the_photo_enters(part: str, folder: Path) -> None:
    model, pixels = load_backbone(folder, hooks=("prediction",), frames=2), photo().requires_grad_()
    seen: list[torch.Tensor] = []
    first = next(module for module in getattr(model, part).modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    inputs = inputs_of(model, pixels.detach())
    seen.clear()  # calls for the reference
    prediction = model.features(pixels, inputs)["prediction"]
    (gradient,) = torch.autograd.grad(prediction.square().sum(), seen)
    assert gradient.abs().sum() > 0


def test_the_autoencoder_of_svd_stays_in_float32_at_half_precision(svd_folder: Path) -> None:
    model = load_backbone(svd_folder, dtype=torch.float16)
    assert model.autoencoder.dtype == torch.float32
    assert model.denoiser.dtype == torch.float16


def test_svd_accepts_only_v_prediction(svd_folder: Path, tmp_path: Path) -> None:
    spoiled = changed(svd_folder, tmp_path / "svd", "scheduler/scheduler_config.json", prediction_type="epsilon")
    with pytest.raises(SurrogateError, match="svd was trained to predict epsilon, not v_prediction: it is not SVD"):
        load_backbone(spoiled)


def test_i2vgenxl_predicts_noise_or_v(i2vgenxl_folder: Path, tmp_path: Path) -> None:
    file = "scheduler/scheduler_config.json"
    model = load_backbone(changed(i2vgenxl_folder, tmp_path / "noise", file, prediction_type="epsilon"), frames=2)
    noise = torch.randn(1, 4, 2, 8, 8)
    _, target = model.add_noise(torch.zeros_like(noise), {"timestep": torch.tensor([400]), "noise": noise})
    assert torch.equal(target, noise)
    with pytest.raises(SurrogateError, match="was trained to predict sample, which is not supported"):
        load_backbone(changed(i2vgenxl_folder, tmp_path / "sample", file, prediction_type="sample"))
