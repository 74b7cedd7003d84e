"""Errors on the command line: one line on stderr and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from anti_i2v.errors import AntiI2VError, RecipeError

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "USAGE",
    "CommandGroup",
    "describe_system_error",
    "escape_undecodable",
    "report_error",
]

FAILED, USAGE, INTERRUPTED = 1, 2, 130


class CommandGroup(TyperGroup):
    """A group of commands that reports expected errors in one line and exits with their code."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command, report usage errors and exit."""
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except Exception as error:
            # Recognise typer's usage errors by their method: their class moved between modules in its versions.
            if not hasattr(error, "format_message"):
                raise
            message, context = " ".join(error.format_message().split()), getattr(error, "ctx", None)
            report_error(message if context is None else f"{message.rstrip('.')}: see {context.command_path} --help")
            sys.exit(USAGE)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run a command and report what it raises; unexpected exceptions keep their traceback."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Exception) as error:
            report = _message_and_code(error, ctx.obj)
            if report is None:
                raise
            message, code = report
            report_error(message)
            raise typer.Exit(code) from None


def report_error(message: str) -> None:
    """Print one line on stderr, after the program's name."""
    typer.echo(f"anti-i2v: {escape_undecodable(message)}", err=True)


def escape_undecodable(text: str) -> str:
    """Escape lone surrogates, by which Python keeps bytes of file names that are not UTF-8: JSON cannot hold them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def describe_system_error(error: BaseException | None) -> str | None:
    """Describe in one line why the system refused a file or memory; None for any other exception, which is a bug."""
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        reason = error.strerror or type(error).__name__
        return f"{error.filename or 'a file'} cannot be used ({reason}): check the path and your permissions"
    if _is_out_of_memory(error):
        return "not enough memory: give a smaller photo, close other programs, or pass --device cpu"
    return None


def _is_out_of_memory(error: BaseException | None) -> bool:
    # By name and text: torch must not be loaded for this, and its CPU allocator raises a plain RuntimeError.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    texts = ("DefaultCPUAllocator", "out of memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


def _message_and_code(error: BaseException, written: Sequence[Path] | None) -> tuple[str, int] | None:
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _cancellation(written or ()), INTERRUPTED
    if isinstance(error, AntiI2VError):
        return str(error), USAGE if isinstance(error, RecipeError) else FAILED
    message = describe_system_error(error)
    return None if message is None else (message, FAILED)


def _cancellation(written: Sequence[Path]) -> str:
    if not written:
        return "cancelled, nothing was written"
    files = "1 file was" if len(written) == 1 else f"{len(written)} files were"
    return f"cancelled, {files} written before: the last is {written[-1]}"
