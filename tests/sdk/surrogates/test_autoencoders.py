"""Autoencoders: latents, hook points, fingerprints, and every kind of unusable folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.autoencoders import fingerprint, load_autoencoder
from anti_i2v.surrogates.hub import WEIGHTS


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


def only_pickle(folder: Path) -> None:
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
    "only a pickle": (only_pickle, "it needs config.json and diffusion_pytorch_model.safetensors .*not a pickle"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no surrogate at .*: it needs config.json"),
    "truncated weights": (truncate, "is not a safetensors file: pull it again"),
    "empty weights": (empty, "is not a safetensors file: pull it again"),
    "a missing layer": (without_a_layer, "lacks 'encoder.layers.0.bias', which AutoencoderTiny needs: pull it again"),
    "config is not JSON": (write_config("{"), "config.json must be a JSON object"),
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
def test_an_unusable_folder_is_refused_in_one_line(
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
