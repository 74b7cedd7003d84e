"""Download known encoders and video models into the home folder. Imports torch only to compare weights."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.encoders import EncoderEntry, encoders
from anti_i2v.surrogates.hub import (
    CONFIG,
    DOWNLOAD_PATTERNS,
    MODEL_INDEX,
    SKIPPED_PATTERNS,
    WEIGHTS,
    fetch_atomically,
    hub_client,
)
from anti_i2v.surrogates.video_models import VideoModelEntry, video_models

__all__ = ["pull", "pullable"]

PULLING = "pulling"


def pullable() -> dict[str, EncoderEntry | VideoModelEntry]:
    """Map names to the entries that can be downloaded from the hub."""
    return {**encoders(), **video_models()}


def pull(name: str) -> Path:
    """Download a known encoder or video model into the home folder, whole or not at all.

    The newest revision is taken. An encoder is kept only if its fingerprint is the pinned one: that pins the values of
    the weights; of config.json the class is checked, which decides how they are read. A video model gets a lock file
    of its revision and sums, with which later loads are compared (see `backbones.hub_lock`).

    Raises:
        SurrogateError: it is unknown, cannot be reached or is not what was pinned, or the home folder cannot be
            written.
    """
    entry = pullable().get(name)
    if entry is None:
        raise SurrogateError(f"unknown surrogate {name!r}: choose from {', '.join(pullable())}")
    if isinstance(entry, EncoderEntry):
        return fetch_atomically(entry.home_folder, partial(_fetch_encoder, entry))
    return fetch_atomically(entry.home_folder, partial(_fetch_video_model, entry))


def _fetch_encoder(entry: EncoderEntry, folder: Path) -> None:
    hub = hub_client(PULLING)
    from anti_i2v.surrogates.autoencoders import CLASSES, fingerprint

    config, weights = folder / CONFIG, folder / WEIGHTS
    try:
        hub.snapshot_download(entry.hub, local_dir=folder, allow_patterns=[CONFIG, WEIGHTS])
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


def _fetch_video_model(entry: VideoModelEntry, folder: Path) -> None:
    hub = hub_client(PULLING)
    from anti_i2v.surrogates.backbones.hub_lock import write_lock

    try:
        revision = str(hub.HfApi().model_info(entry.hub).sha)
        hub.snapshot_download(
            entry.hub,
            revision=revision,
            local_dir=folder,
            allow_patterns=DOWNLOAD_PATTERNS,
            ignore_patterns=SKIPPED_PATTERNS,
        )
    except Exception as problem:  # the hub's client has no common error for "cannot be reached"
        raise SurrogateError(
            f"{entry.hub} cannot be downloaded ({type(problem).__name__}): check the connection, and whether the hub "
            "asks you to accept its licence first"
        ) from None
    if not (folder / MODEL_INDEX).is_file():
        raise SurrogateError(f"{entry.hub} holds no {MODEL_INDEX}: nothing was kept")
    write_lock(folder, entry.hub, revision)
