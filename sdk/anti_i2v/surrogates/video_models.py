"""Whole image-to-video models that are known by name: where they are, and how to get them. Light."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from anti_i2v.errors import SurrogateError
from anti_i2v.paths import home
from anti_i2v.surrogates.hub import put_in_place

__all__ = [
    "DOWNLOAD_PATTERNS",
    "MODEL_INDEX",
    "SKIPPED_PATTERNS",
    "VideoModelEntry",
    "model_folder",
    "pull_model",
    "video_models",
]

MODEL_INDEX = "model_index.json"
"""Of a folder that holds a whole image-to-video model, and not an encoder alone."""

DOWNLOAD_PATTERNS = [MODEL_INDEX, "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model"]

SKIPPED_PATTERNS = ["*.fp16.safetensors", "*.bf16.safetensors", "*.non_ema.safetensors"]
"""Files of the hub that are read, and copies of them in another precision."""


class VideoModelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model that the project knows by name. Its role is always to be optimised on."""

    name: str
    hub: str
    family: str
    licence: str


@cache
def video_models() -> dict[str, VideoModelEntry]:
    """Name -> model, from data/models.toml."""
    text = resources.files("anti_i2v").joinpath("data/models.toml").read_bytes()
    return {model.name: model for model in msgspec.toml.decode(text, type=dict[str, list[VideoModelEntry]])["model"]}


def model_folder(name: str) -> Path | None:
    """The folder of a known model under the home folder, or None where it is not at hand."""
    folder = home() / "models" / name
    return folder if (folder / MODEL_INDEX).is_file() else None


def pull_model(name: str) -> Path:
    """Download a known model into the home folder, with a lock of what was fetched (see `backbones.locks`).

    A download that breaks off leaves nothing behind that could be taken for the model.

    Raises:
        SurrogateError: unknown, not reachable, or the home folder cannot be written.
    """
    from anti_i2v.surrogates.backbones.hub_lock import write_lock

    model = video_models().get(name)
    if model is None:
        raise SurrogateError(f"unknown model {name!r}: choose from {', '.join(video_models())}")

    def fetch(folder: Path) -> None:
        write_lock(folder, model.hub, _download(model, folder))

    return put_in_place(home() / "models" / name, fetch)


def _download(model: VideoModelEntry, folder: Path) -> str:
    """Fetch a model into a new folder; the revision that was fetched."""
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError:
        raise SurrogateError('pulling needs huggingface-hub: pip install "anti-i2v-sdk[backbones]"') from None
    try:
        revision = str(HfApi().model_info(model.hub).sha)
        snapshot_download(
            model.hub,
            revision=revision,
            local_dir=folder,
            allow_patterns=DOWNLOAD_PATTERNS,
            ignore_patterns=SKIPPED_PATTERNS,
        )
    except Exception as problem:  # the hub's client has no common error for "cannot be reached"
        raise SurrogateError(
            f"{model.hub} cannot be downloaded ({type(problem).__name__}): check the connection, and whether the hub "
            "asks you to accept its licence first"
        ) from None
    if not (folder / MODEL_INDEX).is_file():
        raise SurrogateError(f"{model.hub} holds no {MODEL_INDEX}: nothing was kept")
    return revision
