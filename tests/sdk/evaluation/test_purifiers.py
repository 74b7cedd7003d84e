"""The trained purifiers: what they gain on photos that their training never saw, and photos of any size."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation import purifiers
from anti_i2v.evaluation.purifiers import (
    MAX_NOISE_LEVEL,
    TILE,
    Denoiser,
    Upscaler,
    denoise,
    load_denoiser,
    load_upscaler,
    upscale,
)
from anti_i2v.metrics.imperceptibility import psnr

from .conftest import noised, smooth

DATA = Path(__file__).parents[2] / "data"
PHOTOS = ("astronaut", "chelsea", "china", "coffee", "grace_hopper", "portraits/katherine_maher")


def photo_of(name: str, side: int = 192) -> Rgb8:
    """The middle of a photo of the tests, at half its size: JPEG's own noise is averaged away."""
    with Image.open(DATA / f"{name}.jpg") as file:
        small = file.convert("RGB").reduce(2 if min(file.size) >= 2 * side else 1)
    left, top = (small.width - side) // 2, (small.height - side) // 2
    return np.asarray(small.crop((left, top, left + side, top + side)))


def gaussian(clean: Rgb8, levels: float, seed: int = 0) -> Rgb8:
    noise = np.random.default_rng(seed).normal(0, levels, clean.shape)
    return np.rint(clean + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize(("levels", "gain"), [(5, 1.0), (15, 3.5)])
def test_noise_of_a_known_level_is_mostly_removed(name: str, levels: int, gain: float) -> None:
    clean = photo_of(name)
    noisy = gaussian(clean, levels)
    assert psnr(clean, denoise(noisy, levels)) > psnr(clean, noisy) + gain


def test_the_denoiser_beats_non_local_means_at_its_best_strength() -> None:
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV: pip install 'anti-i2v-sdk[evaluate]'")
    ours, classical = [], {strength: [] for strength in (6, 10, 15, 20)}
    for name in PHOTOS:
        clean = photo_of(name)
        noisy = gaussian(clean, 15)
        ours.append(psnr(clean, denoise(noisy, 15)))
        for strength, found in classical.items():
            blue_first = np.ascontiguousarray(noisy[..., ::-1])
            made = cv2.fastNlMeansDenoisingColored(blue_first, None, strength, strength, 7, 21)
            found.append(psnr(clean, made[..., ::-1]))
    best = max(float(np.mean(found)) for found in classical.values())
    assert np.mean(ours) > best + 0.5, f"{np.mean(ours):.2f} dB against {best:.2f} dB"


def test_the_upscaler_beats_bicubic_enlargement() -> None:
    gains = []
    for name in PHOTOS:
        clean = photo_of(name)
        small = Image.fromarray(clean).resize((96, 96), Image.Resampling.BICUBIC)
        bicubic = np.asarray(small.resize((192, 192), Image.Resampling.BICUBIC))
        gains.append(psnr(clean, upscale(np.asarray(small))) - psnr(clean, bicubic))
    assert min(gains) > 0.1
    assert np.mean(gains) > 0.3


def test_denoising_removes_most_of_a_random_perturbation() -> None:
    for name in PHOTOS:
        clean = photo_of(name)
        protected = noised(clean, 8)
        left = denoise(protected).astype(float) - denoise(clean)
        assert np.square(left).mean() < 0.5 * np.square(protected.astype(float) - clean).mean()


def test_noise_level_0_keeps_a_clean_photo() -> None:
    clean = photo_of("chelsea")
    assert psnr(clean, denoise(clean, 0)) > 45


@pytest.mark.parametrize("levels", [-1, MAX_NOISE_LEVEL + 1, float("nan")])
def test_noise_levels_beyond_training_are_refused(levels: float) -> None:
    with pytest.raises(ValueError, match=r"levels must be 0\.\.25"):
        denoise(smooth(16, 16), levels)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (33, 48), (48, 65), (97, 31)])
def test_photos_of_any_size_keep_it_or_double_it(size: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    before = photo.copy()
    for made, scale in ((denoise(photo), 1), (upscale(photo), 2)):
        assert made.dtype == np.uint8
        assert made.shape == (scale * size[0], scale * size[1], 3)
    np.testing.assert_array_equal(photo, before)


def test_tiles_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = gaussian(photo_of("coffee"), 6)[:150, :171]
    made = {}
    for tile in (32, 64, 1024):
        monkeypatch.setattr(purifiers, "TILE", tile)
        made[tile] = (denoise(photo), upscale(photo))
    for tile in (32, 64):
        for whole, tiled in zip(made[1024], made[tile], strict=True):
            # Sums of another order end a last bit apart: a value at a half may round the other way.
            differ = whole.astype(int) - tiled
            assert np.abs(differ).max() <= 1
            assert np.count_nonzero(differ) < 1e-4 * differ.size


@pytest.mark.parametrize(("margin", "scale"), [(20, 1), (8, 2)])
def test_a_large_photo_is_processed_in_small_tiles(margin: int, scale: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (2 * TILE + 7, TILE + 3, 3), np.uint8)
    sides: list[int] = []

    def repeated(pixels: torch.Tensor) -> torch.Tensor:
        sides.extend(pixels.shape[-2:])
        return pixels.repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    found = purifiers.apply_in_tiles(photo, repeated, margin, scale)
    np.testing.assert_array_equal(found, photo.repeat(scale, 0).repeat(scale, 1))
    assert max(sides) == TILE + 2 * margin
    assert all(side % 2 == 0 for side in sides)


def test_purifiers_are_deterministic() -> None:
    photo = noised(smooth(70, 90), 8)
    np.testing.assert_array_equal(denoise(photo), denoise(photo))
    np.testing.assert_array_equal(upscale(photo), upscale(photo))


@pytest.mark.parametrize("network", [load_denoiser, load_upscaler])
def test_the_receptive_field_fits_the_margin(network: object) -> None:
    model = load_denoiser() if network is load_denoiser else load_upscaler()
    scale, side = (1, 128) if isinstance(model, Denoiser) else (2, 64)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, side, side, generator=generator).requires_grad_(True)
    made = model(pixels, torch.tensor([8 / 255])) if isinstance(model, Denoiser) else model(pixels)
    middle = made.shape[-1] // 2
    # Two by two, as the denoiser packs them, which is how tiles are laid.
    block = made[..., middle : middle + 2, middle : middle + 2]
    (gradient,) = torch.autograd.grad(block.sum(), pixels)
    rows = gradient[0].abs().sum((0, 2)).nonzero().flatten()
    centre = middle // scale
    assert int(rows.min()) >= centre - model.MARGIN
    assert int(rows.max()) <= centre + 2 // scale - 1 + model.MARGIN


def test_untrained_they_are_the_photo_and_its_bicubic_enlargement() -> None:
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV: pip install 'anti-i2v-sdk[evaluate]'")
    pixels = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(Denoiser()(pixels, torch.tensor([0.02, 0.05])), pixels)
        made = Upscaler()(pixels)
    for found, given in zip(made, pixels, strict=True):
        wanted = cv2.resize(given.permute(1, 2, 0).numpy(), (48, 32), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["denoiser", "upscaler"])
def test_packaged_weights_are_small_and_half_precision(name: str) -> None:
    data = resources.files("anti_i2v").joinpath(f"data/purifiers/{name}.safetensors").read_bytes()
    assert len(data) <= 400_000
    assert all(value.dtype == torch.float16 and value.isfinite().all() for value in load(data).values())
