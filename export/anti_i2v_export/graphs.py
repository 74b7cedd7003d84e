"""The graphs of an artifact: each is a torch function with example inputs, to be traced and verified.

The functions are those that the torch engine runs: no formula is written twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from anti_i2v.errors import SurrogateError
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives.base import Objective
from anti_i2v.objectives.binding import build_objectives, weighted_sum
from anti_i2v.objectives.targets import checkerboard
from anti_i2v.optim.eot import affine_transform
from anti_i2v.optim.perceptual_mask import initial_candidate
from anti_i2v.optim.space_constants import SPACE_KINDS, space_constants
from anti_i2v.optim.spaces import make_space
from anti_i2v.optim.update_rules import UPDATE_RULES, projected_step
from anti_i2v.recipes import Recipe, weighted_terms
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.surrogates.info import sample_inputs
from anti_i2v_export.trace import value_and_gradient

__all__ = ["ExampleInput", "GraphSpec", "Tensors", "example_input", "lpips_graphs", "shared_graphs", "surrogate_graphs"]

Tensors = dict[str, torch.Tensor]

LEVEL = 1 / 255


@dataclass(frozen=True)
class ExampleInput:
    """Photos of one size and candidates near them, from which a graph's example inputs are made.

    Attributes:
        clean, candidate: (B, 3, H, W) in [0, 1]; the candidate is within 8 levels.
    """

    clean: torch.Tensor
    candidate: torch.Tensor

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.clean.shape[-2:]
        return height, width


def example_input(photo: torch.Tensor, batch: int, seed: int = 0) -> ExampleInput:
    """Return a batch of a photo, (1, 3, H, W), and its mirror images, with random candidates."""
    views = [
        photo,
        photo.flip(-1),
        photo.flip(-2),
        photo.mT if photo.shape[-1] == photo.shape[-2] else photo.roll(8, -1),
    ]
    clean = torch.cat([views[index % len(views)] for index in range(batch)]).contiguous()
    noise = torch.rand(clean.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return ExampleInput(clean, (clean + 8 * LEVEL * noise).clamp(0, 1))


@dataclass(frozen=True)
class GraphSpec:
    """A graph to be traced.

    Attributes:
        file, kind, terms, anchor_layers, space, algorithm: as in `artifacts.Graph`.
        function: takes the inputs by name and returns a tuple of tensors.
        inputs: makes the inputs from an example.
        outputs: names of the returned tensors.
        ranges: meanings of inputs and outputs that differ from `RANGES`.
    """

    file: str
    kind: str
    function: Callable[..., tuple[torch.Tensor, ...]]
    inputs: Callable[[ExampleInput], Tensors]
    outputs: tuple[str, ...]
    terms: tuple[str, ...] = ()
    anchor_layers: tuple[str, ...] = ()
    space: str | None = None
    algorithm: str | None = None
    ranges: Mapping[str, str] = field(default_factory=dict)


RANGES = {
    "pixels": "sRGB in [0, 1], after the EOT transform",
    "clean": "the clean photo, sRGB in [0, 1]",
    "candidate": "sRGB in [0, 1], within the radius of the clean photo",
    "target": "the anchor's target image, sRGB in [0, 1]",
    "radius": "budget of each pixel, in units of the [0, 1] range",
    "pattern": "in [-1, 1]: tiles, random values or zeros",
    "budget": "in units of the [0, 1] range",
    "floor": "share of the budget that flat areas may use, in [0, 1]",
    "weights": "of the terms, in their order",
    "rows": "EOT: pixels become rows @ candidate @ columns.T + offset",
    "columns": "see rows",
    "offset": "see rows",
    "next": "the next candidate, sRGB in [0, 1], within the radius of the clean photo",
    "moved": "how many steps were taken in this space before",
    "length": "root mean square change of the pixels, in units of the [0, 1] range",
    "loss": "of each photo; lower is better for the protector",
    "gradient": "of the summed loss with respect to the pixels",
    "latent": "scaled as the model's denoiser expects it",
    "first": "sRGB in [0, 1]",
    "second": "sRGB in [0, 1]",
    "distance": "LPIPS of each pair, 0 for equal photos",
}
"""Meaning of inputs and outputs, for the sidecar. The names are those of artifact format 1."""


class _Encode(nn.Module):
    def __init__(self, surrogate: Surrogate, names: Sequence[str]) -> None:
        super().__init__()
        self.surrogate, self.names = surrogate, tuple(names)

    def forward(self, pixels: torch.Tensor, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.surrogate.features(pixels, _surrogate_inputs(inputs))
        return tuple(features[name] for name in self.names)


class _Decode(nn.Module):
    def __init__(self, surrogate: Surrogate) -> None:
        super().__init__()
        self.surrogate = surrogate

    def forward(self, latent: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.surrogate.decode(latent),)


class _Bind(nn.Module):
    """The constants of the loss, from the clean photo: an output "TERM.NAME" for each bound value."""

    def __init__(self, surrogate: Surrogate, recipe: Recipe, lpips: Lpips | None) -> None:
        super().__init__()
        self.surrogate, self.recipe, self.lpips = surrogate, recipe, lpips

    def bound_values(self, clean: torch.Tensor, target: torch.Tensor, inputs: Tensors) -> Tensors:
        objectives = build_objectives(self.recipe, self.lpips, target)
        return {
            f"{term}.{name}": value
            for term, objective in zip(weighted_terms(self.recipe), objectives, strict=True)
            for name, value in objective.bind(self.surrogate, clean, inputs).items()
        }

    def forward(self, clean: torch.Tensor, target: torch.Tensor, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            return tuple(self.bound_values(clean, target, _surrogate_inputs(inputs)).values())


class _Loss(nn.Module):
    """The weighted loss on one surrogate; bound values and the surrogate's inputs are named inputs."""

    def __init__(self, surrogate: Surrogate, recipe: Recipe, lpips: Lpips | None) -> None:
        super().__init__()
        self.surrogate, self.lpips = surrogate, lpips
        self.terms = tuple(weighted_terms(recipe))
        # A placeholder: the target's features are among the bound values.
        self.objectives: list[Objective] = list(build_objectives(recipe, lpips, torch.zeros(1, 3, 8, 8)))

    def forward(self, pixels: torch.Tensor, weights: torch.Tensor, **others: torch.Tensor) -> torch.Tensor:
        bounds = [
            {name.partition(".")[2]: value for name, value in others.items() if name.partition(".")[0] == term}
            for term in self.terms
        ]
        inputs, objectives = _surrogate_inputs(others), self.objectives
        loss: torch.Tensor = weighted_sum(objectives, self.surrogate, pixels, list(weights.unbind()), bounds, inputs)
        return loss


class _WholeStep(nn.Module):
    """A whole step: the EOT transform, the loss and its gradient, and `projected_step`."""

    def __init__(self, loss: _Loss, space: str, algorithm: str) -> None:
        super().__init__()
        self.loss, self.space, self.algorithm = loss, space, algorithm

    def forward(self, **given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        transform = (given["rows"], given["columns"], given["offset"])
        others = {name: value for name, value in given.items() if name.partition(".")[0] in (*self.loss.terms, "draw")}

        def transformed_loss(pixels: torch.Tensor) -> torch.Tensor:
            loss: torch.Tensor = self.loss(affine_transform(pixels, *transform), given["weights"], **others)
            return loss

        loss, gradient = value_and_gradient(transformed_loss)(given["candidate"])
        return (*_projected_step(self.space, self.algorithm, given, gradient), loss)


def _projected_step(
    space: str, algorithm: str, given: Mapping[str, torch.Tensor], gradient: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    rule = UPDATE_RULES[algorithm]
    constants = {name.partition(".")[2]: value for name, value in given.items() if name.startswith("chart.")}
    candidate, state = projected_step(
        rule,
        make_space(space, constants),
        given["candidate"],
        given["clean"],
        given["radius"],
        gradient,
        tuple(given[f"memory.{name}"] for name in rule.state),
        given["moved"],
        given["length"],
    )
    return (candidate, *state)


class _StepFromGradient(nn.Module):
    """A step, given its gradient."""

    def __init__(self, space: str, algorithm: str) -> None:
        super().__init__()
        self.space, self.algorithm = space, algorithm

    def forward(self, **given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _projected_step(self.space, self.algorithm, given, given["gradient"])


def surrogate_graphs(
    surrogate: Surrogate, recipes: Sequence[Recipe], lpips: Lpips | None = None
) -> Iterator[GraphSpec]:
    """Yield the graphs of a surrogate for the losses, spaces and algorithms of some recipes, each graph once.

    Raises:
        RecipeError: a recipe has no terms, or its auxiliary term lacks LPIPS weights.
        SurrogateError: a recipe needs a decoder that the surrogate lacks.
    """
    for recipe in recipes:  # before anything is traced
        if "decoded" in weighted_terms(recipe) and not surrogate.decodes:
            raise SurrogateError(f"recipe {recipe.name!r} needs a decoder and {surrogate.info.name} has none")
    yield from _encoder_graphs(surrogate)
    seen: set[str] = set()
    for recipe in recipes:
        terms = tuple(weighted_terms(recipe))
        for spec in _loss_graphs(surrogate, recipe, terms, lpips):
            if spec.file not in seen:
                seen.add(spec.file)
                yield spec


def _encoder_graphs(surrogate: Surrogate) -> Iterator[GraphSpec]:
    probe = torch.rand(1, 3, 8 * surrogate.multiple, 8 * surrogate.multiple)
    with torch.no_grad():
        names = tuple(surrogate.features(probe, _sample_surrogate_inputs(surrogate, probe)))

    def encode_inputs(example: ExampleInput) -> Tensors:
        return {"pixels": example.candidate} | _named_surrogate_inputs(surrogate, example.candidate)

    yield GraphSpec("encode.onnx", "encode", _Encode(surrogate, names), encode_inputs, names)
    if surrogate.decodes:

        def decode_inputs(example: ExampleInput) -> Tensors:
            inputs = _sample_surrogate_inputs(surrogate, example.candidate)
            with torch.no_grad():
                return {"latent": surrogate.features(example.candidate, inputs)["latent"].contiguous()}

        ranges = {"pixels": "sRGB, about [0, 1], not clamped"}
        yield GraphSpec("decode.onnx", "decode", _Decode(surrogate), decode_inputs, ("pixels",), ranges=ranges)


def _loss_graphs(
    surrogate: Surrogate, recipe: Recipe, terms: tuple[str, ...], lpips: Lpips | None
) -> Iterator[GraphSpec]:
    layers = recipe.anchor_layers if "anchor" in terms else ()
    label = "-".join([*terms, *(layer.replace("/", "_") for layer in layers)])
    common: dict[str, Any] = {"terms": terms, "anchor_layers": layers}
    binding, loss = _Bind(surrogate, recipe, lpips), _Loss(surrogate, recipe, lpips)

    def bind_inputs(example: ExampleInput) -> Tensors:
        target = torch.from_numpy(checkerboard(*example.size))
        return {"clean": example.clean, "target": target} | _named_surrogate_inputs(surrogate, example.clean)

    def loss_inputs(example: ExampleInput) -> Tensors:
        values = binding(**bind_inputs(example))
        bound = dict(zip(names, (value.contiguous() for value in values), strict=True))
        weights = torch.tensor(list(weighted_terms(recipe).values()))
        inputs = _named_surrogate_inputs(surrogate, example.clean)
        return {"pixels": example.candidate, "weights": weights} | bound | inputs

    small = 8 * surrogate.multiple
    probe = example_input(torch.rand(1, 3, small, small), 1)
    with torch.no_grad():
        inputs = _sample_surrogate_inputs(surrogate, probe.clean)
        names = tuple(binding.bound_values(probe.clean, probe.clean, inputs))
    yield GraphSpec(f"bind.{label}.onnx", "bind", binding, bind_inputs, names, **common)
    yield GraphSpec(f"loss.{label}.onnx", "loss", value_and_gradient(loss), loss_inputs, ("loss", "gradient"), **common)
    for space in recipe.spaces:
        kind = SPACE_KINDS[space]

        def whole_step_inputs(example: ExampleInput, space: str = space) -> Tensors:
            of_loss = loss_inputs(example)
            del of_loss["pixels"]
            return step_inputs(example, space, recipe) | _affine_inputs(example) | of_loss

        yield GraphSpec(
            f"step.{label}.{kind}.{recipe.algorithm}.onnx",
            "step",
            _WholeStep(loss, space, recipe.algorithm),
            whole_step_inputs,
            ("next", *(f"next.{name}" for name in UPDATE_RULES[recipe.algorithm].state), "loss"),
            space=kind,
            algorithm=recipe.algorithm,
            **common,
        )


def step_inputs(example: ExampleInput, space: str, recipe: Recipe) -> Tensors:
    """Make the inputs of `projected_step`: the photo, its radius, the space's constants, the rule's state."""
    height, width = example.size
    constants = {
        f"chart.{name}": torch.from_numpy(array)
        for name, array in space_constants(space, recipe, height, width).items()
    }
    generator = torch.Generator().manual_seed(1)
    state = {
        f"memory.{name}": torch.rand(example.clean.shape, generator=generator)
        for name in UPDATE_RULES[recipe.algorithm].state
    }
    return {
        "candidate": example.candidate,
        "clean": example.clean,
        "radius": torch.full((len(example.clean), 1, height, width), 8 * LEVEL),
        "moved": torch.tensor(3.0),
        "length": torch.tensor(1.3 * LEVEL),  # not half a level: ties round either way
        **constants,
        **state,
    }


def _affine_inputs(example: ExampleInput) -> Tensors:
    """Make a slight blur and an offset: no part is the identity, so that each is verified."""
    height, width = example.size
    generator = torch.Generator().manual_seed(2)
    return {
        "rows": 0.9 * torch.eye(height) + 0.1 * torch.eye(height).roll(1, 0),
        "columns": 0.9 * torch.eye(width) + 0.1 * torch.eye(width).roll(1, 0),
        "offset": LEVEL * torch.randn(example.clean.shape, generator=generator),
    }


def _sample_surrogate_inputs(surrogate: Surrogate, pixels: torch.Tensor) -> Tensors:
    arrays = sample_inputs(surrogate.random_inputs, tuple(pixels.shape), np.random.default_rng(0))
    sampled = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
    return {**surrogate.context, **surrogate.precompute(pixels), **sampled}


def _named_surrogate_inputs(surrogate: Surrogate, pixels: torch.Tensor) -> Tensors:
    """Sample a surrogate's inputs, under the names that they have in graphs."""
    return {f"draw.{name}": value for name, value in _sample_surrogate_inputs(surrogate, pixels).items()}


def _surrogate_inputs(given: Mapping[str, torch.Tensor]) -> Tensors:
    """Select the surrogate's inputs among those of a graph, under their own names."""
    return {name.removeprefix("draw."): value for name, value in given.items() if name.startswith("draw.")}


class _InitialCandidate(nn.Module):
    def forward(self, **given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return initial_candidate(**given)


class _Distance(nn.Module):
    def __init__(self, lpips: Lpips) -> None:
        super().__init__()
        self.lpips = lpips

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.lpips(first, second),)


def shared_graphs(recipe: Recipe) -> Iterator[GraphSpec]:
    """Yield the graphs that need no surrogate: the initial candidate, and the step in each space by each algorithm.

    Args:
        recipe: only its DCT cutoff is used.
    """
    generator = torch.Generator().manual_seed(3)

    def initial_inputs(example: ExampleInput) -> Tensors:
        pattern = torch.rand(example.clean.shape, generator=generator) * 2 - 1
        return {
            "clean": example.clean,
            "pattern": pattern,
            "budget": torch.tensor(8 * LEVEL),
            "floor": torch.tensor(0.5),
        }

    yield GraphSpec("begin.onnx", "begin", _InitialCandidate(), initial_inputs, ("candidate", "radius"))
    for space in dict.fromkeys(SPACE_KINDS.values()):
        for algorithm, rule in UPDATE_RULES.items():

            def move_inputs(example: ExampleInput, space: str = space, algorithm: str = algorithm) -> Tensors:
                gradient = torch.randn(example.clean.shape, generator=torch.Generator().manual_seed(4))
                changed = Recipe(name="parts", summary="", algorithm=algorithm, dct_cutoff=recipe.dct_cutoff)  # type: ignore[arg-type]  # a key of UPDATE_RULES
                return step_inputs(example, space, changed) | {"gradient": 1e-3 * gradient}

            yield GraphSpec(
                f"move.{space}.{algorithm}.onnx",
                "move",
                _StepFromGradient(space, algorithm),
                move_inputs,
                ("next", *(f"next.{name}" for name in rule.state)),
                space=space,
                algorithm=algorithm,
            )


def lpips_graphs(lpips: Lpips) -> Iterator[GraphSpec]:
    """Yield the graph of LPIPS, for receipts."""
    yield GraphSpec(
        "distance.onnx",
        "distance",
        _Distance(lpips),
        lambda example: {"first": example.candidate, "second": example.clean},
        ("distance",),
    )


Dims = dict[str, dict[int, Dim]]


def dynamic_shapes(spec: GraphSpec, multiple: int) -> tuple[Tensors, Dims, dict[str, tuple[int | str, ...]]]:
    """Return example inputs, their dynamic dimensions, and their shapes in symbols such as "height/8".

    The dimensions are found by comparison: the inputs are made for two examples whose batch, height and width differ by
    different factors.

    Raises:
        SurrogateError: no symbol describes a dimension (such as tokens, height times width).
    """
    step = max(8, multiple)
    step = step * (-(-32 // step))
    sizes = ((2, 2 * step, 3 * step), (5, 3 * step, 6 * step))  # factors 2.5, 1.5 and 2
    (first, second) = (
        spec.inputs(example_input(torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(5)), batch))
        for batch, height, width in sizes
    )
    symbols = {"batch": Dim("batch"), "height": Dim("height"), "width": Dim("width")}
    dims: Dims = {}
    labels: dict[str, tuple[int | str, ...]] = {}
    for name, value in first.items():
        label: list[int | str] = []
        dims[name] = {}
        for index, (one, two) in enumerate(zip(value.shape, second[name].shape, strict=True)):
            axis = {1.0: None, 2.5: "batch", 1.5: "height", 2.0: "width"}.get(two / one, "other")
            if axis == "other":
                raise SurrogateError(f"{spec.file} cannot vary dimension {index} of {name}: reshape it to a map")
            if axis is None:
                label.append(one)
                continue
            whole = sizes[0][("batch", "height", "width").index(axis)]
            part = 1 if axis == "batch" else multiple * one // whole
            if axis != "batch" and part * whole != multiple * one:
                raise SurrogateError(f"{spec.file}: dimension {index} of {name} does not divide the patch size")
            dims[name][index] = part * symbols[axis] if part > 1 else symbols[axis]
            label.append(axis if axis == "batch" else f"{axis}/{multiple // part}" if part < multiple else axis)
        labels[name] = tuple(label)
    return first, dims, labels
