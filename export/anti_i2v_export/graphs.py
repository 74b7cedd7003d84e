"""What an artifact holds: each graph as a torch function with example inputs, ready to be traced and verified.

Nothing is written a second time here: the functions are those that the torch engine runs.
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
from anti_i2v.objectives.targets import anchor_target
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
    """Real pixels at one size, and a candidate near them: what graphs are traced and verified with.

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
    """A batch of a photo, (1, 3, H, W), and its mirror images, with random candidates."""
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
    """One graph before it is traced.

    Attributes:
        file, kind, terms, anchor_layers, space, algorithm: as in `artifacts.Graph`.
        function: takes the inputs by name, returns a tuple of tensors.
        inputs: gives its inputs for a sample.
        outputs: their names.
        ranges: what inputs and outputs mean, where `RANGES` does not say it.
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
    "pixels": "sRGB in [0, 1], after the change of EOT",
    "clean": "the clean photo, sRGB in [0, 1]",
    "candidate": "sRGB in [0, 1], within the radius of the clean photo",
    "target": "the anchor's unrelated photo, sRGB in [0, 1]",
    "radius": "budget of each pixel, in units of the [0, 1] range",
    "pattern": "in [-1, 1]: tiles, random values or zeros",
    "budget": "in units of the [0, 1] range",
    "floor": "share of the budget that flat areas may take, in [0, 1]",
    "weights": "of the terms, in their order",
    "rows": "EOT: pixels become rows @ candidate @ columns.T + offset",
    "columns": "see rows",
    "offset": "see rows",
    "next": "the next candidate, sRGB in [0, 1], within the radius of the clean photo",
    "moved": "how often this space moved before",
    "length": "root mean square change of the pixels, in units of the [0, 1] range",
    "loss": "of each photo; lower is better for the protector",
    "gradient": "of the summed loss by the pixels",
    "latent": "scaled as the model's denoiser sees it",
    "first": "sRGB in [0, 1]",
    "second": "sRGB in [0, 1]",
    "distance": "LPIPS of each pair, 0 for equal photos",
}


# A surrogate.


class _Encode(nn.Module):
    def __init__(self, surrogate: Surrogate, names: Sequence[str]) -> None:
        super().__init__()
        self.surrogate, self.names = surrogate, tuple(names)

    def forward(self, pixels: torch.Tensor, **draw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.surrogate.features(pixels, _without_prefix(draw))
        return tuple(features[name] for name in self.names)


class _Decode(nn.Module):
    def __init__(self, surrogate: Surrogate) -> None:
        super().__init__()
        self.surrogate = surrogate

    def forward(self, latent: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.surrogate.decode(latent),)


class _Bind(nn.Module):
    """What losses compare with, from the clean photo: one output a value, "TERM.NAME"."""

    def __init__(self, surrogate: Surrogate, recipe: Recipe, lpips: Lpips | None) -> None:
        super().__init__()
        self.surrogate, self.recipe, self.lpips = surrogate, recipe, lpips
        self.names: tuple[str, ...] = ()

    def bounds(self, clean: torch.Tensor, target: torch.Tensor, draw: Tensors) -> Tensors:
        made = build_objectives(self.recipe, self.lpips, target)
        found = {}
        for term, objective in zip(weighted_terms(self.recipe), made, strict=True):
            for name, value in objective.bind(self.surrogate, clean, draw).items():
                found[f"{term}.{name}"] = value
        return found

    def forward(self, clean: torch.Tensor, target: torch.Tensor, **draw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            return tuple(self.bounds(clean, target, _without_prefix(draw)).values())


class _Loss(nn.Module):
    """The weighted loss on one surrogate; bound values and draws come by name."""

    def __init__(self, surrogate: Surrogate, recipe: Recipe, lpips: Lpips | None) -> None:
        super().__init__()
        self.surrogate, self.lpips = surrogate, lpips
        self.terms = tuple(weighted_terms(recipe))
        # Calling objectives needs no target: what it gave is bound.
        self.objectives: list[Objective] = list(build_objectives(recipe, lpips, torch.zeros(1, 3, 8, 8)))

    def forward(self, pixels: torch.Tensor, weights: torch.Tensor, **others: torch.Tensor) -> torch.Tensor:
        bounds = [
            {name.partition(".")[2]: value for name, value in others.items() if name.partition(".")[0] == term}
            for term in self.terms
        ]
        draw = _without_prefix(others)
        loss: torch.Tensor = weighted_sum(self.objectives, self.surrogate, pixels, list(weights.unbind()), bounds, draw)
        return loss


class _Step(nn.Module):
    """A whole step: the change of EOT, the loss and its gradient, the space, the rule, the move, the projection."""

    def __init__(self, loss: _Loss, space: str, algorithm: str) -> None:
        super().__init__()
        self.loss, self.space, self.algorithm = loss, space, algorithm

    def forward(self, **given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        change = (given["rows"], given["columns"], given["offset"])
        others = {name: value for name, value in given.items() if name.partition(".")[0] in (*self.loss.terms, "draw")}

        def changed_loss(pixels: torch.Tensor) -> torch.Tensor:
            loss: torch.Tensor = self.loss(affine_transform(pixels, *change), given["weights"], **others)
            return loss

        loss, gradient = value_and_gradient(changed_loss)(given["candidate"])
        return (*_moved(self.space, self.algorithm, given, gradient), loss)


def _moved(
    space: str, algorithm: str, given: Mapping[str, torch.Tensor], gradient: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    rule = UPDATE_RULES[algorithm]
    chart = {name.partition(".")[2]: value for name, value in given.items() if name.startswith("chart.")}
    candidate, memory = projected_step(
        rule,
        make_space(space, chart),
        given["candidate"],
        given["clean"],
        given["radius"],
        gradient,
        tuple(given[f"memory.{name}"] for name in rule.memory),
        given["moved"],
        given["length"],
    )
    return (candidate, *memory)


class _Move(nn.Module):
    """A step from its gradient on."""

    def __init__(self, space: str, algorithm: str) -> None:
        super().__init__()
        self.space, self.algorithm = space, algorithm

    def forward(self, **given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _moved(self.space, self.algorithm, given, given["gradient"])


def surrogate_graphs(
    surrogate: Surrogate, recipes: Sequence[Recipe], lpips: Lpips | None = None
) -> Iterator[GraphSpec]:
    """The graphs of a surrogate for the losses, spaces and algorithms of some recipes; what repeats comes once.

    Raises:
        RecipeError: a recipe without terms, or with the auxiliary term where no LPIPS weights are at hand.
        SurrogateError: a recipe looks through a decoder that the surrogate lacks.
    """
    for recipe in recipes:  # before anything is traced
        if "decoded" in weighted_terms(recipe) and not surrogate.decodes:
            raise SurrogateError(f"recipe {recipe.name!r} looks through decoders and {surrogate.info.name} has none")
    yield from _forward_drafts(surrogate)
    seen: set[str] = set()
    for recipe in recipes:
        terms = tuple(weighted_terms(recipe))
        for draft in _loss_drafts(surrogate, recipe, terms, lpips):
            if draft.file not in seen:
                seen.add(draft.file)
                yield draft


def _forward_drafts(surrogate: Surrogate) -> Iterator[GraphSpec]:
    probe = torch.rand(1, 3, 8 * surrogate.multiple, 8 * surrogate.multiple)
    with torch.no_grad():
        names = tuple(surrogate.features(probe, _drawn(surrogate, probe)))

    def pixels(given: ExampleInput) -> Tensors:
        return {"pixels": given.candidate} | _named_draw(surrogate, given.candidate)

    yield GraphSpec("encode.onnx", "encode", _Encode(surrogate, names), pixels, names)
    if surrogate.decodes:

        def latent(given: ExampleInput) -> Tensors:
            with torch.no_grad():
                return {
                    "latent": surrogate.features(given.candidate, _drawn(surrogate, given.candidate))[
                        "latent"
                    ].contiguous()
                }

        ranges = {"pixels": "sRGB, about [0, 1], not clamped"}
        yield GraphSpec("decode.onnx", "decode", _Decode(surrogate), latent, ("pixels",), ranges=ranges)


def _loss_drafts(
    surrogate: Surrogate, recipe: Recipe, terms: tuple[str, ...], lpips: Lpips | None
) -> Iterator[GraphSpec]:
    layers = recipe.anchor_layers if "anchor" in terms else ()
    label = "-".join([*terms, *(layer.replace("/", "_") for layer in layers)])
    common: dict[str, Any] = {"terms": terms, "anchor_layers": layers}
    binding, loss = _Bind(surrogate, recipe, lpips), _Loss(surrogate, recipe, lpips)

    def to_bind(given: ExampleInput) -> Tensors:
        target = torch.from_numpy(anchor_target(*given.size))
        return {"clean": given.clean, "target": target} | _named_draw(surrogate, given.clean)

    def to_lose(given: ExampleInput) -> Tensors:
        inputs = to_bind(given)
        bound = dict(zip(names, (value.contiguous() for value in binding(**inputs)), strict=True))
        weights = torch.tensor(list(weighted_terms(recipe).values()))
        return {"pixels": given.candidate, "weights": weights} | bound | _named_draw(surrogate, given.clean)

    small = 8 * surrogate.multiple
    probe = example_input(torch.rand(1, 3, small, small), 1)
    with torch.no_grad():
        names = tuple(binding.bounds(probe.clean, probe.clean, _drawn(surrogate, probe.clean)))
    yield GraphSpec(f"bind.{label}.onnx", "bind", binding, to_bind, names, **common)
    yield GraphSpec(f"loss.{label}.onnx", "loss", value_and_gradient(loss), to_lose, ("loss", "gradient"), **common)
    for space in recipe.spaces:
        chart = SPACE_KINDS[space]

        def to_step(given: ExampleInput, space: str = space) -> Tensors:
            lost = to_lose(given)
            del lost["pixels"]
            return step_inputs(given, space, recipe) | _change(given) | lost

        yield GraphSpec(
            f"step.{label}.{chart}.{recipe.algorithm}.onnx",
            "step",
            _Step(loss, space, recipe.algorithm),
            to_step,
            ("next", *(f"next.{name}" for name in UPDATE_RULES[recipe.algorithm].memory), "loss"),
            space=chart,
            algorithm=recipe.algorithm,
            **common,
        )


def step_inputs(given: ExampleInput, space: str, recipe: Recipe) -> Tensors:
    """What a step needs beside its loss: the photo, its radius, the space, what the rule remembers."""
    height, width = given.size
    chart = {
        f"chart.{name}": torch.from_numpy(array)
        for name, array in space_constants(space, recipe, height, width).items()
    }
    generator = torch.Generator().manual_seed(1)
    memory = {
        f"memory.{name}": torch.rand(given.clean.shape, generator=generator)
        for name in UPDATE_RULES[recipe.algorithm].memory
    }
    return {
        "candidate": given.candidate,
        "clean": given.clean,
        "radius": torch.full((len(given.clean), 1, height, width), 8 * LEVEL),
        "moved": torch.tensor(3.0),
        "length": torch.tensor(1.3 * LEVEL),  # no half level: ties round either way
        **chart,
        **memory,
    }


def _change(given: ExampleInput) -> Tensors:
    """A slight blur and an offset: no part of EOT's map is the identity, so that each is verified."""
    height, width = given.size
    generator = torch.Generator().manual_seed(2)
    return {
        "rows": 0.9 * torch.eye(height) + 0.1 * torch.eye(height).roll(1, 0),
        "columns": 0.9 * torch.eye(width) + 0.1 * torch.eye(width).roll(1, 0),
        "offset": LEVEL * torch.randn(given.clean.shape, generator=generator),
    }


def _drawn(surrogate: Surrogate, pixels: torch.Tensor) -> Tensors:
    arrays = sample_inputs(surrogate.random_inputs, tuple(pixels.shape), np.random.default_rng(0))
    drawn = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
    return {**surrogate.context, **surrogate.precompute(pixels), **drawn}


def _named_draw(surrogate: Surrogate, pixels: torch.Tensor) -> Tensors:
    return {f"draw.{name}": value for name, value in _drawn(surrogate, pixels).items()}


def _without_prefix(given: Mapping[str, torch.Tensor]) -> Tensors:
    return {name.removeprefix("draw."): value for name, value in given.items() if name.startswith("draw.")}


# What needs no surrogate.


class _Begin(nn.Module):
    def forward(self, **given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return initial_candidate(**given)


class _Distance(nn.Module):
    def __init__(self, lpips: Lpips) -> None:
        super().__init__()
        self.lpips = lpips

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.lpips(first, second),)


def shared_graphs(recipe: Recipe) -> Iterator[GraphSpec]:
    """Where steps begin, and the move in each space by each algorithm; of the recipe only its DCT cut-off is used."""
    generator = torch.Generator().manual_seed(3)

    def to_begin(given: ExampleInput) -> Tensors:
        pattern = torch.rand(given.clean.shape, generator=generator) * 2 - 1
        return {
            "clean": given.clean,
            "pattern": pattern,
            "budget": torch.tensor(8 * LEVEL),
            "floor": torch.tensor(0.5),
        }

    yield GraphSpec("begin.onnx", "begin", _Begin(), to_begin, ("candidate", "radius"))
    for space in dict.fromkeys(SPACE_KINDS.values()):
        for algorithm, rule in UPDATE_RULES.items():

            def to_advance(given: ExampleInput, space: str = space, algorithm: str = algorithm) -> Tensors:
                gradient = torch.randn(given.clean.shape, generator=torch.Generator().manual_seed(4))
                changed = Recipe(name="parts", summary="", algorithm=algorithm, dct_cutoff=recipe.dct_cutoff)  # type: ignore[arg-type]  # a key of RULES
                return step_inputs(given, space, changed) | {"gradient": 1e-3 * gradient}

            yield GraphSpec(
                f"move.{space}.{algorithm}.onnx",
                "move",
                _Move(space, algorithm),
                to_advance,
                ("next", *(f"next.{name}" for name in rule.memory)),
                space=space,
                algorithm=algorithm,
            )


def lpips_graphs(lpips: Lpips) -> Iterator[GraphSpec]:
    """LPIPS itself, for receipts."""
    yield GraphSpec(
        "distance.onnx",
        "distance",
        _Distance(lpips),
        lambda given: {"first": given.candidate, "second": given.clean},
        ("distance",),
    )


Dims = dict[str, dict[int, Dim]]


def dynamic_shapes(draft: GraphSpec, multiple: int) -> tuple[Tensors, Dims, dict[str, tuple[int | str, ...]]]:
    """Example inputs, which of their dimensions vary, and their shapes in words.

    Found by looking: the inputs are made for two samples whose batch, height and width grow by different factors.

    Raises:
        SurrogateError: a dimension grows in a way that no symbol says (such as tokens, height times width).
    """
    step = max(8, multiple)
    step = step * (-(-32 // step))
    sizes = ((2, 2 * step, 3 * step), (5, 3 * step, 6 * step))  # factors 2.5, 1.5 and 2
    (first, second) = (
        draft.inputs(example_input(torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(5)), batch))
        for batch, height, width in sizes
    )
    symbols = {"batch": Dim("batch"), "height": Dim("height"), "width": Dim("width")}
    dims: Dims = {}
    words: dict[str, tuple[int | str, ...]] = {}
    for name, value in first.items():
        said: list[int | str] = []
        dims[name] = {}
        for index, (one, two) in enumerate(zip(value.shape, second[name].shape, strict=True)):
            axis = {1.0: None, 2.5: "batch", 1.5: "height", 2.0: "width"}.get(two / one, "other")
            if axis == "other":
                raise SurrogateError(f"{draft.file} cannot vary dimension {index} of {name}: reshape it to a map")
            if axis is None:
                said.append(one)
                continue
            whole = sizes[0][("batch", "height", "width").index(axis)]
            part = 1 if axis == "batch" else multiple * one // whole
            if axis != "batch" and part * whole != multiple * one:
                raise SurrogateError(f"{draft.file}: dimension {index} of {name} is no whole part of a patch")
            dims[name][index] = part * symbols[axis] if part > 1 else symbols[axis]
            said.append(axis if axis == "batch" else f"{axis}/{multiple // part}" if part < multiple else axis)
        words[name] = tuple(said)
    return first, dims, words
