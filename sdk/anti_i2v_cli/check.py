"""`anti-i2v check`: measure a pair of photos."""

from __future__ import annotations

from typing import Annotated

import typer

from anti_i2v_cli.options import (
    CleanPhoto,
    Device,
    EngineName,
    Overwrite,
    PreviewFile,
    ProtectedPhoto,
    Quiet,
    ReceiptFile,
    check_device,
)
from anti_i2v_cli.output import OutputFiles

__all__ = ["check"]


def check(
    ctx: typer.Context,
    clean: CleanPhoto,
    protected: ProtectedPhoto,
    receipt: ReceiptFile = None,
    preview: PreviewFile = None,
    short_side: Annotated[
        int, typer.Option(min=64, max=2048, metavar="PIXELS", help="Measure at this size of the shorter side.")
    ] = 512,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Draw the random change from this seed.")] = 0,
    engine: EngineName = "auto",
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure how a photo was protected, by this or any other tool."""
    from anti_i2v import checking
    from anti_i2v.images.decode import open_photo
    from anti_i2v_cli.progress import step_progress

    check_device(device)
    files = OutputFiles(ctx.obj, receipt, preview, overwrite, quiet)
    files.check([clean, protected])
    # Reading both here refuses bad files before torch is loaded.
    clean_photo, protected_photo = open_photo(clean), open_photo(protected)
    with step_progress(None, quiet):
        result = checking.check(
            clean_photo, protected_photo, short_side=short_side, engine=engine, device=device, seed=seed
        )
    files.write_receipt(result.to_json())
    files.show(result)
    pair = (clean_photo.pixels, protected_photo.pixels)
    files.write_preview(pair, short_side=short_side, engine=engine, device=device)
