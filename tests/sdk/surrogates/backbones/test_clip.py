from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import tiny_models

from anti_i2v.engines.torch_engine import TorchPhotoOptimiser
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.metrics.clip import Clip
from anti_i2v.objectives.binding import bind_objectives, build_objectives
from anti_i2v.objectives.perceptual import ClipDistance
from anti_i2v.objectives.targets import checkerboard
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.optim.update_rules import value_and_gradient
from anti_i2v.recipes import Recipe, Terms, load_recipe
from anti_i2v.surrogates.student import load_student


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    settings = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        projection_dim=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    path = tmp_path_factory.mktemp("clip")
    tiny_models.seeded(lambda: CLIPVisionModelWithProjection(settings)).save_pretrained(path)
    return path


def photo() -> torch.Tensor:
    return torch.rand(1, 3, 48, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_embedding_is_that_of_the_square_photo_with_clips_normalisation(folder: Path) -> None:
    clip = Clip.load(folder)
    grey = torch.full((1, 3, 48, 40), 0.5)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    given = ((0.5 - mean) / deviation).expand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(clip(grey), clip.model(given).image_embeds)


def test_the_term_is_zero_at_the_clean_photo_and_falls_as_the_embedding_turns(folder: Path) -> None:
    clip, clean = Clip.load(folder).double(), photo()
    loss_fn = bind_objectives({ClipDistance(clip): 1.0}, load_student().double(), clean)
    assert float(loss_fn(clean)) == pytest.approx(0, abs=1e-9)
    start = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(1), dtype=clean.dtype) / 255
    own = Recipe(name="own", summary="Of this test.", terms=Terms(clip=1.0), steps=10, score_every=1)
    radius = torch.full((1, 1, 1, 1), 8 / 255)
    outcome = optimise_photo(TorchPhotoOptimiser([load_student().double()], clean, start, radius, own, clip=clip), own)
    assert float(outcome.score) < float(loss_fn(start)) < 0
    near = start.clamp(0, 1)
    _, gradient = value_and_gradient(loss_fn, near)
    direction = gradient / gradient.norm()
    with torch.no_grad():
        slope = (loss_fn(near + 1e-4 * direction) - loss_fn(near - 1e-4 * direction)) / 2e-4
    torch.testing.assert_close(slope[0], gradient.norm(), rtol=1e-3, atol=0)


def test_a_recipe_with_the_term_reports_missing_weights(folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe("strong", terms=Terms(displacement=1.0, clip=0.5))
    target = torch.from_numpy(checkerboard(32, 32))
    with pytest.raises(RecipeError, match="needs a CLIP image encoder: put its folder"):
        build_objectives(recipe, None, target)
    assert any(isinstance(each, ClipDistance) for each in build_objectives(recipe, None, target, Clip.load(folder)))
    with pytest.raises(SurrogateError, match="cannot be loaded as a CLIP image encoder"):
        Clip.load(tmp_path)
