"""Evidence: effects of protections on victims, compared with random controls and published baselines.

    ANTI_I2V_HOME=FOLDER python tests/benchmarks/evidence.py [--rows ROW ...] [--set test|development] [--json FILE]
    ANTI_I2V_HOME=FOLDER python tests/benchmarks/evidence.py --full       # every row: hours

Photos: portraits in tests/data that no training used. They are protected whole, as people do; victims animate the
square around the face, scaled to 256 pixels. `--cut` crops first, so that no scaling weakens the perturbation.
Settings are chosen on the set "development" and reported on the set "test".
Victims: those that this project trained (sdk/training), each with its role towards the row. A row names a recipe and
the models that it optimises on. Every figure is an EFFECT: how much worse than the clean photo's videos of the same
seeds, with a 95 % interval over photos and seeds, beside the effect of a random perturbation of the same PSNR.
`--equal budget psnr:32 de2000:2` evaluates every row three times: as it is, and scaled to each visibility.
The default is five photos under two seeds, less than 20 minutes on two cores; the tables of docs/evidence.md use six
under four (`--photos 6 --seeds 4`).
Where a validity issue forbids a headline, it is printed instead of the figures: for the victim concerned, or for all.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np
from torch import set_num_threads

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.baselines.recipes import baseline_names, load_baseline
from anti_i2v.evaluation.conditions import PhotoPair, load_pair
from anti_i2v.evaluation.crops import SIDE, choose_square, crop_square
from anti_i2v.evaluation.degradations import AVERAGED, DEGRADATIONS
from anti_i2v.evaluation.report_wording import CONDITION_LABELS, PICTURED_CONDITIONS
from anti_i2v.evaluation.results import Evaluation, VictimResult
from anti_i2v.evaluation.runner import evaluate_all
from anti_i2v.evaluation.victims import available_victims, victim_folder
from anti_i2v.evaluation.video_metrics import MetricModels
from anti_i2v.files import write_atomic
from anti_i2v.images.decode import open_photo
from anti_i2v.images.perturbation import check_budget
from anti_i2v.metrics.random_controls import Visibility, rescale_to_visibility
from anti_i2v.preview import Panels, sheet
from anti_i2v.protector import Protector
from anti_i2v.recipes import Recipe, load_recipe
from anti_i2v.surrogates.video_options import VideoOptions

Equality = tuple[Visibility, float]

DATA = Path(__file__).parent.parent / "data"
SETS = {
    "development": ("astronaut", "portraits/filippo_giunchedi", "portraits/guillaume_paumier"),
    "test": (
        "portraits/christophe_henner",
        "portraits/katherine_maher",
        "portraits/guido_van_rossum",
        "grace_hopper",
        "woman_in_white",
        "woman_with_hat",
    ),
}
ENCODERS = ("taesd", "taesdxl", "taef1")
DENOISER, UNTOUCHED = "dit-taef1", "dit-taesd3"
METRICS = ("identity", "first_frame_psnr", "lpips")
HEADLINE_ROWS = ("balanced", "strong")
NEAR_NOISE = 0.6
SURVIVAL = ("jpeg75", "half size", "jpeg75, half size")


@dataclass(frozen=True)
class Row:
    """One way to protect: a recipe and the names of the models that it optimises on."""

    recipe: Recipe
    on: tuple[str, ...]


def ablation(name: str, **settings: object) -> Row:
    """Make a row of the denoiser's objective with one change: 60 steps in RGB on the small denoiser only, no EOT."""
    plain = Recipe(
        name=name,
        summary="only a part of the objective",
        start="random",
        steps=60,
        step=1.5,
        algorithm="adam",
        turns="all",
    )
    return Row(load_recipe(plain, **settings), (DENOISER,))


def rows() -> dict[str, Row]:
    """List every row, the recipes for users first."""
    small = {"short_side": SIDE, "deadline": None}
    found = {
        "draft": Row(load_recipe("draft"), ()),
        "balanced": Row(load_recipe("balanced", deadline=None), (*ENCODERS, DENOISER)),
        "strong": Row(load_recipe("strong", deadline=None), (*ENCODERS, DENOISER)),
        "full, small denoiser": Row(load_recipe("full", **small), (DENOISER,)),
    }
    for name in baseline_names():
        recipe = load_baseline(name)
        found[name] = Row(load_recipe(recipe, **small), (DENOISER,)) if recipe.needs_denoiser else Row(recipe, ENCODERS)
    only = {"displacement": 0.0}
    pulled = {"terms": {**only, "anchor": 1.0}, "anchor_layers": ["prediction"]}
    dual = {"spaces": ["lab", "dct"]}
    found |= {
        "encoder alone": ablation("encoder alone", terms={"displacement": 1.0}),
        "DM": ablation("DM", terms={**only, "denoising": 1.0}),
        "DM, 8 draws": ablation("DM, 8 draws", terms={**only, "denoising": 1.0}, noise_samples=8),
        "IRC": ablation("IRC", terms={**only, "collapse": 1.0}, noise_samples=8),
        "IRA": ablation("IRA", terms={**only, "anchor": 1.0}, anchor_layers=["latent", "late"], noise_samples=8),
        "IRC, IRA, DM": ablation(
            "all", terms={**only, "anchor": 1.0, "collapse": 1.0, "denoising": 1.0}, anchor_layers=["latent", "late"]
        ),
        "DM, near noise": ablation("DM, near noise", terms={**only, "denoising": 1.0}, noise_levels=[NEAR_NOISE, 1]),
        "IRA, prediction": ablation("IRA, prediction", target="glyphs", **pulled),
        "IRA, prediction, near noise": ablation(
            "IRA, prediction, near noise", target="glyphs", noise_levels=[NEAR_NOISE, 1], **pulled
        ),
        "IRA, prediction, near noise, checkerboard": ablation(
            "IRA, prediction, near noise, checkerboard", noise_levels=[NEAR_NOISE, 1], **pulled
        ),
        "DM, a*b*": ablation("DM, a*b*", terms={**only, "denoising": 1.0}, spaces=["lab"]),
        "DM, L*a*b*": ablation("DM, L*a*b*", terms={**only, "denoising": 1.0}, spaces=["lab"], lab_shares=[1, 1, 1]),
        "DM, low DCT": ablation("DM, low DCT", terms={**only, "denoising": 1.0}, spaces=["dct"]),
        "DM, dual": ablation("DM, dual", terms={**only, "denoising": 1.0}, **dual),
        "random": ablation("random", steps=0),
        "DM, auxiliary": ablation("DM, auxiliary", terms={**only, "denoising": 1.0, "auxiliary": 1.0}),
        "DM, EOT": ablation(
            "DM, EOT", terms={**only, "denoising": 1.0}, eot={"identity": 0.5, "resize": 0.2, "jpeg": 0.2, "blur": 0.1}
        ),
    }
    return found


def protect_photo(name: str, photo: Rgb8, seed: int) -> tuple[Rgb8, float]:
    """Protect a photo with a row's recipe at its own size; return it with the seconds."""
    row, begun = rows()[name], time.monotonic()
    # By name the small video model is used through windows of the photo; score distillation needs the model itself.
    on = [(victim_folder(each) or each) if row.recipe.terms.distillation else each for each in row.on]
    protector = Protector(row.recipe, surrogates=on or None, engine="torch", video=VideoOptions(frames=4))
    made = protector.protect(photo, effects=False, seed=seed).photo.pixels
    check_budget(photo, made, row.recipe.budget)
    return made, time.monotonic() - begun


def evaluate_row(name: str, pairs: Sequence[PhotoPair], equal: Equality | None, options: dict[str, Any]) -> Evaluation:
    """Evaluate a row; `options` are those of `evaluate_all`."""
    row = rows()[name]
    budget = row.recipe.budget if equal is None else None
    return evaluate_all(pairs, optimised_on=row.on, budget=budget, metric_models=MetricModels.available(), **options)


def equality(text: str) -> Equality | None:
    """Parse `--equal`: None for the recipes' own budget."""
    visibility, _, value = text.partition(":")
    if text == "budget":
        return None
    if visibility not in get_args(Visibility) or not value.replace(".", "", 1).isdigit():
        raise argparse.ArgumentTypeError(f"equal in budget, psnr:DECIBELS or de2000:UNITS, got {text!r}")
    return visibility, float(value)


def load_pairs(
    clean: Sequence[Rgb8], made: Sequence[Rgb8], second: Sequence[Rgb8] | None, equal: Equality | None
) -> list[PhotoPair]:
    """Load pairs, scaled to one visibility."""

    def scaled(photos: Sequence[Rgb8]) -> Sequence[Rgb8]:
        if equal is None:
            return photos
        return [rescale_to_visibility(before, after, *equal) for before, after in zip(clean, photos, strict=True)]

    seconds = [None] * len(clean) if second is None else scaled(second)
    return [load_pair(*each) for each in zip(clean, scaled(made), seconds, strict=True)]


def cropped_photos(names: Sequence[str], models: MetricModels) -> list[Rgb8]:
    """Return the victims' crops of the photos, for `--cut`."""
    return [crop_square(photo, choose_square(photo, models.faces)) for photo in whole_photos(names)]


def whole_photos(names: Sequence[str]) -> list[Rgb8]:
    """Return the photos as files have them."""
    return [open_photo(DATA / f"{name}.jpg").pixels for name in names]


def figures(victim: VictimResult) -> list[str]:
    """ "protected | random (ratio)" for each metric."""
    cells = []
    for metric in METRICS:
        found = next((each for each in victim.comparisons if each.metric == metric), None)
        if found is None:
            cells.append("not measured")
            continue
        sure = "" if found.beats_control else " ?"
        ratio = "" if found.ratio is None else f" ({found.ratio.mean:.1f}x)"
        interval = f"[{found.effect.low:.2f}, {found.effect.high:.2f}]"
        cells.append(f"{found.effect.mean:.2f} {interval} | {found.control_effect.mean:.2f}{ratio}{sure}")
    return cells


def write_picture(evaluation: Evaluation, photo: int, path: Path) -> None:
    """Write one photo's videos by the hardest victim under one seed, frame by frame."""
    hardest = evaluation.evidence.victims[-1].name
    videos = evaluation.media[photo].videos[hardest]
    strips = {name: np.concatenate(list(videos[name][0]), axis=1) for name in PICTURED_CONDITIONS}
    rows = [Panels((strip,), (f"{hardest}, {CONDITION_LABELS[name]}",)) for name, strip in strips.items()]
    data = BytesIO()
    sheet(rows).save(data, "PNG")
    write_atomic(path, data.getvalue(), overwrite=True)


def print_row(name: str, evaluation: Evaluation, seconds: float) -> None:
    evidence = evaluation.evidence
    decibels = np.mean([pair.psnr for pair in evidence.imperceptibility if pair.psnr is not None])
    print(f"\n{name}: {decibels:.1f} dB, {seconds:.0f} s a photo")
    for issue in evidence.issues:
        print(f"  {issue.severity}: {issue.reason}")
    refused = {issue.victim for issue in evidence.issues if issue.severity == "no headline"}
    if None in refused:
        return  # an issue of all victims forbids every figure
    for victim in evidence.victims:
        if victim.name in refused:
            print(f"  {victim.name:18s} {victim.role:10s} no figures: see the issues")
            continue
        print(f"  {victim.name:18s} {victim.role:10s} " + " / ".join(figures(victim)))
    for each in evidence.survival:
        if each.victim not in refused:
            retained = f"{each.retained.mean:.0%} | {each.control_retained.mean:.0%}"
            print(f"  retained after {each.degradation:18s} on {each.victim}, {each.metric:16s}: {retained}")


@dataclass(frozen=True)
class Run:
    """Settings that all rows share, and the worker processes.

    Attributes:
        clean: the photos.
        options: of `evaluate_all`.
    """

    workers: ProcessPoolExecutor
    clean: list[Rgb8]
    equal: list[Equality | None]
    options: dict[str, Any]

    def row(self, name: str) -> tuple[float, list[tuple[str, Evaluation]]]:
        """Return a row's mean seconds a photo and its evaluation at each visibility."""
        seeds = (0, 1) if AVERAGED in self.options["degradations"] else (0,)
        jobs = [self.workers.submit(protect_photo, name, photo, seed) for seed in seeds for photo in self.clean]
        made, seconds = zip(*[each.result() for each in jobs], strict=True)
        first, second = made[: len(self.clean)], made[len(self.clean) :] or None
        evaluations = [
            self.workers.submit(evaluate_row, name, load_pairs(self.clean, first, second, equal), equal, self.options)
            for equal in self.equal
        ]
        titles = [name if equal is None else f"{name}, {equal[0]} {equal[1]:g}" for equal in self.equal]
        return float(np.mean(seconds)), list(zip(titles, [one.result() for one in evaluations], strict=True))


def parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=rows(), default=list(HEADLINE_ROWS))
    parser.add_argument("--full", action="store_true", help="every row")
    parser.add_argument("--set", choices=SETS, default="test")
    parser.add_argument("--cut", action="store_true", help="protect the victims' crop: faster, flattering")
    parser.add_argument("--photos", type=int, default=5, help="the first of the set")
    parser.add_argument("--victims", nargs="+", default=[UNTOUCHED], help="or `all` that are available")
    parser.add_argument("--seeds", type=int, default=2, help="4 made the tables of docs/evidence.md")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes, which share the cores")
    parser.add_argument("--steps", type=int, default=10, help="of the victims' samplers")
    parser.add_argument("--equal", nargs="+", type=equality, default=[None], help="budget, psnr:DECIBELS, de2000:UNITS")
    parser.add_argument(
        "--survival", nargs="*", default=None, help="degradations, or `all`; none by default, except with --full"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="PNG of the last row's videos of one photo")
    parser.add_argument("--pictured", type=int, default=0, help="which photo")
    return parser.parse_args()


def evaluation_options(settings: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of `evaluate_all`."""
    degradations = SURVIVAL if settings.full and settings.survival is None else settings.survival or ()
    return {
        "victims": [each.name for each in available_victims()] if settings.victims == ["all"] else settings.victims,
        "seeds": range(settings.seeds),
        "steps": settings.steps,
        "degradations": (*DEGRADATIONS, AVERAGED) if "all" in degradations else degradations,
    }


def main() -> None:
    settings = parse_settings()
    names = SETS[settings.set][: settings.photos]
    clean = cropped_photos(names, MetricModels.available()) if settings.cut else whole_photos(names)
    photos = f"{settings.set}, {f'cut to {SIDE} pixels' if settings.cut else 'whole'}"
    print(f"{len(clean)} photos ({photos}), {settings.seeds} seeds, {settings.steps} steps; effects on", end=" ")
    print(" / ".join(METRICS), "as: effect [95 %] | random of the same PSNR (ratio); ? not clearly more")
    threads = max(1, (os.cpu_count() or 1) // settings.workers)
    results = {}
    with (
        ProcessPoolExecutor(settings.workers, get_context("spawn"), set_num_threads, (threads,)) as workers,
        ThreadPoolExecutor(settings.workers) as rows_at_once,
    ):
        run = Run(workers, clean, settings.equal, evaluation_options(settings))
        for seconds, evaluations in rows_at_once.map(run.row, list(rows()) if settings.full else settings.rows):
            for title, evaluation in evaluations:
                print_row(title, evaluation, seconds)
                results[title] = json.loads(evaluation.evidence.to_json())
                if settings.picture is not None:
                    write_picture(evaluation, settings.pictured, settings.picture)
            if settings.json is not None:
                settings.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
