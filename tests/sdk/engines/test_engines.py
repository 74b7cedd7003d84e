"""The choice of the engine: without importing either, and refused in one line where it is not installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from anti_i2v import engines
from anti_i2v.engines import ENGINES, check_surrogates, choose_engine, make_engine
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.recipes import load_recipe


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """As if only these packages were installed."""

    def only(*packages: str) -> None:
        monkeypatch.setattr(engines, "find_spec", lambda name: object() if name in packages else None)

    return only


@pytest.mark.parametrize(
    ("packages", "chosen"),
    [(("torch",), "torch"), (("onnxruntime",), "onnx"), (("torch", "onnxruntime"), "torch")],
    ids=["torch", "onnx runtime", "both"],
)
def test_auto_is_torch_where_it_is_installed(
    packages: tuple[str, ...], chosen: str, install: Callable[..., None]
) -> None:
    install(*packages)
    assert choose_engine("auto") == chosen


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch", r"^engine torch needs torch, which is not installed: pip install torch$"),
        ("onnx", r'^engine onnx needs onnxruntime, which is not installed: pip install "anti-i2v-sdk\[cpu\]", or'),
        ("auto", r'^engine onnx needs onnxruntime, which is not installed: pip install "anti-i2v-sdk\[cpu\]", or'),
    ],
)
def test_an_engine_that_is_not_installed_is_refused_with_the_way_to_get_it(
    name: str, message: str, install: Callable[..., None]
) -> None:
    install()
    with pytest.raises(RecipeError, match=message):
        choose_engine(name)
    with pytest.raises(RecipeError, match=message):
        make_engine(name, [], None, "cpu")


def test_an_unknown_engine_is_refused_with_the_choices() -> None:
    assert ENGINES == ("auto", "torch", "onnx")
    with pytest.raises(RecipeError, match=r"^unknown engine 'jax': choose from auto, torch, onnx$"):
        choose_engine("jax")


def test_choosing_imports_neither() -> None:
    program = (
        "import sys; from anti_i2v.engines import choose_engine; choose_engine('auto'); "
        "print([name for name in ('torch', 'onnxruntime', 'kornia') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603  # our own interpreter
    assert run.stdout.strip() == "[]"


def test_the_torch_engine_takes_every_installed_encoder_or_the_given_ones(
    monkeypatch: pytest.MonkeyPatch, empty_home: Path, tiny_folder: Path
) -> None:
    recipe = load_recipe("balanced")
    assert make_engine("torch", None, recipe, "cpu").surrogates == []
    for name in ("taesd", "taef1", "taesd3"):
        (empty_home / "surrogates" / name).mkdir(parents=True)
        (empty_home / "surrogates" / name / "config.json").touch()
    # taesd3 is held out; dit-taef1 ships with the package and works on taef1.
    assert make_engine("torch", None, recipe, "cpu").surrogates == ["taesd", "taef1", "dit-taef1"]
    assert make_engine("torch", [], recipe, "cpu").surrogates == []
    assert make_engine("torch", [tiny_folder, "embedded"], recipe, "cpu").surrogates == [str(tiny_folder), "embedded"]


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
def test_names_are_checked_before_anything_is_loaded(empty_home: Path, tiny_folder: Path) -> None:
    check_surrogates("torch", ["embedded", tiny_folder])
    with pytest.raises(SurrogateError, match="unknown surrogate 'taesdx'"):
        check_surrogates("torch", ["embedded", "taesdx"])
    with pytest.raises(SurrogateError, match="taesd is not on this machine: run `anti-i2v surrogates pull taesd`"):
        check_surrogates("torch", ["taesd"])
