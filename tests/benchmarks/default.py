"""Effect of the recipes on encoders, compared with random perturbations of the same L-infinity and PSNR.

    ANTI_I2V_HOME=FOLDER python tests/benchmarks/default.py [--photos N] [--rows ROW ...] [--json results.json]

Photos: tests/data, used by no training, half of them portraits; each as a square of 256 pixels around the face or the
centre. Surrogates: taesd, taesdxl, taef1 (the recipes optimise on them) and taesd3 (held out). The control of every
figure is a random perturbation with the same values in random places (same PSNR, same L-infinity).

Each row protects each photo in its own process, forked before any model ran, so peak memory (Python, torch and models
included) and caches are not shared. Seconds are those of a second photo: models are loaded and one step is taken first.
Linux only, because it forks.

"50 cold" are 50 steps on the encoders from the clean photo, the reference for speed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from anti_i2v.arrays import Rgb8
from anti_i2v.engines.torch_engine import TorchEngine
from anti_i2v.errors import Cancelled
from anti_i2v.images.decode import open_photo
from anti_i2v.images.degradations import SURVIVAL_CHECKS
from anti_i2v.images.perturbation import check_budget
from anti_i2v.images.resize import resize_to_working, working_size
from anti_i2v.metrics.faces import FaceIdentity
from anti_i2v.metrics.imperceptibility import compare
from anti_i2v.metrics.random_controls import random_psnr
from anti_i2v.paths import LPIPS_WEIGHTS, find_weights, home
from anti_i2v.protector import Protector
from anti_i2v.receipts.effects import MeasurementModels, as_uint8, choose_window, effect_on, stack_views
from anti_i2v.recipes import Recipe, load_recipe, recipe_names

DATA = Path(__file__).parent.parent / "data"
SIDE = 256
TRAINED_ON, HELD_OUT = ("taesd", "taesdxl", "taef1"), "taesd3"
DEGRADATIONS = ("as is", "jpeg75", "half size")
METRICS = ("shift", "decoded_psnr", "decoded_lpips", "decoded_identity")

COLD = Recipe(
    name="cold",
    summary="50 cold steps",
    start="random",
    steps=50,
    step=2.0,
    turns="all",
    mask_floor=1.0,
)
COLD_EOT = load_recipe(COLD, eot={"identity": 0.4, "resize": 0.3, "jpeg": 0.3})

ORDER = ["astronaut", "chelsea", "grace_hopper", "coffee", "woman_in_white", "china", "woman_with_hat", "rocket"]
"""Portraits and others alternate, so that any number of photos has both."""

Maker = Callable[[Rgb8], tuple[Rgb8, float]]
"""Clean photo -> protected photo and seconds."""

Found = dict[str, float]


def recipe_row(recipe: Recipe, surrogates: tuple[str, ...] = ()) -> Maker:
    """Protect with the Protector at the photo's own size, without a deadline."""

    def make(clean: Rgb8) -> tuple[Rgb8, float]:
        chosen = load_recipe(recipe, short_side=SIDE, deadline=None)
        protector = Protector(chosen, surrogates=surrogates, engine="torch", device="cpu")
        protector.prepare()
        first = threading.Event()
        with suppress(Cancelled):  # one step, for costs of the first photo
            protector.protect(clean, effects=False, on_step=lambda step: first.set(), cancel=first)
        protection = protector.protect(clean, effects=False)
        if surrogates and protection.receipt.steps != chosen.steps:
            raise SystemExit(f"{chosen.name} took {protection.receipt.steps} of {chosen.steps} steps")
        return protection.photo.pixels, protection.receipt.seconds["protect"]

    return make


def random_signs(clean: Rgb8) -> tuple[Rgb8, float]:
    signs = np.random.default_rng(0).integers(2, size=clean.shape, dtype=np.int16) * 2 - 1
    return (clean + 8 * signs).clip(0, 255).astype(np.uint8), 0.0


def rows(names: list[str]) -> dict[str, Maker]:
    """Map each row to its way to protect."""
    known: dict[str, Maker] = {
        "random": random_signs,
        "draft": recipe_row(load_recipe("draft")),
        "draft, unweighted": recipe_row(load_recipe("draft", mask_floor=1.0)),
    }
    for name in ("balanced", "strong"):
        # The student has no decoder, so on it `strong` has only its displacement term.
        known[f"{name}, embedded"] = recipe_row(load_recipe(name, terms={"displacement": 1.0}), ("embedded",))
        on = (*TRAINED_ON, *load_recipe(name).video_models)
        known[f"{name}, real"] = recipe_row(load_recipe(name), on)
        # At the visibility of the cold rows: the recipe without its visual weighting.
        known[f"{name}, real, unweighted"] = recipe_row(load_recipe(name, mask_floor=1.0), on)
    known["50 cold"] = recipe_row(COLD, TRAINED_ON)
    known["50 cold, EOT"] = recipe_row(COLD_EOT, TRAINED_ON)
    unknown = set(names) - set(known)
    if unknown:
        raise SystemExit(f"unknown row {unknown.pop()!r}: choose from {', '.join(known)}")
    return {name: known[name] for name in names or known}


def squares(names: list[str]) -> dict[str, Rgb8]:
    """Map each name to its square, (SIDE, SIDE, 3) uint8."""
    photos, faces = {}, FaceIdentity()
    for name in names:
        pixels = open_photo(DATA / f"{name}.jpg").pixels
        photo = as_uint8(resize_to_working(pixels, working_size(*pixels.shape[:2], SIDE, 8))[0])
        window, _ = choose_window(photo, faces)
        photos[name] = np.ascontiguousarray(photo[window])
    return photos


def protect_and_measure(row: str, clean: Rgb8) -> Found:
    """Protect one photo with one row; measure its cost, visibility and effect on the encoders."""
    protected, seconds = rows([row])[row](clean)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # before any encoder of the measurement is loaded
    name = row.partition(",")[0]
    check_budget(clean, protected, load_recipe(name).budget if name in recipe_names() else 8)
    seen = compare(clean, protected)
    found = {"seconds": seconds, "peak_mb": peak, "psnr": seen.psnr, "ssim": seen.ssim, "de2000": seen.de2000_mean}
    return found | measure_effects(clean, protected)


def measure_effects(clean: Rgb8, protected: Rgb8) -> Found:
    """Measure every metric after every degradation, for the protected photo and its random control."""
    engine = TorchEngine([], None, "cpu")
    encoders = [
        *((engine.load_encoder(name), "surrogate") for name in TRAINED_ON),
        (engine.load_encoder(HELD_OUT), "held-out"),
    ]
    models = MeasurementModels(encoders, engine.load_lpips(), FaceIdentity())
    trio = [clean, protected, random_psnr(clean, protected, 1)]
    window, face = choose_window(clean, models.faces)
    found: Found = {}
    for degradation in DEGRADATIONS:
        views = stack_views([SURVIVAL_CHECKS[degradation](photo) for photo in trio], window)
        for each, role in encoders:
            effect = effect_on(each, role, views, models, face)
            for metric in METRICS:
                pair = getattr(effect, metric)
                if pair is not None:
                    found[f"{degradation}|{effect.surrogate}|{metric}|protected"] = pair.protected
                    found[f"{degradation}|{effect.surrogate}|{metric}|random"] = pair.random
    return found


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run the function in a process of its own.

    This process must never run a model, because threads do not survive a fork and memory would be inherited.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(function, *arguments).result()


def table(results: dict[str, list[Found]], metric: str) -> str:
    """Format one metric: rows by (degradation, surrogate), `protected / random` each, means over the photos."""
    names = [*TRAINED_ON, HELD_OUT]
    lines = [f"{metric}: protected / random of the same PSNR (mean over photos)"]
    lines.append(f"{'':26}" + "".join(f"{degradation:^52}" for degradation in DEGRADATIONS))
    lines.append(f"{'':26}" + "".join(f"{name:>13}" for _ in DEGRADATIONS for name in names))
    for row, photos in results.items():
        cells = []
        for degradation in DEGRADATIONS:
            for name in names:
                key = f"{degradation}|{name}|{metric}|"
                values = [(p[key + "protected"], p[key + "random"]) for p in photos if key + "protected" in p]
                digits = 1 if metric == "decoded_psnr" else 2
                cells.append(
                    "/".join(f"{mean(part):.{digits}f}" for part in zip(*values, strict=True)) if values else "-"
                )
        lines.append(f"{row:26}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--only", nargs="+", default=[], help="names of photos, instead of the first N")
    parser.add_argument("--rows", nargs="+", default=[])
    parser.add_argument("--json", type=Path, help="results as they come; rows and photos found in it are not run again")
    settings = parser.parse_args()
    needed = (*(f"surrogates/{name}" for name in (*TRAINED_ON, HELD_OUT)), LPIPS_WEIGHTS, "face")
    missing = [name for name in needed if find_weights(name) is None]
    if missing:
        raise SystemExit(f"{home()} lacks {', '.join(missing)}: set ANTI_I2V_HOME to a folder that has them")

    chosen = rows(settings.rows)
    photos = in_child(squares, settings.only or ORDER[: settings.photos])
    kept = json.loads(settings.json.read_text()) if settings.json and settings.json.exists() else {}
    if any("peak_mb" not in found for photos_of_row in kept.values() for found in photos_of_row.values()):
        raise SystemExit(f"{settings.json} was written by another version of this benchmark: name another file")
    results: dict[str, dict[str, Found]] = {name: kept.get(name, {}) for name in chosen}
    # Photo by photo, so that all rows of a photo share the machine's other load.
    for photo_name, clean in photos.items():
        for row in chosen:
            if photo_name in results[row]:
                continue
            found = results[row][photo_name] = in_child(protect_and_measure, row, clean)
            if settings.json:
                settings.json.write_text(json.dumps(kept | results, indent=1))
            cost = f"{found['seconds']:.1f} s, {found['peak_mb']:.0f} MB, {found['psnr']:.1f} dB"
            print(f"{photo_name}: {row}: {cost}", file=sys.stderr, flush=True)

    report({row: list(found.values()) for row, found in results.items()}, len(photos))


def report(results: dict[str, list[Found]], count: int) -> None:
    """Print every table."""
    print(
        f"{count} photos at {SIDE} px, torch {torch.__version__} on {torch.get_num_threads()} of {os.cpu_count()} cores"
    )
    reference = mean(found["seconds"] for found in results["50 cold"]) if "50 cold" in results else None
    print(f"{'':26}{'seconds':>9}{'of cold':>9}{'peak MB':>9}{'PSNR':>7}{'SSIM':>7}{'dE2000':>8}")
    for row, found in results.items():
        seconds, psnr, ssim, de2000 = (mean(p[key] for p in found) for key in ("seconds", "psnr", "ssim", "de2000"))
        share = f"{seconds / reference:9.0%}" if reference else f"{'-':>9}"
        peak = max(p["peak_mb"] for p in found)
        print(f"{row:26}{seconds:9.2f}{share}{peak:9.0f}{psnr:7.1f}{ssim:7.3f}{de2000:8.2f}")
    for metric in METRICS:
        print("\n" + table(results, metric))
    print("\nseconds: mean over photos; peak MB: the largest, of a whole process with torch, the models and the photo")


if __name__ == "__main__":
    main()
