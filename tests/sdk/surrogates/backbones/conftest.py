"""Folders with a tiny model of every family, in the hub's layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers", reason="needs diffusers: pip install 'anti-i2v-sdk[backbones]'")

import diffusers
from tests import tiny_models

COGVIDEOX, HUNYUAN = "CogVideoXImageToVideoPipeline", "HunyuanVideoImageToVideoPipeline"


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home folder for the embeddings of captions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTI_I2V_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """(pipeline, parts, **settings of its index) -> the folder."""

    def write(pipeline: str, parts: Mapping[str, Any], **settings: Any) -> Path:
        folder = tmp_path_factory.mktemp("models") / pipeline.lower()
        return tiny_models.write_folder(folder, pipeline, parts, **settings)

    return write


def family_fixture(name: str, pipeline: str, build: Callable[[], Mapping[str, Any]], **settings: Any) -> Any:
    """Make the fixture `NAME_folder`."""

    @pytest.fixture(scope="session", name=f"{name}_folder")
    def fixture(hub_folder: Callable[..., Path]) -> Path:
        return hub_folder(pipeline, build(), **settings)

    return fixture


cogvideox_folder = family_fixture("cogvideox", COGVIDEOX, tiny_models.cogvideox)
wan21_folder = family_fixture("wan21", "WanImageToVideoPipeline", tiny_models.wan21)
wan22_folder = family_fixture("wan22", "WanImageToVideoPipeline", tiny_models.wan22, boundary_ratio=0.9)
wan5b_folder = family_fixture("wan5b", "WanPipeline", tiny_models.wan5b, expand_timesteps=True)
ltx_folder = family_fixture("ltx", "LTXImageToVideoPipeline", tiny_models.ltx)
svd_folder = family_fixture("svd", "StableVideoDiffusionPipeline", tiny_models.svd)
i2vgenxl_folder = family_fixture("i2vgenxl", "I2VGenXLPipeline", tiny_models.i2vgenxl)
hunyuan_folder = family_fixture("hunyuan", HUNYUAN, tiny_models.hunyuan_token_replace)
hunyuan33_folder = family_fixture("hunyuan33", HUNYUAN, tiny_models.hunyuan_latent_concat)


@pytest.fixture(scope="session")
def cogvideox15_folder(cogvideox_folder: Path, hub_folder: Callable[..., Path]) -> Path:
    old = diffusers.CogVideoXImageToVideoPipeline.from_pretrained(cogvideox_folder)
    return hub_folder(COGVIDEOX, tiny_models.cogvideox15(old))


@pytest.fixture(scope="session")
def cogvideox_learned_folder(cogvideox_folder: Path, hub_folder: Callable[..., Path]) -> Path:
    old = diffusers.CogVideoXImageToVideoPipeline.from_pretrained(cogvideox_folder)
    return hub_folder(COGVIDEOX, tiny_models.cogvideox_learned(old))
