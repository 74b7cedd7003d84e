"""The application that commands are registered on, and its entry point."""

from __future__ import annotations

import os
import sys
import warnings
from io import TextIOWrapper
from typing import Annotated

import typer

from anti_i2v_cli.errors import CommandGroup

__all__ = ["app", "main"]

LIBRARY_LOGGING = {
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Environment variables that silence torch, diffusers and the hub's client; a value that is set already stays."""

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Adds friction to turning a photo into a fake video, and measures what it did.",
)


def main() -> None:
    """Run the command line."""
    # These libraries read the variables when they are imported.
    for name, value in LIBRARY_LOGGING.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # A file name that the terminal or the pipe cannot show must not end a batch.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    app()


def _print_version(requested: bool) -> None:
    if requested:
        from anti_i2v.receipts.receipt import versions

        typer.echo(f"anti-i2v {versions()['anti-i2v-sdk']}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    ctx.obj = []  # the files that the command has written, which the message after Ctrl-C counts
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
