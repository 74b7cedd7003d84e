"""Shared by all tests: shape checks, real classes at toy size, photos, and homes with and without weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jaxtyping
import numpy as np
import pytest
from beartype import BeartypeConf, beartype
from numpy.typing import NDArray
from PIL import Image

# Before torch is loaded, and for what tests start: on arrays this small, threads mostly wait for each other, and where
# other programs run as well, they wait long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shapes and types in signatures are checked only under pytest, so that callers pay nothing. These are the modules whose
# annotations exist at run time: no TYPE_CHECKING imports, no Self, and no protocols (so not optim.pgd, optim.optimise
# and engines; the functions that they call are checked). An int is a float, as for the static checker.
CHECKED = (
    "engines.device",
    "metrics.latents",
    "objectives.base",
    "objectives.binding",
    "objectives.denoising",
    "objectives.encoder_shift",
    "evaluation.baselines.latent_norm",
    "objectives.perceptual",
    "objectives.representation_anchor",
    "objectives.representation_collapse",
    "evaluation.baselines.score_distillation",
    "optim.dct",
    "optim.eot",
    "optim.initialisation",
    "optim.jpeg_gradient",
    "optim.perceptual_mask",
    "optim.projection",
    "optim.space_constants",
    "optim.spaces",
    "optim.transforms",
    "optim.universal_perturbation",
    "optim.update_rules",
    "surrogates.autoencoders",
    "surrogates.base",
    "surrogates.info",
    "surrogates.student",
    "tensors",
)
checker = ModuleType("shape_checker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # type: ignore[attr-defined]  # made on the spot
sys.modules["shape_checker"] = checker
jaxtyping.install_import_hook([f"anti_i2v.{name}" for name in CHECKED], "shape_checker.check")

PHOTOS = Path(__file__).parent / "data"
EXTENSION = "tests/extension/"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process, for their fixtures, and all of the extension's, for its build."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:  # marks for groups do nothing with pytest 9.2 (pytest-xdist, #1386)
            return EXTENSION if nodeid.startswith(EXTENSION) else super()._split_scope(nodeid)

    return Together(config, log)


def opened(height: int, width: int) -> list[NDArray[np.uint8]]:
    small = []
    for name in ("astronaut", "chelsea", "china", "coffee"):
        with Image.open(PHOTOS / f"{name}.jpg") as photo:
            small.append(np.asarray(photo.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)))
    return small


@pytest.fixture(scope="session")
def photos() -> list[NDArray[np.uint8]]:
    """Real photos, (96, 128, 3): skin, fur, sky and texture."""
    return opened(96, 128)


@pytest.fixture(scope="session")
def larger_photos() -> list[NDArray[np.uint8]]:
    """The same, (128, 168, 3), for tests that look at effects."""
    return opened(128, 168)


def save_autoencoder(folder: Path, kind: str) -> Path:
    """Save an autoencoder of `tiny_models` with random weights."""
    pytest.importorskip("diffusers", reason="needs diffusers: pip install 'anti-i2v-sdk[backbones]'")
    from tests import tiny_models

    tiny_models.seeded(getattr(tiny_models, kind), fill_zeros=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real AutoencoderTiny: three halvings, random weights."""
    return save_autoencoder(tmp_path_factory.mktemp("surrogates") / "toy-tiny", "autoencoder_tiny")


@pytest.fixture(scope="session")
def kl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real AutoencoderKL: one halving, random weights."""
    return save_autoencoder(tmp_path_factory.mktemp("surrogates") / "toy-kl", "autoencoder_kl")


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real AutoencoderKLCogVideoX: three halvings, random weights."""
    return save_autoencoder(tmp_path_factory.mktemp("surrogates") / "toy-video", "autoencoder_cogvideox")


@pytest.fixture(scope="session")
def lpips_weights() -> dict[str, Any]:
    """Weights of LPIPS's shape with four random channels a layer."""
    import torch

    generator, weights = torch.Generator().manual_seed(0), {}
    for index, (width, kernel) in enumerate(zip((3, 4, 4, 4, 4), (11, 5, 3, 3, 3), strict=True)):
        weights[f"features.{index}.weight"] = 0.2 * torch.randn(4, width, kernel, kernel, generator=generator)
        weights[f"features.{index}.bias"] = torch.rand(4, generator=generator)
        weights[f"heads.{index}.weight"] = torch.rand(1, 4, 1, 1, generator=generator)
    return weights


@pytest.fixture
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A bare machine: no weights but those that the package ships."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ANTI_I2V_HOME", str(folder))
    return folder


@pytest.fixture
def weights_home() -> Path:
    """The developer's folder with the real encoders."""
    named = os.environ.get("ANTI_I2V_HOME")
    if not named or not (Path(named) / "surrogates" / "taesd" / "config.json").is_file():
        pytest.skip("needs ANTI_I2V_HOME with the real encoders in surrogates/")
    return Path(named)
