"""The known victims, their roles, and the errors for those that are unavailable."""

from __future__ import annotations

from pathlib import Path

import pytest

from anti_i2v.errors import SurrogateError
from anti_i2v.evaluation.crops import SIDE, choose_square, crop_square
from anti_i2v.evaluation.generation import generate_videos
from anti_i2v.evaluation.validity_checks import MIN_CLEAN_IDENTITY, MIN_CLEAN_PSNR, MIN_MOTION
from anti_i2v.evaluation.victims import (
    ROLES,
    Role,
    available_victims,
    describe_victim,
    load_victim,
    role_of,
    victim_folder,
    victims,
)
from anti_i2v.evaluation.video_metrics import MetricModels, measure_video
from anti_i2v.images.decode import open_photo
from anti_i2v.surrogates.catalogue import encoders

from .conftest import FRAMES

PHOTO = Path(__file__).parents[2] / "data" / "astronaut.jpg"


def test_every_known_victim_has_a_known_role_and_encoder() -> None:
    assert victims()
    for victim in victims().values():
        assert victim.role in ROLES
        assert victim.encoder in encoders()


def test_untouched_victims_use_held_out_encoders() -> None:
    untouched = [victim for victim in victims().values() if victim.role == "untouched"]
    assert untouched
    assert {encoders()[victim.encoder].role for victim in untouched} == {"held-out"}


@pytest.mark.parametrize(
    ("optimised_on", "roles"),
    [
        ((), ("untouched", "untouched", "untouched", "untouched")),
        (("taesd", "taef1"), ("encoder", "encoder", "encoder", "untouched")),
        (("dit-taef1",), ("white-box", "sibling", "untouched", "untouched")),
        (("unet-taesd", "taef1"), ("encoder", "encoder", "white-box", "untouched")),
        (("dit-taesd3",), ("untouched", "untouched", "untouched", "white-box")),
    ],
)
def test_a_role_follows_from_what_was_optimised_on(optimised_on: tuple[str, ...], roles: tuple[Role, ...]) -> None:
    names = ("dit-taef1", "dit-taef1-second", "unet-taesd", "dit-taesd3")
    assert tuple(role_of(victims()[name], optimised_on) for name in names) == roles


def test_without_the_optimised_models_the_role_is_towards_the_packages_recipes(dit_folder: Path) -> None:
    assert role_of(victims()["dit-taesd3"]) == "untouched"
    assert role_of(describe_victim(dit_folder)) == "unknown"


def test_a_folder_is_described_by_its_files(dit_folder: Path) -> None:
    found = describe_victim(dit_folder)
    assert (found.name, found.family, found.encoder) == ("toy-dit", "cogvideox", "its own")


def test_a_victim_has_the_frames_that_it_was_trained_on(dit_folder: Path) -> None:
    assert load_victim(dit_folder).frames == FRAMES


def test_a_home_without_encoders_has_no_available_victims(empty_home: Path) -> None:
    assert available_victims() == []


def test_a_victim_without_its_encoder_says_what_to_pull(
    empty_home: Path, dit_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anti_i2v.evaluation.victims.victim_folder", lambda name: dit_folder)
    with pytest.raises(SurrogateError, match="surrogates pull taesd3"):
        load_victim("dit-taesd3")


def test_weights_under_the_home_folder_come_before_the_packages(empty_home: Path) -> None:
    folder = empty_home / "victims" / "dit-taef1"
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}", encoding="utf-8")
    assert victim_folder("dit-taef1") == folder


def test_an_unknown_victim_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    for ask in (load_victim, describe_victim):
        with pytest.raises(SurrogateError, match="choose from dit-taef1"):
            ask(tmp_path / "nowhere")


def test_a_victim_that_is_not_on_this_machine_says_how_to_train_it(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anti_i2v.evaluation.victims.victim_folder", lambda name: None)
    with pytest.raises(SurrogateError, match=r"train it with sdk/training/victims\.py"):
        load_victim("dit-taesd3")


SHIPPED = ["dit-taef1", "dit-taef1-second", "unet-taesd", "dit-taesd3"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_package_ships_victims_whose_weights_are_small_and_half_precision(name: str) -> None:
    from safetensors import safe_open

    folder = victim_folder(name)
    assert folder is not None
    weights = sorted(folder.rglob("*.safetensors"))
    assert weights
    for path in weights:
        assert path.stat().st_size <= 10 * 2**20
        with safe_open(path, framework="pt") as tensors:
            assert {str(tensors.get_tensor(key).dtype) for key in tensors.keys()} == {"torch.float16"}  # noqa: SIM118  # no mapping


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' Euler scheduler
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_victim_makes_a_video_that_keeps_the_photo_and_the_person(name: str) -> None:
    models = MetricModels.available()
    if name not in {victim.name for victim in available_victims()} or models.faces is None:
        pytest.skip("needs ANTI_I2V_HOME with the real encoders in surrogates/ and the models in face/")
    photo = open_photo(PHOTO).pixels
    crop = crop_square(photo, choose_square(photo, models.faces))
    (video,) = generate_videos(load_victim(name), crop[None], [0], 8)[0]
    assert video.shape == (8, SIDE, SIDE, 3)
    metrics = measure_video(video, crop, video, models, ["first_frame_psnr", "identity", "motion"])
    assert metrics["first_frame_psnr"] > MIN_CLEAN_PSNR
    assert metrics["identity"] > MIN_CLEAN_IDENTITY
    assert metrics["motion"] > MIN_MOTION
