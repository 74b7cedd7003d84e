"""`anti-i2v surrogates`: what is known of the encoders, and how they come to this machine."""

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

group = typer.Typer(rich_markup_mode=None, help="The encoders that photos are measured on.")


@group.callback(invoke_without_command=True)
def _list_by_default(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        list_surrogates()


@group.command("list")
def list_surrogates() -> None:
    """List the encoders and video models that are known, and whether they are on this machine."""
    from anti_i2v.engines.artifacts import artifact_at_hand
    from anti_i2v.surrogates.catalogue import STUDENT, encoder_folder, encoders
    from anti_i2v.surrogates.trained_models import victims
    from anti_i2v.surrogates.video_models import model_folder, video_models

    typer.echo(
        f"{STUDENT:<12}{'gauge':<12}{'in the package':<18}{'exported':<14}a small network that imitates the surrogates"
    )
    for name, entry in encoders().items():
        place = "on this machine" if encoder_folder(name) else "not here"
        exported = "exported" if artifact_at_hand(name) else "not exported"
        typer.echo(f"{name:<12}{entry.role:<12}{place:<18}{exported:<14}{entry.family.partition(' (')[0]}")
    typer.echo("\nSmall video models that the project trained (recipes take steps on one, evaluations ask all):")
    for name, victim in victims().items():
        typer.echo(f"{name:<17} {_place_of(victim):<17} {victim.role:<12}{victim.family}, latents of {victim.encoder}")
    typer.echo("\nWhole video models, for the recipe `full` (tens of gigabytes each, and a GPU):")
    for name, model in video_models().items():
        place = "on this machine" if model_folder(name) else "not here"
        typer.echo(f"{name:<17} {place:<17} {model.family}")
    typer.echo(
        "\n`anti-i2v surrogates info NAME` tells more, `anti-i2v surrogates pull` fetches them,\n"
        "`anti-i2v export NAME` exports them."
    )


@group.command()
def info(name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="As in the list.")]) -> None:
    """Tell where an encoder comes from, what it stands for and whether it is on this machine."""
    from anti_i2v.surrogates.catalogue import STUDENT, encoders
    from anti_i2v.surrogates.trained_models import victims
    from anti_i2v.surrogates.video_models import video_models

    _check_known(name, [STUDENT, *encoders(), *victims(), *video_models()])
    if name in video_models():
        facts = _about_the_model(video_models()[name])
    elif name in victims():
        facts = _about_ours(victims()[name])
    else:
        facts = _about_the_gauge() if name == STUDENT else _about(encoders()[name])
    for key, value in {"name": name, **facts}.items():
        typer.echo(f"{key:<14}{value}")


def _about_the_gauge() -> dict[str, str]:
    from anti_i2v.receipts.text import student_error

    errors = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in student_error().items())
    return {
        "role": "gauge: an estimate where no real encoder is at hand",
        "stands for": "imitates taesd, taesdxl and taef1; trained by this project",
        "licence": "Apache-2.0",
        "known error": errors or "unknown",
    }


def _about(entry: EncoderEntry) -> dict[str, str]:
    from anti_i2v.surrogates.catalogue import encoder_folder

    role = {"surrogate": "photos are optimised on it", "held-out": "it only judges, nothing is optimised on it"}
    return {
        "role": f"{entry.role}: {role[entry.role]}",
        "stands for": entry.family,
        "hub": entry.hub,
        "licence": entry.licence,
        "fingerprint": entry.fingerprint,
        "folder": str(encoder_folder(entry.name) or f"not on this machine: anti-i2v surrogates pull {entry.name}"),
    }


def _place_of(victim: Victim) -> str:
    from anti_i2v.surrogates.catalogue import is_available
    from anti_i2v.surrogates.trained_models import victim_folder

    if victim_folder(victim.name) is None:
        return "not here"
    return "on this machine" if is_available(victim.name) else f"needs {victim.encoder}"


def _about_ours(victim: Victim) -> dict[str, str]:
    from anti_i2v.surrogates.trained_models import OWN_WEIGHTS, WHITE_BOX, victim_folder

    task = "recipes take steps on it" if victim.role == WHITE_BOX else "it only animates photos, for evaluations"
    return {
        "role": f"{victim.role}: {task}",
        "stands for": f"{victim.family}: {victim.summary}",
        "works on": f"{victim.encoder}, which is fetched: anti-i2v surrogates pull {victim.encoder}",
        "licence": f"{OWN_WEIGHTS['licence']}, {OWN_WEIGHTS['source']}",
        "folder": str(
            victim_folder(victim.name) or "not on this machine: sdk/training/README.md says how it is trained"
        ),
    }


def _about_the_model(model: VideoModelEntry) -> dict[str, str]:
    from anti_i2v.surrogates.backbones.hub_lock import read_lock
    from anti_i2v.surrogates.video_models import model_folder

    folder = model_folder(model.name)
    lock = None if folder is None else read_lock(folder)
    return {
        "role": "surrogate: photos are optimised on the whole model, with --recipe full",
        "stands for": model.family,
        "hub": model.hub,
        "licence": model.licence,
        "revision": lock.revision if lock else "the newest when it is pulled; from then on the files are compared",
        "folder": str(folder or f"not on this machine: anti-i2v surrogates pull {model.name}"),
    }


@group.command()
def pull(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", show_default=False, help="By default every encoder to optimise on."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Download encoders and video models from their hub, after asking. Encoders that are not the pinned ones are not
    kept; of a video model the revision and sums are, and later loads are compared with them."""
    from anti_i2v.surrogates.catalogue import encoder_folder, encoders
    from anti_i2v.surrogates.video_models import model_folder, video_models

    known: dict[str, EncoderEntry | VideoModelEntry] = {**encoders(), **video_models()}
    for name in names or []:
        _check_known(name, known)
    wanted = dict.fromkeys(names or [name for name, entry in encoders().items() if entry.role == "surrogate"])
    missing = [known[name] for name in wanted if not (encoder_folder(name) or model_folder(name))]
    for name in wanted:
        if known[name] not in missing:
            typer.echo(f"{name} is on this machine already")
    if missing:
        _fetch(missing, yes, ctx.obj)


def _fetch(missing: Sequence[EncoderEntry | VideoModelEntry], yes: bool, done: list[Path]) -> None:
    from anti_i2v.surrogates import catalogue as registry
    from anti_i2v.surrogates.video_models import pull_model, video_models

    for entry in missing:
        size = "tens of gigabytes" if entry.name in video_models() else "about 5 MB"
        typer.echo(f"{entry.name}: from huggingface.co/{entry.hub}, {size}, licence {entry.licence}")
    if not yes and not _agreed():
        raise Cancelled("nothing was downloaded: answer y, or run it with --yes")
    for entry in missing:
        if entry.name in video_models():
            done.append(pull_model(entry.name))
            typer.echo(f"{entry.name}: fetched; its revision and sums are kept beside it")
        else:
            done.append(registry.pull(entry.name))
            typer.echo(f"{entry.name}: fetched, and it is the pinned one")


def _agreed() -> bool:
    """False as well where nobody is there to answer."""
    try:
        return typer.confirm("Download now?")
    except typer.Abort:
        typer.echo()
        return False


def _check_known(name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise SurrogateError(f"unknown surrogate {name!r}: choose from {', '.join(known)}")
