"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from anti_i2v.errors import RecipeError

__all__ = ["Device", "EngineName", "Overwrite", "PreviewFile", "Quiet", "ReceiptFile", "check_device"]

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
EngineName = Annotated[
    str, typer.Option("--engine", metavar="ENGINE", help="torch, onnx (ONNX Runtime), or auto: torch where it is.")
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1 or mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist; never the original photo.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table.")]


def check_device(name: str) -> None:
    """Whether a device may exist, which its spelling tells without torch.

    Raises:
        RecipeError: no device is called so.
    """
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", name):
        raise RecipeError(f"unknown device {name!r}: use auto, cpu, cuda or mps")
