"""The two engines: torch, and ONNX Runtime on graphs that are traced from the torch engine's functions."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from anti_i2v.engines.base import Engine
from anti_i2v.errors import RecipeError
from anti_i2v.recipes import Recipe
from anti_i2v.surrogates.video_options import VideoOptions

__all__ = ["ENGINES", "check_surrogates", "choose_engine", "make_engine"]

ENGINES = ("auto", "torch", "onnx")


def choose_engine(name: str) -> str:
    """Choose an engine without importing it; "auto" is torch where it is installed, else onnx.

    Raises:
        RecipeError: an unknown engine, or its package is not installed.
    """
    if name not in ENGINES:
        raise RecipeError(f"unknown engine {name!r}: choose from {', '.join(ENGINES)}")
    chosen = name if name != "auto" else "torch" if find_spec("torch") else "onnx"
    package = {"torch": "torch", "onnx": "onnxruntime"}[chosen]
    if find_spec(package) is None:
        how = {"torch": "pip install torch", "onnx": 'pip install "anti-i2v-sdk[cpu]", or [gpu] on a CUDA machine'}
        raise RecipeError(f"engine {chosen} needs {package}, which is not installed: {how[chosen]}")
    return chosen


def make_engine(
    name: str,
    surrogates: Sequence[str | Path] | None,
    recipe: Recipe | None,
    device: str,
    video: VideoOptions | None = None,
) -> Engine:
    """Create an engine; it loads its models when they are first needed.

    Args:
        name: "auto", "torch" or "onnx".
        surrogates: names or folders to optimise on; None takes every installed encoder and the recipe's small video
            models.
        recipe: the recipe to run; None only measures.
        device: "auto", "cpu", "cuda", "cuda:1", "mps" (only torch).
        video: options of whole video models (only torch).

    Raises:
        RecipeError: see `choose_engine`; also a recipe that needs a denoiser on the ONNX engine.
    """
    if choose_engine(name) == "onnx":
        if recipe is not None and recipe.needs_denoiser:
            raise RecipeError(f"recipe {recipe.name} needs a whole video model, which only the torch engine runs")
        from anti_i2v.engines.onnx_engine import OnnxEngine

        return OnnxEngine(surrogates, recipe, device)
    from anti_i2v.engines.torch_engine import TorchEngine
    from anti_i2v.surrogates.catalogue import available_encoders, catalogue

    if surrogates is None:
        known = catalogue()
        surrogates = [
            *available_encoders(),
            *(model for model in (recipe.video_models if recipe else ()) if model in known and known[model].available),
        ]
    return TorchEngine(surrogates, recipe, device, video)


def check_surrogates(engine: str, surrogates: Sequence[str | Path]) -> None:
    """Check that surrogates exist for an engine, before anything is loaded.

    Raises:
        SurrogateError: one does not exist; the message says what to do.
    """
    from anti_i2v.engines.artifacts import locate_artifact
    from anti_i2v.surrogates.catalogue import resolve

    for surrogate in surrogates:
        if choose_engine(engine) == "onnx":
            locate_artifact(surrogate)
        else:
            resolve(surrogate).locate()
