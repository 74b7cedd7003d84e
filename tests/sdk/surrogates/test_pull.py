"""Downloads of known encoders: kept whole if they are the pinned ones, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import msgspec
import pytest

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.autoencoders import Autoencoder, fingerprint
from anti_i2v.surrogates.catalogue import (
    EncoderEntry,
    available_encoders,
    encoders,
    load_surrogate,
)
from anti_i2v.surrogates.hub import WEIGHTS
from anti_i2v.surrogates.pull import pull


class Hub:
    """Stands in for the hub: copies a local folder, as `snapshot_download` would fetch it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
        self.source, self.requested = source, ""
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.download)

    def download(self, repo: str, *, local_dir: Path, allow_patterns: list[str]) -> str:
        self.requested = repo
        local_dir.mkdir(parents=True)
        for name in allow_patterns:
            shutil.copy(self.source / name, local_dir / name)
        (local_dir / ".cache").mkdir()
        return str(local_dir)


def know(monkeypatch: pytest.MonkeyPatch, pinned: str) -> None:
    entry = EncoderEntry(name="toy", hub="toys/toy", role="surrogate", family="toy", licence="MIT", fingerprint=pinned)
    monkeypatch.setitem(encoders(), "toy", entry)


def test_a_download_with_the_pinned_fingerprint_is_kept(
    monkeypatch: pytest.MonkeyPatch, empty_home: Path, tiny_folder: Path
) -> None:
    pinned = fingerprint(tiny_folder / WEIGHTS)
    hub = Hub(monkeypatch, tiny_folder)
    know(monkeypatch, pinned)
    kept = pull("toy")
    assert hub.requested == "toys/toy"
    assert kept == empty_home / "surrogates" / "toy" == encoders()["toy"].folder
    assert sorted(path.name for path in kept.iterdir()) == ["config.json", WEIGHTS]
    assert sorted(path.name for path in kept.parent.iterdir()) == ["toy"]
    assert available_encoders() == ["toy"]
    loaded = load_surrogate("toy")
    assert isinstance(loaded, Autoencoder)
    assert msgspec.to_builtins(loaded.info) == {
        "name": "toy", "kind": "AutoencoderTiny", "source": "toys/toy", "fingerprint": pinned, "licence": "MIT",
    }  # fmt: skip
    assert pull("toy") == kept


def test_a_download_with_another_fingerprint_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, empty_home: Path, tiny_folder: Path
) -> None:
    Hub(monkeypatch, tiny_folder)
    know(monkeypatch, 64 * "0")
    with pytest.raises(SurrogateError, match="toys/toy no longer holds the pinned weights: nothing was kept"):
        pull("toy")
    assert list((empty_home / "surrogates").iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"_class_name": "UNet2DModel"}', "\xff"], ids=["empty", "list", "none", "other", "bytes"]
)
def test_a_download_with_a_config_of_another_class_is_not_kept(
    text: str, monkeypatch: pytest.MonkeyPatch, empty_home: Path, folder: Path
) -> None:
    (folder / "config.json").write_text(text, encoding="latin-1")
    Hub(monkeypatch, folder)
    know(monkeypatch, fingerprint(folder / WEIGHTS))
    with pytest.raises(SurrogateError, match="toys/toy no longer holds a config of AutoencoderTiny or AutoencoderKL"):
        pull("toy")
    assert list((empty_home / "surrogates").iterdir()) == []


@pytest.mark.parametrize("spoilt", ["surrogates", "surrogates/toy"], ids=["its folder", "its place"])
def test_a_home_that_cannot_be_written_is_named_in_one_line(
    spoilt: str, monkeypatch: pytest.MonkeyPatch, empty_home: Path, tiny_folder: Path
) -> None:
    path = empty_home / spoilt
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a file in the way")
    know(monkeypatch, fingerprint(tiny_folder / WEIGHTS))
    Hub(monkeypatch, tiny_folder)
    with pytest.raises(SurrogateError, match=r"toy cannot be written \(.*ANTI_I2V_HOME$") as refused:
        pull("toy")
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == b"a file in the way"


def test_a_failed_pull_leaves_what_was_there(
    monkeypatch: pytest.MonkeyPatch, empty_home: Path, tiny_folder: Path
) -> None:
    know(monkeypatch, fingerprint(tiny_folder / WEIGHTS))
    Hub(monkeypatch, tiny_folder)
    kept = pull("toy")

    def unreachable(*args: object, **kwargs: object) -> str:
        raise ConnectionError("a long text\nwith lines")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(
        SurrogateError, match=r"toys/toy cannot be downloaded \(ConnectionError\): check the connection"
    ) as refused:
        pull("toy")
    assert "\n" not in str(refused.value)
    assert sorted(path.name for path in kept.parent.iterdir()) == ["toy"]
    assert load_surrogate("toy").info.name == "toy"


def test_pulling_an_unknown_name_is_refused_with_the_choices() -> None:
    with pytest.raises(SurrogateError, match="unknown surrogate 'toy': choose from taesd, taesdxl, taef1, taesd3"):
        pull("toy")
