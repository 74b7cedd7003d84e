"""The command `anti-i2v`. It starts fast: whatever can be refused without torch is refused before torch is loaded.

Exit codes: 0 done, 1 failed, 2 asked for something that does not exist, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from anti_i2v.errors import AntiI2VError, Cancelled, OutputError, RecipeError, SurrogateError

if TYPE_CHECKING:
    from anti_i2v.batch import Result
    from anti_i2v.protector import Protector
    from anti_i2v.receipt import Receipt

__all__ = ["app", "main"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130


class _Commands(TyperGroup):
    """Turns every error that a person can cause into one line on stderr and an exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except Exception as problem:
            # typer's usage errors, by what they can do: the module of their class changed between its versions.
            if not hasattr(problem, "format_message"):
                raise
            message, where = " ".join(problem.format_message().split()), getattr(problem, "ctx", None)
            _complain(message if where is None else f"{message.rstrip('.')}: see {where.command_path} --help")
            sys.exit(USAGE)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, typer.Abort):
            _complain(_interrupted(ctx.obj))
            raise typer.Exit(INTERRUPTED) from None
        except AntiI2VError as problem:
            _complain(str(problem))
            raise typer.Exit(USAGE if isinstance(problem, RecipeError) else FAILED) from None
        except Exception as problem:
            reason = _reason(problem)
            if reason is None:
                raise
            _complain(reason)
            raise typer.Exit(FAILED) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Adds friction to turning a photo into a fake video, and measures what it did.",
)
surrogates = typer.Typer(rich_markup_mode=None, help="The encoders that photos are measured on.")
app.add_typer(surrogates, name="surrogates")


def main() -> None:
    """The entry point."""
    # What torch, diffusers and the hub's client say while they load concerns their users, not ours. Set before they
    # are loaded; a person who sets one of these sees what they asked for.
    quiet = {
        "DIFFUSERS_VERBOSITY": "error",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # A file name may hold what the terminal or the pipe cannot show: that must not end a batch.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    app()


def _complain(message: str) -> None:
    typer.echo(f"anti-i2v: {_readable(message)}", err=True)


def _readable(text: str) -> str:
    """Bytes of a file name that are not UTF-8 come as lone surrogates, which neither a terminal nor JSON can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _reason(problem: BaseException | None) -> str | None:
    """One line about what the machine refused: a file, or memory. None for anything else, which is a fault of ours."""
    if isinstance(problem, OSError) and not isinstance(problem, BrokenPipeError):
        why = problem.strerror or type(problem).__name__
        return f"{problem.filename or 'a file'} cannot be used ({why}): check the path and your permissions"
    # By name and words: torch must not be loaded to ask, and its CPU raises a plain RuntimeError.
    words = ("DefaultCPUAllocator", "out of memory")
    named = type(problem).__name__ == "OutOfMemoryError"
    worded = isinstance(problem, RuntimeError) and any(word in str(problem) for word in words)
    if isinstance(problem, MemoryError) or named or worded:
        return "not enough memory: give a smaller photo, close other programs, or pass --device cpu"
    return None


def _interrupted(written: Sequence[Path] | None) -> str:
    if not written:
        return "cancelled, nothing was written"
    files = "1 file was" if len(written) == 1 else f"{len(written)} files were"
    return f"cancelled, {files} written before: the last is {written[-1]}"


def _version(asked: bool) -> None:
    if asked:
        from anti_i2v.receipt import versions

        typer.echo(f"anti-i2v {versions()['anti-i2v-sdk']}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    ctx.obj = []  # the files that the command wrote so far: whoever presses Ctrl-C wants to know
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


# Options that two commands share.
ReceiptFile = Annotated[Path | None, typer.Option("--receipt", metavar="r.json", help="Write the receipt as JSON.")]
PreviewFile = Annotated[
    Path | None,
    typer.Option(
        "--preview",
        metavar="p.png",
        help="Write a picture: clean, protected, difference x10, decoded before and after. "
        "It holds the clean photo: do not post it.",
    ),
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1 or mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist; never the original photo.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table.")]


@app.command()
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
    device: Device = "auto",
    surrogate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME_OR_FOLDER", help="Optimise on this one; may be repeated. By default all at hand."),
    ] = None,
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
    from anti_i2v.presets import preset as preset_named
    from anti_i2v.protector import Protector

    if preset is not None:
        preset_named(preset)
    if deadline is not None and not deadline > 0:
        raise RecipeError(f"a deadline must be above 0 seconds, got {deadline:g}")
    _check_device(device)
    changes: dict[str, object] = {} if budget is None else {"budget": budget}
    protector = Protector(recipe, surrogates=surrogate or None, device=device, **changes)
    _check_surrogates(surrogate or [], protector)
    asked = {"preset": preset, "deadline": deadline, "seed": seed, "effects": not no_effects}
    written = {"quality": quality, "keep_metadata": keep_metadata, "overwrite": overwrite}
    if source.is_dir():
        if preview is not None:
            raise RecipeError("a preview shows one photo: leave --preview out for a folder")
        folder = source.resolve()
        if output is None and not folder.name:
            raise OutputError(f"{folder} has no name to call another folder after: name one with --output")
        target = output or folder.with_name(f"{folder.name}-protected")
        options = {**asked, **written, "jobs": jobs, "recursive": recursive}
        _protect_folder(ctx.obj, protector, source, target, options, receipt, quiet)
    else:
        _protect_photo(ctx.obj, protector, source, output, asked, written, receipt, preview, quiet)


def _protect_photo(
    done: list[Path],
    protector: Protector,
    source: Path,
    output: Path | None,
    asked: Mapping[str, Any],
    written: Mapping[str, Any],
    receipt_file: Path | None,
    preview_file: Path | None,
    quiet: bool,
) -> None:
    from anti_i2v.encoding import check_holds, format_of
    from anti_i2v.photo import open_photo
    from anti_i2v.progress import stepper

    # Whatever can be refused is refused here, before the minutes of work.
    overwrite = written["overwrite"]
    target = output or source.with_name(f"{source.stem}.protected{source.suffix}")
    photo = open_photo(source)
    _check_targets([source], [target], receipt_file, preview_file, overwrite)
    check_holds(photo, format_of(target))

    limit = protector.recipe.deadline if asked["deadline"] is None else asked["deadline"]
    with stepper(limit, quiet) as on_step:
        protection = protector.protect(photo, **asked, on_step=on_step)
    receipt = protection.save(target, **written)
    done.append(target)
    _deliver(done, receipt, receipt_file, overwrite, quiet)
    if preview_file is not None:
        from anti_i2v.preview import preview

        side, device = protector.recipe.short_side, protector.device
        preview(protection, preview_file, short_side=side, device=device, overwrite=overwrite)
        done.append(preview_file)
    if not quiet:
        typer.echo(f"\nWritten: {', '.join(map(str, done))}")


def _protect_folder(
    done: list[Path],
    protector: Protector,
    source: Path,
    target: Path,
    options: Mapping[str, Any],
    receipt_file: Path | None,
    quiet: bool,
) -> None:
    from anti_i2v.batch import photos_in, protect_folder
    from anti_i2v.progress import counter

    _check_targets([source], [], receipt_file, None, options["overwrite"])
    paths = photos_in(source, target, recursive=options["recursive"])
    width = max(len(_name(path, source)) for path in paths)
    with counter(len(paths), quiet) as count:

        def on_result(result: Result) -> None:
            if result.receipt is not None:
                done.append(result.target)
            count(f"{_name(result.path, source):<{width}}  {_outcome(result)}")

        protector.prepare()
        results = protect_folder(source, target, protector, on_result=on_result, **options)
    if receipt_file is not None:
        _save_receipts(results, source, receipt_file, options["overwrite"])
        done.append(receipt_file)
    failures = [result for result in results if result.error is not None]
    if not quiet:
        typer.echo(f"{len(results) - len(failures)} of {len(results)} photos protected, in {target}")
    for result in failures:
        name, message = _name(result.path, source), _failure(result)
        _complain(message if name in message else f"{name}: {message}")
    if failures:
        raise typer.Exit(FAILED)


def _name(path: Path, folder: Path) -> str:
    return _readable(path.relative_to(folder).as_posix())


def _failure(result: Result) -> str:
    cause = None if result.error is None else result.error.__cause__
    return _readable(_reason(cause) or str(result.error))


def _outcome(result: Result) -> str:
    if result.receipt is None:
        return "failed"
    receipt, won = result.receipt, [more for _, more in result.receipt.checks()]
    decibels = "infinite" if receipt.imperceptibility.psnr is None else f"{receipt.imperceptibility.psnr:.1f} dB"
    compared = f", beats random in {sum(won)} of {len(won)}" if won else ""
    return f"{receipt.budget_spent} levels, PSNR {decibels}{compared}, {sum(receipt.seconds.values()):.1f} s"


def _save_receipts(results: Sequence[Result], source: Path, path: Path, overwrite: bool) -> None:
    """One JSON object: file name -> its receipt, or {"error": why there is none}."""
    import msgspec

    from anti_i2v.photo import write_atomic

    table = {
        _name(result.path, source): {"error": _failure(result)}
        if result.receipt is None
        else msgspec.Raw(result.receipt.to_json())
        for result in results
    }
    write_atomic(path, msgspec.json.format(msgspec.json.encode(table), indent=2) + b"\n", overwrite=overwrite)


@app.command()
def check(
    ctx: typer.Context,
    clean: Annotated[
        Path, typer.Argument(metavar="CLEAN", show_default=False, readable=False, help="The photo as it was.")
    ],
    protected: Annotated[
        Path,
        typer.Argument(
            metavar="PROTECTED", show_default=False, readable=False, help="The same photo, protected by any tool."
        ),
    ],
    receipt: ReceiptFile = None,
    preview: PreviewFile = None,
    short_side: Annotated[
        int, typer.Option(min=64, max=2048, metavar="PIXELS", help="Of the size at which models look.")
    ] = 512,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the random change to compare with.")] = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure what any tool's protection of a photo did."""
    from anti_i2v.checking import check as measured
    from anti_i2v.photo import open_photo
    from anti_i2v.progress import stepper

    _check_device(device)
    _check_targets([clean, protected], [], receipt, preview, overwrite)
    # Both are read before torch is loaded, and errors name the file, which bytes could not.
    pair = [open_photo(path) for path in (clean, protected)]
    with stepper(None, quiet):
        made = measured(*pair, short_side=short_side, device=device, seed=seed)
    _deliver(ctx.obj, made, receipt, overwrite, quiet)
    if preview is not None:
        from anti_i2v.preview import preview as draw

        pixels = (pair[0].pixels, pair[1].pixels)
        draw(pixels, preview, short_side=short_side, device=device, overwrite=overwrite)
        ctx.obj.append(preview)


def _deliver(done: list[Path], receipt: Receipt, path: Path | None, overwrite: bool, quiet: bool) -> None:
    if path is not None:
        from anti_i2v.photo import write_atomic

        write_atomic(path, receipt.to_json(), overwrite=overwrite)
        done.append(path)
    if not quiet:
        typer.echo(receipt)


# What can be refused without torch.


def _check_device(name: str) -> None:
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", name):
        raise RecipeError(f"unknown device {name!r}: use auto, cpu, cuda or mps")


def _check_surrogates(names: Sequence[str], protector: Protector) -> None:
    from anti_i2v.surrogates.registry import EMBEDDED, locate

    if names and not protector.recipe.steps:
        raise RecipeError(f"recipe {protector.recipe.name} takes no steps: leave --surrogate out, or choose balanced")
    for name in names:
        if name != EMBEDDED:
            locate(name)


def _check_targets(
    sources: Sequence[Path],
    targets: Sequence[Path],
    receipt_file: Path | None,
    preview_file: Path | None,
    overwrite: bool,
) -> None:
    """Every file that will be written: none is an input, none is written twice, each can be."""
    from anti_i2v.encoding import check_target

    if preview_file is not None and preview_file.suffix.lower() != ".png":
        raise OutputError(f"{preview_file} must end in .png: a preview is a PNG")
    taken = list(sources)
    for path in [*targets, *(extra for extra in (receipt_file, preview_file) if extra is not None)]:
        if any(_same(path, other) for other in sources):
            raise OutputError(f"{path} is the photo itself: choose another name, originals are never replaced")
        if any(_same(path, other) for other in taken):
            raise OutputError(f"{path} was given for two files: choose another name for one of them")
        check_target(path, overwrite=overwrite)
        taken.append(path)


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other))


# What there is.


@app.command()
def recipes() -> None:
    """List the recipes: settings under a name."""
    from anti_i2v.recipes import load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name)
        limit = "no limit" if recipe.deadline is None else f"{recipe.deadline:g} s"
        effort = f"{recipe.steps} steps, {limit}" if recipe.steps else "no steps"
        typer.echo(f"{name:<12}{recipe.summary}\n{'':<12}budget {recipe.budget}, {effort}")


@app.command()
def presets() -> None:
    """List the presets: models of platforms."""
    from anti_i2v.presets import PRESETS

    for name, preset in PRESETS.items():
        size = f"{preset.long_edge} px" if preset.long_edge else "any size"
        quality = f"JPEG {preset.quality}" if preset.reencodes else "mostly as it is"
        typer.echo(f"{name:<12}{size:<12}{quality:<18}{preset.label} (confidence: {preset.confidence})")


@surrogates.callback(invoke_without_command=True)
def _list_by_default(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        list_surrogates()


@surrogates.command("list")
def list_surrogates() -> None:
    """List the encoders that are known, and whether they are on this machine."""
    from anti_i2v.surrogates.registry import EMBEDDED, entries, where

    typer.echo(f"{EMBEDDED:<12}{'gauge':<12}{'in the package':<18}a small network that imitates the surrogates")
    for name, entry in entries().items():
        place = "on this machine" if where(name) else "not here"
        typer.echo(f"{name:<12}{entry.role:<12}{place:<18}{entry.family.partition(' (')[0]}")
    typer.echo("\n`anti-i2v surrogates info NAME` tells more, `anti-i2v surrogates pull` fetches them.")


@surrogates.command()
def info(name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="As in the list.")]) -> None:
    """Tell where an encoder comes from, what it stands for and whether it is on this machine."""
    from anti_i2v.report import gauge_error
    from anti_i2v.surrogates.registry import EMBEDDED, entries, where

    if name == EMBEDDED:
        error = gauge_error()
        rows = {
            "role": "gauge: an estimate where no real encoder is at hand",
            "stands for": "imitates taesd, taesdxl and taef1; trained by this project",
            "licence": "Apache-2.0",
            "known error": ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in error.items()) or "unknown",
        }
    elif name in entries():
        entry = entries()[name]
        role = {"surrogate": "photos are optimised on it", "held-out": "it only judges, nothing is optimised on it"}
        rows = {
            "role": f"{entry.role}: {role[entry.role]}",
            "stands for": entry.family,
            "hub": entry.hub,
            "licence": entry.licence,
            "fingerprint": entry.fingerprint,
            "folder": str(where(name) or f"not on this machine: anti-i2v surrogates pull {name}"),
        }
    else:
        raise SurrogateError(f"unknown surrogate {name!r}: choose from {', '.join([EMBEDDED, *entries()])}")
    for key, value in {"name": name, **rows}.items():
        typer.echo(f"{key:<14}{value}")


@surrogates.command()
def pull(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", show_default=False, help="By default every encoder to optimise on."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Download encoders from their hub, after asking. Weights that are not the pinned ones are not kept."""
    from anti_i2v.surrogates.registry import entries, where
    from anti_i2v.surrogates.registry import pull as fetch

    for name in names or []:
        if name not in entries():
            raise SurrogateError(f"unknown surrogate {name!r}: choose from {', '.join(entries())}")
    wanted = [entries()[name] for name in dict.fromkeys(names or _to_optimise_on())]
    missing = [entry for entry in wanted if not where(entry.name)]
    for entry in wanted:
        if entry not in missing:
            typer.echo(f"{entry.name} is on this machine already")
    if not missing:
        return
    for entry in missing:
        typer.echo(f"{entry.name}: from huggingface.co/{entry.hub}, about 5 MB, licence {entry.licence}")
    if not yes and not _agreed():
        raise Cancelled("nothing was downloaded: answer y, or run it with --yes")
    for entry in missing:
        ctx.obj.append(fetch(entry.name))
        typer.echo(f"{entry.name}: fetched, and it is the pinned one")


def _to_optimise_on() -> list[str]:
    from anti_i2v.surrogates.registry import entries

    return [entry.name for entry in entries().values() if entry.role == "surrogate"]


def _agreed() -> bool:
    """False as well where nobody is there to answer."""
    try:
        return typer.confirm("Download now?")
    except typer.Abort:
        typer.echo()
        return False
