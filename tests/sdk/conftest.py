"""A tiny video model: diffusers' real classes, random weights, on a tiny autoencoder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

FRAMES = 3


@pytest.fixture(scope="session")
def dit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CogVideoX of two blocks and three frames, as the project trains small video models."""
    pytest.importorskip("diffusers", reason="needs diffusers: pip install 'anti-i2v-sdk[backbones]'")
    from tests import tiny_models

    folder = tmp_path_factory.mktemp("victims") / "toy-dit"
    return tiny_models.write_folder(folder, "CogVideoXImageToVideoPipeline", tiny_models.small_dit(FRAMES))
