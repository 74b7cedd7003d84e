"""What the ONNX engine refuses, and what it notes about the machine."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from anti_i2v import engines
from anti_i2v.arrays import Rgb8
from anti_i2v.engines.artifacts import SHARED_GRAPHS, packaged_artifact
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.protector import Protector
from anti_i2v.recipes import Recipe, load_recipe

pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'anti-i2v-sdk[cpu]'")

import onnxruntime

from anti_i2v.engines import onnx_engine
from anti_i2v.engines.onnx_engine import OnnxEngine
from anti_i2v.engines.onnx_session import LoadedArtifact, OrtDevice


def recipe(**settings: object) -> Recipe:
    """Balanced with fewer steps on fewer pixels."""
    return load_recipe("balanced", **{"short_side": 96, "steps": 10, **settings})


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "cuda:x", "mps", "cpu:x", "toaster"])
def test_a_missing_device_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(RecipeError, match=f"^ONNX Runtime has no device '{device}' here: use auto or cpu"):
        Protector(recipe(), surrogates=["embedded"], engine="onnx", device=device).prepare()


def test_a_silent_fallback_from_cuda_to_the_cpu_is_noticed(photos: list[Rgb8], monkeypatch: pytest.MonkeyPatch) -> None:
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(RecipeError, match="CUDA was requested"),
    ):
        OrtDevice("cuda").session(packaged_artifact(SHARED_GRAPHS) / "begin.onnx")


def test_an_engine_that_is_unknown_or_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="unknown engine 'jax': choose from auto, torch, onnx"):
        Protector(recipe(), engine="jax")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r'engine onnx needs onnxruntime, .*pip install "anti-i2v-sdk\[cpu\]"'):
        Protector(recipe(), engine="onnx")


def test_the_error_for_a_surrogate_that_is_not_exported_names_the_command(tiny_folder: Path) -> None:
    with pytest.raises(
        SurrogateError, match="taesd is not exported on this machine: run `anti-i2v export taesd --half`"
    ):
        Protector(recipe(), surrogates=["taesd"], engine="onnx").prepare()
    with pytest.raises(SurrogateError, match=r"holds no artifact: run `anti-i2v export .*toy-tiny -o DIR`"):
        Protector(recipe(), surrogates=[tiny_folder], engine="onnx").prepare()


def test_an_artifact_without_the_loss_that_a_recipe_needs_is_refused(photos: list[Rgb8]) -> None:
    anchored = recipe(terms={"displacement": 1.0, "anchor": 0.5}, anchor_layers=["latent"])
    wanted = r"has no loss graph for terms displacement\+anchor, anchor_layers latent: export it again with what the"
    with pytest.raises(SurrogateError, match=wanted):
        Protector(anchored, surrogates=["embedded"], engine="onnx").protect(photos[0])


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_both_engines_refuse_a_term_that_needs_a_missing_decoder(engine: str, photos: list[Rgb8]) -> None:
    own = recipe(terms={"decoded": 1.0})
    with pytest.raises(RecipeError, match="needs a decoder and embedded has none: use recipe balanced"):
        Protector(own, surrogates=["embedded"], engine=engine, device="cpu").protect(photos[0])


def test_a_missing_graph_is_named() -> None:
    shared_graphs = LoadedArtifact(OrtDevice("cpu"), packaged_artifact(SHARED_GRAPHS))
    with pytest.raises(SurrogateError, match="has no move graph for space rgb, algorithm lion: export it again"):
        shared_graphs.require_graph("move", space="rgb", algorithm="lion")


def test_a_missing_input_is_named() -> None:
    encode = LoadedArtifact(OrtDevice("cpu"), packaged_artifact("embedded")).require_graph("encode")
    with pytest.raises(SurrogateError, match=r"encode.onnx needs an input 'pixels' that this version does not provide"):
        encode.run({})


def test_pixels_of_a_wrong_shape_are_one_line() -> None:
    with pytest.raises(SurrogateError, match=r"encode.onnx failed in ONNX Runtime: ") as raised:
        OnnxEngine([], None, "cpu").load_encoder("embedded").encode(np.zeros((1, 4, 64, 64), np.float32))
    assert len(str(raised.value).splitlines()) == 1


INSTALLED = [
    ("one", {"onnxruntime": "1.20"}, 0),
    ("the other", {"onnxruntime-gpu": "1.20"}, 0),
    ("both", {"onnxruntime": "1.20", "onnxruntime-gpu": "1.21"}, 1),
]


@pytest.mark.parametrize(("packages", "notes"), [row[1:] for row in INSTALLED], ids=[row[0] for row in INSTALLED])
def test_two_packages_of_onnx_runtime_are_noted_in_the_receipt(
    packages: dict[str, str], notes: int, photos: list[Rgb8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name not in packages:
            raise PackageNotFoundError(name)
        return packages[name]

    monkeypatch.setattr(onnx_engine, "version", version)
    receipt = Protector("draft", engine="onnx").protect(photos[0], effects=False).receipt
    assert len(receipt.notes) == notes
    if notes:
        assert "onnxruntime and onnxruntime-gpu are both installed, and one hides the other" in receipt.notes[0]
