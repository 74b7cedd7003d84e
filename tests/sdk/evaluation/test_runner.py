"""Whole evaluations: on a tiny real victim, and on a synthetic one whose response is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import uniform_filter

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import PhotoError, RecipeError, SurrogateError
from anti_i2v.evaluation import conditions, runner
from anti_i2v.evaluation.conditions import PhotoPair, load_pair, prepare_photo
from anti_i2v.evaluation.degradations import average
from anti_i2v.evaluation.results import CONDITIONS, Evidence
from anti_i2v.evaluation.runner import evaluate, evaluate_all
from anti_i2v.evaluation.victims import Victim
from anti_i2v.evaluation.video_metrics import MetricModels
from anti_i2v.metrics.imperceptibility import psnr
from anti_i2v.metrics.random_controls import rescale_to_visibility

from .conftest import FRAMES, SIDE, noised, smooth


def test_an_untrained_victim_is_evaluated_to_the_end_without_a_headline(
    dit_folder: Path, no_models: MetricModels
) -> None:
    clean = smooth(64, 80)
    protected = noised(clean, 8)
    reported: list[tuple[str, float]] = []
    found = evaluate(
        clean,
        protected,
        victims=[dit_folder],
        seeds=[0, 1],
        steps=2,
        degradations=["half size"],
        metric_models=no_models,
        side=SIDE,
        on_progress=lambda activity, done: reported.append((activity, done)),
    )
    evidence = found.evidence
    assert evidence.headline is None
    assert {issue.kind for issue in evidence.issues if issue.severity == "no headline"} >= {"victim"}
    (row,) = evidence.victims
    assert (row.name, row.role, row.frames, row.steps) == ("toy-dit", "unknown", FRAMES, 2)
    assert [each.name for each in row.conditions] == list(CONDITIONS)
    assert row.condition("clean").metrics["ssim"].mean == pytest.approx(1)
    (scene,) = found.media
    assert {name: view.shape for name, view in scene.crops.items()} == dict.fromkeys(CONDITIONS, (SIDE, SIDE, 3))
    assert scene.videos["toy-dit"]["clean"].shape == (2, FRAMES, SIDE, SIDE, 3)
    assert ("loading toy-dit", 0.0) in reported
    done = [part for _, part in reported]
    assert done == sorted(done)
    # Four conditions of two videos of two steps; there was no effect, so the three degraded conditions were skipped.
    assert done[-1] == pytest.approx((4 * 2 * 2 - 1) / (7 * 2 * 2))
    assert Evidence.from_json(evidence.to_json()) == evidence


# A synthetic victim that blurs the photo and shifts it from frame to frame: a smooth perturbation passes, per-pixel
# noise hardly does.

KNOWN = Victim("known", "synthetic", "its own", "untouched", "blurs the photo")


def blurred_and_shifted(
    victim: Any, photos: Rgb8, seeds: Sequence[int], steps: int, *, batch: int, on_step: Callable[[], None]
) -> Rgb8:
    def video(photo: Rgb8, seed: int) -> Rgb8:
        for _ in range(steps):
            on_step()
        blurred = uniform_filter(photo.astype(float), (5, 5, 0)) + 0.5 * np.random.default_rng(seed).normal(size=3)
        return np.stack([np.roll(blurred, number, 1) for number in range(2)]).round().clip(0, 255).astype(np.uint8)

    return np.stack([np.stack([video(photo, seed) for seed in seeds]) for photo in photos])


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anti_i2v.evaluation.generation.generate_videos", blurred_and_shifted)
    monkeypatch.setattr(runner, "load_victim", lambda name, device: object())
    monkeypatch.setattr(runner, "describe_victim", lambda name: msgspec.structs.replace(KNOWN, name=str(name)))


def coarsely_perturbed(clean: Rgb8, levels: int = 8, seed: int = 3) -> Rgb8:
    """Move large areas up or down, which survives a blur."""
    small = np.random.default_rng(seed).choice([-1.0, 1.0], (3, 3)).astype(np.float32)
    signs = np.asarray(Image.fromarray(small).resize(clean.shape[1::-1], Image.Resampling.NEAREST))
    return (clean + levels * signs[..., None]).clip(0, 255).astype(np.uint8)


def pairs_of(count: int, size: tuple[int, int] = (64, 64)) -> list[PhotoPair]:
    photos = [smooth(*size, seed=seed) for seed in range(count)]
    return [load_pair(photo, coarsely_perturbed(photo)) for photo in photos]


SETTINGS: dict[str, Any] = {
    "victims": ["known"],
    "side": 64,
    "degradations": (),
    "metric_models": MetricModels(),
    "seeds": (0, 1),
}


@pytest.mark.usefixtures("known")
def test_an_effect_above_the_control_has_a_headline_with_its_numbers() -> None:
    evidence = evaluate_all(pairs_of(10), **{**SETTINGS, "seeds": (0, 1, 2, 3)}).evidence
    assert [issue.kind for issue in evidence.issues] == ["face"]
    assert evidence.headline is not None
    assert evidence.headline.victim == "known"
    (compared,) = evidence.headline.comparisons
    assert compared.metric == "first_frame_psnr"
    assert compared.beats_control
    assert compared.ratio is not None
    assert compared.ratio.low > 2
    assert compared.effect.mean - compared.control_effect.mean == pytest.approx(compared.difference.mean)
    assert f"{compared.effect.mean:.1f}" in evidence.headline.sentence
    assert "adds friction" in evidence.headline.sentence
    assert evidence.victims[0].condition("clean").effects == {}


@pytest.mark.usefixtures("known")
def test_a_random_perturbation_has_no_headline() -> None:
    photos = [smooth(64, 64, seed=seed) for seed in range(10)]
    evidence = evaluate_all(
        [load_pair(photo, noised(photo, 8, seed)) for seed, photo in enumerate(photos)], **SETTINGS
    ).evidence
    assert evidence.headline is None
    assert {issue.kind for issue in evidence.issues if issue.severity == "no headline"} == {"effect"}


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("pair", "settings", "kind"),
    [
        (load_pair(smooth(64, 64), smooth(64, 64)), {}, "unchanged"),
        (load_pair(smooth(64, 64), coarsely_perturbed(smooth(64, 64))), {"budget": 4}, "budget"),
    ],
    ids=["unchanged", "budget"],
)
def test_a_validity_issue_forbids_the_headline(pair: PhotoPair, settings: dict[str, Any], kind: str) -> None:
    evidence = evaluate_all([*pairs_of(2), pair], **SETTINGS, **settings).evidence
    assert evidence.headline is None
    assert kind in {issue.kind for issue in evidence.issues if issue.severity == "no headline"}
    assert evidence.issues[0].severity == "no headline"
    Evidence.from_json(evidence.to_json())


@pytest.mark.usefixtures("known")
def test_a_photo_that_victims_were_trained_on_forbids_the_headline(monkeypatch: pytest.MonkeyPatch) -> None:
    given = pairs_of(3)
    monkeypatch.setattr("anti_i2v.evaluation.validity_checks.training_photos", lambda: (given[2].fingerprint,))
    evidence = evaluate_all(given, **SETTINGS).evidence
    assert evidence.headline is None
    assert {issue.kind for issue in evidence.issues if issue.severity == "no headline"} == {"training"}


@pytest.mark.parametrize("size", [(64, 64), (96, 128), (100, 90)], ids=str)
@pytest.mark.parametrize("side", [48, 64, 100])
@pytest.mark.parametrize("protect", [coarsely_perturbed, lambda clean: noised(clean, 8)], ids=["broad", "fine"])
def test_the_control_has_the_protections_psnr_in_the_crop_at_any_size(
    size: tuple[int, int], side: int, protect: Callable[[Rgb8], Rgb8]
) -> None:
    clean = smooth(*size)
    crop = prepare_photo(load_pair(clean, protect(clean)), MetricModels(), side, seed=0).crop_result()
    assert crop.control_psnr == pytest.approx(crop.psnr, abs=0.1)


@pytest.mark.usefixtures("known")
def test_retained_effects_are_compared_with_the_control_and_the_least_comes_first() -> None:
    settings = {**SETTINGS, "degradations": ("half size", "jpeg75", "crop")}
    done: list[float] = []
    evidence = evaluate_all(pairs_of(4), **settings, on_progress=lambda what, part: done.append(part)).evidence
    assert done[-1] == pytest.approx(1, abs=0.01)  # before the last step of all
    assert {each.degradation for each in evidence.survival} == {"half size", "jpeg75", "crop"}
    retained = [each.retained.mean for each in evidence.survival]
    assert retained == sorted(retained)
    assert min(retained) > 0.7  # coarse structure survives
    assert all(each.control_retained.mean < each.retained.mean for each in evidence.survival)
    assert all(each.metric == "first_frame_psnr" for each in evidence.survival)


@pytest.mark.usefixtures("known")
def test_averaging_a_version_with_its_opposite_retains_nothing() -> None:
    given = []
    for each in pairs_of(4):
        opposite = (2 * each.clean.astype(int) - each.protected).astype(np.uint8)
        np.testing.assert_array_equal(average(each.protected, opposite), each.clean)
        given.append(load_pair(each.clean, each.protected, opposite))
    evidence = evaluate_all(given, **{**SETTINGS, "degradations": ("averaged",)}).evidence
    (survival,) = evidence.survival
    assert survival.retained.mean == pytest.approx(0, abs=0.01)


@pytest.mark.usefixtures("known")
def test_without_an_effect_nothing_can_be_retained_and_the_evidence_says_so() -> None:
    given = [load_pair(each.clean, each.clean) for each in pairs_of(2)]
    evidence = evaluate_all(given, **{**SETTINGS, "degradations": ("jpeg75",)}).evidence
    assert evidence.survival == ()
    assert any("retained after degradations" in line for line in evidence.not_measured)


@pytest.mark.usefixtures("known")
def test_headline_and_retained_effects_are_of_the_hardest_victim(monkeypatch: pytest.MonkeyPatch) -> None:
    roles = {"easy": "white-box", "hard": "untouched", "middle": "encoder"}
    monkeypatch.setattr(
        runner,
        "describe_victim",
        lambda name: msgspec.structs.replace(KNOWN, name=name, role=roles[name]),
    )
    settings = {**SETTINGS, "victims": ["middle", "hard", "easy"], "degradations": ("jpeg75",)}
    evidence = evaluate_all(pairs_of(2), **settings).evidence
    assert [row.name for row in evidence.victims] == ["easy", "middle", "hard"]
    assert evidence.headline is not None
    assert (evidence.headline.victim, evidence.headline.role) == ("hard", "untouched")
    assert {each.victim for each in evidence.survival} == {"hard"}
    asked = evaluate_all(pairs_of(2), **settings, survival_victims=["easy", "middle"]).evidence
    assert {each.victim for each in asked.survival} == {"easy", "middle"}


@pytest.mark.usefixtures("known")
def test_the_same_photos_give_the_same_evidence_twice() -> None:
    first, second = (evaluate_all(pairs_of(3), **SETTINGS).evidence for _ in range(2))
    assert msgspec.structs.replace(first, seconds=0) == msgspec.structs.replace(second, seconds=0)


@pytest.mark.usefixtures("known")
def test_a_stronger_perturbation_has_a_larger_effect_unless_visibility_is_equal() -> None:
    photos = [smooth(64, 64, seed=seed) for seed in range(4)]

    def effect(levels: int, decibels: float | None = None) -> float:
        pairs = [(photo, coarsely_perturbed(photo, levels)) for photo in photos]
        equal = [
            (photo, other if decibels is None else rescale_to_visibility(photo, other, "psnr", decibels))
            for photo, other in pairs
        ]
        row = evaluate_all([load_pair(*pair) for pair in equal], **SETTINGS).evidence.victims[0]
        return row.condition("protected").effects["first_frame_psnr"].mean

    assert effect(12) > effect(6) + 1
    assert effect(12, 32) == pytest.approx(effect(6, 32), abs=0.3)


def test_json_is_camel_case_and_has_no_infinity(known: None) -> None:
    given = [load_pair(smooth(64, 64), smooth(64, 64))]
    data = evaluate_all(given, **SETTINGS).evidence.to_json()
    found = msgspec.json.decode(data)
    assert found["headline"] is None
    assert found["views"][0]["controlPsnr"] is None
    assert found["formatVersion"] == 1


def test_large_photos_are_shrunk_first_and_the_evidence_says_so(known: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (conditions, runner):
        monkeypatch.setattr(each, "MAX_EDGE", 100)
    clean = smooth(96, 128)
    evidence = evaluate_all([load_pair(clean, coarsely_perturbed(clean))], **SETTINGS).evidence
    (crop,) = evidence.crops
    assert crop.scale == pytest.approx(64 / 96)
    assert crop.box == pytest.approx((16, 0, 96, 96), abs=1)
    assert any("shrunk to 100 pixels" in line for line in evidence.not_measured)


def test_photos_are_read_from_files_and_fingerprinted(tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    Image.fromarray(smooth(64, 64)).save(file)
    from_path, from_bytes = load_pair(file, file), load_pair(file.read_bytes(), file)
    assert from_path.fingerprint == from_bytes.fingerprint
    assert from_path.fingerprint.file
    assert load_pair(smooth(64, 64), file).fingerprint.file == ""
    assert psnr(from_path.clean, smooth(64, 64)) == np.inf


def test_invalid_evaluations_are_refused_with_a_one_line_reason(dit_folder: Path, empty_home: Path) -> None:
    pair = pairs_of(1)
    with pytest.raises(PhotoError, match="photos of one size, got 64x64 and 66x64"):
        load_pair(smooth(64, 64), smooth(64, 66))
    with pytest.raises(RecipeError, match="unknown change 'jpeg12'"):
        evaluate_all(pair, victims=[dit_folder], degradations=["jpeg12"])
    with pytest.raises(RecipeError, match="second protected version"):
        evaluate_all(pair, victims=[dit_folder], degradations=["averaged"])
    with pytest.raises(RecipeError, match="photos and seeds, got 1 and 0"):
        evaluate_all(pair, victims=[dit_folder], seeds=[])
    with pytest.raises(RecipeError, match="named twice"):
        evaluate_all(pair, victims=[dit_folder, dit_folder])
    with pytest.raises(SurrogateError, match="no victim is available"):
        evaluate_all(pair)
