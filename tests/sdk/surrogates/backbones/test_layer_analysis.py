from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from anti_i2v.surrogates.layer_analysis import Layer, layers_picture, linear_cka, principal_picture
from anti_i2v_cli import app

PHOTO = Path(__file__).parents[3] / "data" / "chelsea.jpg"


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_the_picture_shows_the_direction_of_most_variance() -> None:
    ramp = np.linspace(-1, 1, 48).reshape(6, 8)
    weights = np.array([0.1, -3.0, 0.2, 0.0])
    channels = ramp[..., None] * weights + 1e-3 * noise(6, 8, 4)
    picture, explained = principal_picture(channels)
    assert picture.dtype == np.uint8
    assert explained > 0.99
    # The largest weight, of the second channel, is made positive: red rises with that channel.
    assert np.corrcoef(picture[..., 0].ravel(), channels[..., 1].ravel())[0, 1] == pytest.approx(1, abs=0.01)


def test_the_explained_share_is_that_of_the_covariance_matrix() -> None:
    channels = noise(6, 8, 5) * np.array([5, 3, 2, 1, 0.5])
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(channels.reshape(-1, 5).T)))
    assert principal_picture(channels)[1] == pytest.approx(eigenvalues[-3:].sum() / eigenvalues.sum())


def test_flat_features_give_a_flat_picture() -> None:
    picture, explained = principal_picture(np.ones((4, 4, 3)))
    assert not picture.any()
    assert explained == 0


def test_cka_ignores_rotation_and_scale_and_falls_for_another_map() -> None:
    one = noise(8, 8, 6)
    rotation = np.linalg.qr(noise(6, 6, seed=1))[0]
    assert linear_cka(one, 3 * one @ rotation) == pytest.approx(1)
    assert linear_cka(one, noise(8, 8, 6, seed=2)) < 0.5
    assert linear_cka(one, one[::2, ::2]) == pytest.approx(1)  # the smaller grid decides


def test_the_page_holds_every_block_and_frames_the_picked_ones() -> None:
    layers = [
        Layer(f"blocks.{index}", {2: "early", 6: "late"}.get(index, ""), np.full((4, 6, 3), 200, np.uint8), 0.5, 0.5)
        for index in range(7)
    ]
    page = np.asarray(layers_picture(layers))
    red = (page == (198, 40, 40)).all(-1).sum()
    blue = (page == (21, 101, 192)).all(-1).sum()
    assert red > 1000
    assert blue > 1000
    assert (page == 200).all(-1).any()


def test_the_command_draws_and_prints_each_block(cogvideox_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "layers.png"
    arguments = ["layers", str(cogvideox_folder), str(PHOTO), "-o", str(target), "--short-side", "64"]
    result = CliRunner().invoke(app, [*arguments, "--frames", "2", "--timestep", "500", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith("transformer_blocks.")]
    assert len(rows) == 5
    assert [row.split()[1] for row in rows if row.split()[1] in ("early", "late")] == ["early", "late", "late", "late"]
    with Image.open(target) as page:
        assert page.width > 500
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code != 0
    assert "exists" in again.output


def test_an_encoder_has_no_blocks_to_draw(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["layers", "embedded", str(PHOTO), "-o", str(tmp_path / "layers.png")])
    assert result.exit_code != 0
    assert "embedded has no hook points" in result.output
