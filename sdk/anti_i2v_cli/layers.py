"""`anti-i2v layers`: analyse the blocks of a video model on a photo."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anti_i2v.errors import SurrogateError
from anti_i2v_cli.options import Device, Overwrite, Stage, check_device

if TYPE_CHECKING:
    from anti_i2v.surrogates.layer_analysis import Layer

__all__ = ["layers"]


def layers(
    backbone: Annotated[
        str, typer.Argument(metavar="MODEL", show_default=False, help="The video model: a name or a folder.")
    ],
    source: Annotated[
        Path, typer.Argument(metavar="PHOTO", show_default=False, readable=False, help="The photo to analyse.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.png", show_default=False, help="Write the picture here.")
    ],
    caption: Annotated[str, typer.Option(metavar="TEXT", help="Describe what the video would show.")] = "",
    stage: Stage = None,
    frames: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Use this many latent frames.")] = 4,
    timestep: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Add noise of this timestep; default: a random one.")
    ] = None,
    short_side: Annotated[
        int, typer.Option(min=32, max=2048, metavar="PIXELS", help="Scale the photo's shorter side to this.")
    ] = 256,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Draw the noise from this seed.")] = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Draw the features of each block of a video model.

    The picture marks the layers that the recipe `full` uses.
    """
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
    analysed = analyse_layers(model, pixels, timestep=timestep, seed=seed)
    _print_table(analysed)
    picture = io.BytesIO()
    layers_picture(analysed).save(picture, "PNG")
    write_atomic(output, picture.getvalue(), overwrite=overwrite)
    typer.echo(f"\nWritten: {output}")


def _print_table(analysed: Sequence[Layer]) -> None:
    width = max(len(layer.name) for layer in analysed)
    typer.echo(f"{'block':<{width}}  {'used':<6}  similarity to early (CKA)  in 3 components")
    for layer in analysed:
        typer.echo(f"{layer.name:<{width}}  {layer.mark:<6}  {layer.cka:>25.2f}  {layer.explained:>15.0%}")
