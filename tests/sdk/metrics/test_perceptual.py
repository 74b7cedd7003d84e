"""LPIPS: a distance, differentiable everywhere, and the number that its authors' code gives."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from skimage import data

from anti_i2v.errors import SurrogateError
from anti_i2v.metrics.perceptual import Lpips

FILE = Path(os.environ.get("ANTI_I2V_HOME", "absent")) / "perceptual" / "lpips_alex.safetensors"
with_weights = pytest.mark.skipif(
    not FILE.is_file(), reason="needs ANTI_I2V_HOME with perceptual/lpips_alex.safetensors"
)


def toy_weights(channels: int = 4) -> dict[str, torch.Tensor]:
    """AlexNet's shape with few channels. Heads are positive, as LPIPS trains them."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for index, (width, kernel) in enumerate(zip((3, *[channels] * 4), (11, 5, 3, 3, 3), strict=True)):
        shape = (channels, width, kernel, kernel)
        weights[f"features.{index}.weight"] = torch.randn(shape, generator=generator) / (width * kernel**2) ** 0.5
        weights[f"features.{index}.bias"] = 0.1 * torch.randn(channels, generator=generator)
        weights[f"heads.{index}.weight"] = torch.rand(1, channels, 1, 1, generator=generator)
    return weights


@pytest.fixture(scope="module")
def toy() -> Lpips:
    return Lpips(toy_weights()).double()


def pair(side: int = 40, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    clean = torch.rand(batch, 3, side, side, dtype=torch.float64, generator=generator)
    return clean, (clean + 0.1 * torch.randn(clean.shape, dtype=torch.float64, generator=generator)).clamp(0, 1)


def batched(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


def test_equal_photos_are_at_distance_zero(toy: Lpips) -> None:
    clean, _ = pair()
    assert toy(clean, clean.clone()).item() == 0


def test_the_distance_is_symmetric_and_positive(toy: Lpips) -> None:
    clean, other = pair()
    assert toy(clean, other).item() == pytest.approx(toy(other, clean).item(), rel=1e-12)
    assert toy(clean, other).item() > 0


def test_a_batch_gives_one_number_per_photo(toy: Lpips) -> None:
    clean, other = pair(batch=3)
    together = toy(clean, other)
    assert together.shape == (3,)
    apart = torch.cat([toy(clean[i : i + 1], other[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, apart)


def test_the_gradient_is_that_of_finite_differences(toy: Lpips) -> None:
    clean, other = pair(side=35)
    clean.requires_grad_()
    other.requires_grad_()
    assert torch.autograd.gradcheck(toy, (clean, other), eps=1e-7, atol=1e-6, fast_mode=True)


def test_the_gradient_is_finite_where_every_feature_is_zero() -> None:
    """Under a strong negative bias no channel answers; the square root of LPIPS's norm then has no derivative."""
    weights = toy_weights()
    for index in range(5):
        weights[f"features.{index}.bias"] = torch.full((4,), -100.0)
    silent = Lpips(weights)
    clean = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    silent(clean, torch.zeros_like(clean)).sum().backward()
    assert clean.grad is not None
    assert clean.grad.isfinite().all()


def test_its_weights_are_frozen(toy: Lpips) -> None:
    assert not any(parameter.requires_grad for parameter in toy.parameters())


def test_it_loads_from_the_file_that_it_documents(tmp_path: Path) -> None:
    save_file(toy_weights(), tmp_path / "toy.safetensors")
    clean, other = (photo.float() for photo in pair())
    loaded = Lpips.load(tmp_path / "toy.safetensors")
    torch.testing.assert_close(loaded(clean, other), Lpips(toy_weights())(clean, other))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SurrogateError, match=r"no LPIPS weights at .*nowhere"):
        Lpips.load(tmp_path / "nowhere.safetensors")


def test_another_networks_file_is_refused(tmp_path: Path) -> None:
    save_file({"encoder.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(SurrogateError, match=r"not an LPIPS AlexNet file: it has no 'features\.0\.weight'"):
        Lpips.load(tmp_path / "other.safetensors")


@with_weights
@pytest.mark.parametrize(("change", "expected"), [("inverted", 0.4064055), ("mirrored", 0.3743063)])
def test_it_gives_the_number_of_the_reference_implementation(change: str, expected: float) -> None:
    """Expected: `lpips` 0.1.4 (`LPIPS(net="alex")`, `normalize=True`), run once on these very photos."""
    clean = data.astronaut()[:256, 100:356]  # type: ignore[no-untyped-call]  # scikit-image has no annotations
    other = 255 - clean if change == "inverted" else clean[:, ::-1]
    with torch.no_grad():
        assert Lpips.load(FILE)(batched(clean), batched(other)).item() == pytest.approx(expected, abs=2e-5)


@with_weights
def test_stronger_noise_has_a_larger_distance() -> None:
    clean = batched(data.astronaut()[:128, 150:278])  # type: ignore[no-untyped-call]  # scikit-image has no annotations
    grain = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    lpips = Lpips.load(FILE)
    with torch.no_grad():
        distances = [lpips(clean, (clean + sigma * grain).clamp(0, 1)).item() for sigma in (0.01, 0.03, 0.1)]
    assert distances == sorted(distances)
    assert distances[0] > 0
