"""`anti-i2v layers`: what each block of a video model knows of a photo."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from anti_i2v.errors import SurrogateError
from anti_i2v_cli.options import Device, Overwrite, check_device

__all__ = ["layers"]


def layers(
    backbone: Annotated[str, typer.Argument(metavar="MODEL", show_default=False, help="A name or folder.")],
    source: Annotated[
        Path, typer.Argument(metavar="PHOTO", show_default=False, readable=False, help="What it is to look at.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PNG", show_default=False, help="Where to draw the blocks.")
    ],
    caption: Annotated[str, typer.Option(metavar="TEXT", help="What the video would show.")] = "",
    stage: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="Of Wan 2.2 A14B: its denoiser of high noise (the default), or low."),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Latent frames.")] = 4,
    timestep: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Of the noise; by default one is drawn.")
    ] = None,
    short_side: Annotated[int, typer.Option(min=32, max=2048, metavar="PIXELS", help="Of the photo.")] = 256,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the noise.")] = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Draw what each block of a video model makes of a photo, and mark the layers that the recipe `full` picks."""
    check_device(device)
    import torch

    from anti_i2v.engines.device import resolve_device
    from anti_i2v.files import check_target, write_atomic
    from anti_i2v.images.decode import open_photo
    from anti_i2v.images.resize import resize_to_working, working_size
    from anti_i2v.surrogates.backbones.base import Backbone
    from anti_i2v.surrogates.catalogue import load_surrogate
    from anti_i2v.surrogates.layer_analysis import analyse_layers, layers_picture

    photo = open_photo(source)
    check_target(output, overwrite=overwrite)
    where = resolve_device(device)
    model = load_surrogate(backbone, device=where, caption=caption, stage=stage, frames=frames, hooks=("all",))
    if not isinstance(model, Backbone):
        raise SurrogateError(f"{backbone} is an encoder: name a whole video model, see `anti-i2v surrogates list`")
    size = working_size(photo.pixels.shape[0], photo.pixels.shape[1], short_side, model.multiple)
    pixels = torch.from_numpy(resize_to_working(photo.pixels, size)).to(where)
    found = analyse_layers(model, pixels, timestep=timestep, seed=seed)
    width = max(len(layer.name) for layer in found)
    typer.echo(f"{'block':<{width}}  {'picked':<6}  like the early one (CKA)  in 3 components")
    for layer in found:
        typer.echo(f"{layer.name:<{width}}  {layer.mark:<6}  {layer.likeness:>24.2f}  {layer.explained:>15.0%}")
    drawn = io.BytesIO()
    layers_picture(found).save(drawn, "PNG")
    write_atomic(output, drawn.getvalue(), overwrite=overwrite)
    typer.echo(f"\nWritten: {output}")
