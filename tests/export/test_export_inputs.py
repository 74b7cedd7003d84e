"""Exports of surrogates with random inputs, of LPIPS, and of those without a decoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from anti_i2v.engines.artifacts import (
    LPIPS,
    find_artifact,
    load_context,
)
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.paths import LPIPS_WEIGHTS
from anti_i2v.recipes import Recipe, load_recipe
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.surrogates.info import RandomInput, SurrogateInfo

pytest.importorskip("onnx", reason="needs onnx: pip install 'anti-i2v-sdk[export]'")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'anti-i2v-sdk[export]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'anti-i2v-sdk[cpu]'")
pytest.importorskip("diffusers", reason="needs diffusers: pip install 'anti-i2v-sdk[backbones]'")

from tests.export.limits import assert_within_limits

from anti_i2v.engines.onnx_engine import OnnxEngine
from anti_i2v_export import check_export, export_surrogate

OWN = Recipe(name="own", summary="Of this test.", steps=3)
"""Displacement by sign-gradient in RGB: the smallest step there is."""


class Noisy(Surrogate):
    """A convolution of the photo and noise at half its size, weighed by a timestep, beside a prompt."""

    random_inputs = {  # noqa: RUF012  # as the base class has it: never changed
        "noise": RandomInput(kind="normal", shape=("B", 2, "H/2", "W/2")),
        "timestep": RandomInput(kind="integers", shape=("B",), low=20, high=980),
    }

    def __init__(self) -> None:
        super().__init__()
        self.info = SurrogateInfo(name="noisy", kind="Noisy", source="test", fingerprint="none", licence="MIT")
        self.multiple = 2
        self.context = {"prompt": torch.linspace(-1, 1, 4).view(2, 2)}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Conv2d(3, 2, 3, stride=2, padding=1).requires_grad_(False)

    def features(
        self, pixels: torch.Tensor, inputs: Mapping[str, torch.Tensor] | None = None
    ) -> dict[str, torch.Tensor]:
        assert inputs is not None
        share = (inputs["timestep"].to(pixels) / 1000).view(-1, 1, 1, 1)
        noisy = share * self.layer(self.normalised(pixels)) + (1 - share) * inputs["noise"]
        return {"latent": torch.einsum("bchw,cd->bdhw", torch.tanh(noisy), inputs["prompt"])}


@pytest.mark.slow
def test_noise_timestep_and_context_are_inputs_of_every_graph(tmp_path: Path) -> None:
    artifact = export_surrogate(Noisy(), tmp_path / "out", recipes=[OWN])
    assert artifact.random_inputs == Noisy.random_inputs
    assert [graph.kind for graph in artifact.graphs] == ["encode", "bind", "loss", "step"]
    for graph in artifact.graphs:
        sampled = {port.name: (port.type, port.shape) for port in graph.inputs if port.name.startswith("draw.")}
        assert sampled == {
            "draw.prompt": ("tensor(float)", (2, 2)),
            "draw.noise": ("tensor(float)", ("batch", 2, "height/2", "width/2")),
            "draw.timestep": ("tensor(int64)", ("batch",)),
        }
        assert_within_limits(graph.verification)
    context = load_context(tmp_path / "out", artifact)
    assert np.array_equal(context["prompt"], Noisy().context["prompt"].numpy())
    assert check_export(tmp_path / "out", Noisy(), [OWN]) == artifact


@pytest.mark.slow
def test_lpips_is_exported_for_receipts(empty_home: Path, lpips_weights: dict[str, torch.Tensor]) -> None:
    with pytest.raises(SurrogateError, match=f"no LPIPS weights here: put {LPIPS_WEIGHTS} into the folder"):
        export_surrogate(LPIPS)
    (empty_home / LPIPS_WEIGHTS).parent.mkdir(parents=True)
    save_file(lpips_weights, empty_home / LPIPS_WEIGHTS)
    engine = OnnxEngine([], None, "cpu")
    assert engine.load_lpips() is None
    artifact = export_surrogate(LPIPS)
    assert [graph.kind for graph in artifact.graphs] == ["distance"]
    assert find_artifact(LPIPS) == empty_home / "onnx" / LPIPS
    distance = engine.load_lpips()
    assert distance is not None
    first, second = np.random.default_rng(0).random((2, 2, 3, 64, 72), np.float32)
    expected = Lpips.load(empty_home / LPIPS_WEIGHTS)(torch.from_numpy(first), torch.from_numpy(second))
    np.testing.assert_allclose(distance(first, second), expected.detach().numpy(), rtol=1e-4)


def test_a_recipe_that_needs_a_missing_decoder_is_refused(tmp_path: Path) -> None:
    decoding = load_recipe("balanced", terms={"decoded": 1.0})
    with pytest.raises(SurrogateError, match="recipe 'balanced' needs a decoder and embedded has none"):
        export_surrogate(
            "embedded", tmp_path / "out", recipes=[decoding], progress=lambda graph: pytest.fail(graph.file)
        )  # not one graph
    with pytest.raises(RecipeError, match="unknown recipe 'nope'"):
        export_surrogate("embedded", tmp_path / "out", recipes=["nope"])
    assert list(tmp_path.iterdir()) == []
