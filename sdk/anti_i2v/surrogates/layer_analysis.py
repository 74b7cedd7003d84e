"""Analyse the blocks of a denoiser on a photo: pictures of their features, and similarity scores.

    layers = analyse_layers(backbone, pixels)
    layers_picture(layers).save("layers.png")

The paper chooses late layers because semantics emerge there, and an early one because hardly any do (its figure of PCA
over layers). These pictures show the same for your photo and model, so that you can check the recipe's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from anti_i2v.arrays import Rgb8
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.info import sample_inputs
from anti_i2v.tensors import Pixels

__all__ = ["Layer", "analyse_layers", "layers_picture", "linear_cka", "principal_picture"]


CELL, CAPTION, GAP = 176, 34, 8
LATE, EARLY, PLAIN = (198, 40, 40), (21, 101, 192), (97, 97, 97)


@dataclass(frozen=True)
class Layer:
    """The analysis of one block.

    Attributes:
        name: its hook point.
        mark: "late" or "early" if the collapse term uses it, else "".
        picture: the first three principal components of its features on the first frame as red, green and blue.
        explained: share of the features' variance in these three.
        cka: linear CKA with the first early layer's features; 1 for the same representation.
    """

    name: str
    mark: str
    picture: Rgb8
    explained: float
    cka: float


def analyse_layers(backbone: Backbone, pixels: Pixels, *, timestep: int | None = None, seed: int = 0) -> list[Layer]:
    """Analyse every block's features of one photo, in the order in which the blocks run.

    Args:
        backbone: loaded with its `layers` as hooks.
        pixels: (1, 3, H, W) in [0, 1], sides multiples of `backbone.multiple`.
        timestep: timestep of the noise; None samples one.
        seed: seed of noise and timestep.
    """
    samples = sample_inputs(backbone.random_inputs, tuple(pixels.shape), np.random.default_rng(seed))
    inputs = {name: torch.from_numpy(value).to(pixels.device) for name, value in samples.items()}
    if timestep is not None:
        inputs["timestep"] = torch.full_like(inputs["timestep"], timestep)
    with torch.inference_mode():
        inputs = {**backbone.context, **backbone.precompute(pixels, seed=seed), **inputs}
        features = backbone.features(pixels, inputs)
    late, early = backbone.resolve_layers("late"), backbone.resolve_layers("early")
    rows, columns = (side // backbone.multiple for side in pixels.shape[-2:])
    maps = {name: _map(features[name][0].float(), rows, columns) for name in backbone.layers}
    found = []
    for name, channels in maps.items():
        picture, explained = principal_picture(channels)
        mark = "late" if name in late else "early" if name in early else ""
        found.append(Layer(name, mark, picture, explained, linear_cka(channels, maps[early[0]])))
    return found


def _map(feature: torch.Tensor, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Arrange the first frame's features as (h, w, D)."""
    values: npt.NDArray[np.float64] = feature.double().cpu().numpy()
    if values.ndim == 4:  # U-Net: frames, channels, height, width
        return np.moveaxis(values[0], 0, -1)
    # Transformer: tokens in the order of frames, rows, columns; any text tokens come last.
    return values[: rows * columns].reshape(rows, columns, -1)


def principal_picture(channels: npt.NDArray[np.float64]) -> tuple[Rgb8, float]:
    """Draw the first three principal components, each stretched to its range; also give their share of the variance.

    A component's sign makes its largest weight positive, so the same features give the same picture.
    """
    height, width, _ = channels.shape
    flat = channels.reshape(height * width, -1)
    centred = flat - flat.mean(0)
    left, lengths, right = np.linalg.svd(centred, full_matrices=False)
    energy = float(np.square(lengths).sum())
    kept = min(3, len(lengths))
    signs = np.sign(right[np.arange(kept), np.abs(right[:kept]).argmax(1)])
    scores = np.zeros((len(flat), 3))
    scores[:, :kept] = left[:, :kept] * lengths[:kept] * signs
    low, high = scores.min(0), scores.max(0)
    stretched = (scores - low) / np.maximum(high - low, 1e-12)
    picture = np.rint(stretched * 255).astype(np.uint8).reshape(height, width, 3)
    return picture, float(np.square(lengths[:kept]).sum() / energy) if energy else 0.0


def linear_cka(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Compute the linear centred kernel alignment (Kornblith et al. 2019) of two feature maps, (h, w, D) each.

    Maps of different sizes (U-Nets) are compared on the smaller grid, by nearest neighbours.
    """
    height, width = min(one.shape[0], other.shape[0]), min(one.shape[1], other.shape[1])
    first, second = (_centred(_nearest(each, height, width)) for each in (one, other))
    shared = np.square(first.T @ second).sum()
    own = np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    return float(shared / own) if own else 0.0


def _nearest(channels: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    rows = np.arange(height) * channels.shape[0] // height
    columns = np.arange(width) * channels.shape[1] // width
    nearest: npt.NDArray[np.float64] = channels[rows][:, columns].reshape(height * width, -1)
    return nearest


def _centred(flat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    centred: npt.NDArray[np.float64] = flat - flat.mean(0)
    return centred


def layers_picture(layers: Sequence[Layer], columns: int = 6) -> Image.Image:
    """Draw all blocks on one page, the late ones framed in red, the early one in blue."""
    rows = -(-len(layers) // columns)
    columns = min(columns, len(layers))
    step_x, step_y = CELL + GAP, CELL + CAPTION + GAP
    page = Image.new("RGB", (columns * step_x + GAP, rows * step_y + GAP), "white")
    pen = ImageDraw.Draw(page)
    for index, layer in enumerate(layers):
        left, top = GAP + index % columns * step_x, GAP + index // columns * step_y
        height, width = layer.picture.shape[:2]
        scale = CELL / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        page.paste(Image.fromarray(layer.picture).resize(size, Image.Resampling.NEAREST), (left, top))
        colour = {"late": LATE, "early": EARLY}.get(layer.mark, PLAIN)
        if layer.mark:
            pen.rectangle((left, top, left + size[0] - 1, top + size[1] - 1), outline=colour, width=4)
        mark = f" ({layer.mark})" if layer.mark else ""
        pen.text((left, top + CELL + 2), f"{layer.name}{mark}", fill=colour)
        pen.text((left, top + CELL + 16), f"like early {layer.cka:.2f}, 3 PCs {layer.explained:.0%}", fill=PLAIN)
    return page
