"""Training of purifiers: crops, their degradation, and runs that are deterministic by seed."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from anti_i2v.evaluation.purifiers import Denoiser, Upscaler

pytest.importorskip("cv2", reason="needs OpenCV: pip install 'anti-i2v-sdk[evaluate]'")
pytest.importorskip("diffusers", reason="needs diffusers: pip install 'anti-i2v-sdk[backbones]'")

TRAINING = Path(__file__).parents[3] / "sdk" / "training"
DATA = Path(__file__).parents[2] / "data"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    import importlib

    monkeypatch.syspath_prepend(str(TRAINING))
    for name in ("purifiers", "clips"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("purifiers")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(2):
        coarse = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
        Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    return folder


def test_a_crop_lies_inside_its_photo_at_any_size(script: ModuleType) -> None:
    for size in ((200, 160), (170, 900)):
        crops = script.crops([Image.new("RGB", size, (10, 200, 90))], 20, seed=0)
        assert crops.shape == (20, 3, script.SIDE, script.SIDE)
        assert torch.equal(crops, torch.tensor([10, 200, 90], dtype=torch.uint8).view(1, 3, 1, 1).expand_as(crops))


def generator() -> random.Random:
    return random.Random(0)  # noqa: S311  # noise needs no cryptography


def test_half_size_is_pillows_bicubic_and_degraded_crops_are_near_it(script: ModuleType) -> None:
    coarse = np.random.default_rng(0).integers(60, 196, (8, 8, 3), np.uint8)
    crop = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
    clean = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].expand(8, -1, -1, -1)
    wanted = np.asarray(crop.resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1) / 255
    plain = script.downscaled(clean, generator(), degraded=0.0)
    np.testing.assert_allclose(plain.numpy(), np.broadcast_to(wanted, plain.shape), atol=1e-6)
    degraded = script.downscaled(clean, generator(), degraded=1.0)
    assert 0 < float((degraded - plain).abs().mean()) * 255 < 5


@pytest.mark.parametrize(("name", "network"), [("denoiser", Denoiser), ("upscaler", Upscaler)])
def test_the_seed_decides_the_weights_and_they_load(
    name: str,
    network: type[Denoiser | Upscaler],
    script: ModuleType,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from safetensors.torch import load

    threads = torch.get_num_threads()

    def run(output: str, seed: int) -> bytes:
        target = photos.parent / output
        arguments = [name, str(photos), "-o", str(target), "--steps", "3", "--batch", "2", "--crops", "8"]
        monkeypatch.setattr(sys, "argv", ["purifiers.py", *arguments, "--seed", str(seed)])
        with torch.random.fork_rng():
            script.main()
        return target.read_bytes()

    try:
        first = run("first", 0)
        assert first == run("again", 0)
        assert first != run("other", 1)
    finally:
        torch.set_num_threads(threads)
    network().load_state_dict(load(first))
    assert "denoised_15" in capsys.readouterr().out or name == "upscaler"


def test_a_photo_of_the_tests_is_refused(script: ModuleType, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "copy.jpg").write_bytes((DATA / "astronaut.jpg").read_bytes())
    monkeypatch.setattr(sys, "argv", ["purifiers.py", "denoiser", str(photos), "-o", str(photos.parent / "out")])
    with pytest.raises(SystemExit, match="photo of the tests"):
        script.main()
