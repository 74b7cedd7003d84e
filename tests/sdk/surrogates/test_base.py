"""What all surrogates share: normalisation."""

from __future__ import annotations

import pytest
import torch

from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.surrogates.info import Normalisation
from anti_i2v.surrogates.student import load_student


def pixels(size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))


class Shifted(Surrogate):
    """A surrogate with statistics of its own."""

    normalisation = Normalisation(mean=(0.1, 0.2, 0.3), deviation=(0.5, 0.25, 2.0))

    def features(self, pixels: torch.Tensor, inputs: DenoiserInputs | None = None) -> Features:
        return {"latent": self.normalised(pixels)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_pixels_are_normalised_to_what_the_network_expects(dtype: torch.dtype) -> None:
    given = pixels().to(dtype)
    torch.testing.assert_close(load_student().normalised(given), 2 * given - 1)
    expected = given.clone()
    for channel, (mean, deviation) in enumerate([(0.1, 0.5), (0.2, 0.25), (0.3, 2.0)]):
        expected[:, channel] = (given[:, channel] - mean) / deviation
    torch.testing.assert_close(Shifted().features(given)["latent"], expected)
