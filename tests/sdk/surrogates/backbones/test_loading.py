from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.backbones.cogvideox import CogVideoX, alphas_of
from anti_i2v.surrogates.backbones.hub_lock import LOCK, check_lock, read_lock, write_lock
from anti_i2v.surrogates.backbones.loading import load_backbone
from anti_i2v.surrogates.catalogue import load_surrogate
from anti_i2v.surrogates.info import SurrogateInfo
from anti_i2v.surrogates.pull import pull
from anti_i2v.surrogates.video_models import video_models


@pytest.fixture
def folder(cogvideox_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(cogvideox_folder, tmp_path / "model"))


def weights_of(folder: Path, part: str) -> Path:
    return next((folder / part).glob("*.safetensors"))


def truncate(folder: Path) -> None:
    file = weights_of(folder, "transformer")
    file.write_bytes(file.read_bytes()[:-1000])


def only_pickle(folder: Path) -> None:
    file = weights_of(folder, "vae")
    torch.save(load_file(file), folder / "vae" / "diffusion_pytorch_model.bin")
    file.unlink()


def another_family(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))


def another_class(folder: Path) -> None:
    file = folder / "vae" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "_class_name": "AutoencoderKL"}))


def another_shape(folder: Path) -> None:
    file = folder / "transformer" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "attention_head_dim": 32}))


UNFIT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated weights": (truncate, "transformer (is|cannot|.*truncated)"),
    "only a pickle": (only_pickle, r"vae has no safetensors weights \(pickles are never read\)"),
    "another family": (another_family, "holds a StableDiffusionPipeline: this version reads CogVideoX"),
    "another class of part": (another_class, "vae holds a AutoencoderKL, not AutoencoderKLCogVideoX"),
    "another shape": (another_shape, "transformer cannot be loaded as CogVideoXTransformer3DModel"),
    "no text encoder": (lambda folder: shutil.rmtree(folder / "text_encoder"), "text_encoder has no config.json"),
    "no tokenizer": (lambda folder: shutil.rmtree(folder / "tokenizer"), "tokenizer has no readable tokenizer"),
    "no scheduler": (lambda folder: shutil.rmtree(folder / "scheduler"), "scheduler has no scheduler_config.json"),
    "an index that is not JSON": (
        lambda folder: (folder / "model_index.json").write_text("{"),
        "model_index.json is not a JSON object",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), UNFIT.values(), ids=UNFIT)
def test_an_unusable_folder_is_refused_in_one_line(
    spoil: Callable[[Path], Any], message: str, folder: Path, tmp_path: Path
) -> None:
    spoil(folder)
    with pytest.raises(SurrogateError, match=message) as refused:
        load_backbone(folder, caption=tmp_path.name)  # a new caption, so that it is not in the cache
    assert "\n" not in str(refused.value)


def test_a_missing_package_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(SurrogateError, match=r'needs diffusers: pip install "anti-i2v-sdk\[backbones\]"'):
        load_backbone(folder)


def test_a_gpu_that_is_too_small_is_reported_before_anything_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    with pytest.raises(SurrogateError, match=r"GiB of weights and cuda has 0 GiB free: use a larger GPU"):
        load_backbone(folder, device="cuda")


def test_an_unknown_layer_is_refused_with_the_choices(folder: Path) -> None:
    with pytest.raises(SurrogateError, match=r"has no layer 'mid': choose from transformer_blocks\.0, "):
        load_backbone(folder, hooks=("mid",))


def test_from_a_folder_it_computes_what_it_does_from_memory(folder: Path) -> None:
    import diffusers

    loaded = load_backbone(folder, hooks=("late",), frames=2)
    parts: dict[str, Any] = {
        "vae": diffusers.AutoencoderKLCogVideoX.from_pretrained(folder / "vae"),
        "transformer": diffusers.CogVideoXTransformer3DModel.from_pretrained(folder / "transformer"),
    }
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    made = CogVideoX(
        parts["vae"],
        parts["transformer"],
        loaded.info,
        alphas_of(scheduler),
        context=loaded.context,
        hooks=("late",),
        frames=2,
    )
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    draw = {**loaded.context, "timestep": torch.tensor([400]), "noise": torch.randn(1, 2, 4, 16, 16)}
    with torch.no_grad():
        for name, value in loaded.features(pixels, draw).items():
            assert torch.equal(value, made.features(pixels, draw)[name]), name


def test_captions_are_embedded_once_and_cached_without_their_text(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTI_I2V_HOME", str(tmp_path / "home"))
    first = load_backbone(folder, caption="a person in the sun").context["text"]
    kept = list((tmp_path / "home" / "prompts").iterdir())
    assert len(kept) == 1
    assert b"person" not in kept[0].read_bytes()
    weights = weights_of(folder, "text_encoder")
    facts = weights.stat()
    weights.write_bytes(b"?" * facts.st_size)  # the cached embedding is used
    import os

    os.utime(weights, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert torch.equal(load_backbone(folder, caption="a person in the sun").context["text"], first)
    with pytest.raises(SurrogateError, match="text_encoder"):
        load_backbone(folder, caption="a person smiles")


def test_files_that_were_pulled_may_not_change(folder: Path) -> None:
    write_lock(folder, "somebody/model", "c0ffee")
    before = check_lock(folder)
    assert load_backbone(folder).info.fingerprint == before
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(SurrogateError, match=r"scheduler_config\.json is not the file that was pulled: pull model"):
        load_backbone(folder)
    (folder / LOCK).write_text("{}")
    with pytest.raises(SurrogateError, match=r"anti-i2v\.lock\.json is damaged"):
        load_backbone(folder)


def test_a_pulled_model_is_found_by_name_with_its_revision(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setenv("ANTI_I2V_HOME", str(tmp_path / "home"))
    requested: dict[str, Any] = {}

    def snapshot(repository: str, **options: Any) -> None:
        requested.update(options, repository=repository)
        shutil.copytree(folder, options["local_dir"])

    facts = type("Facts", (), {"sha": "0123abc"})
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, name: facts)
    with pytest.raises(SurrogateError, match="run `anti-i2v surrogates pull cogvideox-5b`"):
        load_surrogate("cogvideox-5b")
    kept = pull("cogvideox-5b")
    assert requested["revision"] == "0123abc"
    assert requested["repository"] == video_models()["cogvideox-5b"].hub
    lock = read_lock(kept)
    assert lock is not None
    assert lock.revision == "0123abc"
    model = load_surrogate("cogvideox-5b")
    assert isinstance(model, Backbone)
    assert model.info == SurrogateInfo(
        name="cogvideox-5b",
        kind="CogVideoXImageToVideoPipeline",
        source=video_models()["cogvideox-5b"].hub,
        fingerprint=check_lock(kept),
        licence="CogVideoX licence",
    )


def test_a_hub_that_cannot_be_reached_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setenv("ANTI_I2V_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(SurrogateError, match=r"cannot be downloaded \(ConnectionError\): check the connection"):
        pull("svd")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_hub_name_brings_all_parts_of_a_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    requested: list[list[str]] = []

    def snapshot(repository: str, *, allow_patterns: list[str], **_: object) -> str:
        requested.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    model = load_surrogate("somebody/video-model")
    assert isinstance(model, Backbone)
    assert "model_index.json" in requested[0]
    assert "*/*.safetensors" not in requested[0]  # an encoder's repository may hold many other files
    assert "*/*.safetensors" in requested[1]
