"""`anti-i2v evaluate`: what victims make of a photo and of its protected version, as a page and as JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anti_i2v.errors import OutputError, RecipeError, SurrogateError
from anti_i2v_cli.options import Device, Overwrite, check_device
from anti_i2v_cli.output import Delivery

if TYPE_CHECKING:
    from anti_i2v.evaluation.results import Evidence

__all__ = ["evaluate"]

NUMBERS, PAGE = "evidence.json", "index.html"
"""What is written into the folder."""

QUICK_SEEDS = 2


def evaluate(
    ctx: typer.Context,
    clean: Annotated[
        Path, typer.Argument(metavar="PHOTO", show_default=False, readable=False, help="The photo as it was.")
    ],
    protected: Annotated[
        Path,
        typer.Argument(
            metavar="PROTECTED", show_default=False, readable=False, help="The same photo, protected by any tool."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            show_default=False,
            help=f"Where to write {PAGE} and {NUMBERS}. The page holds the clean photo: do not post it.",
        ),
    ],
    victim: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_OR_FOLDER",
            help="Have this video model make the videos; may be repeated. By default all at hand.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=64, metavar="N", help="Videos of each model and condition; by default 4.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="N", help="Of the models' sampler; by default 10.")
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=2048,
            metavar="PIXELS",
            help="Of the videos, a multiple of 32; by default 256. A large model wants its own, 480 say.",
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Look at what is left after this (jpeg75, say); may be repeated. By default all there are.",
        ),
    ] = None,
    second: Annotated[
        Path | None,
        typer.Option(
            metavar="PROTECTED",
            readable=False,
            help="Another protected version, of another seed: what is left when somebody averages the two.",
        ),
    ] = None,
    receipt: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            help="The protection's receipt (protect --receipt): the report then says which models its steps were "
            "taken on, and checks its budget.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help=f"{QUICK_SEEDS} videos and few changes, where not told otherwise."),
    ] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no text.")] = False,
) -> None:
    """Make small video models animate a photo with and without its protection, and report what became of the videos."""
    check_device(device)
    for package, name in (("cv2", "OpenCV"), ("htpy", "htpy")):
        if find_spec(package) is None:
            raise SurrogateError(f'an evaluation needs {name}: pip install "anti-i2v-sdk[evaluate]"')
    from anti_i2v.evaluation.crops import SIDE
    from anti_i2v.evaluation.degradations import QUICK_DEGRADATIONS
    from anti_i2v.evaluation.html_report import page
    from anti_i2v.evaluation.runner import SEEDS, STEPS, evaluate_all
    from anti_i2v.evaluation.samples import sample
    from anti_i2v.evaluation.text_report import as_text
    from anti_i2v.files import write_atomic
    from anti_i2v_cli.progress import narrator

    # Whatever can be refused is refused here, before the minutes of work.
    delivery = Delivery(ctx.obj, None, None, overwrite, quiet)
    _check_folder(output, [each for each in (clean, protected, second, receipt) if each is not None], delivery)
    _check_names(victim or [], change or [])
    if side is not None and side % 32:
        raise RecipeError(f"videos have sides that are multiples of 32, got {side}: take {round(side / 32) * 32}")
    known = {} if receipt is None else _told_by(receipt)
    pair = sample(clean, protected, second)

    from anti_i2v.engines.device import resolve_device

    with narrator(quiet) as tell:
        made = evaluate_all(
            [pair],
            victims=victim or None,
            seeds=range(seeds or (QUICK_SEEDS if quick else len(SEEDS))),
            steps=steps or STEPS,
            side=side or SIDE,
            changes=change or (QUICK_DEGRADATIONS if quick else None),
            device=str(resolve_device(device)),
            on_progress=tell,
            **known,
        )
        made = replace(made, evidence=_without_places(made.evidence))
        output.mkdir(exist_ok=True)
        # The numbers first: whatever becomes of the page, the work is not lost.
        write_atomic(output / NUMBERS, made.evidence.to_json(), overwrite=overwrite)
        delivery.done.append(output / NUMBERS)
        tell("writing the page", 1.0)
        write_atomic(output / PAGE, page(made).encode(), overwrite=overwrite)
        delivery.done.append(output / PAGE)
    if not quiet:
        typer.echo(f"{as_text(made.evidence)}\n\nWritten: {', '.join(map(str, delivery.done))}")


def _told_by(file: Path) -> dict[str, Any]:
    """What a receipt says for an evaluation. Raises RecipeError where it is none."""
    from anti_i2v.receipts.receipt import Receipt
    from anti_i2v.surrogates.catalogue import encoders

    try:
        receipt = Receipt.from_json(file.read_bytes())
    except (OSError, ValueError) as problem:  # msgspec's errors are ValueErrors
        raise RecipeError(f"{file} is no receipt ({problem}): give the file that `protect --receipt` wrote") from None
    # The tiles that recipes start from were made on the known surrogates, so a draft was as well.
    tiles = [entry.name for entry in encoders().values() if entry.role == "surrogate"]
    exact = receipt.encoding is None or receipt.encoding.lossless
    return {
        "optimised_on": (*receipt.surrogates, *tiles),
        "budget": receipt.budget_asked if exact else None,  # a lossy file may pass the budget that its pixels kept
    }


def _check_folder(folder: Path, sources: Sequence[Path], delivery: Delivery) -> None:
    """Raises OutputError where the files of a report cannot be written into a folder, which need not exist yet."""
    if folder.is_dir():
        delivery.check(sources, [folder / name for name in (NUMBERS, PAGE)])
    elif os.path.lexists(folder):
        raise OutputError(f"{folder} is no folder: a report is a page and a file of numbers, name a folder for them")
    elif not folder.parent.is_dir():
        raise OutputError(f"the folder {folder.parent} does not exist: create it first, or choose another")


def _without_places(evidence: Evidence) -> Evidence:
    """Its sentences may quote where weights were looked for, which names the person; a report is for others to read."""
    from msgspec.structs import replace as changed

    from anti_i2v.paths import home

    sentences = tuple(sentence.replace(f"{home()}{os.sep}", "") for sentence in evidence.not_measured)
    return changed(evidence, not_measured=sentences)


def _check_names(victims: Sequence[str], changes: Sequence[str]) -> None:
    """Raises RecipeError for an unknown change, and SurrogateError for a victim that is unknown or not at hand."""
    from anti_i2v.evaluation.degradations import AVERAGED, DEGRADATIONS
    from anti_i2v.evaluation.victims import available_victims, describe_victim, load_victim
    from anti_i2v.evaluation.victims import victims as known

    for name in changes:
        if name not in (*DEGRADATIONS, AVERAGED):
            raise RecipeError(f"unknown change {name!r}: choose from {', '.join([*DEGRADATIONS, AVERAGED])}")
    here = {each.name for each in available_victims()}
    for name in victims:
        if name in known() and name not in here:
            load_victim(name)  # says what is missing
        describe_victim(name)
