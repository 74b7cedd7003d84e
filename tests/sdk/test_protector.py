"""Protecting: budgets of saved files, seeds, threads, deadlines, and effects beside a random control."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anti_i2v import (
    Cancelled,
    Protection,
    Protector,
    Receipt,
    Recipe,
    RecipeError,
    SurrogateError,
    load_recipe,
    protect,
)
from anti_i2v.arrays import Rgb8
from anti_i2v.metrics.latents import relative_shift
from anti_i2v.metrics.random_controls import random_psnr
from anti_i2v.surrogates.catalogue import load_surrogate

SMALL = {"short_side": 64}


@pytest.fixture
def photo(photos: list[Rgb8]) -> Rgb8:
    return photos[0]


@pytest.fixture
def protector(empty_home: Path, tiny_folder: Path) -> Protector:
    return Protector("balanced", surrogates=[tiny_folder], steps=3, **SMALL)


def levels(protection: Protection) -> int:
    return int(np.abs(protection.photo.pixels.astype(int) - protection.clean).max())


@pytest.mark.usefixtures("empty_home")
@pytest.mark.parametrize(
    "settings",
    [
        {"recipe": "draft"},
        {"recipe": "balanced", "steps": 3},
        {"recipe": "strong", "steps": 3},
        {"recipe": "balanced", "steps": 3, "spaces": ["lab", "dct"], "budget": 1},
        {"recipe": "balanced", "steps": 3, "spaces": ["dct8"], "budget": 16, "step": 16.0},
        {"recipe": "balanced", "steps": 2, "start": "random", "algorithm": "adam", "budget": 64, "step": 64.0},
        {"recipe": "draft", "start": "random", "mask_floor": 0.0},
        {"recipe": "balanced", "steps": 0, "start": "clean"},
    ],
    ids=["draft", "balanced", "strong", "dual space", "blocks", "random start", "only random", "clean"],
)
def test_no_protected_photo_exceeds_its_budget(
    settings: dict[str, object], photos: list[Rgb8], tiny_folder: Path
) -> None:
    protector = Protector(**{"surrogates": [tiny_folder], **SMALL, **settings})  # type: ignore[arg-type]  # rows of a table
    extremes = [np.zeros((70, 90, 3), np.uint8), np.full((90, 70, 3), 255, np.uint8)]
    for clean in [*photos, *extremes]:
        protection = protector.protect(clean, effects=False)
        assert protection.photo.pixels.shape == clean.shape
        assert np.array_equal(protection.clean, clean)
        assert levels(protection) == protection.receipt.budget_spent <= protector.recipe.budget
    assert (protector.protect(photos[0], effects=False).receipt.budget_spent > 0) == (settings.get("start") != "clean")


def test_same_seed_same_file_and_another_seed_another(protector: Protector, photo: Rgb8, tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        protector.protect(photo, seed=seed, effects=False).save(tmp_path / f"{name}.png")
    first, again, other = ((tmp_path / f"{name}.png").read_bytes() for name in ("first", "again", "other"))
    assert first == again
    assert first != other


def test_a_lossless_file_holds_exactly_the_protected_pixels(protector: Protector, photo: Rgb8, tmp_path: Path) -> None:
    protection = protector.protect(photo, effects=False)
    receipt = protection.save(tmp_path / "protected.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "protected.png")), protection.photo.pixels)
    assert receipt.encoding is not None
    assert receipt.encoding.lossless
    assert receipt.encoding.perturbation_kept == 1
    assert receipt.encoding.max_levels == receipt.budget_spent
    assert protection.receipt.encoding is None


def test_the_receipt_holds_the_changes_of_a_lossy_file(protector: Protector, photo: Rgb8, tmp_path: Path) -> None:
    protection = protector.protect(photo, effects=False)
    good, bad = (protection.save(tmp_path / f"{quality}.jpg", quality=quality).encoding for quality in (95, 20))
    assert good is not None
    assert bad is not None
    assert not good.lossless
    assert bad.perturbation_kept < good.perturbation_kept < 1.1
    assert bad.max_levels > good.max_levels


def test_two_threads_give_the_same_pixels_as_one(protector: Protector, photos: list[Rgb8], tiny_folder: Path) -> None:
    def pixels(photo: Rgb8) -> Rgb8:
        return protector.protect(photo, effects=False).photo.pixels

    one_by_one = [pixels(photo) for photo in photos]
    # The first of its threads loads the models.
    fresh = Protector(protector.recipe, surrogates=[tiny_folder])
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda photo: fresh.protect(photo, effects=False).photo.pixels, photos))
    for first, second in zip(one_by_one, together, strict=True):
        assert np.array_equal(first, second)


def test_a_receipt_survives_json(protector: Protector, photo: Rgb8, tmp_path: Path) -> None:
    receipt = protector.protect(photo, preset="instagram", seed=3).save(tmp_path / "protected.jpg")
    assert Receipt.from_json(receipt.to_json()) == receipt
    assert (receipt.recipe, receipt.preset, receipt.seed, receipt.steps) == ("balanced", "instagram", 3, 3)
    assert receipt.stopped == "steps"
    assert receipt.working_size == (64, 80)
    assert [effect.surrogate for effect in receipt.effects] == ["toy-tiny", "embedded"]
    assert [row.change for row in receipt.survival] == ["jpeg75", "half size", "blur", "instagram"]
    assert {"read", "protect", "compare", "effects"} <= set(receipt.seconds)
    assert receipt.engine == "torch"
    assert {"python", "anti-i2v-sdk", "torch", "kornia", "pillow", "numpy"} <= set(receipt.versions)


def test_the_receipt_of_an_unchanged_photo_survives_json(photo: Rgb8, empty_home: Path) -> None:
    receipt = protect(photo, recipe="draft", start="clean", **SMALL).receipt
    assert receipt.imperceptibility.psnr is None
    assert receipt.budget_spent == 0
    assert Receipt.from_json(receipt.to_json()) == receipt


@pytest.mark.usefixtures("empty_home")
def test_steps_on_the_student_are_noted_as_less_effective_than_the_draft(photo: Rgb8) -> None:
    receipt = protect(photo, surrogates=["embedded"], **{**SMALL, "steps": 2}).receipt
    assert (receipt.steps, receipt.stopped) == (2, "steps")
    assert "did less than the draft" in receipt.notes[-1]
    assert [(effect.surrogate, effect.role) for effect in receipt.effects] == [("embedded", "gauge")]


@pytest.mark.usefixtures("empty_home")
@pytest.mark.parametrize("recipe", ["balanced", "strong"])
def test_without_surrogates_a_recipe_gives_the_draft_with_a_note(photo: Rgb8, recipe: str) -> None:
    """At the draft's own scale and budget, not those of the recipe's start."""
    balanced = Protector(recipe, **SMALL).protect(photo, effects=False)
    assert (balanced.receipt.steps, balanced.receipt.stopped) == (0, "no surrogates")
    assert "no steps were taken: this is the draft" in balanced.receipt.notes[-1]
    assert "`anti-i2v surrogates pull`" in balanced.receipt.notes[-1]
    draft = Protector("draft", **SMALL).protect(photo, effects=False)
    assert np.array_equal(draft.photo.pixels, balanced.photo.pixels)
    assert draft.receipt.notes == ()


@pytest.mark.usefixtures("empty_home")
def test_the_draft_shifts_the_student_more_than_the_control(larger_photos: list[Rgb8]) -> None:
    effects = [
        protect(photo, recipe="draft", short_side=128, mask_floor=1.0).receipt.effects for photo in larger_photos[:2]
    ]
    assert all([(effect.surrogate, effect.role) for effect in rows] == [("embedded", "gauge")] for rows in effects)
    assert all(rows[0].shift.protected > 1.1 * rows[0].shift.random for rows in effects)


def test_every_step_is_reported_and_cancelling_stops(protector: Protector, photo: Rgb8) -> None:
    reported: list[int] = []
    protector.protect(photo, effects=False, on_step=lambda step: reported.append(step.index))
    assert reported == [1, 2, 3]
    cancel = threading.Event()
    with pytest.raises(Cancelled, match="cancelled after 1 of 3 steps"):
        protector.protect(photo, effects=False, on_step=lambda step: cancel.set(), cancel=cancel)
    assert protector.protect(photo, effects=False).receipt.steps == 3


def test_a_deadline_returns_the_best_so_far_and_names_what_was_not_measured(protector: Protector, photo: Rgb8) -> None:
    made = protector.protect(photo, deadline=1e-9)
    receipt = made.receipt
    assert (receipt.steps, receipt.stopped) == (0, "deadline")
    assert np.array_equal(made.photo.pixels, protect(photo, recipe="draft", **SMALL).photo.pixels)
    assert receipt.effects == ()
    assert receipt.notes[-1] == "not measured, the deadline came first: toy-tiny, embedded"
    assert receipt.budget_spent > 0


@pytest.mark.usefixtures("empty_home")
def test_the_perturbation_is_made_at_the_working_size_and_scaled_up() -> None:
    clean = np.full((260, 520, 3), 128, np.uint8)
    protection = Protector("draft", mask_floor=1.0, **SMALL).protect(clean, effects=False)
    assert protection.receipt.working_size == (64, 128)
    change = protection.photo.pixels.astype(int) - 128
    assert np.abs(np.diff(change, axis=1)).max() <= 6  # at full size a tile jumps from one end to the other


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"deadline": 0}, "a deadline must be above 0 seconds, got 0"),
        ({"deadline": float("nan")}, "a deadline must be above 0 seconds, got nan"),
        ({"preset": "fax"}, "unknown preset 'fax'"),
        ({"seed": -1}, r"a seed must be 0\.\.2\*\*63 - 1, got -1"),
        ({"seed": 2**63}, "a seed must be"),
    ],
    ids=["no time", "no number", "unknown preset", "negative seed", "huge seed"],
)
def test_bad_arguments_are_refused(call: dict[str, object], message: str, protector: Protector, photo: Rgb8) -> None:
    with pytest.raises(RecipeError, match=message):
        protector.protect(photo, **call)  # type: ignore[arg-type]  # rows of a table


@pytest.mark.usefixtures("empty_home")
def test_bad_settings_are_refused(photo: Rgb8) -> None:
    with pytest.raises(RecipeError, match="unknown recipe 'weak'"):
        Protector("weak")
    with pytest.raises(RecipeError, match=r"budget must be 1\.\.64 levels, got 300"):
        protect(photo, budget=300)
    with pytest.raises(RecipeError, match="unknown engine 'jax': choose from auto, torch, onnx"):
        Protector("draft", engine="jax")
    with pytest.raises(RecipeError, match="no device 'abacus' here"):
        protect(photo, recipe="draft", device="abacus")
    with pytest.raises(SurrogateError, match="unknown surrogate 'nothing'"):
        protect(photo, surrogates=["nothing"])


@pytest.mark.usefixtures("empty_home")
def test_an_anchor_can_use_layers_by_name(photo: Rgb8, tiny_folder: Path) -> None:
    own = Recipe(name="own", summary="Pulls a layer.", steps=2, short_side=64)
    own = load_recipe(own, terms={"anchor": 1.0}, anchor_layers=["latent", "layers.4"])
    receipt = protect(photo, recipe=own, surrogates=[tiny_folder]).receipt
    assert (receipt.recipe, receipt.steps) == ("own", 2)


@pytest.mark.parametrize(
    ("recipe", "steps", "factor"),
    [
        pytest.param("draft", 0, 1.1, id="draft"),
        pytest.param("balanced", 4, 1.15, id="balanced", marks=pytest.mark.slow),
    ],
)
def test_protected_photos_beat_the_random_control_on_a_held_out_encoder(
    recipe: str, steps: int, factor: float, larger_photos: list[Rgb8], weights_home: Path
) -> None:
    protector = Protector(recipe, surrogates=["taesd", "taesdxl"], short_side=128, steps=steps, mask_floor=1.0)
    held_out = load_surrogate("taesd3")
    for clean in larger_photos:
        protected = protector.protect(clean, effects=False).photo.pixels
        trio = np.stack([clean, protected, random_psnr(clean, protected, 0)])
        with torch.inference_mode():
            latents = held_out.features(torch.from_numpy(trio).permute(0, 3, 1, 2) / 255)["latent"]
        ours, random = relative_shift(latents[1:], latents[:1].expand_as(latents[1:])).tolist()
        assert ours > factor * random
