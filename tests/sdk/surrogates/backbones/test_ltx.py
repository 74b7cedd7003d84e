from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.loading import load_backbone
from anti_i2v.surrogates.backbones.ltx import LTXVideo


def load(folder: Path, **options: Any) -> LTXVideo:
    model = load_backbone(folder, **{"frames": 3, "dtype": torch.float64, **options})
    assert isinstance(model, LTXVideo)
    return model


@pytest.fixture
def photo() -> torch.Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_first_latent_of_a_clip_is_that_of_its_first_frame(ltx_folder: Path, photo: torch.Tensor) -> None:
    model = load(ltx_folder)
    latents = model.encode_video(torch.cat([photo, photo.flip(-1), photo.flip(-2)]))
    assert latents.shape[:3] == (1, 4, 3)
    torch.testing.assert_close(latents[:, :, 0], model.encode(photo))


def test_a_latent_decodes_to_the_same_photo_each_time(ltx_folder: Path, photo: torch.Tensor) -> None:
    model = load(ltx_folder)
    latent = model.encode(photo)
    assert model.decode(latent).shape == photo.shape
    torch.testing.assert_close(model.decode(latent), model.decode(latent), rtol=0, atol=0)


def test_longer_videos_are_noisier_as_in_training(ltx_folder: Path) -> None:
    model = load(ltx_folder)
    inputs = {"timestep": torch.zeros(1)}
    few, many = (model._level(inputs, torch.empty(1, 4, 4, tokens // 64, 16)) for tokens in (1024, 4096))
    torch.testing.assert_close(torch.logit(torch.cat([few, many])), torch.tensor([0.95, 2.05]))


def test_the_loss_leaves_out_the_given_frame(ltx_folder: Path, photo: torch.Tensor) -> None:
    model = load(ltx_folder, hooks=("prediction",))
    noise = torch.randn(1, 4, 3, 4, 4, dtype=torch.float64)
    inputs = {**model.context, **model.precompute(photo), "timestep": torch.zeros(1), "noise": noise}
    features = model.features(photo, inputs)
    torch.testing.assert_close(features["target"], (noise - inputs["reference"])[:, :, 1:])
    assert features["prediction"].shape == features["target"].shape


def test_a_single_frame_is_refused(ltx_folder: Path) -> None:
    with pytest.raises(SurrogateError, match="needs 2 latent frames or more: the first one is the photo itself"):
        load(ltx_folder, frames=1)
