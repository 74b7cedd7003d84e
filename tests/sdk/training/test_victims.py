"""Training of victims: clips, resumed runs, and folders that the SDK loads."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2", reason="needs OpenCV: pip install 'anti-i2v-sdk[evaluate]'")
pytest.importorskip("diffusers", reason="needs diffusers: pip install 'anti-i2v-sdk[backbones]'")

from tests import tiny_models

TRAINING = Path(__file__).parents[3] / "sdk" / "training"
DATA = Path(__file__).parents[2] / "data"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"training_{name}", TRAINING / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photo() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


def test_a_clip_begins_at_a_window_of_its_photo_and_then_moves(photo: Image.Image) -> None:
    clips = script("clips")
    clip = clips.synthetic_clip(photo, np.random.default_rng(3))
    assert clip.shape == (clips.FRAMES, 3, clips.SIDE, clips.SIDE)
    assert 0 <= float(clip.min()) <= float(clip.max()) <= 1
    steps = (clip[1:] - clip[:-1]).abs().mean((1, 2, 3))
    assert bool((steps > 1e-4).all())
    # Every value of the first frame is a level of an 8-bit picture.
    levels = clip[0] * 255
    assert float((levels - levels.round()).abs().max()) < 1e-3


def test_a_clip_depends_only_on_the_seed_and_its_number(photo: Image.Image) -> None:
    clips = script("clips")
    three, two = (clips.make([photo], [], count, 0.0, seed=5) for count in (3, 2))
    assert np.array_equal(three[:2], two)
    assert not np.array_equal(three[0], three[1])


def test_a_photo_of_the_tests_is_refused(tmp_path: Path) -> None:
    clips = script("clips")
    for name in ("astronaut.jpg", "portraits/katherine_maher.jpg"):
        (tmp_path / "photo.jpg").write_bytes((DATA / name).read_bytes())
        with pytest.raises(SystemExit, match="photo of the tests"):
            clips.photos_of(tmp_path)


@pytest.fixture
def training_folder(tmp_path: Path) -> Path:
    """Clips of 32 pixels with latents of a tiny encoder, beside that encoder."""
    import torch

    tiny_models.seeded(tiny_models.autoencoder_tiny).save_pretrained(tmp_path / "encoders" / "toy")
    generator = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    np.save(tmp_path / "clips" / "pixels.npy", generator.integers(0, 256, (6, 8, 3, 32, 32), np.uint8))
    latents = torch.from_numpy(generator.standard_normal((6, 8, 4, 4, 4), np.float32)).half()
    torch.save(latents, tmp_path / "clips" / "toy.pt")
    return tmp_path


Run = Callable[..., dict[str, bytes]]


@pytest.fixture(params=["cogvideox", "svd"])
def run(request: pytest.FixtureRequest, training_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the script on a toy of each family, and return the weights that it wrote, by part."""
    victims = script("victims")
    width: Any = 64 if request.param == "cogvideox" else (32, 32, 32)
    toy = victims.Victim(request.param, "toy", seed=1, width=width, layers=2)
    monkeypatch.setattr(victims, "VICTIMS", {"toy": toy})
    monkeypatch.setattr(victims, "SIDE", 32)

    def trained(output: str, *more: str) -> dict[str, bytes]:
        arguments = [
            "victims.py",
            "toy",
            str(training_folder / "clips"),
            "-o",
            str(training_folder / output),
            "--batch",
            "2",
        ]
        monkeypatch.setattr(sys, "argv", [*arguments, "--surrogates", str(training_folder / "encoders"), *more])
        victims.main()
        return {path.parent.name: path.read_bytes() for path in (training_folder / output).rglob("*.safetensors")}

    return trained


def test_a_run_that_was_stopped_ends_at_the_weights_of_one_that_was_not(run: Run) -> None:
    whole = run("whole", "--steps", "4")
    assert run("stopped", "--steps", "4", "--until", "2") != whole
    assert run("stopped", "--steps", "4") == whole


def test_a_run_without_its_state_continues_from_its_weights(run: Run, training_folder: Path) -> None:
    first = run("first", "--steps", "2")
    onward = ["--onward", str(training_folder / "first"), "--done", "2"]
    assert run("same", "--steps", "2", *onward) == first  # no steps remain
    longer = run("longer", "--steps", "4", *onward)
    assert longer.keys() == first.keys()
    assert all(longer[part] != first[part] for part in first)


def test_onward_and_done_need_each_other(run: Run, training_folder: Path) -> None:
    for single in (["--done", "2"], ["--onward", str(training_folder)]):
        with pytest.raises(SystemExit):
            run("refused", *single)


def test_photos_are_gathered_from_packages_by_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import tarfile
    import zipfile
    from io import BytesIO

    def png(level: int) -> bytes:
        data = BytesIO()
        Image.new("RGB", (8, 6), (level, 0, 0)).save(data, "PNG")
        return data.getvalue()

    gather = script("gather")
    tables, packages = tmp_path / "tables", tmp_path / "packages"
    for folder in (tables, packages):
        folder.mkdir()
    head = "file\tlicence\tauthor\tsource\n"
    (tables / "photos.tsv").write_text(
        f"{head}one.png\tCC0\tA\tDebian x 1: .../deep/one.png\ngone.png\tCC0\tA\tDebian y 1: usr/gone.png\n"
    )
    (tables / "footage.tsv").write_text(
        f"{head}face.png\tCC0\tB\tnpm z 1: dist/two.png, crop 1,2 3x4\nfilm.mp4\tCC0\tB\tPyPI w 1 wheel: w/film.mp4\n"
    )
    with tarfile.open(packages / "z.tgz", "w:gz") as archive:
        for name, level in (
            ("package/dist/two.png", 2),
            ("./usr/share/deep/one.png", 1),
            ("usr/share/xdeep/one.png", 9),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(png(level))
            archive.addfile(member, BytesIO(png(level)))
    with zipfile.ZipFile(packages / "w.whl", "w") as wheel:
        wheel.writestr("w/film.mp4", b"film")
    monkeypatch.setattr(gather, "TABLES", tables)
    monkeypatch.setattr(sys, "argv", ["gather.py", str(packages), "-o", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="1 not found"):
        gather.main()
    output = capsys.readouterr().out
    assert "not found: usr/gone.png (gone.png)" in output
    assert "3 files" in output
    assert (tmp_path / "out" / "photos" / "one.png").read_bytes() == png(1)
    assert (tmp_path / "out" / "footage" / "film.mp4").read_bytes() == b"film"
    with Image.open(tmp_path / "out" / "people" / "face.png") as face:
        assert face.size == (3, 4)
        assert face.getpixel((0, 0)) == (2, 0, 0)


def test_the_sdk_loads_a_trained_folder(training_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from anti_i2v.surrogates.backbones.loading import load_backbone
    from anti_i2v.surrogates.backbones.video_generation import generate

    victims = script("victims")
    victim = victims.Victim("cogvideox", "toy", seed=1, width=64, layers=2)
    monkeypatch.setattr(victims, "SIDE", 32)
    model = victims.build_backbone("toy", victim, training_folder / "encoders")
    victims.save_folder(training_folder / "folder", victim, model, {})
    # The folder names its encoder; this test stores the encoder in the folder.
    (training_folder / "folder" / "vae" / "config.json").unlink()
    model.autoencoder.tiny.save_pretrained(training_folder / "folder" / "vae")
    loaded = load_backbone(training_folder / "folder", frames=8)
    video = generate(loaded, torch.rand(1, 3, 32, 32), seeds=0, steps=2)
    assert video.shape == (1, 8, 4, 4, 4)
    trained, kept = dict(model.denoiser.named_parameters()), dict(loaded.denoiser.named_parameters())
    assert all(torch.allclose(trained[name].half().float(), kept[name]) for name in trained)
