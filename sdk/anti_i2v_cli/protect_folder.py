"""Protect the photos of a folder: one line per photo, failures at the end, one file of receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from anti_i2v.errors import OutputError, RecipeError
from anti_i2v_cli.errors import FAILED, describe_system_error, escape_undecodable, report_error
from anti_i2v_cli.output import OutputFiles

if TYPE_CHECKING:
    from anti_i2v.batch import Result
    from anti_i2v.protector import Protector

__all__ = ["protect_folder"]


def protect_folder(
    protector: Protector, source: Path, output: Path | None, options: Mapping[str, Any], files: OutputFiles
) -> None:
    """Protect a folder's photos into another folder; `options` are those of `anti_i2v.batch.protect_folder`.

    Raises:
        OutputError, RecipeError: the options cannot be met; nothing was written.
        typer.Exit: some photos could not be protected; each was reported.
    """
    if files.preview is not None:
        raise RecipeError("a preview shows one photo: leave --preview out for a folder")
    target = output or _default_target(source)
    files.check([source])
    results = _protect_photos(protector, source, target, options, files)
    files.write_receipt(_receipts_json(results, source))
    failures = [result for result in results if result.error is not None]
    files.show(f"{len(results) - len(failures)} of {len(results)} photos protected, in {target}")
    for result in failures:
        name, message = _relative_name(result.path, source), _error_message(result)
        report_error(message if name in message else f"{name}: {message}")
    if failures:
        raise typer.Exit(FAILED)


def _default_target(source: Path) -> Path:
    folder = source.resolve()
    if not folder.name:
        raise OutputError(f"{folder} has no name to derive a folder from: name one with --output")
    return folder.with_name(f"{folder.name}-protected")


def _protect_photos(
    protector: Protector, source: Path, target: Path, options: Mapping[str, Any], files: OutputFiles
) -> list[Result]:
    from anti_i2v import batch
    from anti_i2v_cli.progress import folder_progress

    paths = batch.photos_in(source, target, recursive=options["recursive"])
    width = max(len(_relative_name(path, source)) for path in paths)
    with folder_progress(len(paths), files.quiet) as print_line:

        def on_result(result: Result) -> None:
            if result.receipt is not None:
                files.written.append(result.target)
            print_line(f"{_relative_name(result.path, source):<{width}}  {_summary(result)}")

        protector.prepare()
        return batch.protect_folder(source, target, protector, on_result=on_result, **options)


def _relative_name(path: Path, folder: Path) -> str:
    return escape_undecodable(path.relative_to(folder).as_posix())


def _summary(result: Result) -> str:
    receipt = result.receipt
    if receipt is None:
        return "failed"
    psnr = receipt.imperceptibility.psnr
    parts = [f"{receipt.budget_spent} levels", f"PSNR {'infinite' if psnr is None else f'{psnr:.1f} dB'}"]
    if receipt.compared:
        parts.append(f"beats random in {receipt.beats_random} of {receipt.compared}")
    parts.append(f"{sum(receipt.seconds.values()):.1f} s")
    if result.caption is not None:
        parts.append(f"caption: {escape_undecodable(result.caption)}")
    return ", ".join(parts)


def _error_message(result: Result) -> str:
    cause = None if result.error is None else result.error.__cause__
    return escape_undecodable(describe_system_error(cause) or str(result.error))


def _receipts_json(results: Sequence[Result], source: Path) -> bytes:
    """Build one JSON object: file name -> its receipt, or {"error": message}."""
    import msgspec

    table = {
        _relative_name(result.path, source): {"error": _error_message(result)}
        if result.receipt is None
        else msgspec.Raw(result.receipt.to_json())
        for result in results
    }
    return msgspec.json.format(msgspec.json.encode(table), indent=2) + b"\n"
