"""`anti-i2v surrogates`: list and describe the known models, and download them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anti_i2v.errors import Cancelled, SurrogateError

if TYPE_CHECKING:
    from anti_i2v.surrogates.catalogue import EncoderEntry
    from anti_i2v.surrogates.trained_models import Victim
    from anti_i2v.surrogates.video_models import VideoModelEntry

__all__ = ["group", "info", "list_surrogates", "pull"]

INSTALLED, MISSING = "installed", "not installed"

group = typer.Typer(rich_markup_mode=None, help="List, describe and download the models that photos are optimised on.")


@group.callback(invoke_without_command=True)
def _list_by_default(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        list_surrogates()


@group.command("list")
def list_surrogates() -> None:
    """List the known encoders and video models, and which are installed."""
    _print_encoders()
    _print_trained_models()
    _print_video_models()
    typer.echo(
        "\nRun `anti-i2v surrogates info NAME` for details, `anti-i2v surrogates pull NAME` to download\n"
        "and `anti-i2v export NAME` to export a model for ONNX Runtime."
    )


def _print_encoders() -> None:
    from anti_i2v.engines.artifacts import artifact_at_hand
    from anti_i2v.surrogates.catalogue import STUDENT, encoder_folder, encoders

    typer.echo(f"{STUDENT:<12}{'student':<12}{INSTALLED:<18}{'exported':<14}a small network that imitates the encoders")
    for name, entry in encoders().items():
        place = INSTALLED if encoder_folder(name) else MISSING
        exported = "exported" if artifact_at_hand(name) else "not exported"
        typer.echo(f"{name:<12}{entry.role:<12}{place:<18}{exported:<14}{entry.family.partition(' (')[0]}")


def _print_trained_models() -> None:
    from anti_i2v.surrogates.trained_models import victims

    typer.echo("\nSmall video models trained by this project (recipes optimise on one, evaluations use all):")
    for name, model in victims().items():
        typer.echo(f"{name:<17} {_availability(model):<17} {model.role:<12}{model.family}, latents of {model.encoder}")


def _print_video_models() -> None:
    from anti_i2v.surrogates.video_models import model_folder, video_models

    typer.echo("\nWhole video models, for the recipe `full` (tens of gigabytes each, and a GPU):")
    for name, model in video_models().items():
        typer.echo(f"{name:<17} {INSTALLED if model_folder(name) else MISSING:<17} {model.family}")


def _availability(model: Victim) -> str:
    from anti_i2v.surrogates.catalogue import is_available
    from anti_i2v.surrogates.trained_models import victim_folder

    if victim_folder(model.name) is None:
        return MISSING
    return INSTALLED if is_available(model.name) else f"needs {model.encoder}"


@group.command()
def info(
    name: Annotated[
        str, typer.Argument(metavar="NAME", show_default=False, help="The model, as in `anti-i2v surrogates list`.")
    ],
) -> None:
    """Show a model's source, licence and role, and whether it is installed."""
    from anti_i2v.surrogates.catalogue import STUDENT, encoders
    from anti_i2v.surrogates.trained_models import victims
    from anti_i2v.surrogates.video_models import video_models

    _check_known(name, [STUDENT, *encoders(), *victims(), *video_models()])
    if name in video_models():
        facts = _video_model_facts(video_models()[name])
    elif name in victims():
        facts = _trained_model_facts(victims()[name])
    else:
        facts = _student_facts() if name == STUDENT else _encoder_facts(encoders()[name])
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
    from anti_i2v.surrogates.catalogue import encoder_folder

    roles = {"surrogate": "photos are optimised on it", "held-out": "only measured on, never optimised on"}
    return {
        "role": f"{entry.role}: {roles[entry.role]}",
        "stands for": entry.family,
        "hub": entry.hub,
        "licence": entry.licence,
        "fingerprint": entry.fingerprint,
        "folder": str(encoder_folder(entry.name) or f"{MISSING}: anti-i2v surrogates pull {entry.name}"),
    }


def _trained_model_facts(model: Victim) -> dict[str, str]:
    from anti_i2v.surrogates.trained_models import OWN_WEIGHTS, WHITE_BOX, victim_folder

    use = "recipes optimise on it" if model.role == WHITE_BOX else "only generates videos, for evaluations"
    return {
        "role": f"{model.role}: {use}",
        "stands for": f"{model.family}: {model.summary}",
        "works on": f"{model.encoder}, a download: anti-i2v surrogates pull {model.encoder}",
        "licence": f"{OWN_WEIGHTS['licence']}, {OWN_WEIGHTS['source']}",
        "folder": str(victim_folder(model.name) or f"{MISSING}: sdk/training/README.md describes the training"),
    }


def _video_model_facts(model: VideoModelEntry) -> dict[str, str]:
    from anti_i2v.surrogates.backbones.hub_lock import read_lock
    from anti_i2v.surrogates.video_models import model_folder

    folder = model_folder(model.name)
    lock = None if folder is None else read_lock(folder)
    return {
        "role": "surrogate: photos are optimised on the whole model, with --recipe full",
        "stands for": model.family,
        "hub": model.hub,
        "licence": model.licence,
        "revision": lock.revision if lock else "the newest at download; later loads compare the files with it",
        "folder": str(folder or f"{MISSING}: anti-i2v surrogates pull {model.name}"),
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
    from anti_i2v.surrogates.catalogue import encoder_folder, encoders
    from anti_i2v.surrogates.video_models import model_folder, video_models

    known: dict[str, EncoderEntry | VideoModelEntry] = {**encoders(), **video_models()}
    for name in names or []:
        _check_known(name, known)
    requested = dict.fromkeys(names or [name for name, entry in encoders().items() if entry.role == "surrogate"])
    missing = []
    for name in requested:
        if encoder_folder(name) or model_folder(name):
            typer.echo(f"{name} is already installed")
        else:
            missing.append(known[name])
    if missing:
        _download(missing, yes, ctx.obj)


def _download(missing: Sequence[EncoderEntry | VideoModelEntry], yes: bool, written: list[Path]) -> None:
    from anti_i2v.surrogates import catalogue
    from anti_i2v.surrogates.video_models import pull_model, video_models

    for entry in missing:
        size = "tens of gigabytes" if entry.name in video_models() else "about 5 MB"
        typer.echo(f"{entry.name}: from huggingface.co/{entry.hub}, {size}, licence {entry.licence}")
    if not yes and not _confirmed():
        raise Cancelled("nothing was downloaded: answer y, or run it with --yes")
    for entry in missing:
        if entry.name in video_models():
            written.append(pull_model(entry.name))
            typer.echo(f"{entry.name}: downloaded; its revision and checksums are stored beside it")
        else:
            written.append(catalogue.pull(entry.name))
            typer.echo(f"{entry.name}: downloaded; it matches the pinned fingerprint")


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
