"""Surrogates: folders and their fingerprints, features and decoders, the registry, and every way to be unfit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.autoencoders import Autoencoder, fingerprint, load_autoencoder
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.surrogates.catalogue import (
    EncoderEntry,
    available_encoders,
    encoders,
    load_surrogate,
)
from anti_i2v.surrogates.hub import WEIGHTS
from anti_i2v.surrogates.info import Normalisation
from anti_i2v.surrogates.pull import pull
from anti_i2v.surrogates.student import HEADS, load_student


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def pixels(size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("fixture", "reduction", "kind", "frames"),
    [
        ("tiny_folder", 8, "AutoencoderTiny", ()),
        ("kl_folder", 2, "AutoencoderKL", ()),
        ("video_folder", 8, "AutoencoderKLCogVideoX", (1,)),
    ],
    ids=["tiny", "kl", "video"],
)
def test_a_folder_becomes_a_surrogate_that_encodes_and_decodes(
    fixture: str, reduction: int, kind: str, frames: tuple[int, ...], request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(fixture)
    surrogate = load_autoencoder(folder)
    assert (surrogate.info.name, surrogate.info.kind, surrogate.info.source) == (folder.name, kind, folder.name)
    assert surrogate.info.fingerprint == fingerprint(folder / WEIGHTS)
    assert surrogate.multiple == reduction
    assert surrogate.decodes
    assert not any(parameter.requires_grad for parameter in surrogate.parameters())
    latent = surrogate.features(pixels())["latent"]
    assert latent.shape == (2, 4, *frames, 32 // reduction, 48 // reduction)
    assert surrogate.decode(latent).shape == (2, 3, 32, 48)


def test_the_latent_is_what_diffusers_computes(tiny_folder: Path, kl_folder: Path, video_folder: Path) -> None:
    tiny, kl, video = (load_autoencoder(folder) for folder in (tiny_folder, kl_folder, video_folder))
    scaled = 2 * pixels() - 1
    torch.testing.assert_close(tiny.features(pixels())["latent"], tiny.model.encode(scaled).latents)
    expected = kl.model.encode(scaled).latent_dist.mean * kl.model.config.scaling_factor
    torch.testing.assert_close(kl.features(pixels())["latent"], expected)
    latent = kl.features(pixels())["latent"]
    decoded = kl.model.decode(latent / kl.model.config.scaling_factor).sample / 2 + 0.5
    torch.testing.assert_close(kl.decode(latent), decoded)
    expected = video.model.encode(scaled[:, :, None]).latent_dist.mean * video.model.config.scaling_factor
    torch.testing.assert_close(video.features(pixels())["latent"], expected)
    decoded = video.model.decode(expected / video.model.config.scaling_factor).sample[:, :, 0] / 2 + 0.5
    torch.testing.assert_close(video.decode(expected), decoded)


@pytest.mark.parametrize("fixture", ["tiny_folder", "kl_folder", "video_folder"])
def test_gradients_pass_from_the_decoder_to_the_photo(fixture: str, request: pytest.FixtureRequest) -> None:
    surrogate, leaf = load_autoencoder(request.getfixturevalue(fixture)), pixels().requires_grad_(True)
    (gradient,) = torch.autograd.grad(surrogate.decode(surrogate.features(leaf)["latent"]).square().sum(), leaf)
    assert gradient.isfinite().all()
    assert gradient.abs().amax() > 0


def test_hooks_capture_the_layers_that_they_name(kl_folder: Path) -> None:
    surrogate = load_autoencoder(kl_folder, hooks=("conv_in", "down_blocks.0"))
    features = surrogate.features(pixels())
    assert sorted(features) == ["conv_in", "down_blocks.0", "latent"]
    torch.testing.assert_close(features["conv_in"], surrogate.model.encoder.conv_in(2 * pixels() - 1))
    assert features["down_blocks.0"].shape == (2, 8, 16, 24)
    again = surrogate.features(pixels((16, 16)))
    assert again["conv_in"].shape == (2, 8, 16, 16)
    assert features["conv_in"].shape == (2, 8, 32, 48)


def test_hooks_of_a_video_autoencoder_capture_its_single_frame(video_folder: Path) -> None:
    surrogate = load_autoencoder(video_folder, hooks=("conv_in", "down_blocks.0"))
    features = surrogate.features(pixels())
    assert features["conv_in"].shape == (2, 8, 1, 32, 48)
    assert features["down_blocks.0"].shape == (2, 8, 1, 16, 24)


class Shifted(Surrogate):
    """A surrogate with statistics of its own."""

    normalisation = Normalisation(mean=(0.1, 0.2, 0.3), deviation=(0.5, 0.25, 2.0))

    def features(self, pixels: torch.Tensor, draw: DenoiserInputs | None = None) -> Features:
        return {"latent": self.normalised(pixels)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_pixels_are_normalised_to_what_the_network_expects(dtype: torch.dtype) -> None:
    given = pixels().to(dtype)
    torch.testing.assert_close(load_student().normalised(given), 2 * given - 1)
    expected = given.clone()
    for channel, (mean, deviation) in enumerate([(0.1, 0.5), (0.2, 0.25), (0.3, 2.0)]):
        expected[:, channel] = (given[:, channel] - mean) / deviation
    torch.testing.assert_close(Shifted().features(given)["latent"], expected)


@pytest.mark.parametrize(
    "model", [torch.float32, torch.float64, torch.bfloat16], ids=["float32", "float64", "bfloat16"]
)
def test_features_come_in_the_precision_of_the_pixels(model: torch.dtype, tiny_folder: Path) -> None:
    surrogate = load_autoencoder(tiny_folder, dtype=model)
    latent = surrogate.features(pixels())["latent"]
    assert latent.dtype == torch.float32
    assert surrogate.decode(latent).dtype == torch.float32
    exact = load_autoencoder(tiny_folder).features(pixels())["latent"]
    torch.testing.assert_close(latent, exact, rtol=0, atol=0.05 * float(exact.abs().amax()))


def test_a_fingerprint_is_of_values_and_not_of_their_storage(folder: Path) -> None:
    pinned = fingerprint(folder / WEIGHTS)
    weights = load_file(folder / WEIGHTS)
    save_file({name: value.half() for name, value in weights.items()}, folder / WEIGHTS, metadata={"format": "pt"})
    assert fingerprint(folder / WEIGHTS) == pinned
    assert load_autoencoder(folder, pinned=pinned).info.fingerprint == pinned
    weights["encoder.layers.0.bias"][0] += 0.5
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    assert fingerprint(folder / WEIGHTS) != pinned


def test_a_fingerprint_is_of_names_too(folder: Path) -> None:
    pinned, weights = fingerprint(folder / WEIGHTS), load_file(folder / WEIGHTS)
    weights["another.name"] = weights.pop("encoder.layers.0.bias")
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    assert fingerprint(folder / WEIGHTS) != pinned


def pickle_alone(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def truncate(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def empty(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"")


def without_a_layer(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    del weights["encoder.layers.0.bias"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def write_config(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "config.json").write_text(text) and None


UNFIT = {
    "a pickle alone": (pickle_alone, "it needs config.json and diffusion_pytorch_model.safetensors .*not a pickle"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no surrogate at .*: it needs config.json"),
    "truncated weights": (truncate, "is not a safetensors file: pull it again"),
    "empty weights": (empty, "is not a safetensors file: pull it again"),
    "a missing layer": (without_a_layer, "lacks 'encoder.layers.0.bias', which AutoencoderTiny needs: pull it again"),
    "config is no JSON": (write_config("{"), "config.json must be a JSON object"),
    "config is a list": (write_config("[]"), "config.json must be a JSON object"),
    "no class": (
        write_config("{}"),
        r"holds a model of unknown class: this version reads AutoencoderTiny, AutoencoderKL, AutoencoderKLCogVideoX$",
    ),
    "an unknown class": (
        config(_class_name="UNet2DModel"),
        "holds a UNet2DModel: this version reads AutoencoderTiny, ",
    ),
    "a class of another shape": (config(latent_channels=16), "cannot be loaded as AutoencoderTiny: "),
    "settings that contradict": (config(encoder_block_out_channels=[8]), "cannot be loaded as AutoencoderTiny: "),
    "settings of a wrong type": (config(encoder_block_out_channels=8), "cannot be loaded as AutoencoderTiny: "),
}


@pytest.mark.parametrize(("spoil", "message"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_folder_is_refused_in_one_line(
    spoil: Callable[[Path], None], message: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil(folder)
    with pytest.raises(SurrogateError, match=message) as refused:
        load_autoencoder(folder)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_a_wrong_pin_is_refused(folder: Path) -> None:
    with pytest.raises(SurrogateError, match=r"is not the pinned file \(its fingerprint is .*, not 00000000"):
        load_autoencoder(folder, pinned=64 * "0")


def test_an_unknown_hook_is_refused_with_the_choices(folder: Path) -> None:
    with pytest.raises(SurrogateError, match=r"copy has no encoder layer 'mid': choose from layers, layers\.0"):
        load_autoencoder(folder, hooks=("mid",))


def test_the_student_imitates_every_teacher() -> None:
    student = load_student()
    features = student.features(pixels())
    assert {name: part.shape[1] for name, part in features.items() if name != "latent"} == {
        f"latent.{teacher}": channels for teacher, channels in HEADS.items()
    }
    torch.testing.assert_close(torch.cat([features[f"latent.{name}"] for name in HEADS], 1), features["latent"])
    assert features["latent"].shape == (2, sum(HEADS.values()), 4, 6)
    assert features["latent"].isfinite().all()
    assert not student.decodes
    with pytest.raises(TypeError, match="embedded has no decoder"):
        student.decode(features["latent"])


def test_the_student_is_smooth_so_that_it_can_be_descended() -> None:
    student, leaf = load_student().double(), pixels((16, 16)).double().requires_grad_(True)
    along = torch.randn(leaf.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss = student.features(leaf)["latent"].square().sum()
    (gradient,) = torch.autograd.grad(loss, leaf)
    with torch.no_grad():
        sides = [student.features(leaf + h * along)["latent"].square().sum() for h in (1e-5, -1e-5)]
    assert float((sides[0] - sides[1]) / 2e-5) == pytest.approx(float((gradient * along).sum()), rel=1e-5)


def test_the_registry_knows_three_surrogates_and_one_that_is_held_out() -> None:
    roles = {name: entry.role for name, entry in encoders().items()}
    assert roles == {"taesd": "surrogate", "taesdxl": "surrogate", "taef1": "surrogate", "taesd3": "held-out"}
    assert set(HEADS) == {name for name, role in roles.items() if role == "surrogate"}


@pytest.mark.usefixtures("empty_home")
def test_a_bare_machine_has_no_real_encoder_but_the_embedded_one() -> None:
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


def test_the_embedded_one_refuses_hooks() -> None:
    with pytest.raises(SurrogateError, match=r"^embedded has no hook points: leave anchor_layers at latent$"):
        load_surrogate("embedded", hooks=("trunk",))


def test_a_folder_is_loaded_by_its_path(tiny_folder: Path) -> None:
    for given in (tiny_folder, str(tiny_folder)):
        assert load_surrogate(given).info.name == "toy-tiny"


@pytest.mark.parametrize("name", list(encoders()))
def test_the_real_encoders_have_their_pinned_fingerprints(name: str, weights_home: Path) -> None:
    assert fingerprint(weights_home / "surrogates" / name / WEIGHTS) == encoders()[name].fingerprint


class Hub:
    """Stands in for the hub: copies a local folder, as `snapshot_download` would fetch it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
        self.source, self.asked = source, ""
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.download)

    def download(self, repo: str, *, local_dir: Path, allow_patterns: list[str]) -> str:
        self.asked = repo
        local_dir.mkdir(parents=True)
        for name in allow_patterns:
            shutil.copy(self.source / name, local_dir / name)
        (local_dir / ".cache").mkdir()
        return str(local_dir)


def know(monkeypatch: pytest.MonkeyPatch, pinned: str) -> None:
    entry = EncoderEntry(name="toy", hub="toys/toy", role="surrogate", family="toy", licence="MIT", fingerprint=pinned)
    monkeypatch.setitem(encoders(), "toy", entry)


def test_what_is_pulled_is_kept_when_its_fingerprint_is_the_pinned_one(
    monkeypatch: pytest.MonkeyPatch, empty_home: Path, tiny_folder: Path
) -> None:
    pinned = fingerprint(tiny_folder / WEIGHTS)
    hub = Hub(monkeypatch, tiny_folder)
    know(monkeypatch, pinned)
    kept = pull("toy")
    assert hub.asked == "toys/toy"
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


def test_what_is_pulled_is_not_kept_when_it_is_something_else(
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
def test_what_is_pulled_is_not_kept_when_its_config_is_of_another_class(
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


def test_a_hub_name_is_downloaded_and_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []

    def download(repository: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        asked.append((repository, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    surrogate = load_surrogate("somebody/tiny-encoder")
    assert surrogate.info.kind == "AutoencoderTiny"
    assert asked == [("somebody/tiny-encoder", ["config.json", WEIGHTS, "model_index.json"])]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(SurrogateError, match=r"not a local folder and could not be downloaded \(ConnectionError\)"):
        load_surrogate("somebody/nothing")
