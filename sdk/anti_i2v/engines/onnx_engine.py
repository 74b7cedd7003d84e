"""The ONNX engine: ONNX Runtime on graphs that are traced from the torch engine's functions. It needs no torch.

Candidates and constants stay on the device. A step is one run of one graph, or two runs for JPEG and for the mean of
several surrogates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from anti_i2v.arrays import PixelArray
from anti_i2v.engines.artifacts import LPIPS, SHARED_GRAPHS, find_artifact, locate_artifact, packaged_artifact
from anti_i2v.engines.base import FrozenEncoder, PerceptualDistance
from anti_i2v.engines.onnx_session import Array, DeviceTensor, GraphSession, LoadedArtifact, OrtDevice
from anti_i2v.errors import RecipeError
from anti_i2v.objectives.targets import make_target
from anti_i2v.optim.space_constants import SPACE_KINDS, space_constants
from anti_i2v.optim.transforms import SampledTransform
from anti_i2v.recipes import Recipe, for_encoders, weighted_terms
from anti_i2v.surrogates.catalogue import encoders

__all__ = ["OnnxEngine", "OnnxFrozenEncoder", "OnnxPhotoOptimiser"]

RULE_STATES = {"sign-gradient": (), "momentum": ("velocity",), "adam": ("first", "second")}
"""`UpdateRule.state` of each rule, repeated because this module must not import torch; a test compares them."""


@final
class OnnxFrozenEncoder:
    """A surrogate without gradients, on numpy arrays."""

    def __init__(self, model: LoadedArtifact) -> None:
        self._model, self.info = model, model.artifact.surrogate
        self._encode, self._decode = model.require_graph("encode"), model.find_graph("decode")
        self.decodes = self._decode is not None

    def encode(self, pixels: PixelArray) -> PixelArray:
        inputs = self._model.sample_inputs(pixels.shape, np.random.default_rng(0))
        inputs["pixels"] = self._model.device.to_device(pixels)
        latent: PixelArray = self._encode.run(inputs, ["latent"])["latent"].numpy()
        return latent

    def decode(self, latent: PixelArray) -> PixelArray:
        if self._decode is None:
            raise TypeError(f"{self.info.name} has no decoder")  # a programming error: callers check `decodes`
        decoded: PixelArray = self._decode.run({"latent": self._model.device.to_device(latent)})["pixels"].numpy()
        return decoded.clip(0, 1)


@final
class OnnxPhotoOptimiser:
    """A photo with the losses of its surrogates: see `optimise.PhotoOptimiser`.

    Args:
        clean, start: (B, 3, H, W) in [0, 1]; the start is projected.
        radius: the budget of each pixel, in units of the [0, 1] range.
        seed: seed of the random inputs of scores and steps.

    Raises:
        RecipeError: a term needs a decoder, or the recipe shares noise samples between steps.
        SurrogateError: an artifact lacks a graph that the recipe needs.
    """

    def __init__(
        self,
        models: Sequence[LoadedArtifact],
        shared_graphs: LoadedArtifact,
        clean: PixelArray,
        start: PixelArray,
        radius: PixelArray,
        recipe: Recipe,
        *,
        seed: int = 0,
    ) -> None:
        _check_recipe(recipe, models)
        batch, channels, height, width = clean.shape
        self.surrogates: Sequence[str] = [model.name for model in models]
        self.shape = (batch, channels, height, width)
        self._models, self._shared_graphs, self._recipe, self._seed = models, shared_graphs, recipe, seed
        self._to_device = shared_graphs.device.to_device
        recipes = [recipe if model.artifact.denoises else for_encoders(recipe) for model in models]
        self._terms: list[dict[str, Any]] = [
            {"terms": tuple(weighted_terms(each)), "anchor_layers": each.anchor_layers} for each in recipes
        ]
        self._losses = [model.require_graph("loss", **terms) for model, terms in zip(models, self._terms, strict=True)]
        self._binds = [model.require_graph("bind", **terms) for model, terms in zip(models, self._terms, strict=True)]
        self._weights = [
            {"weights": self._to_device(np.array(list(weighted_terms(each).values()), np.float32))} for each in recipes
        ]
        device_clean = self._to_device(clean)
        self._constants = {
            "clean": device_clean,
            "draw.clean": device_clean,  # precomputed input of small video models: their windows show parts of it
            "radius": self._to_device(radius),
            "rows": self._to_device(np.eye(height, dtype=np.float32)),
            "columns": self._to_device(np.eye(width, dtype=np.float32)),
            "offset": self._to_device(np.zeros_like(clean)),
            "target": self._to_device(make_target(recipe.target, clean)),
        }
        self._space_constants = [
            self._prefixed("chart", space_constants(space, recipe, height, width)) for space in recipe.spaces
        ]
        zero = self._to_device(np.zeros_like(clean))
        self._states: list[dict[str, DeviceTensor]] = [
            {f"memory.{name}": zero for name in RULE_STATES[recipe.algorithm]} for _ in recipe.spaces
        ]
        self._bound: dict[int, dict[str, DeviceTensor]] = {}
        self._step_generator = np.random.default_rng([seed, 1])  # as in the torch engine
        projected = np.clip(start, np.maximum(clean - radius, 0), np.minimum(clean + radius, 1))
        self.start: DeviceTensor = self._to_device(projected)

    def _prefixed(self, prefix: str, arrays: Mapping[str, Array]) -> dict[str, DeviceTensor]:
        return {f"{prefix}.{name}": self._to_device(array) for name, array in arrays.items()}

    def precompute(self, surrogate: int, check: Callable[[], None]) -> None:
        pass  # encoders precompute nothing, small video models only need the clean photo, and others do not run here

    def bind(self, surrogate: int) -> None:
        model = self._models[surrogate]
        self._losses[surrogate].load()
        inputs = model.sample_inputs(self.shape, np.random.default_rng(self._seed), self._recipe.noise_levels)
        self._bound[surrogate] = self._run_bind(surrogate, inputs)

    def _run_bind(self, surrogate: int, inputs: Mapping[str, DeviceTensor]) -> dict[str, DeviceTensor]:
        bound = self._binds[surrogate].run({**self._constants, **inputs})
        return {**inputs, **self._weights[surrogate], **bound}

    def _fresh_bound(self, surrogate: int) -> dict[str, DeviceTensor]:
        """Return a loss graph's inputs for a step; random ones are sampled anew."""
        model = self._models[surrogate]
        if not model.artifact.random_inputs:
            return self._bound[surrogate]
        inputs = model.sample_inputs(self.shape, self._step_generator, self._recipe.noise_levels)
        return self._run_bind(surrogate, inputs)

    def step(
        self,
        candidate: DeviceTensor,
        surrogates: Sequence[int],
        transform: SampledTransform,
        space: int,
        index: int,
        step_size: float,
    ) -> tuple[DeviceTensor, Array]:
        inputs = {  # names of artifact format 1, which anti_i2v_export.graphs.RANGES explains
            **self._constants,
            **self._space_constants[space],
            **self._states[space],
            "candidate": candidate,
            "moved": self._to_device(np.array(index, np.float32)),
            "length": self._to_device(np.array(step_size, np.float32)),
        }
        wanted = {"space": SPACE_KINDS[self._recipe.spaces[space]], "algorithm": self._recipe.algorithm}
        whole_step = self._find_whole_step(surrogates, transform, wanted)
        if whole_step is not None:
            outputs = whole_step.run({**inputs, **self._affine_inputs(transform), **self._fresh_bound(surrogates[0])})
            loss = outputs["loss"].numpy()
        else:
            loss, gradient = self._loss_and_gradient(candidate, surrogates, transform)
            move = self._shared_graphs.require_graph("move", **wanted)
            outputs = move.run({**inputs, "gradient": self._to_device(gradient)})
        self._states[space] = {name: outputs[f"next.{name.partition('.')[2]}"] for name in self._states[space]}
        return outputs["next"], loss

    def _find_whole_step(
        self, surrogates: Sequence[int], transform: SampledTransform, wanted: Mapping[str, str]
    ) -> GraphSession | None:
        """Return the graph of a whole step, for one surrogate; JPEG's gradient is not affine, so it has none."""
        if len(surrogates) > 1 or transform.jpeg_slope is not None:
            return None
        return self._models[surrogates[0]].find_graph("step", **self._terms[surrogates[0]], **wanted)

    def _affine_inputs(self, transform: SampledTransform) -> dict[str, DeviceTensor]:
        arrays = {"rows": transform.rows, "columns": transform.columns, "offset": transform.offset}
        return {name: self._to_device(array) for name, array in arrays.items() if array is not None}

    def _loss_and_gradient(
        self, candidate: DeviceTensor, surrogates: Sequence[int], transform: SampledTransform
    ) -> tuple[Array, Array]:
        """Return the mean loss of several surrogates, and its gradient with respect to the candidate."""
        pixels = self._to_device(transform(self.to_numpy(candidate)).astype(np.float32, copy=False))
        outputs = [
            self._losses[each].run({**self._constants, **self._fresh_bound(each), "pixels": pixels})
            for each in surrogates
        ]
        loss, gradient = (np.mean([each[name].numpy() for each in outputs], 0) for name in ("loss", "gradient"))
        return loss, transform.vjp(gradient).astype(np.float32, copy=False)

    def score(self, candidate: DeviceTensor) -> Array:
        scores = [
            loss.run({**self._constants, **self._bound[index], "pixels": candidate}, ["loss"])["loss"].numpy()
            for index, loss in enumerate(self._losses)
        ]
        mean: Array = np.mean(scores, 0)
        return mean

    def keep_better(
        self, best: DeviceTensor, score: Array, candidate: DeviceTensor, loss: Array
    ) -> tuple[DeviceTensor, Array]:
        wins = (loss < score) | (np.isnan(score) & ~np.isnan(loss))
        if wins.all():
            return candidate, loss
        if not wins.any():
            return best, score
        kept = np.where(wins[:, None, None, None], self.to_numpy(candidate), self.to_numpy(best))
        return self._to_device(kept), np.where(wins, loss, score)

    def synchronize(self) -> None:
        """Do nothing: runs return when they are finished."""

    def to_numpy(self, candidate: DeviceTensor) -> PixelArray:
        # A copy: on a CPU, ONNX Runtime returns a view of the tensor's memory, which is freed with the tensor.
        pixels: PixelArray = candidate.numpy().copy()
        return pixels


def _check_recipe(recipe: Recipe, models: Sequence[LoadedArtifact]) -> None:
    lacking = [model.name for model in models if model.artifact.find_graph("decode") is None]
    if recipe.terms.decoded and lacking:
        raise RecipeError(f"recipe {recipe.name!r} needs a decoder and {lacking[0]} has none: use recipe balanced")
    if recipe.noise_samples and any(model.artifact.random_inputs for model in models):
        raise RecipeError("the ONNX engine samples noise and timestep anew in every step: set noise_samples to 0")


@final
class OnnxEngine:
    """See `engines.base.Engine`.

    Args:
        names: surrogates to optimise on, by name or directory of an artifact; None takes all that are exported.
        recipe: the recipe to run; None only measures.
        device: "auto", "cpu", "cuda", "cuda:1".
    """

    name: ClassVar[str] = "onnx"
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu")
    no_surrogates_note: ClassVar[str] = (
        "no exported encoders are installed, so no steps were taken: this is the draft. Run `anti-i2v surrogates pull` "
        "and `anti-i2v export taesd taesdxl taef1 --half` on a machine with torch"
    )

    def __init__(self, names: Sequence[str | Path] | None, recipe: Recipe | None, device: str) -> None:
        if names is None:
            known = [entry.name for entry in encoders().values() if entry.role == "surrogate"]
            names = [name for name in (*known, *(recipe.video_models if recipe else ())) if find_artifact(name)]
        self._names = list(names) if recipe is not None and recipe.steps else []
        self._requested_device = device

    @cached_property
    def _device(self) -> OrtDevice:
        return OrtDevice(self._requested_device)

    @cached_property
    def _models(self) -> list[LoadedArtifact]:
        return [LoadedArtifact(self._device, locate_artifact(name)) for name in self._names]

    @cached_property
    def _shared_graphs(self) -> LoadedArtifact:
        return LoadedArtifact(self._device, packaged_artifact(SHARED_GRAPHS))

    @property
    def device(self) -> str:
        device = self._device
        return f"{device.kind} ({device.active})" if device.active else device.kind

    @property
    def notes(self) -> tuple[str, ...]:
        installed = []
        for name in self.libraries:
            try:
                installed.append(version(name))
            except PackageNotFoundError:
                continue
        if len(installed) < 2:
            return ()
        return (
            "onnxruntime and onnxruntime-gpu are both installed, and one hides the other: uninstall both, then install "
            'one of "anti-i2v-sdk[cpu]" and "anti-i2v-sdk[gpu]"',
        )

    @property
    def surrogates(self) -> list[str]:
        return [str(name) for name in self._names]

    @property
    def multiple(self) -> int:
        return int(np.lcm.reduce([8, *(model.artifact.multiple for model in self._models)]))

    def prepare(self) -> None:
        _ = self._models, self._shared_graphs

    def initial_candidate(
        self, clean: PixelArray, pattern: PixelArray, budget: float, floor: float
    ) -> tuple[PixelArray, PixelArray]:
        arrays = {
            "clean": clean,
            "pattern": pattern,
            "budget": np.array(budget, np.float32),
            "floor": np.array(floor, np.float32),
        }
        inputs = {name: self._device.to_device(array) for name, array in arrays.items()}
        outputs = self._shared_graphs.require_graph("begin").run(inputs)
        return outputs["candidate"].numpy(), outputs["radius"].numpy()

    def caption(self, clean: PixelArray) -> str | None:
        return None  # this engine runs no whole video models

    def create_optimiser(
        self, clean: PixelArray, start: PixelArray, radius: PixelArray, recipe: Recipe, seed: int
    ) -> OnnxPhotoOptimiser:
        return OnnxPhotoOptimiser(self._models, self._shared_graphs, clean, start, radius, recipe, seed=seed)

    def is_available(self, name: str) -> bool:
        return find_artifact(name) is not None

    def load_encoder(self, name: str) -> FrozenEncoder:
        return OnnxFrozenEncoder(LoadedArtifact(self._device, locate_artifact(name)))

    def optimised_encoders(self) -> list[FrozenEncoder]:
        # A windowed model sees only a part of the photo; its encoder is among the others.
        return [OnnxFrozenEncoder(model) for model in self._models if not model.artifact.denoises]

    def load_lpips(self) -> PerceptualDistance | None:
        folder = find_artifact(LPIPS)
        if folder is None:
            return None
        model = LoadedArtifact(self._device, folder)
        graph = model.require_graph("distance")

        def distance(first: PixelArray, second: PixelArray) -> npt.NDArray[np.float32]:
            pair = {"first": self._device.to_device(first), "second": self._device.to_device(second)}
            distances: npt.NDArray[np.float32] = graph.run(pair)["distance"].numpy()
            return distances

        return distance
