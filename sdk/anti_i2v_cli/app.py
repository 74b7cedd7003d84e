"""The application that commands are registered on, and the process it runs in."""

from __future__ import annotations

import os
import sys
import warnings
from io import TextIOWrapper
from typing import Annotated

import typer

from anti_i2v_cli.errors import Commands

__all__ = ["app", "main"]

# What torch, diffusers and the hub's client say while they load concerns their users, not ours.
QUIET = {
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Adds friction to turning a photo into a fake video, and measures what it did.",
)


def main() -> None:
    """The entry point."""
    # Before they are loaded; a person who sets one of these sees what they asked for.
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # A file name may hold what the terminal or the pipe cannot show: that must not end a batch.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    app()


def _version(asked: bool) -> None:
    if asked:
        from anti_i2v.receipts.receipt import versions

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
