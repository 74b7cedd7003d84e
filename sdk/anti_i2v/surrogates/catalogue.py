"""Which surrogates are known, which are at hand, and how to get them. Light: models load when they are asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from anti_i2v.errors import SurrogateError
from anti_i2v.paths import home
from anti_i2v.recipes import DENOISER_LAYERS
from anti_i2v.surrogates.hub import put_in_place
from anti_i2v.surrogates.trained_models import OWN_WEIGHTS, WHITE_BOX, victims
from anti_i2v.surrogates.trained_models import victim_folder as trained_at
from anti_i2v.surrogates.video_models import (
    DOWNLOAD_PATTERNS,
    MODEL_INDEX,
    SKIPPED_PATTERNS,
    model_folder,
    video_models,
)

if TYPE_CHECKING:
    import torch

    from anti_i2v.surrogates.base import Surrogate

__all__ = [
    "STUDENT",
    "EncoderEntry",
    "available_encoders",
    "download",
    "encoder_folder",
    "encoders",
    "is_available",
    "is_video_model",
    "load_surrogate",
    "pull",
    "surrogate_folder",
]

STUDENT = "embedded"
"""The name of the student that the package ships."""

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""owner/repository; a relative path of two parts looks the same, so folders come first."""


class EncoderEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One encoder that the project knows by name."""

    name: str
    hub: str
    role: Literal["surrogate", "held-out"]
    family: str
    licence: str
    fingerprint: str


@cache
def encoders() -> dict[str, EncoderEntry]:
    """Name -> entry, from data/surrogates.toml."""
    text = resources.files("anti_i2v").joinpath("data/surrogates.toml").read_bytes()
    table = msgspec.toml.decode(text, type=dict[str, list[EncoderEntry]])
    return {entry.name: entry for entry in table["surrogate"]}


def encoder_folder(name: str) -> Path | None:
    """The folder of a known surrogate under the home folder, or None where it is not at hand."""
    folder = home() / "surrogates" / name
    return folder if (folder / "config.json").is_file() else None


def available_encoders(role: Literal["surrogate", "held-out"] = "surrogate") -> list[str]:
    """Known surrogates of a role that can be loaded now."""
    return [entry.name for entry in encoders().values() if entry.role == role and encoder_folder(entry.name)]


def surrogate_folder(name_or_folder: str | Path) -> Path:
    """The folder of a surrogate by name, path or hub name (owner/repository, which is downloaded unpinned).

    Light but for the download, so that a wrong name is refused before anything is loaded.

    Raises:
        SurrogateError: it is unknown, or known and not at hand; the message says what to do.
    """
    name = str(name_or_folder)
    if name in victims():
        return _trained(name)
    folder = (
        encoder_folder(name)
        if name in encoders()
        else model_folder(name)
        if name in video_models()
        else Path(name_or_folder)
    )
    if folder is None:
        raise SurrogateError(
            f"{name_or_folder} is not on this machine: run `anti-i2v surrogates pull {name_or_folder}`"
        )
    if not folder.is_dir() and HUB_NAME.fullmatch(str(name_or_folder)):
        return _from_hub(str(name_or_folder))
    if not folder.is_dir():
        known = ", ".join([STUDENT, *encoders(), *video_models()])
        raise SurrogateError(f"unknown surrogate {str(name_or_folder)!r}: give a folder, or one of {known}")
    return folder


def _trained(name: str) -> Path:
    """The folder of a small video model of ours that steps may be taken on. Raises SurrogateError."""
    victim, folder = victims()[name], trained_at(name)
    if victim.role != WHITE_BOX:
        allowed = ", ".join(each.name for each in victims().values() if each.role == WHITE_BOX)
        raise SurrogateError(f"{name} is kept for evaluation, so that it says something of transfer: take {allowed}")
    if folder is None:
        raise SurrogateError(f"{name} is not on this machine: sdk/training/README.md says how it is trained")
    if encoder_folder(victim.encoder) is None:
        raise SurrogateError(f"{name} works on {victim.encoder}: run `anti-i2v surrogates pull {victim.encoder}`")
    return folder


def is_video_model(name_or_folder: str | Path) -> bool:
    """Whether it is a whole video model, with a denoiser. Raises SurrogateError as `locate` does."""
    return name_or_folder != STUDENT and (surrogate_folder(name_or_folder) / MODEL_INDEX).is_file()


def is_available(name: str) -> bool:
    """Whether a small video model of ours can be loaded: its weights and its encoder are on this machine."""
    victim = victims().get(name)
    return victim is not None and trained_at(name) is not None and encoder_folder(victim.encoder) is not None


def _from_hub(repository: str) -> Path:
    """A hub repository in the hub client's cache, downloaded where it is not there: an encoder's config and weights, or
    all parts of a whole video model."""
    from anti_i2v.surrogates.autoencoders import WEIGHTS

    folder = download(repository, ["config.json", WEIGHTS, MODEL_INDEX])
    return download(repository, DOWNLOAD_PATTERNS, SKIPPED_PATTERNS) if (folder / MODEL_INDEX).is_file() else folder


def download(repository: str, wanted: Sequence[str], unwanted: Sequence[str] = ()) -> Path:
    """Files of a hub repository, by patterns, in the hub client's cache. Raises SurrogateError."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise SurrogateError(f'{repository} needs huggingface-hub: pip install "anti-i2v-sdk[backbones]"') from None
    try:
        return Path(snapshot_download(repository, allow_patterns=list(wanted), ignore_patterns=list(unwanted)))
    except Exception as problem:  # the hub's client has no common error for "cannot be reached"
        raise SurrogateError(
            f"{repository} is no folder, and no download from the hub ({type(problem).__name__}): check the name"
        ) from None


def load_surrogate(
    name_or_folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    hooks: tuple[str, ...] = (),
    **backbone: Any,
) -> Surrogate:
    """A surrogate by name ("embedded", or as in `entries()`), from a folder in the hub's layout, or by hub name.

    Args:
        dtype: None: float32, and bfloat16 for whole models on a GPU.
        hooks: hook points beside the latent.
        backbone: for whole models: see `load_backbone`.

    Raises:
        SurrogateError: it is unknown, not at hand, or unfit; the message says what to do.
    """
    if name_or_folder == STUDENT and hooks:
        raise SurrogateError(f"{STUDENT} has no hook points: leave anchor_layers at latent")
    import torch

    from anti_i2v.surrogates.autoencoders import load_autoencoder
    from anti_i2v.surrogates.backbones.loading import load_backbone
    from anti_i2v.surrogates.student import load_student

    if name_or_folder == STUDENT:
        return load_student(device)
    folder = surrogate_folder(name_or_folder)
    if str(name_or_folder) in victims():
        return _windowed(str(name_or_folder), folder, hooks=hooks, device=device, dtype=dtype or torch.float32)
    if (folder / MODEL_INDEX).is_file():
        precision = dtype or (torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32)
        model = video_models().get(str(name_or_folder))
        told = {} if model is None else {"name": model.name, "source": model.hub, "licence": model.licence}
        return load_backbone(folder, hooks=hooks, device=device, dtype=precision, **told, **backbone)
    if denoising := set(DENOISER_LAYERS) & set(hooks):
        raise SurrogateError(f"{folder.name} is an encoder and has no {min(denoising)!r} layers: name a video model")
    precision, entry = dtype or torch.float32, encoders().get(str(name_or_folder))
    if entry is None:
        return load_autoencoder(folder, hooks=hooks, device=device, dtype=precision)
    return load_autoencoder(
        folder,
        name=entry.name,
        pinned=entry.fingerprint,
        licence=entry.licence,
        source=entry.hub,
        hooks=hooks,
        device=device,
        dtype=precision,
    )


def _windowed(name: str, folder: Path, **options: Any) -> Surrogate:
    """A small video model of ours, asked for the first frames of a video."""
    from anti_i2v.surrogates.backbones.loading import load_backbone
    from anti_i2v.surrogates.windowed import FRAMES, Windowed

    told: dict[str, Any] = {**OWN_WEIGHTS, "frames": FRAMES}
    return Windowed(load_backbone(folder, name=name, **told, **options))


def pull(name: str) -> Path:
    """Download a known surrogate into the home folder, and keep it only if its fingerprint is the pinned one.

    The hub's newest revision is taken: the fingerprint pins the values of the weights, so none needs to be named.
    Of config.json the class is checked, which is what decides how the weights are read.

    Raises:
        SurrogateError: unknown, not reachable, not the pinned weights, or the home folder cannot be written.
    """
    entry = encoders().get(name)
    if entry is None:
        raise SurrogateError(f"unknown surrogate {name!r}: choose from {', '.join(encoders())}")
    return put_in_place(home() / "surrogates" / name, lambda folder: _download(entry, folder))


def _download(entry: EncoderEntry, folder: Path) -> None:
    """Fetch config.json and the weights into a new folder.

    Raises:
        SurrogateError: not reachable, or not what was pinned.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise SurrogateError('pulling needs huggingface-hub: pip install "anti-i2v-sdk[backbones]"') from None
    from anti_i2v.surrogates.autoencoders import CLASSES, WEIGHTS, fingerprint

    config, weights = folder / "config.json", folder / WEIGHTS
    try:
        snapshot_download(entry.hub, local_dir=folder, allow_patterns=[config.name, WEIGHTS])
    except Exception as problem:  # the hub's client has no common error for "cannot be reached"
        raise SurrogateError(
            f"{entry.hub} cannot be downloaded ({type(problem).__name__}): check the connection"
        ) from None
    if not config.is_file() or not weights.is_file() or fingerprint(weights) != entry.fingerprint:
        raise SurrogateError(f"{entry.hub} no longer holds the pinned weights: nothing was kept")
    try:
        kind = json.loads(config.read_bytes())["_class_name"]
    except (ValueError, TypeError, KeyError):  # no JSON, no object, or an object without a class
        kind = None
    if kind not in CLASSES:
        raise SurrogateError(f"{entry.hub} no longer holds a config of {' or '.join(CLASSES)}: nothing was kept")
