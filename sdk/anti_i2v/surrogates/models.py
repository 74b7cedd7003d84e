"""Whole image-to-video models that are known by name: where they are, and how to get them. Light."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from anti_i2v.errors import SurrogateError
from anti_i2v.home import home

__all__ = ["INDEX", "UNWANTED", "WANTED", "Model", "model_folder", "models", "pull_model", "put_in_place"]

INDEX = "model_index.json"
"""Of a folder that holds a whole image-to-video model, and not an encoder alone."""

WANTED = [INDEX, "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model"]
UNWANTED = ["*.fp16.safetensors", "*.bf16.safetensors", "*.non_ema.safetensors"]
"""Files of the hub that are read, and copies of them in another precision."""


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model that the project knows by name. Its role is always to be optimised on."""

    name: str
    hub: str
    family: str
    licence: str


@cache
def models() -> dict[str, Model]:
    """Name -> model, from data/models.toml."""
    text = resources.files("anti_i2v").joinpath("data/models.toml").read_bytes()
    return {model.name: model for model in msgspec.toml.decode(text, type=dict[str, list[Model]])["model"]}


def model_folder(name: str) -> Path | None:
    """The folder of a known model under the home folder, or None where it is not at hand."""
    folder = home() / "models" / name
    return folder if (folder / INDEX).is_file() else None


def pull_model(name: str) -> Path:
    """Download a known model into the home folder, with a lock of what was fetched (see `backbones.locks`).

    A download that breaks off leaves nothing behind that could be taken for the model.

    Raises:
        SurrogateError: unknown, not reachable, or the home folder cannot be written.
    """
    from anti_i2v.surrogates.backbones.locks import write_lock

    model = models().get(name)
    if model is None:
        raise SurrogateError(f"unknown model {name!r}: choose from {', '.join(models())}")

    def fetch(folder: Path) -> None:
        write_lock(folder, model.hub, _download(model, folder))

    return put_in_place(home() / "models" / name, fetch)


def put_in_place(target: Path, fetch: Callable[[Path], None]) -> Path:
    """A folder that appears whole or not at all, in place of one that was there.

    Args:
        fetch: fills a folder that it makes; what it raises leaves everything as it was.

    Raises:
        SurrogateError: it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fresh = Path(scratch) / target.name
            fetch(fresh)
            shutil.rmtree(fresh / ".cache", ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            fresh.replace(target)
    except OSError as problem:
        raise SurrogateError(
            f"{target} cannot be written ({problem.strerror}): check your permissions and the space that is left, or "
            "name another folder in ANTI_I2V_HOME"
        ) from None
    return target


def _download(model: Model, folder: Path) -> str:
    """Fetch a model into a new folder; the revision that was fetched."""
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError:
        raise SurrogateError('pulling needs huggingface-hub: pip install "anti-i2v-sdk[backbones]"') from None
    try:
        revision = str(HfApi().model_info(model.hub).sha)
        snapshot_download(
            model.hub, revision=revision, local_dir=folder, allow_patterns=WANTED, ignore_patterns=UNWANTED
        )
    except Exception as problem:  # the hub's client has no common error for "cannot be reached"
        raise SurrogateError(
            f"{model.hub} cannot be downloaded ({type(problem).__name__}): check the connection, and whether the hub "
            "asks you to accept its licence first"
        ) from None
    if not (folder / INDEX).is_file():
        raise SurrogateError(f"{model.hub} holds no {INDEX}: nothing was kept")
    return revision
