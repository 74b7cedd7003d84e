"""What went wrong, as one line on stderr and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from anti_i2v.errors import AntiI2VError, RecipeError

__all__ = ["FAILED", "INTERRUPTED", "USAGE", "Commands", "complain", "readable", "reason"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130


class Commands(TyperGroup):
    """Turns every error that a person can cause into one line on stderr and an exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except Exception as problem:
            # typer's usage errors, by what they can do: the module of their class changed between its versions.
            if not hasattr(problem, "format_message"):
                raise
            message, where = " ".join(problem.format_message().split()), getattr(problem, "ctx", None)
            complain(message if where is None else f"{message.rstrip('.')}: see {where.command_path} --help")
            sys.exit(USAGE)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, typer.Abort):
            complain(_interrupted(ctx.obj))
            raise typer.Exit(INTERRUPTED) from None
        except AntiI2VError as problem:
            complain(str(problem))
            raise typer.Exit(USAGE if isinstance(problem, RecipeError) else FAILED) from None
        except Exception as problem:
            refusal = reason(problem)
            if refusal is None:
                raise
            complain(refusal)
            raise typer.Exit(FAILED) from None


def complain(message: str) -> None:
    """One line on stderr that says whose it is."""
    typer.echo(f"anti-i2v: {readable(message)}", err=True)


def readable(text: str) -> str:
    """Bytes of a file name that are not UTF-8 come as lone surrogates, which neither a terminal nor JSON can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def reason(problem: BaseException | None) -> str | None:
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
