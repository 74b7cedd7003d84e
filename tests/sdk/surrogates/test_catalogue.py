"""The catalogue: names, folders, hub names, and errors for unknown ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.autoencoders import fingerprint
from anti_i2v.surrogates.catalogue import (
    available_encoders,
    catalogue,
    encoders,
    load_surrogate,
    resolve,
)
from anti_i2v.surrogates.hub import WEIGHTS
from anti_i2v.surrogates.student import HEADS


def test_the_catalogue_has_three_surrogates_and_one_held_out_encoder() -> None:
    roles = {name: entry.role for name, entry in encoders().items()}
    assert roles == {"taesd": "surrogate", "taesdxl": "surrogate", "taef1": "surrogate", "taesd3": "held-out"}
    assert set(HEADS) == {name for name, role in roles.items() if role == "surrogate"}


@pytest.mark.usefixtures("empty_home")
def test_a_bare_machine_has_only_the_student() -> None:
    assert available_encoders() == available_encoders("held-out") == []
    assert encoders()["taesd"].folder is None
    assert load_surrogate("embedded").info.name == "embedded"
    with pytest.raises(SurrogateError, match="taesd is not on this machine: run `anti-i2v surrogates pull taesd`"):
        load_surrogate("taesd")


def test_an_unknown_name_is_refused_with_the_choices() -> None:
    with pytest.raises(
        SurrogateError, match="unknown surrogate 'taesdx': give a folder, or one of embedded, taesd, taesdxl"
    ):
        load_surrogate("taesdx")


def test_a_folder_is_loaded_by_its_path(tiny_folder: Path) -> None:
    for given in (tiny_folder, str(tiny_folder)):
        assert load_surrogate(given).info.name == "toy-tiny"


@pytest.mark.parametrize("name", list(encoders()))
def test_the_real_encoders_have_their_pinned_fingerprints(name: str, weights_home: Path) -> None:
    assert fingerprint(weights_home / "surrogates" / name / WEIGHTS) == encoders()[name].fingerprint


def test_a_hub_name_is_downloaded_and_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[tuple[str, list[str]]] = []

    def download(repository: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        requested.append((repository, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    surrogate = load_surrogate("somebody/tiny-encoder")
    assert surrogate.info.kind == "AutoencoderTiny"
    assert requested == [("somebody/tiny-encoder", ["config.json", WEIGHTS, "model_index.json"])]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(SurrogateError, match=r"not a local folder and could not be downloaded \(ConnectionError\)"):
        load_surrogate("somebody/nothing")


def test_every_kind_of_entry_can_be_found_by_name() -> None:
    kinds = {name: type(resolve(name)).__name__ for name in ("embedded", "taesd", "dit-taef1", "svd")}
    assert kinds == {
        "embedded": "StudentEntry",
        "taesd": "EncoderEntry",
        "dit-taef1": "SmallVideoModelEntry",
        "svd": "VideoModelEntry",
    }
    assert all(catalogue()[name] == resolve(name) for name in catalogue())


def test_a_folder_is_an_encoder_or_a_video_model(tiny_folder: Path, dit_folder: Path) -> None:
    encoder, model = resolve(tiny_folder), resolve(str(dit_folder))
    assert (encoder.is_video_model, model.is_video_model) == (False, True)
    assert (encoder.folder, model.folder) == (tiny_folder, dit_folder)
    assert encoder.available
    assert (model.name, model.licence) == ("toy-dit", "unknown")
