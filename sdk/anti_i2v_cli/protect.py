"""`anti-i2v protect`: protect a photo, or the photos of a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anti_i2v.errors import RecipeError
from anti_i2v_cli.options import (
    Device,
    EngineName,
    Overwrite,
    PreviewFile,
    Quiet,
    ReceiptFile,
    Stage,
    check_device,
)
from anti_i2v_cli.output import OutputFiles
from anti_i2v_cli.protect_folder import protect_folder

if TYPE_CHECKING:
    from anti_i2v.protector import Protector

__all__ = ["protect"]


def protect(
    ctx: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTO_OR_FOLDER", show_default=False, readable=False, help="The photo or folder to protect."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Write the protected photo or folder here; "
            "default: NAME.protected.SUFFIX or FOLDER-protected, beside the source.",
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="Use this recipe; list them with `anti-i2v recipes`.")
    ] = "balanced",
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Prepare the photo for this platform; list them with `anti-i2v presets`."),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Spend at most this long on each photo, receipt included; default: the recipe's."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Draw random numbers from this seed: the same seed gives the same result.")
    ] = 0,
    budget: Annotated[
        int | None,
        typer.Option(
            metavar="LEVELS", help="Change no value by more than this, in steps of 1/255; default: the recipe's."
        ),
    ] = None,
    engine: EngineName = "auto",
    device: Device = "auto",
    surrogate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_OR_FOLDER",
            help="Optimise on this model; repeatable. Default: every one that is installed and that the recipe uses.",
        ),
    ] = None,
    caption: Annotated[
        str | None, typer.Option(metavar="TEXT", help="For a whole video model: describe what the video would show.")
    ] = None,
    captioner: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER_OR_HUB_NAME",
            help="For a whole video model: write each photo's caption with this BLIP model.",
        ),
    ] = None,
    stage: Stage = None,
    frames: Annotated[
        int | None,
        typer.Option(min=1, max=64, metavar="N", help="For a whole video model: use this many latent frames."),
    ] = None,
    reference: Annotated[
        str | None,  # a Path would turn ./generated into generated
        typer.Option(
            metavar="VIDEO",
            help="For a whole video model: use this clip of the same scene, or `generated` to let the model make one. "
            "A file of that name is ./generated.",
        ),
    ] = None,
    low_memory: Annotated[
        bool,
        typer.Option("--low-memory", help="For a whole video model: save memory by computing activations twice."),
    ] = False,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="Q", help="Encode the file at this quality, 1 to 100; default: high."),
    ] = None,
    keep_metadata: Annotated[
        bool,
        typer.Option(
            "--keep-metadata", help="Keep camera, date and author. GPS and serial numbers are always removed."
        ),
    ] = False,
    overwrite: Overwrite = False,
    receipt: ReceiptFile = None,
    preview: PreviewFile = None,
    no_effects: Annotated[
        bool, typer.Option("--no-effects", help="Skip measuring the effect on surrogates, which is faster.")
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="For a folder: protect this many photos at a time.")
    ] = 1,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="For a folder: include the folders inside it.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Protect a photo, or all photos of a folder."""
    _check_settings(preset, deadline, device)
    video: dict[str, object] = {"caption": caption, "captioner": captioner, "stage": stage}
    video |= {"frames": frames, "reference": reference, "low_memory": low_memory or None}
    video = {name: value for name, value in video.items() if value is not None}
    protector = _create_protector(recipe, surrogate or [], engine, device, budget, video)
    protect_options = {"preset": preset, "deadline": deadline, "seed": seed, "effects": not no_effects}
    save_options = {"quality": quality, "keep_metadata": keep_metadata, "overwrite": overwrite}
    files = OutputFiles(ctx.obj, receipt, preview, overwrite, quiet)
    if source.is_dir():
        options = {**protect_options, **save_options, "jobs": jobs, "recursive": recursive}
        protect_folder(protector, source, output, options, files)
    else:
        target = output or source.with_name(f"{source.stem}.protected{source.suffix}")
        _protect_photo(protector, source, target, protect_options, save_options, files)


def _check_settings(preset: str | None, deadline: float | None, device: str) -> None:
    from anti_i2v.images.platforms import get_preset

    if preset is not None:
        get_preset(preset)
    if deadline is not None and not deadline > 0:
        raise RecipeError(f"a deadline must be above 0 seconds, got {deadline:g}")
    check_device(device)


def _create_protector(
    recipe: str, surrogates: Sequence[str], engine: str, device: str, budget: int | None, video: Mapping[str, Any]
) -> Protector:
    from anti_i2v.protector import Protector
    from anti_i2v.surrogates.video_options import VideoOptions

    settings: dict[str, object] = {} if budget is None else {"budget": budget}
    protector = Protector(
        recipe,
        surrogates=surrogates or None,
        engine=engine,
        device=device,
        video=VideoOptions(**video) if video else None,
        **settings,
    )
    _check_models(protector, surrogates, video)
    return protector


def _check_models(protector: Protector, surrogates: Sequence[str], video: Mapping[str, Any]) -> None:
    """Refuse wrong names and combinations now: the protector itself finds them only after it has loaded torch."""
    from anti_i2v.engines import check_surrogates

    recipe = protector.recipe
    if recipe.needs_denoiser and not surrogates:
        raise RecipeError(f"recipe {recipe.name} needs a whole video model: name its folder with --surrogate")
    if video and not any(map(_is_video_model, surrogates)):
        raise RecipeError(f"--{min(video).replace('_', '-')} is for whole video models: name one with --surrogate")
    if "captioner" in video:
        from anti_i2v.surrogates.captioner import locate_captioner

        locate_captioner(video["captioner"])
    if surrogates and not recipe.steps:
        raise RecipeError(f"recipe {recipe.name} takes no steps: leave --surrogate out, or use --recipe balanced")
    check_surrogates(protector.engine, surrogates)


def _is_video_model(surrogate: str) -> bool:
    from anti_i2v.surrogates.catalogue import resolve

    return resolve(surrogate).is_video_model


def _protect_photo(
    protector: Protector,
    source: Path,
    target: Path,
    protect_options: Mapping[str, Any],
    save_options: Mapping[str, Any],
    files: OutputFiles,
) -> None:
    from anti_i2v.images.decode import open_photo
    from anti_i2v.images.encode import check_format
    from anti_i2v.images.formats import format_of
    from anti_i2v_cli.progress import step_progress

    # Refuse whatever can be refused before the minutes of work.
    photo = open_photo(source)
    files.check([source], [target])
    check_format(photo, format_of(target))

    deadline = protect_options["deadline"]
    with step_progress(protector.recipe.deadline if deadline is None else deadline, files.quiet) as on_step:
        protection = protector.protect(photo, **protect_options, on_step=on_step)

    receipt = protection.save(target, **save_options)
    files.written.append(target)
    files.write_receipt(receipt.to_json())
    if protection.caption is not None:
        files.show(f"Caption: {protection.caption}\n")
    files.show(receipt)
    files.write_preview(
        protection, short_side=protector.recipe.short_side, engine=protector.engine, device=protector.device
    )
    files.show_written()
