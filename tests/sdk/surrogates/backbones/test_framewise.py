"""Small video models on a tiny image autoencoder: diffusers' real classes, random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny_models

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.framewise import Framewise
from anti_i2v.surrogates.backbones.loading import load_backbone


@pytest.fixture(scope="module")
def tiny() -> Any:
    """The autoencoder of `dit_folder`."""
    return tiny_models.seeded(tiny_models.autoencoder_tiny)


@pytest.fixture(scope="module")
def small_folder(dit_folder: Path) -> Path:
    """A DiT that reads no caption: its index names no text encoder."""
    return dit_folder


def test_each_frame_is_encoded_and_decoded_as_the_image_autoencoder_does(tiny: Any) -> None:
    frames = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    wrapped = Framewise(tiny)
    with torch.no_grad():
        latents = wrapped.encode(frames).latent_dist.mode()
        pixels = wrapped.decode(latents, num_frames=4).sample
        for photo in range(2):
            for frame in range(4):
                expected = tiny.encoder(frames[photo : photo + 1, :, frame])
                assert torch.allclose(latents[photo : photo + 1, :, frame], expected, atol=1e-5)
                assert torch.allclose(pixels[photo : photo + 1, :, frame], tiny.decoder(expected), atol=1e-5)
        still = wrapped.encode(frames[:, :, 0]).latent_dist.mode()
    assert torch.allclose(still, latents[:, :, 0], atol=1e-5)


def test_a_small_model_gives_gradients_to_the_photo_through_encoder_and_denoiser(small_folder: Path) -> None:
    model = load_backbone(small_folder, hooks=("late", "prediction"), frames=3)
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(1, 3, 32, 32, generator=generator).requires_grad_(True)
    draw = {
        **model.context,
        "timestep": torch.tensor([500]),
        "noise": torch.randn(1, 3, 4, 4, 4, generator=generator),
    }
    features = model.features(pixels, draw)
    (gradient,) = torch.autograd.grad(features["prediction"].square().mean(), pixels)
    assert (gradient != 0).float().mean() >= 0.99
    assert not model.context["text"].any()


@pytest.fixture
def counting_folder(small_folder: Path, tmp_path: Path) -> Path:
    """The same weights, with rotary positions that count from the corner."""
    folder = Path(shutil.copytree(small_folder, tmp_path / "counting"))
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "rotary_grid": "slice"}))
    return folder


def places(model: Any, rows: int, columns: int) -> torch.Tensor:
    """The denoiser's rotary tables at one size, (frames, rows, columns, cosine and sine)."""
    given: dict[str, Any] = {}
    watch = model.denoiser.register_forward_pre_hook(lambda _, __, named: given.update(named), with_kwargs=True)
    latents = torch.zeros(1, 3, 4, 2 * rows, 2 * columns)
    with torch.no_grad():
        draw = {**model.context, "timestep": torch.tensor([500])}
        model.denoise(latents, latents[:, 0], torch.zeros(1, 3, 16 * rows, 16 * columns), draw)
    watch.remove()
    return torch.cat(given["image_rotary_emb"], -1).view(3, rows, columns, -1)


def test_rotary_slice_counts_positions_from_the_corner_at_every_size(small_folder: Path, counting_folder: Path) -> None:
    stretched, counted = (load_backbone(folder, frames=3) for folder in (small_folder, counting_folder))
    trained = places(stretched, 2, 2)
    assert torch.equal(places(counted, 2, 2), trained)
    larger = places(counted, 4, 6)
    assert torch.equal(larger[:, :2, :2], trained)
    assert not torch.allclose(places(stretched, 4, 6)[:, :2, :2], trained, atol=0.1)
    # By definition: the first quarter rotates with the frame, then rows, then columns, each at 10000^(-2i/width).
    turns = torch.cat(
        [
            torch.outer(torch.tensor([2.0, 3.0, 5.0])[part : part + 1], 10_000 ** (-torch.arange(0, width, 2) / width))
            for part, width in enumerate((4, 6, 6))
        ],
        1,
    ).repeat_interleave(2, 1)[0]
    assert torch.allclose(larger[2, 3, 5], torch.cat([turns.cos(), turns.sin()]), atol=1e-5)


def test_a_named_encoder_is_loaded_from_the_home_folder(
    small_folder: Path, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anti_i2v.surrogates.autoencoders import fingerprint
    from anti_i2v.surrogates.encoders import EncoderEntry, encoders
    from anti_i2v.surrogates.hub import WEIGHTS

    tiny.save_pretrained(tmp_path / "home" / "surrogates" / "toy")
    digest = fingerprint(tmp_path / "home" / "surrogates" / "toy" / WEIGHTS)
    entry = EncoderEntry(name="toy", hub="nobody/toy", family="test", licence="MIT", fingerprint=digest)
    monkeypatch.setenv("ANTI_I2V_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(encoders(), "toy", entry)
    folder = tmp_path / "named"
    shutil.copytree(small_folder, folder, ignore=shutil.ignore_patterns("vae"))
    (folder / "vae").mkdir()
    (folder / "vae" / "config.json").write_text(json.dumps({"_class_name": "AutoencoderTiny", "encoder": "toy"}))
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        named, carried = (load_backbone(place, frames=3).encode(pixels) for place in (folder, small_folder))
    assert torch.allclose(named, carried, atol=1e-5)  # one is channels_last

    shutil.rmtree(tmp_path / "home" / "surrogates")
    with pytest.raises(SurrogateError, match="surrogates pull toy"):
        load_backbone(folder, frames=3)
