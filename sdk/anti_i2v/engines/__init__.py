"""Two engines run the same mathematics: torch, and ONNX Runtime on graphs that were traced from the torch one."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from anti_i2v.engines.base import Engine
from anti_i2v.errors import RecipeError
from anti_i2v.recipes import Recipe
from anti_i2v.surrogates.video_options import VideoOptions

__all__ = ["ENGINES", "check_names", "choose_engine", "make_engine"]

ENGINES = ("auto", "torch", "onnx")


def choose_engine(name: str) -> str:
    """ "auto" is torch where it is installed, else onnx. Imports neither.

    Raises:
        RecipeError: an unknown engine, or one whose package is not installed.
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
    name: str, names: Sequence[str | Path] | None, recipe: Recipe | None, device: str, video: VideoOptions | None = None
) -> Engine:
    """An engine that has loaded nothing yet.

    Args:
        name: "auto", "torch" or "onnx".
        names: surrogates to take steps on; None takes every encoder at hand for the engine, and the recipe's small
            video models.
        recipe: what it will run; None only judges.
        device: "auto", "cpu", "cuda", "cuda:1", "mps" (torch alone).
        video: what whole video models are told; torch alone.

    Raises:
        RecipeError: as `choose_engine`, or a recipe that needs a denoiser on the ONNX engine.
    """
    if choose_engine(name) == "onnx":
        if recipe is not None and recipe.needs_denoiser:
            raise RecipeError(f"recipe {recipe.name} needs a whole video model, which the torch engine alone runs")
        from anti_i2v.engines.onnx_engine import OnnxEngine

        return OnnxEngine(names, recipe, device)
    from anti_i2v.engines.torch_engine import TorchEngine
    from anti_i2v.surrogates.catalogue import available_encoders, catalogue

    if names is None:
        known = catalogue()
        names = [
            *available_encoders(),
            *(model for model in (recipe.video_models if recipe else ()) if model in known and known[model].available),
        ]
    return TorchEngine(names, recipe, device, video)


def check_names(name: str, names: Sequence[str | Path]) -> None:
    """Whether these surrogates exist for an engine, so that a wrong name is refused before anything is loaded.

    Raises:
        SurrogateError: one does not; the message says what to do.
    """
    from anti_i2v.engines.artifacts import locate_artifact
    from anti_i2v.surrogates.catalogue import resolve

    for surrogate in names:
        if choose_engine(name) == "onnx":
            locate_artifact(surrogate)
        else:
            resolve(surrogate).located()
