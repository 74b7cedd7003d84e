"""All photos of a folder: a line for each, its failures at the end, and one file with every receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from anti_i2v.errors import OutputError, RecipeError
from anti_i2v_cli.errors import FAILED, complain, readable, reason
from anti_i2v_cli.output import Delivery

if TYPE_CHECKING:
    from anti_i2v.batch import Result
    from anti_i2v.protector import Protector

__all__ = ["protect_all"]


def protect_all(
    protector: Protector, source: Path, output: Path | None, options: Mapping[str, Any], delivery: Delivery
) -> None:
    """Protect a folder's photos into another folder; `options` are those of `protect_folder`.

    Raises:
        OutputError, RecipeError: it cannot be done as it was asked for; nothing was written.
        typer.Exit: some photos could not be protected, which was said.
    """
    if delivery.preview is not None:
        raise RecipeError("a preview shows one photo: leave --preview out for a folder")
    target = output or _beside(source)
    delivery.check([source])
    results = _run(protector, source, target, options, delivery)
    delivery.write_receipt(_receipts(results, source))
    failures = [result for result in results if result.error is not None]
    if not delivery.quiet:
        typer.echo(f"{len(results) - len(failures)} of {len(results)} photos protected, in {target}")
    for result in failures:
        name, message = _name(result.path, source), _failure(result)
        complain(message if name in message else f"{name}: {message}")
    if failures:
        raise typer.Exit(FAILED)


def _beside(source: Path) -> Path:
    folder = source.resolve()
    if not folder.name:
        raise OutputError(f"{folder} has no name to call another folder after: name one with --output")
    return folder.with_name(f"{folder.name}-protected")


def _run(
    protector: Protector, source: Path, target: Path, options: Mapping[str, Any], delivery: Delivery
) -> list[Result]:
    from anti_i2v.batch import photos_in, protect_folder
    from anti_i2v_cli.progress import counter

    paths = photos_in(source, target, recursive=options["recursive"])
    width = max(len(_name(path, source)) for path in paths)
    with counter(len(paths), delivery.quiet) as count:

        def on_result(result: Result) -> None:
            if result.receipt is not None:
                delivery.done.append(result.target)
            count(f"{_name(result.path, source):<{width}}  {_outcome(result)}")

        protector.prepare()
        return protect_folder(source, target, protector, on_result=on_result, **options)


def _name(path: Path, folder: Path) -> str:
    return readable(path.relative_to(folder).as_posix())


def _outcome(result: Result) -> str:
    if result.receipt is None:
        return "failed"
    receipt, won = result.receipt, [more for _, more in result.receipt.checks()]
    decibels = "infinite" if receipt.imperceptibility.psnr is None else f"{receipt.imperceptibility.psnr:.1f} dB"
    compared = f", beats random in {sum(won)} of {len(won)}" if won else ""
    shows = "" if result.caption is None else f", caption: {readable(result.caption)}"
    return f"{receipt.budget_spent} levels, PSNR {decibels}{compared}, {sum(receipt.seconds.values()):.1f} s{shows}"


def _failure(result: Result) -> str:
    cause = None if result.error is None else result.error.__cause__
    return readable(reason(cause) or str(result.error))


def _receipts(results: Sequence[Result], source: Path) -> bytes:
    """One JSON object: file name -> its receipt, or {"error": why there is none}."""
    import msgspec

    table = {
        _name(result.path, source): {"error": _failure(result)}
        if result.receipt is None
        else msgspec.Raw(result.receipt.to_json())
        for result in results
    }
    return msgspec.json.format(msgspec.json.encode(table), indent=2) + b"\n"
