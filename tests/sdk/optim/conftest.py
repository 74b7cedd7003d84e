"""A recipe on the torch engine whose loss is any function of the pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from anti_i2v.engines.torch_engine import TorchPhotoOptimiser
from anti_i2v.objectives.base import BoundValues, Objective
from anti_i2v.objectives.binding import BUILDERS
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.optim.pgd import Result
from anti_i2v.recipes import Recipe, load_recipe
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.surrogates.info import SurrogateInfo

BUDGET = 8 / 255


class IdentityEncoder(Surrogate):
    """The latent is the pixels."""

    multiple = 1

    def __init__(self) -> None:
        super().__init__()
        self.info = SurrogateInfo(name="identity", kind="Identity", source="test", fingerprint="none", licence="MIT")

    def features(self, pixels: torch.Tensor, inputs: Mapping[str, torch.Tensor] | None = None) -> dict[str, Any]:
        return {"latent": pixels}


class PixelLoss(Objective):
    """A function of the pixels as an objective."""

    def __init__(self, loss_fn: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.loss_fn = loss_fn

    def bind(self, surrogate: Surrogate, clean: torch.Tensor, inputs: Any = None) -> BoundValues:
        return {}

    def __call__(self, surrogate: Surrogate, features: Any, bound: BoundValues) -> torch.Tensor:
        return self.loss_fn(features["pixels"])


@pytest.fixture
def minimise(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result[torch.Tensor]]:
    """(loss_fn, clean, **settings of the recipe) -> the result of the loop that `Protector` runs."""

    def run(
        loss_fn: Callable[[torch.Tensor], torch.Tensor],
        clean: torch.Tensor,
        *,
        radius: float | torch.Tensor = BUDGET,
        start: torch.Tensor | None = None,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        **settings: object,
    ) -> Result[torch.Tensor]:
        monkeypatch.setitem(BUILDERS, "displacement", lambda given: PixelLoss(loss_fn))
        own = load_recipe(Recipe(name="own", summary="Of this test.", step=1, score_every=1), **settings)
        ball = torch.as_tensor(radius).view(1, 1, 1, 1) if isinstance(radius, float) else radius
        photo = TorchPhotoOptimiser([IdentityEncoder()], clean, clean if start is None else start, ball, own, seed=seed)
        return optimise_photo(photo, own, seed=seed, **(options or {}))

    return run
