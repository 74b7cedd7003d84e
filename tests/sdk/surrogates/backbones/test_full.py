"""The paper's whole objective on a whole model, from the command line to the saved file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from anti_i2v import Protector, RecipeError, SurrogateError, VideoOptions
from anti_i2v_cli import app

PHOTO = Path(__file__).parents[3] / "data" / "chelsea.jpg"


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "cat.png"
    with Image.open(PHOTO) as image:
        image.convert("RGB").resize((96, 64)).save(path)
    return path


def full(folder: Path, **changes: object) -> Protector:
    settings: dict[str, object] = {"short_side": 64, "steps": 2, "noise_samples": 1, **changes}
    video = VideoOptions(caption="a person smiles", frames=2)
    return Protector("full", surrogates=[folder], device="cpu", video=video, **settings)


def test_the_saved_file_is_within_its_budget_and_the_same_for_the_same_seed(
    cogvideox_folder: Path, photo: Path, tmp_path: Path
) -> None:
    for name in ("one.png", "two.png"):
        full(cogvideox_folder).protect(photo, seed=3).save(tmp_path / name)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.png", "two.png"))
    assert one == two
    with Image.open(photo) as clean, Image.open(tmp_path / "one.png") as protected:
        change = np.asarray(protected).astype(int) - np.asarray(clean)
    assert 0 < np.abs(change).max() <= 8


def test_a_low_memory_run_gives_the_same_photo(cogvideox_folder: Path, photo: Path) -> None:
    options = VideoOptions(caption="a person smiles", frames=2, low_memory=True)
    settings = {"short_side": 64, "steps": 2, "noise_samples": 1}
    saving = Protector("full", surrogates=[cogvideox_folder], device="cpu", video=options, **settings)
    pixels = [each.protect(photo, seed=3, effects=False).photo.pixels for each in (full(cogvideox_folder), saving)]
    assert np.abs(pixels[0].astype(int) - pixels[1]).max() <= 1


def test_the_command_line_protects_on_a_whole_model(cogvideox_folder: Path, photo: Path, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    arguments = ["protect", str(photo), "-o", str(tmp_path / "out.png"), "--recipe", "full", "--device", "cpu"]
    arguments += ["--surrogate", str(cogvideox_folder), "--caption", "a person", "--frames", "2", "--deadline", "6"]
    result = CliRunner().invoke(app, [*arguments, "--receipt", str(receipt)])
    assert result.exit_code == 0, result.output
    found = json.loads(receipt.read_text())
    assert found["recipe"] == "full"
    assert found["steps"] > 0
    assert any(effect["surrogate"] == cogvideox_folder.name for effect in found["effects"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "full"], "recipe full needs a whole video model: name its folder with --surrogate"),
        (["--caption", "a person"], "--caption is for whole video models: name one with --surrogate"),
        (["--recipe", "full", "--surrogate", "embedded"], "embedded has no hook points"),
    ],
    ids=["no model", "a caption for encoders", "the student"],
)
def test_options_that_exclude_each_other_are_refused(
    arguments: list[str], message: str, photo: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["protect", str(photo), "-o", str(tmp_path / "out.png"), *arguments])
    assert result.exit_code != 0
    assert message in result.output
    assert not (tmp_path / "out.png").exists()


def test_an_engine_without_denoisers_refuses_the_recipe(photo: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(RecipeError, match="which only the torch engine runs"):
        Protector("full", engine="onnx").protect(photo)


def test_an_encoder_cannot_collapse(tiny_folder: Path, photo: Path) -> None:
    with pytest.raises(SurrogateError, match=r"is an encoder and has no '\w+' layers: name a video model"):
        full(tiny_folder).protect(photo)
