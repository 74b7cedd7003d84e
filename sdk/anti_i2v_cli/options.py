"""Arguments and options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from anti_i2v.errors import RecipeError

__all__ = [
    "CleanPhoto",
    "Device",
    "EngineName",
    "Overwrite",
    "PreviewFile",
    "ProtectedPhoto",
    "Quiet",
    "ReceiptFile",
    "Stage",
    "check_device",
]

# `readable=False` everywhere: opening a file explains a problem better than typer's check of permissions.
CleanPhoto = Annotated[
    Path, typer.Argument(metavar="CLEAN", show_default=False, readable=False, help="The original photo.")
]
ProtectedPhoto = Annotated[
    Path,
    typer.Argument(
        metavar="PROTECTED", show_default=False, readable=False, help="The same photo, protected by any tool."
    ),
]
ReceiptFile = Annotated[Path | None, typer.Option("--receipt", metavar="FILE", help="Write the receipt here, as JSON.")]
PreviewFile = Annotated[
    Path | None,
    typer.Option(
        "--preview",
        metavar="FILE.png",
        help="Write a picture here: clean, protected, difference x10, decoded before and after. "
        "It contains the clean photo: do not post it.",
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine", metavar="ENGINE", help="Choose torch, onnx (ONNX Runtime) or auto: torch where it is installed."
    ),
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="Run on auto, cpu, cuda, cuda:1 or mps.")]
Stage = Annotated[
    str | None,
    typer.Option(metavar="STAGE", help="For Wan 2.2 A14B: use its denoiser for high (default) or low noise."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing files. The original photo is never replaced.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no results.")]


def check_device(name: str) -> None:
    """Check the spelling of a device, without torch.

    Raises:
        RecipeError: no device has this name.
    """
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", name):
        raise RecipeError(f"unknown device {name!r}: use auto, cpu, cuda or mps")
