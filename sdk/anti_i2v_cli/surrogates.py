"""`anti-i2v surrogates`: list and describe the known models, and download them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anti_i2v.errors import Cancelled, SurrogateError

if TYPE_CHECKING:
    from anti_i2v.surrogates.catalogue import EncoderEntry, SmallVideoModelEntry, VideoModelEntry

__all__ = ["group", "info", "list_surrogates", "pull"]

INSTALLED, MISSING = "installed", "not installed"

CHECKS = {False: "it matches the pinned fingerprint", True: "its revision and checksums are stored beside it"}
"""Whether a download is a video model -> what protects later loads."""

group = typer.Typer(rich_markup_mode=None, help="List, describe and download encoders and video models.")


@group.callback(invoke_without_command=True)
def _list_by_default(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        list_surrogates()


@group.command("list")
def list_surrogates() -> None:
    """List the known encoders and video models, and which are installed."""
    _print_encoders()
    _print_small_models()
    _print_video_models()
    typer.echo(
        "\nRun `anti-i2v surrogates info NAME` for details, `anti-i2v surrogates pull NAME` to download\n"
        "and `anti-i2v export NAME` to export a model for ONNX Runtime."
    )


def _print_encoders() -> None:
    from anti_i2v.engines.artifacts import find_artifact
    from anti_i2v.surrogates.catalogue import STUDENT, encoders

    typer.echo(f"{STUDENT:<12}{'student':<12}{INSTALLED:<18}{'exported':<14}a small network that imitates the encoders")
    for name, entry in encoders().items():
        place = INSTALLED if entry.available else MISSING
        exported = "exported" if find_artifact(name) else "not exported"
        typer.echo(f"{name:<12}{entry.role:<12}{place:<18}{exported:<14}{entry.family.partition(' (')[0]}")


def _print_small_models() -> None:
    from anti_i2v.surrogates.catalogue import small_video_models

    typer.echo("\nSmall video models trained by this project (recipes optimise on one, evaluations use all):")
    for name, model in small_video_models().items():
        typer.echo(f"{name:<17} {_availability(model):<17} {model.role:<12}{model.family}, latents of {model.encoder}")


def _print_video_models() -> None:
    from anti_i2v.surrogates.catalogue import video_models

    typer.echo("\nWhole video models, for the recipe `full` (tens of gigabytes each, and a GPU):")
    for name, model in video_models().items():
        typer.echo(f"{name:<17} {INSTALLED if model.available else MISSING:<17} {model.family}")


def _availability(model: SmallVideoModelEntry) -> str:
    if model.folder is None:
        return MISSING
    return INSTALLED if model.available else f"needs {model.encoder}"


@group.command()
def info(
    name: Annotated[
        str, typer.Argument(metavar="NAME", show_default=False, help="The model, as in `anti-i2v surrogates list`.")
    ],
) -> None:
    """Show a model's source, licence, role and folder."""
    from anti_i2v.surrogates.catalogue import (
        EncoderEntry,
        SmallVideoModelEntry,
        StudentEntry,
        VideoModelEntry,
        catalogue,
    )

    _check_known(name, catalogue())
    match catalogue()[name]:
        case StudentEntry():
            facts = _student_facts()
        case EncoderEntry() as encoder:
            facts = _encoder_facts(encoder)
        case SmallVideoModelEntry() as model:
            facts = _small_model_facts(model)
        case VideoModelEntry() as model:
            facts = _video_model_facts(model)
    for key, value in {"name": name, **facts}.items():
        typer.echo(f"{key:<14}{value}")


def _student_facts() -> dict[str, str]:
    from anti_i2v.receipts.text import student_error

    errors = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in student_error().items())
    return {
        "role": "student: an estimate where no real encoder is installed",
        "stands for": "imitates taesd, taesdxl and taef1; trained by this project",
        "licence": "Apache-2.0",
        "known error": errors or "unknown",
    }


def _encoder_facts(entry: EncoderEntry) -> dict[str, str]:
    roles = {"surrogate": "photos are optimised on it", "held-out": "only measured on, never optimised on"}
    return {
        "role": f"{entry.role}: {roles[entry.role]}",
        "stands for": entry.family,
        "hub": entry.hub,
        "licence": entry.licence,
        "fingerprint": entry.fingerprint or "",
        "folder": str(entry.folder or f"{MISSING}: anti-i2v surrogates pull {entry.name}"),
    }


def _small_model_facts(model: SmallVideoModelEntry) -> dict[str, str]:
    use = "recipes optimise on it" if model.optimisable else "only generates videos, for evaluations"
    return {
        "role": f"{model.role}: {use}",
        "stands for": f"{model.family}: {model.summary}",
        "works on": f"{model.encoder}, a download: anti-i2v surrogates pull {model.encoder}",
        "licence": f"{model.licence}, {model.source}",
        "folder": str(model.folder or f"{MISSING}: sdk/training/README.md describes the training"),
    }


def _video_model_facts(model: VideoModelEntry) -> dict[str, str]:
    from anti_i2v.surrogates.backbones.hub_lock import read_lock

    lock = None if model.folder is None else read_lock(model.folder)
    return {
        "role": "surrogate: photos are optimised on the whole model, with --recipe full",
        "stands for": model.family,
        "hub": model.hub,
        "licence": model.licence,
        "revision": lock.revision if lock else "the newest at download; later loads compare the files with it",
        "folder": str(model.folder or f"{MISSING}: anti-i2v surrogates pull {model.name}"),
    }


@group.command()
def pull(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            show_default=False,
            help="The models to download; default: every encoder to optimise on.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")] = False,
) -> None:
    """Download encoders and video models from their hub, after asking.

    Encoders are kept only if they match the pinned fingerprint. For a video model, the revision and checksums are
    stored, and later loads are compared with them.
    """
    from anti_i2v.surrogates.pull import pullable

    known = pullable()
    for name in names or []:
        _check_known(name, known)
    requested = dict.fromkeys(names or [name for name, entry in known.items() if entry.pulled_by_default])
    missing = []
    for name in requested:
        if known[name].available:
            typer.echo(f"{name} is already installed")
        else:
            missing.append(known[name])
    if missing:
        _download(missing, yes, ctx.obj)


def _download(missing: Sequence[EncoderEntry | VideoModelEntry], yes: bool, written: list[Path]) -> None:
    from anti_i2v.surrogates.pull import pull

    for entry in missing:
        typer.echo(f"{entry.name}: from huggingface.co/{entry.hub}, {entry.size}, licence {entry.licence}")
    if not yes and not _confirmed():
        raise Cancelled("nothing was downloaded: answer y, or run it with --yes")
    for entry in missing:
        written.append(pull(entry.name))
        typer.echo(f"{entry.name}: downloaded; {CHECKS[entry.is_video_model]}")


def _confirmed() -> bool:
    """Ask on the terminal; False if nobody can answer."""
    try:
        return typer.confirm("Download now?")
    except typer.Abort:
        typer.echo()
        return False


def _check_known(name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise SurrogateError(f"unknown surrogate {name!r}: choose from {', '.join(known)}")
