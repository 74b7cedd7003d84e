"""The gradient of JPEG: against autograd through a soft JPEG, and kornia's codec."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.enhance import jpeg_codec_differentiable
from scipy.fft import dct
from torch.nn import functional as F

from anti_i2v.arrays import PixelArray, Rgb8
from anti_i2v.images.jpeg import jpeg_round_trip_with_tables
from anti_i2v.optim.transforms import SampledTransform, Transform, jpeg


def sampled(transform: Transform, clean: PixelArray) -> SampledTransform:
    batch, channels, height, width = clean.shape
    return transform((batch, channels, height, width), np.random.default_rng(0), lambda: clean)


def as_pixels(*photos: Rgb8) -> PixelArray:
    return np.stack(photos).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)


def soft_jpeg(pixels: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
    """JPEG with round(x) + (x - round(x))^3 instead of rounding (Shin and Song 2017), by the book."""
    height, width = pixels.shape[-2:]
    padded = F.pad(pixels * 255, (0, -width % 16, 0, -height % 16), mode="replicate")
    red, green, blue = padded.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = torch.stack([(blue - luma) / 1.772, (red - luma) / 1.402], 1)
    found = [through_blocks((luma - 128)[:, None], tables[0]) + 128]
    found.append(F.interpolate(through_blocks(F.avg_pool2d(chroma, 2), tables[1]), scale_factor=2, mode="nearest"))
    luma, (cb, cr) = found[0][:, 0], found[1].unbind(1)
    red, blue = luma + 1.402 * cr, luma + 1.772 * cb
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return torch.stack([red, green, blue], 1)[..., :height, :width] / 255


def through_blocks(planes: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    blocks = planes.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).transpose(-2, -3)
    cosines = torch.from_numpy(dct(np.eye(8), axis=0, norm="ortho"))
    scaled = cosines @ blocks @ cosines.T / table
    nearest = scaled.detach().round()
    back = cosines.T @ ((nearest + (scaled - nearest) ** 3) * table) @ cosines
    return back.transpose(-2, -3).flatten(-2).flatten(-3, -2)


def slopes(
    photos: list[Rgb8], quality: int, size: tuple[int, int]
) -> tuple[SampledTransform, torch.Tensor, torch.Tensor]:
    """Return a sampled JPEG of candidates off the grid, a gradient of its output, and autograd's gradient."""
    cut = as_pixels(*(np.ascontiguousarray(photo[: size[0], : size[1]]) for photo in photos))
    candidate = cut + np.random.default_rng(1).uniform(-0.02, 0.02, cut.shape).astype(np.float32)
    sample = sampled(jpeg(quality, quality), candidate)
    _, tables = jpeg_round_trip_with_tables(photos[0], quality)
    leaf = torch.from_numpy(candidate).double().requires_grad_(True)
    weights = torch.randn(leaf.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    soft = soft_jpeg(leaf, torch.from_numpy(tables).double())
    (expected,) = torch.autograd.grad((weights * soft).sum(), leaf)
    return sample, weights, expected


@pytest.mark.parametrize("quality", [60, 75, 95])
@pytest.mark.parametrize("size", [(96, 128), (83, 101), (9, 70)], ids=["even", "odd", "thin"])
def test_the_gradient_of_the_codec_is_that_of_a_soft_rounding(
    quality: int, size: tuple[int, int], photos: list[Rgb8]
) -> None:
    sample, weights, expected = slopes(photos, quality, size)
    found = sample.vjp(weights.float().numpy())
    assert found.dtype == np.float32
    # Ties may round either way, with the same slope.
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-4 * float(expected.abs().amax()))
    again = sample.map(torch.from_numpy).vjp(weights.float())
    np.testing.assert_allclose(found, again.numpy(), atol=1e-5)


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_the_gradient_of_the_codec_is_close_to_kornias(quality: int, photos: list[Rgb8]) -> None:
    clean = as_pixels(*photos)
    weights = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    leaf = torch.from_numpy(clean).requires_grad_(True)
    coded = jpeg_codec_differentiable(leaf, torch.full((len(photos),), float(quality)))
    (expected,) = torch.autograd.grad((weights * coded).sum(), leaf)
    found = torch.from_numpy(sampled(jpeg(quality, quality), clean).vjp(weights.numpy()))
    ours, straight = (F.cosine_similarity(each.flatten(), expected.flatten(), 0) for each in (found, weights))
    # Kornia scales chroma differently and clips, so the two are close and not equal. Straight through is far from both.
    assert ours > 0.8
    assert straight < 0.6


def test_what_quantisation_removes_has_no_gradient() -> None:
    """Every coefficient of a grey photo is a whole number of steps: a small sample of any is rounded away."""
    grey = np.full((1, 3, 32, 48), 128 / 255, np.float32)
    gradient = np.random.default_rng(0).standard_normal(grey.shape, np.float32)
    assert np.abs(sampled(jpeg(75, 75), grey).vjp(gradient)).max() < 1e-5
