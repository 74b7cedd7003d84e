"""`anti-i2v check`: two photos, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anti_i2v_cli.options import Device, EngineName, Overwrite, PreviewFile, Quiet, ReceiptFile, check_device
from anti_i2v_cli.output import Delivery

__all__ = ["check"]


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
    engine: EngineName = "auto",
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure what any tool's protection of a photo did."""
    from anti_i2v.checking import check as measured
    from anti_i2v.images.decode import open_photo
    from anti_i2v_cli.progress import stepper

    delivery = Delivery(ctx.obj, receipt, preview, overwrite, quiet)
    check_device(device)
    delivery.check([clean, protected])
    # Both are read before torch is loaded, and errors name the file, which bytes could not.
    before, after = open_photo(clean), open_photo(protected)
    with stepper(None, quiet):
        made = measured(before, after, short_side=short_side, engine=engine, device=device, seed=seed)
    delivery.show(made)
    delivery.draw((before.pixels, after.pixels), short_side=short_side, engine=engine, device=device)
