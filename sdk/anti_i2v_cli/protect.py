"""`anti-i2v protect`: what may be asked for, and one photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anti_i2v.errors import RecipeError
from anti_i2v_cli.options import Device, EngineName, Overwrite, PreviewFile, Quiet, ReceiptFile, check_device
from anti_i2v_cli.output import Delivery
from anti_i2v_cli.protect_folder import protect_all

if TYPE_CHECKING:
    from anti_i2v.protector import Protector

__all__ = ["protect"]


def protect(
    ctx: typer.Context,
    source: Annotated[
        Path,
        # Reading says what is wrong better than typer's own check of permissions.
        typer.Argument(metavar="PHOTO_OR_FOLDER", show_default=False, readable=False, help="What to protect."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Where to write; by default NAME.protected.SUFFIX beside the photo, or FOLDER-protected.",
        ),
    ] = None,
    recipe: Annotated[str, typer.Option(metavar="NAME", help="See `anti-i2v recipes`.")] = "balanced",
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where the photo will be posted: see `anti-i2v presets`.")
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="For each photo, receipt included; by default the recipe's."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Same seed, same result.")] = 0,
    budget: Annotated[
        int | None,
        typer.Option(metavar="LEVELS", help="Largest change of a value, in 1/255; by default the recipe's."),
    ] = None,
    engine: EngineName = "auto",
    device: Device = "auto",
    surrogate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME_OR_FOLDER", help="Optimise on this one; may be repeated. By default all at hand."),
    ] = None,
    caption: Annotated[
        str | None, typer.Option(metavar="TEXT", help="For a whole video model: what the video would show.")
    ] = None,
    captioner: Annotated[
        str | None,
        typer.Option(metavar="FOLDER_OR_HUB_NAME", help="Have a BLIP model make the caption of each photo instead."),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="For Wan 2.2 A14B: its denoiser of high noise (the default), or low."),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, max=64, metavar="N", help="For a whole video model: latent frames.")
    ] = None,
    reference: Annotated[
        str | None,  # a Path would make "generated" of ./generated
        typer.Option(
            metavar="VIDEO",
            help="For a whole video model: a clip of the same scene, or `generated`: it makes one of the photo itself, "
            "once. A file of that name is ./generated.",
        ),
    ] = None,
    low_memory: Annotated[
        bool, typer.Option("--low-memory", help="For a whole video model: recompute instead of keeping.")
    ] = False,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, metavar="Q", help="Of the written file, 1 to 100; by default high.")
    ] = None,
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep camera, date and author. GPS and serial numbers always go.")
    ] = False,
    overwrite: Overwrite = False,
    receipt: ReceiptFile = None,
    preview: PreviewFile = None,
    no_effects: Annotated[
        bool, typer.Option("--no-effects", help="Do not measure what surrogates make of the photo: sooner done.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="For a folder: photos at a time.")] = 1,
    recursive: Annotated[bool, typer.Option("--recursive", help="For a folder: also the folders inside.")] = False,
    quiet: Quiet = False,
) -> None:
    """Protect a photo, or all photos of a folder."""
    _check_wishes(preset, deadline, device)
    told: dict[str, object] = {"caption": caption, "captioner": captioner, "stage": stage}
    told |= {"frames": frames, "reference": reference, "low_memory": low_memory or None}
    video = {name: value for name, value in told.items() if value is not None}
    protector = _protector(recipe, surrogate or [], engine, device, budget, video)
    asked = {"preset": preset, "deadline": deadline, "seed": seed, "effects": not no_effects}
    written = {"quality": quality, "keep_metadata": keep_metadata, "overwrite": overwrite}
    delivery = Delivery(ctx.obj, receipt, preview, overwrite, quiet)
    if source.is_dir():
        options = {**asked, **written, "jobs": jobs, "recursive": recursive}
        protect_all(protector, source, output, options, delivery)
    else:
        target = output or source.with_name(f"{source.stem}.protected{source.suffix}")
        _protect_one(protector, source, target, asked, written, delivery)


def _check_wishes(preset: str | None, deadline: float | None, device: str) -> None:
    from anti_i2v.images.platforms import get_preset as preset_named

    if preset is not None:
        preset_named(preset)
    if deadline is not None and not deadline > 0:
        raise RecipeError(f"a deadline must be above 0 seconds, got {deadline:g}")
    check_device(device)


def _protector(
    recipe: str, surrogates: Sequence[str], engine: str, device: str, budget: int | None, video: Mapping[str, Any]
) -> Protector:
    """Raises what is wrong with the names now: the protector itself would tell only when it loads them, with torch."""
    from anti_i2v.engines import check_names
    from anti_i2v.protector import Protector
    from anti_i2v.recipes import load_recipe
    from anti_i2v.surrogates.video_options import VideoOptions

    changes: dict[str, object] = {} if budget is None else {"budget": budget}
    wanted = load_recipe(recipe, **changes)
    protector = Protector(
        recipe,
        surrogates=surrogates or None,
        engine=engine,
        device=device,
        video=VideoOptions(**video) if video else None,
        **changes,
    )
    if wanted.needs_denoiser and not surrogates:
        raise RecipeError(f"recipe {wanted.name} needs a whole video model: name its folder with --surrogate")
    if video and not any(_is_video_model(name) for name in surrogates):
        raise RecipeError(f"--{min(video).replace('_', '-')} is for whole video models: name one with --surrogate")
    if "captioner" in video:
        from anti_i2v.surrogates.captioner import locate_captioner

        locate_captioner(video["captioner"])
    if surrogates and not protector.recipe.steps:
        raise RecipeError(f"recipe {protector.recipe.name} takes no steps: leave --surrogate out, or choose balanced")
    check_names(protector.engine, surrogates)
    return protector


def _is_video_model(surrogate: str) -> bool:
    from anti_i2v.surrogates.catalogue import surrogate_folder
    from anti_i2v.surrogates.video_models import MODEL_INDEX

    return surrogate != "embedded" and (surrogate_folder(surrogate) / MODEL_INDEX).is_file()


def _protect_one(
    protector: Protector,
    source: Path,
    target: Path,
    asked: Mapping[str, Any],
    written: Mapping[str, Any],
    delivery: Delivery,
) -> None:
    from anti_i2v.images.decode import open_photo
    from anti_i2v.images.encode import check_holds
    from anti_i2v.images.formats import format_of
    from anti_i2v_cli.progress import stepper

    # Whatever can be refused is refused here, before the minutes of work.
    photo = open_photo(source)
    delivery.check([source], [target])
    check_holds(photo, format_of(target))

    limit = protector.recipe.deadline if asked["deadline"] is None else asked["deadline"]
    with stepper(limit, delivery.quiet) as on_step:
        protection = protector.protect(photo, **asked, on_step=on_step)
    receipt = protection.save(target, **written)
    delivery.done.append(target)
    if protection.caption is not None and not delivery.quiet:
        typer.echo(f"Caption: {protection.caption}\n")
    delivery.show(receipt)
    delivery.draw(protection, short_side=protector.recipe.short_side, engine=protector.engine, device=protector.device)
    if not delivery.quiet:
        typer.echo(f"\nWritten: {', '.join(map(str, delivery.done))}")
