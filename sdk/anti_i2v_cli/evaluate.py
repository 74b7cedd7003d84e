"""`anti-i2v evaluate`: let video models animate a photo with and without its protection, and report the difference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anti_i2v.errors import OutputError, RecipeError
from anti_i2v_cli.options import CleanPhoto, Device, Overwrite, ProtectedPhoto, Quiet, check_device
from anti_i2v_cli.output import OutputFiles
from anti_i2v_cli.packages import require_packages

if TYPE_CHECKING:
    from anti_i2v.evaluation.conditions import PhotoPair
    from anti_i2v.evaluation.results import Evidence

__all__ = ["evaluate"]

NUMBERS, PAGE = "evidence.json", "index.html"
"""The files of a report."""

QUICK_SEEDS = 2


def evaluate(
    ctx: typer.Context,
    clean: CleanPhoto,
    protected: ProtectedPhoto,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            show_default=False,
            help=f"Write {PAGE} and {NUMBERS} here. The page contains the clean photo: do not post it.",
        ),
    ],
    victim: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_OR_FOLDER", help="Generate videos with this model; repeatable. Default: all installed."
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=64, metavar="N", help="Generate this many videos per model and photo; default: 4."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="N", help="Take this many sampler steps; default: 10.")
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=2048,
            metavar="PIXELS",
            help="Generate videos of this size, a multiple of 32; default: 256. Large models need their own, such as "
            "480.",
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Measure what survives this change, such as jpeg75; repeatable. Default: every change.",
        ),
    ] = None,
    second: Annotated[
        Path | None,
        typer.Option(
            metavar="PROTECTED",
            readable=False,
            help="Also measure what survives averaging with this version, protected with another seed.",
        ),
    ] = None,
    receipt: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            help="Read the receipt that `protect --receipt` wrote: the report then names the models that were "
            "optimised on, and checks the budget.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help=f"Default to {QUICK_SEEDS} videos and a few changes, for a first look."),
    ] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Report how a protection changes generated videos.

    The videos are made from the photo with and without its protection, and with a random change.
    """
    check_device(device)
    require_packages("an evaluation", ["cv2", "htpy"], 'pip install "anti-i2v-sdk[evaluate]"')
    from anti_i2v.engines.device import resolve_device
    from anti_i2v.evaluation.conditions import load_pair
    from anti_i2v.evaluation.crops import SIDE
    from anti_i2v.evaluation.degradations import QUICK_DEGRADATIONS
    from anti_i2v.evaluation.runner import SEEDS, STEPS

    # Refuse whatever can be refused before the minutes of work.
    files = OutputFiles(ctx.obj, None, None, overwrite, quiet)
    _check_folder(output, [path for path in (clean, protected, second, receipt) if path is not None], files)
    _check_names(victim or [], change or [])
    if side is not None and side % 32:
        raise RecipeError(f"videos have sides that are multiples of 32, got {side}: take {round(side / 32) * 32}")
    settings: dict[str, Any] = {} if receipt is None else _settings_from_receipt(receipt)
    settings |= {
        "victims": victim or None,
        "seeds": range(seeds or (QUICK_SEEDS if quick else len(SEEDS))),
        "steps": steps or STEPS,
        "side": side or SIDE,
        "degradations": change or (QUICK_DEGRADATIONS if quick else None),
    }
    pair = load_pair(clean, protected, second)
    _write_report(pair, {**settings, "device": str(resolve_device(device))}, output, files)


def _check_folder(folder: Path, sources: Sequence[Path], files: OutputFiles) -> None:
    """Check that a report can be written into a folder, which need not exist. Raises OutputError."""
    from anti_i2v.files import check_target

    if folder.is_dir():
        files.check(sources, [folder / name for name in (NUMBERS, PAGE)])
    elif os.path.lexists(folder):
        raise OutputError(f"{folder} is not a folder: a report has two files, name a folder for them")
    else:
        check_target(folder)


def _check_names(victims: Sequence[str], changes: Sequence[str]) -> None:
    """Raise RecipeError for an unknown change, and SurrogateError for an unknown or missing victim."""
    from anti_i2v.evaluation.degradations import AVERAGED, DEGRADATIONS
    from anti_i2v.evaluation.victims import available_victims, describe_victim, load_victim
    from anti_i2v.evaluation.victims import victims as known_victims

    for name in changes:
        if name not in (*DEGRADATIONS, AVERAGED):
            raise RecipeError(f"unknown change {name!r}: choose from {', '.join([*DEGRADATIONS, AVERAGED])}")
    available = {each.name for each in available_victims()}
    for name in victims:
        if name in known_victims() and name not in available:
            load_victim(name)  # its error names what is missing
        describe_victim(name)


def _settings_from_receipt(file: Path) -> dict[str, Any]:
    """Read the models that were optimised on, and the budget. Raises RecipeError for any other file."""
    from anti_i2v.receipts.receipt import Receipt
    from anti_i2v.surrogates.catalogue import encoders

    try:
        receipt = Receipt.from_json(file.read_bytes())
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise RecipeError(f"{file} is not a receipt ({error}): give the file that `protect --receipt` wrote") from None
    # The tiles that recipes start from were trained on the known surrogates, so a draft was as well.
    tiles = [entry.name for entry in encoders().values() if entry.role == "surrogate"]
    exact = receipt.encoding is None or receipt.encoding.lossless
    return {
        "optimised_on": (*receipt.surrogates, *tiles),
        "budget": receipt.budget_asked if exact else None,  # a lossy file may exceed the budget that its pixels kept
    }


def _write_report(pair: PhotoPair, settings: dict[str, Any], folder: Path, files: OutputFiles) -> None:
    from anti_i2v.evaluation.html_report import render_html
    from anti_i2v.evaluation.runner import evaluate_all
    from anti_i2v.evaluation.text_report import render_text
    from anti_i2v_cli.progress import stage_progress

    with stage_progress(files.quiet) as on_progress:
        result = evaluate_all([pair], on_progress=on_progress, **settings)
        result = replace(result, evidence=_without_home(result.evidence))
        folder.mkdir(exist_ok=True)
        # The numbers first: an error in the page must not lose them.
        files.write(folder / NUMBERS, result.evidence.to_json())
        on_progress("writing the page", 1.0)
        files.write(folder / PAGE, render_html(result).encode())
    files.show(render_text(result.evidence))
    files.show_written()


def _without_home(evidence: Evidence) -> Evidence:
    """Remove this machine's folder from sentences about missing weights: it may contain the person's name."""
    from msgspec.structs import replace as replace_fields

    from anti_i2v.paths import home

    sentences = tuple(sentence.replace(f"{home()}{os.sep}", "") for sentence in evidence.not_measured)
    return replace_fields(evidence, not_measured=sentences)
