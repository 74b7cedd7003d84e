"""The whole of it on a tiny victim, and on a made-up one of which everything is known."""

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
from anti_i2v.evaluation import runner as module
from anti_i2v.evaluation import samples as samples_module
from anti_i2v.evaluation.degradations import averaged
from anti_i2v.evaluation.results import CONDITIONS, Evidence
from anti_i2v.evaluation.runner import evaluate, evaluate_all
from anti_i2v.evaluation.samples import Sample, sample
from anti_i2v.evaluation.victims import Victim
from anti_i2v.evaluation.video_metrics import Instruments
from anti_i2v.metrics.imperceptibility import psnr
from anti_i2v.metrics.random_controls import rescale_to_visibility

from .conftest import FRAMES, SIDE, noised, smooth


def test_a_real_victim_that_learned_nothing_is_evaluated_to_the_end_without_a_headline(
    dit_folder: Path, no_nets: Instruments
) -> None:
    clean = smooth(64, 80)
    protected = noised(clean, 8)
    said: list[tuple[str, float]] = []
    found = evaluate(
        clean,
        protected,
        victims=[dit_folder],
        seeds=[0, 1],
        steps=2,
        changes=["half size"],
        instruments=no_nets,
        side=SIDE,
        on_progress=lambda what, done: said.append((what, done)),
    )
    evidence = found.evidence
    assert evidence.headline is None
    assert {doubt.kind for doubt in evidence.doubts if doubt.severity == "no headline"} >= {"victim"}
    (row,) = evidence.victims
    assert (row.name, row.role, row.frames, row.steps) == ("toy-dit", "unknown", FRAMES, 2)
    assert [each.name for each in row.conditions] == list(CONDITIONS)
    assert row.condition("clean").verdicts["ssim"].mean == pytest.approx(1)
    (scene,) = found.scenes
    assert {name: view.shape for name, view in scene.views.items()} == dict.fromkeys(CONDITIONS, (SIDE, SIDE, 3))
    assert scene.videos["toy-dit"]["clean"].shape == (2, FRAMES, SIDE, SIDE, 3)
    assert ("loading toy-dit", 0.0) in said
    done = [part for _, part in said]
    assert done == sorted(done)
    # Four conditions of two videos of two steps; nothing fell, so no change was looked at: three more were spared.
    assert done[-1] == pytest.approx((4 * 2 * 2 - 1) / (7 * 2 * 2))
    assert Evidence.from_json(evidence.to_json()) == evidence


# A victim of which everything is known: it sees broad strokes alone and lets them wander. A smooth perturbation passes
# through it whole, an independent one hardly.

KNOWN = Victim("known", "made up", "its own", "untouched", "sees broad strokes")


def wandering(
    victim: Any, photos: Rgb8, seeds: Sequence[int], steps: int, *, batch: int, on_step: Callable[[], None]
) -> Rgb8:
    def video(photo: Rgb8, seed: int) -> Rgb8:
        for _ in range(steps):
            on_step()
        seen = uniform_filter(photo.astype(float), (5, 5, 0)) + 0.5 * np.random.default_rng(seed).normal(size=3)
        return np.stack([np.roll(seen, number, 1) for number in range(3)]).round().clip(0, 255).astype(np.uint8)

    return np.stack([np.stack([video(photo, seed) for seed in seeds]) for photo in photos])


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anti_i2v.evaluation.generation.generate_videos", wandering)
    monkeypatch.setattr(module, "load_victim", lambda name, device: object())
    monkeypatch.setattr(module, "describe_victim", lambda name: msgspec.structs.replace(KNOWN, name=str(name)))


def spoiled(clean: Rgb8, levels: int = 8, seed: int = 3) -> Rgb8:
    """Moved up or down in broad strokes: away from the clean photo even after a blur."""
    small = np.random.default_rng(seed).choice([-1.0, 1.0], (3, 3)).astype(np.float32)
    signs = np.asarray(Image.fromarray(small).resize(clean.shape[1::-1], Image.Resampling.NEAREST))
    return (clean + levels * signs[..., None]).clip(0, 255).astype(np.uint8)


def samples(count: int, size: tuple[int, int] = (64, 64)) -> list[Sample]:
    photos = [smooth(*size, seed=seed) for seed in range(count)]
    return [sample(photo, spoiled(photo)) for photo in photos]


SETTINGS: dict[str, Any] = {
    "victims": ["known"],
    "side": 64,
    "changes": (),
    "instruments": Instruments(),
    "seeds": (0, 1),
}


@pytest.mark.usefixtures("known")
def test_an_effect_above_the_control_has_a_headline_with_its_numbers() -> None:
    evidence = evaluate_all(samples(10), **{**SETTINGS, "seeds": (0, 1, 2, 3)}).evidence
    assert [doubt.kind for doubt in evidence.doubts] == ["face"]
    assert evidence.headline is not None
    assert evidence.headline.victim == "known"
    (compared,) = evidence.headline.comparisons
    assert compared.measure == "first_frame_psnr"
    assert compared.clearly_more
    assert compared.ratio is not None
    assert compared.ratio.low > 2
    assert compared.fall.mean - compared.control_fall.mean == pytest.approx(compared.difference.mean)
    assert f"{compared.fall.mean:.1f}" in evidence.headline.sentence
    assert "adds friction" in evidence.headline.sentence
    assert evidence.victims[0].condition("clean").falls == {}


@pytest.mark.usefixtures("known")
def test_a_random_perturbation_has_no_headline_for_it_does_no_more_than_its_control() -> None:
    photos = [smooth(64, 64, seed=seed) for seed in range(10)]
    evidence = evaluate_all(
        [sample(photo, noised(photo, 8, seed)) for seed, photo in enumerate(photos)], **SETTINGS
    ).evidence
    assert evidence.headline is None
    assert {doubt.kind for doubt in evidence.doubts if doubt.severity == "no headline"} == {"effect"}


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("pair", "settings", "kind"),
    [
        (sample(smooth(64, 64), smooth(64, 64)), {}, "unchanged"),
        (sample(smooth(64, 64), spoiled(smooth(64, 64))), {"budget": 4}, "budget"),
    ],
    ids=["unchanged", "budget"],
)
def test_self_deception_costs_the_headline(pair: Sample, settings: dict[str, Any], kind: str) -> None:
    evidence = evaluate_all([*samples(2), pair], **SETTINGS, **settings).evidence
    assert evidence.headline is None
    assert kind in {doubt.kind for doubt in evidence.doubts if doubt.severity == "no headline"}
    assert evidence.doubts[0].severity == "no headline"
    Evidence.from_json(evidence.to_json())


@pytest.mark.usefixtures("known")
def test_a_photo_that_victims_were_trained_on_costs_the_headline(monkeypatch: pytest.MonkeyPatch) -> None:
    given = samples(3)
    monkeypatch.setattr("anti_i2v.evaluation.validity_checks.training_photos", lambda: (given[2].known,))
    evidence = evaluate_all(given, **SETTINGS).evidence
    assert evidence.headline is None
    assert {doubt.kind for doubt in evidence.doubts if doubt.severity == "no headline"} == {"training"}


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("size", [(64, 64), (96, 128), (100, 90)], ids=str)
@pytest.mark.parametrize("side", [48, 64, 100])
@pytest.mark.parametrize("protect", [spoiled, lambda clean: noised(clean, 8)], ids=["broad", "fine"])
def test_controls_have_the_protections_psnr_where_victims_look_at_any_size(
    size: tuple[int, int], side: int, protect: Callable[[Rgb8], Rgb8]
) -> None:
    clean = smooth(*size)
    settings = {**SETTINGS, "seeds": [0], "side": side}
    (view,) = evaluate_all([sample(clean, protect(clean))], **settings).evidence.views
    assert view.control_psnr == pytest.approx(view.psnr, abs=0.1)


@pytest.mark.usefixtures("known")
def test_what_is_left_is_told_beside_the_control_and_the_worst_comes_first() -> None:
    settings = {**SETTINGS, "changes": ("half size", "jpeg75", "crop")}
    done: list[float] = []
    evidence = evaluate_all(samples(4), **settings, on_progress=lambda what, part: done.append(part)).evidence
    assert done[-1] == pytest.approx(1, abs=0.01)  # before the last step of all
    assert {each.change for each in evidence.survival} == {"half size", "jpeg75", "crop"}
    left = [each.retained.mean for each in evidence.survival]
    assert left == sorted(left)
    assert min(left) > 0.7  # broad strokes survive
    assert all(each.control_retained.mean < each.retained.mean for each in evidence.survival)
    assert all(each.measure == "first_frame_psnr" for each in evidence.survival)


@pytest.mark.usefixtures("known")
def test_averaging_a_version_with_its_opposite_leaves_nothing() -> None:
    given = []
    for each in samples(4):
        opposite = (2 * each.clean.astype(int) - each.protected).astype(np.uint8)
        np.testing.assert_array_equal(averaged(each.protected, opposite), each.clean)
        given.append(sample(each.clean, each.protected, opposite))
    evidence = evaluate_all(given, **{**SETTINGS, "changes": ("averaged",)}).evidence
    (survival,) = evidence.survival
    assert survival.retained.mean == pytest.approx(0, abs=0.01)


@pytest.mark.usefixtures("known")
def test_without_an_effect_nothing_can_be_left_and_that_is_said() -> None:
    given = [sample(each.clean, each.clean) for each in samples(2)]
    evidence = evaluate_all(given, **{**SETTINGS, "changes": ("jpeg75",)}).evidence
    assert evidence.survival == ()
    assert any("what is left" in line for line in evidence.not_measured)


@pytest.mark.usefixtures("known")
def test_the_headline_is_of_the_hardest_victim_and_survival_too(monkeypatch: pytest.MonkeyPatch) -> None:
    roles = {"easy": "white-box", "hard": "untouched", "middle": "encoder"}
    monkeypatch.setattr(
        module,
        "describe_victim",
        lambda name: msgspec.structs.replace(KNOWN, name=name, role=roles[name]),
    )
    settings = {**SETTINGS, "victims": ["middle", "hard", "easy"], "changes": ("jpeg75",)}
    evidence = evaluate_all(samples(2), **settings).evidence
    assert [row.name for row in evidence.victims] == ["easy", "middle", "hard"]
    assert evidence.headline is not None
    assert (evidence.headline.victim, evidence.headline.role) == ("hard", "untouched")
    assert {each.victim for each in evidence.survival} == {"hard"}
    asked = evaluate_all(samples(2), **settings, survival_on=["easy", "middle"]).evidence
    assert {each.victim for each in asked.survival} == {"easy", "middle"}


@pytest.mark.usefixtures("known")
def test_the_same_photos_give_the_same_evidence_twice() -> None:
    first, second = (evaluate_all(samples(3), **SETTINGS).evidence for _ in range(2))
    assert msgspec.structs.replace(first, seconds=0) == msgspec.structs.replace(second, seconds=0)


@pytest.mark.usefixtures("known")
def test_a_stronger_perturbation_falls_further_and_equal_visibility_takes_that_away() -> None:
    photos = [smooth(64, 64, seed=seed) for seed in range(4)]

    def fall(levels: int, decibels: float | None = None) -> float:
        pairs = [(photo, spoiled(photo, levels)) for photo in photos]
        equal = [
            (photo, other if decibels is None else rescale_to_visibility(photo, other, "psnr", decibels))
            for photo, other in pairs
        ]
        row = evaluate_all([sample(*pair) for pair in equal], **SETTINGS).evidence.victims[0]
        return row.condition("protected").falls["first_frame_psnr"].mean

    assert fall(12) > fall(6) + 1
    assert fall(12, 32) == pytest.approx(fall(6, 32), abs=0.3)


def test_json_is_camel_case_and_has_no_infinity(known: None) -> None:
    given = [sample(smooth(64, 64), smooth(64, 64))]
    data = evaluate_all(given, **SETTINGS).evidence.to_json()
    found = msgspec.json.decode(data)
    assert found["headline"] is None
    assert found["views"][0]["controlPsnr"] is None
    assert found["formatVersion"] == 1


def test_large_photos_are_shrunk_first_and_that_is_said(known: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (samples_module, module):
        monkeypatch.setattr(each, "POSTED_EDGE", 100)
    clean = smooth(96, 128)
    evidence = evaluate_all([sample(clean, spoiled(clean))], **SETTINGS).evidence
    (view,) = evidence.views
    assert view.scale == pytest.approx(64 / 96)
    assert view.box == pytest.approx((16, 0, 96, 96), abs=1)
    assert any("shrunk to 100 pixels" in line for line in evidence.not_measured)


def test_photos_come_from_files_too_and_their_sums_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    Image.fromarray(smooth(64, 64)).save(file)
    from_path, from_bytes = sample(file, file), sample(file.read_bytes(), file)
    assert from_path.known == from_bytes.known
    assert from_path.known.file
    assert sample(smooth(64, 64), file).known.file == ""
    assert psnr(from_path.clean, smooth(64, 64)) == np.inf


def test_what_cannot_be_evaluated_is_refused_in_a_line(dit_folder: Path, empty_home: Path) -> None:
    pair = samples(1)
    with pytest.raises(PhotoError, match="photos of one size, got 64x64 and 66x64"):
        sample(smooth(64, 64), smooth(64, 66))
    with pytest.raises(RecipeError, match="unknown change 'jpeg12'"):
        evaluate_all(pair, victims=[dit_folder], changes=["jpeg12"])
    with pytest.raises(RecipeError, match="second protected version"):
        evaluate_all(pair, victims=[dit_folder], changes=["averaged"])
    with pytest.raises(RecipeError, match="photos and seeds, got 1 and 0"):
        evaluate_all(pair, victims=[dit_folder], seeds=[])
    with pytest.raises(RecipeError, match="named twice"):
        evaluate_all(pair, victims=[dit_folder, dit_folder])
    with pytest.raises(SurrogateError, match="no victim is at hand"):
        evaluate_all(pair)
