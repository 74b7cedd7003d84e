"""The public names of `import anti_i2v`, and that importing them loads no heavy package."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

import anti_i2v

PUBLIC = [
    "AntiI2VError",
    "BudgetError",
    "Cancelled",
    "OutputError",
    "PhotoError",
    "Protection",
    "Protector",
    "Receipt",
    "Recipe",
    "RecipeError",
    "SurrogateError",
    "Video",
    "VideoOptions",
    "check",
    "load_recipe",
    "protect",
    "recipe_names",
]

EARLIER_NAMES = {"Video": "VideoOptions"}

HEAVY = ("torch", "kornia", "scipy", "skimage", "cv2", "diffusers", "onnxruntime")

# fmt: off
BOTH_ENGINES = (
    "batch", "checking", "engines", "engines.artifacts", "engines.base", "images.decode", "images.encode",
    "images.perturbation", "images.platforms", "images.resize", "metrics.latents", "optim.initialisation",
    "optim.optimise", "optim.pgd", "optim.schedule", "optim.space_constants", "optim.transforms",
    "optim.universal_perturbation", "preview", "protector", "receipts.fields", "receipts.measure", "receipts.receipt",
    "receipts.tables", "receipts.text", "recipes", "surrogates.catalogue", "surrogates.info",
)
# fmt: on
"""Modules that a machine without torch runs."""


def loaded_by(program: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after a program."""
    report = f"import sys\ntry:\n    {program}\nexcept SystemExit:\n    pass\n"
    report += f"print('loaded:', *[name for name in {HEAVY} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(anti_i2v.__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, env=environment, check=True)  # noqa: S603  # our own interpreter
    return set(run.stdout.rpartition("loaded:")[2].split())


def test_the_public_names_are_exactly_these() -> None:
    assert anti_i2v.__all__ == PUBLIC
    assert dir(anti_i2v) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves(name: str) -> None:
    found = getattr(anti_i2v, name)
    assert found.__name__ == EARLIER_NAMES.get(name, name)
    assert found.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = anti_i2v.nothing


@pytest.mark.usefixtures("empty_home")
def test_the_example_of_the_docstring_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Image.open(Path(__file__).parents[1] / "data" / "chelsea.jpg") as photo:
        photo.resize((160, 112)).save("photo.jpg")
    example = [line for line in (anti_i2v.__doc__ or "").splitlines() if line.startswith("    ") or not line]
    exec(textwrap.dedent("\n".join(example)), {})  # noqa: S102  # our own docstring
    assert Path("protected.jpg").is_file()


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("import anti_i2v", id="import anti_i2v"),
        pytest.param(
            "from anti_i2v import *; import anti_i2v.batch, anti_i2v.receipts.text, anti_i2v.preview", id="every name"
        ),
    ],
)
def test_importing_loads_no_heavy_package(program: str) -> None:
    # A star import is not allowed inside a block, so each program runs through exec.
    assert loaded_by(f"exec({program!r})") == set()


def test_modules_that_run_without_torch_load_no_heavy_package() -> None:
    assert loaded_by(f"import {', '.join('anti_i2v.' + name for name in BOTH_ENGINES)}") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--help"], id="--help"),
        pytest.param(["--version"], id="--version"),
        pytest.param(["protect", "--help"], id="protect --help"),
        pytest.param(["recipes"], id="recipes"),
        pytest.param(["presets"], id="presets"),
        pytest.param(["surrogates", "list"], id="surrogates list"),
        pytest.param(["surrogates", "info", "embedded"], id="surrogates info"),
        pytest.param(["protect", "photo.jpg", "--recipe", "nope"], id="an unknown recipe"),
        pytest.param(["protect", "photo.jpg", "--budget", "300"], id="a budget out of range"),
        pytest.param(["protect", "photo.jpg", "--engine", "jax"], id="an unknown engine"),
        pytest.param(["protect", "no-such-photo.jpg"], id="a missing photo"),
        pytest.param(["nope"], id="an unknown command"),
    ],
)
def test_commands_that_need_no_model_load_no_heavy_package(arguments: list[str]) -> None:
    assert loaded_by(f"sys.argv[1:] = {arguments}; from anti_i2v_cli import main; main()") == set()
