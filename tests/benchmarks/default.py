"""What the recipes do, beside random perturbations of the same L-infinity and of the same PSNR.

    ANTI_I2V_HOME=FOLDER python tests/benchmarks/default.py [--photos N] [--rows ROW ...] [--json results.json]

Photos: tests/data, seen by no training, half of them portraits; each as a square of 256 pixels around the face or the
centre. Surrogates: taesd, taesdxl, taef1 (the recipes optimise on them) and taesd3 (held out). Every figure of a row
stands beside the figure of a random perturbation with the same values in random places (same PSNR, same L-infinity).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from anti_i2v.draft import draft
from anti_i2v.fullsize import check_budget, to_working, working_size
from anti_i2v.home import find, home
from anti_i2v.measure import Instruments, as_uint8, choose_window, effect_on, random_control, stack_views
from anti_i2v.metrics.faces import FaceIdentity
from anti_i2v.metrics.imperceptibility import compare
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.photo import open_photo
from anti_i2v.presets import CHECKS
from anti_i2v.recipes import Recipe, load_recipe
from anti_i2v.refine import refine
from anti_i2v.surrogates.registry import load_surrogate
from anti_i2v.visibility import texture_weight

DATA = Path(__file__).parent.parent / "data"
SIDE = 256
TRAINED_ON, HELD_OUT = ("taesd", "taesdxl", "taef1"), "taesd3"
CHANGES = ("as is", "jpeg75", "half size")
METRICS = ("shift", "decoded_psnr", "decoded_lpips", "decoded_identity")

COLD = Recipe(
    name="cold",
    summary="50 cold steps",
    start="random",
    steps=50,
    step=2.0,
    turns="all",
    visual_floor=1.0,
)
COLD_EOT = load_recipe(COLD, eot={"identity": 0.4, "resize": 0.3, "jpeg": 0.3})

ORDER = ["astronaut", "chelsea", "grace_hopper", "coffee", "woman_in_white", "china", "woman_with_hat", "rocket"]
"""Portraits and others in turn, so that any number of photos has both."""

Maker = Callable[[torch.Tensor, list], torch.Tensor]


def recipe_row(recipe: Recipe) -> Maker:
    """Protects one photo as the Protector does, at the working size."""

    def make(clean: torch.Tensor, models: list) -> torch.Tensor:
        budget = recipe.budget / 255 * texture_weight(clean, recipe.visual_floor)
        if recipe.start == "draft":
            start = draft(clean, budget, 0)
        else:
            generator = torch.Generator().manual_seed(0)
            start = clean + budget * (2 * torch.rand(clean.shape, generator=generator) - 1)
        if not recipe.steps or not models:
            return start
        return refine(clean, start, budget, recipe, models).candidate

    return make


def random_signs(clean: torch.Tensor, models: list) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (clean + 8 / 255 * (torch.randint(0, 2, clean.shape, generator=generator) * 2 - 1)).clamp(0, 1)


def rows(names: list[str]) -> dict[str, tuple[Maker, str]]:
    """Row -> (how it protects, which surrogates it optimises on: none, embedded or real)."""
    known: dict[str, tuple[Maker, str]] = {
        "random": (random_signs, "none"),
        "draft": (recipe_row(load_recipe("draft")), "none"),
        "draft, unweighted": (recipe_row(load_recipe("draft", visual_floor=1.0)), "none"),
    }
    for name in ("balanced", "strong"):
        # The student has no decoder: on it, `strong` is its displacement term alone.
        known[f"{name}, embedded"] = (recipe_row(load_recipe(name, terms={"displacement": 1.0})), "embedded")
        known[f"{name}, real"] = (recipe_row(load_recipe(name)), "real")
        # At the visibility of the cold rows: the recipe without its visual weighting.
        known[f"{name}, real, unweighted"] = (recipe_row(load_recipe(name, visual_floor=1.0)), "real")
    known["50 cold"] = (recipe_row(COLD), "real")
    known["50 cold, EOT"] = (recipe_row(COLD_EOT), "real")
    unknown = set(names) - set(known)
    if unknown:
        raise SystemExit(f"unknown row {unknown.pop()!r}: choose from {', '.join(known)}")
    return {name: known[name] for name in names or known}


def squares(names: list[str], faces: FaceIdentity) -> dict[str, np.ndarray]:
    """Name -> (SIDE, SIDE, 3) uint8."""
    photos = {}
    for name in names:
        pixels = open_photo(DATA / f"{name}.jpg").pixels
        small = to_working(pixels, working_size(*pixels.shape[:2], SIDE, 8))
        photo = as_uint8(torch.from_numpy(small)[0])
        window, _ = choose_window(photo, faces)
        photos[name] = np.ascontiguousarray(photo[window])
    return photos


def judge(clean: np.ndarray, protected: np.ndarray, instruments: Instruments, seed: int) -> dict[str, float]:
    """Every metric after every change, for the protected photo and for its random control."""
    trio = [clean, protected, random_control(clean, protected, seed)]
    window, face = choose_window(clean, instruments.faces)
    found: dict[str, float] = {}
    with torch.inference_mode():
        for change in CHANGES:
            views = stack_views([CHECKS[change](photo) for photo in trio], window, torch.device("cpu"))
            for surrogate, role in instruments.surrogates:
                effect = effect_on(surrogate, role, views, instruments, face)
                for metric in METRICS:
                    pair = getattr(effect, metric)
                    if pair is not None:
                        found[f"{change}|{effect.surrogate}|{metric}|protected"] = pair.protected
                        found[f"{change}|{effect.surrogate}|{metric}|random"] = pair.random
    return found


def table(results: dict[str, list[dict[str, float]]], metric: str) -> str:
    """One metric: rows by (change, surrogate), `protected / random` each, means over the photos."""
    names = [*TRAINED_ON, HELD_OUT]
    lines = [f"{metric}: protected / random of the same PSNR (mean over photos)"]
    lines.append(f"{'':26}" + "".join(f"{change:^52}" for change in CHANGES))
    lines.append(f"{'':26}" + "".join(f"{name:>13}" for _ in CHANGES for name in names))
    for row, photos in results.items():
        cells = []
        for change in CHANGES:
            for name in names:
                key = f"{change}|{name}|{metric}|"
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
    if find("surrogates/taesd") is None or find("perceptual") is None or find("face") is None:
        raise SystemExit(
            f"{home()} lacks surrogates/, perceptual/ or face/: set ANTI_I2V_HOME to a folder that has them"
        )

    faces = FaceIdentity()
    lpips = Lpips.load(find("perceptual/lpips_alex.safetensors"))
    real = [load_surrogate(name) for name in TRAINED_ON]
    optimise_on = {"none": [], "embedded": [load_surrogate("embedded")], "real": real}
    judges = Instruments(
        [*((model, "surrogate") for model in real), (load_surrogate(HELD_OUT), "held-out")], lpips, faces
    )
    photos = squares(settings.only or ORDER[: settings.photos], faces)
    chosen = rows(settings.rows)
    kept = json.loads(settings.json.read_text()) if settings.json and settings.json.exists() else {}
    results: dict[str, dict[str, dict[str, float]]] = {name: kept.get(name, {}) for name in chosen}
    # Photo by photo, so that all rows of a photo share whatever else the machine does then.
    for photo_name, clean in photos.items():
        pixels = torch.from_numpy(to_working(clean, clean.shape[:2]))
        for row, (make, kind) in chosen.items():
            if photo_name in results[row]:
                continue
            begun = time.perf_counter()
            candidate = make(pixels, optimise_on[kind])
            seconds = time.perf_counter() - begun
            protected = as_uint8(candidate[0])
            check_budget(clean, protected, 8)
            seen = compare(clean, protected)
            found = {"seconds": seconds, "psnr": seen.psnr, "ssim": seen.ssim, "de2000": seen.de2000_mean}
            results[row][photo_name] = found | judge(clean, protected, judges, 1)
            if settings.json:
                settings.json.write_text(json.dumps(kept | results, indent=1))
            print(f"{photo_name}: {row}: {seconds:.1f} s, {seen.psnr:.1f} dB", file=sys.stderr, flush=True)

    report({row: list(found.values()) for row, found in results.items()}, len(photos))


def report(results: dict[str, list[dict[str, float]]], count: int) -> None:
    """Print every table."""
    print(
        f"{count} photos at {SIDE} px, torch {torch.__version__} on {torch.get_num_threads()} of {os.cpu_count()} cores"
    )
    reference = mean(found["seconds"] for found in results["50 cold"]) if "50 cold" in results else None
    print(f"{'':26}{'seconds':>9}{'of cold':>9}{'PSNR':>7}{'SSIM':>7}{'dE2000':>8}")
    for row, found in results.items():
        seconds, psnr, ssim, de2000 = (mean(p[key] for p in found) for key in ("seconds", "psnr", "ssim", "de2000"))
        share = f"{seconds / reference:9.0%}" if reference else f"{'-':>9}"
        print(f"{row:26}{seconds:9.1f}{share}{psnr:7.1f}{ssim:7.3f}{de2000:8.2f}")
    for metric in METRICS:
        print("\n" + table(results, metric))
    print(f"\npeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
