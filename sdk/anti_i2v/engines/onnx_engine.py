"""The ONNX engine: ONNX Runtime on graphs that were traced from the torch engine's functions. It needs no torch.

Candidates and all that is constant stay on the device; a step is one `run` of one graph, bound input by input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, final

import numpy as np
import numpy.typing as npt
import onnxruntime

from anti_i2v.arrays import PixelArray
from anti_i2v.engines.artifacts import (
    LPIPS,
    SHARED_GRAPHS,
    Artifact,
    artifact_at_hand,
    context_of,
    locate_artifact,
    packaged,
    read_artifact,
)
from anti_i2v.engines.base import FrozenEncoder, Perceptual
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.objectives.targets import make_target
from anti_i2v.optim.space_constants import SPACE_KINDS, space_constants
from anti_i2v.optim.transforms import SampledTransform
from anti_i2v.recipes import Recipe, for_encoders, weighted_terms
from anti_i2v.surrogates.catalogue import encoders
from anti_i2v.surrogates.info import ALL_LEVELS, sample_inputs

__all__ = ["OnnxEngine", "OnnxFrozenEncoder", "OnnxPhoto", "Runner", "Runtime"]

Array = npt.NDArray[Any]
Value: TypeAlias = onnxruntime.OrtValue
"""A tensor on the device."""

MEMORIES = {"sign-gradient": (), "momentum": ("velocity",), "adam": ("first", "second")}
"""What each rule of `optimise.RULES` remembers; a test holds the two together, for torch must not be imported here."""


class Runtime:
    """ONNX Runtime on one device.

    Args:
        device: "auto" takes CUDA where ONNX Runtime has it; "cpu", "cuda", "cuda:1".

    Raises:
        RecipeError: the device is not there.
    """

    def __init__(self, device: str) -> None:
        kind, _, index = device.partition(":")
        has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        known = device in ("auto", "cpu") or (kind == "cuda" and (index or "0").isdecimal())
        if not known or (kind == "cuda" and not has_cuda):
            raise RecipeError(
                f"ONNX Runtime has no device {device!r} here: use auto or cpu"
                + (', or install "anti-i2v-sdk[gpu]" without onnxruntime beside it' if kind == "cuda" else "")
            )
        self.index = int(index or 0)
        self.kind = "cuda" if kind == "cuda" or (kind == "auto" and has_cuda) else "cpu"
        self._asked = kind
        self.active: str | None = None

    def session(self, path: Path) -> onnxruntime.InferenceSession:
        """Load a graph.

        Raises:
            SurrogateError: it is no graph that this ONNX Runtime reads.
            RecipeError: CUDA was asked for and is not what it runs on.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors: warnings about folded constants concern nobody here
        providers: list[Any] = ["CPUExecutionProvider"]
        if self.kind == "cuda":
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": self.index}))
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as problem:  # its errors have no common class below Exception
            first_line = str(problem).strip().splitlines()[0][:200]
            raise SurrogateError(f"{path} cannot be loaded by ONNX Runtime: {first_line}") from None
        # What is available is no proof: CUDA falls back to the CPU in silence where one of its libraries is missing.
        self.active = session.get_providers()[0]
        if self.kind == "cuda" and self.active != "CUDAExecutionProvider":
            if self._asked == "cuda":
                raise RecipeError(
                    f"CUDA was asked for, and ONNX Runtime runs on {self.active}: its CUDA libraries are missing, "
                    "use --device cpu or install them"
                )
            self.kind = "cpu"
        return session

    def value(self, array: Array) -> Value:
        """Numpy to the device."""
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self.kind, self.index)


class Runner:
    """One graph, loaded when it first runs."""

    def __init__(self, runtime: Runtime, path: Path) -> None:
        self._runtime, self._path = runtime, path

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return self._runtime.session(self._path)

    @cached_property
    def _inputs(self) -> list[str]:
        return [port.name for port in self._session.get_inputs()]

    def load(self) -> None:
        """Load the graph now."""
        _ = self._session

    def run(self, inputs: Mapping[str, Value], outputs: Sequence[str] = ()) -> dict[str, Value]:
        """One run, on the device.

        Args:
            inputs: by name; what the graph does not read is left out.
            outputs: only these, and only what they need is computed; none: all of them.

        Raises:
            SurrogateError: the graph wants an input that is not given, or refuses what it was given.
        """
        names = list(outputs) or [port.name for port in self._session.get_outputs()]
        binding = self._session.io_binding()
        missing = [name for name in self._inputs if name not in inputs]
        if missing:
            raise SurrogateError(f"{self._path} wants an input {missing[0]!r} that this version does not give")
        for name in self._inputs:
            binding.bind_ortvalue_input(name, inputs[name])
        for name in names:
            binding.bind_output(name, self._runtime.kind, self._runtime.index)
        options = onnxruntime.RunOptions()
        if outputs:
            options.only_execute_path_to_fetches = True
        try:
            self._session.run_with_iobinding(binding, options)
        except Exception as problem:  # as with loading
            first_line = str(problem).strip().splitlines()[0][:200]
            raise SurrogateError(f"{self._path} failed in ONNX Runtime: {first_line}") from None
        return dict(zip(names, binding.get_outputs(), strict=True))


@final
class _Model:
    """An artifact whose graphs run."""

    def __init__(self, runtime: Runtime, folder: Path) -> None:
        self.folder, self.runtime = folder, runtime
        self.artifact: Artifact = read_artifact(folder)
        self.name = self.artifact.surrogate.name
        self.context = {
            f"draw.{name}": runtime.value(array) for name, array in context_of(folder, self.artifact).items()
        }
        self._runners: dict[str, Runner] = {}

    def find(self, kind: str, **wanted: Any) -> Runner | None:
        """The graph of a kind, or None."""
        graph = self.artifact.find(kind, **wanted)
        if graph is None:
            return None
        return self._runners.setdefault(graph.file, Runner(self.runtime, self.folder / graph.file))

    def need(self, kind: str, **wanted: Any) -> Runner:
        """The graph of a kind. Raises SurrogateError where the artifact lacks it."""
        runner = self.find(kind, **wanted)
        if runner is None:
            said = {key: value if isinstance(value, str) else "+".join(value) for key, value in wanted.items()}
            what = ", ".join(f"{key} {value}" for key, value in said.items() if value)
            raise SurrogateError(
                f"{self.folder} has no {kind} graph{' for ' + what if what else ''}: "
                "export it again with what the recipe needs (`anti-i2v export --help`)"
            )
        return runner

    def draw(
        self,
        shape: tuple[int, ...],
        generator: np.random.Generator,
        noise_levels: tuple[float, float] = ALL_LEVELS,
    ) -> dict[str, Value]:
        """One draw of everything that the surrogate draws, and its context."""
        drawn = sample_inputs(self.artifact.random_inputs, shape, generator, noise_levels)
        return self.context | {f"draw.{name}": self.runtime.value(array) for name, array in drawn.items()}


@final
class OnnxFrozenEncoder:
    """A surrogate, forward only, between numpy arrays."""

    def __init__(self, model: _Model) -> None:
        self._model, self.info = model, model.artifact.surrogate
        self._encode, self._decode = model.need("encode"), model.find("decode")
        self.decodes = self._decode is not None

    def encode(self, pixels: PixelArray) -> PixelArray:
        draw = self._model.draw(pixels.shape, np.random.default_rng(0))
        latent: PixelArray = self._encode.run({"pixels": self._model.runtime.value(pixels)} | draw, ["latent"])[
            "latent"
        ].numpy()
        return latent

    def decode(self, latent: PixelArray) -> PixelArray:
        if self._decode is None:
            raise TypeError(f"{self.info.name} has no decoder")  # a programming error: `decodes` says so beforehand
        decoded: PixelArray = self._decode.run({"latent": self._model.runtime.value(latent)})["pixels"].numpy()
        return decoded.clip(0, 1)


@final
class OnnxPhoto:
    """A photo with its surrogates' losses bound: see `refine.OpenPhoto`."""

    def __init__(
        self,
        models: Sequence[_Model],
        parts: _Model,
        clean: PixelArray,
        start: PixelArray,
        radius: PixelArray,
        recipe: Recipe,
        *,
        target: PixelArray | None = None,
        seed: int = 0,
    ) -> None:
        blind = [model.name for model in models if model.artifact.find("decode") is None]
        asked = [recipe if model.artifact.denoises else for_encoders(recipe) for model in models]
        if recipe.terms.decoded and blind:
            raise RecipeError(f"recipe {recipe.name!r} looks through decoders and {blind[0]} has none: choose balanced")
        if recipe.noise_samples and any(model.artifact.random_inputs for model in models):
            raise RecipeError("the ONNX engine draws noise and timestep anew in every step: set noise_samples to 0")
        batch, channels, height, width = clean.shape
        self.surrogates: Sequence[str] = [model.name for model in models]
        self.shape = (batch, channels, height, width)
        self._models, self._parts, self._recipe, self._seed = models, parts, recipe, seed
        self._value = parts.runtime.value
        self._terms: list[dict[str, Any]] = [
            {"terms": tuple(weighted_terms(each)), "anchor_layers": each.anchor_layers} for each in asked
        ]
        self._losses = [model.need("loss", **terms) for model, terms in zip(models, self._terms, strict=True)]
        self._binds = [model.need("bind", **terms) for model, terms in zip(models, self._terms, strict=True)]
        self._weights = [
            {"weights": self._value(np.array(list(weighted_terms(each).values()), np.float32))} for each in asked
        ]
        self._constant = {
            "clean": self._value(clean),
            "draw.clean": self._value(clean),  # what small video models settle: their windows show parts of it
            "radius": self._value(radius),
            "rows": self._value(np.eye(height, dtype=np.float32)),
            "columns": self._value(np.eye(width, dtype=np.float32)),
            "offset": self._value(np.zeros_like(clean)),
            "target": self._value(make_target(recipe.target, clean) if target is None else target),
        }
        self._charts = [
            {
                f"chart.{name}": self._value(array)
                for name, array in space_constants(space, recipe, height, width).items()
            }
            for space in recipe.spaces
        ]
        zero = self._value(np.zeros_like(clean))
        self._memories: list[dict[str, Value]] = [
            {f"memory.{name}": zero for name in MEMORIES[recipe.algorithm]} for _ in recipe.spaces
        ]
        self._bounds: dict[int, dict[str, Value]] = {}
        self._fresh = np.random.default_rng([seed, 1])  # as the torch engine draws
        self.start: Value = self._value(np.clip(start, np.maximum(clean - radius, 0), np.minimum(clean + radius, 1)))

    def precompute(self, index: int, watch: Callable[[], None]) -> None:
        pass  # encoders settle nothing, small video models the clean photo, and no whole model is run here

    def bind(self, index: int) -> None:
        model = self._models[index]
        self._losses[index].load()
        draw = model.draw(self.shape, np.random.default_rng(self._seed), self._recipe.noise_levels)
        self._bounds[index] = self._bound(index, draw)

    def _bound(self, index: int, draw: Mapping[str, Value]) -> dict[str, Value]:
        bound = self._binds[index].run({**self._constant, **draw})
        return {**draw, **self._weights[index], **bound}

    def _fresh_bound(self, index: int) -> dict[str, Value]:
        model = self._models[index]
        if not model.artifact.random_inputs:
            return self._bounds[index]
        return self._bound(index, model.draw(self.shape, self._fresh, self._recipe.noise_levels))

    def step(
        self, candidate: Value, on: Sequence[int], change: SampledTransform, space: int, moved: int, length: float
    ) -> tuple[Value, Array]:
        inputs = {
            **self._constant,
            **self._charts[space],
            **self._memories[space],
            "candidate": candidate,
            "moved": self._value(np.array(moved, np.float32)),
            "length": self._value(np.array(length, np.float32)),
        }
        chart = {"space": SPACE_KINDS[self._recipe.spaces[space]], "algorithm": self._recipe.algorithm}
        # A codec's slope is no affine map, and its forward is on the host anyway: such a step takes two runs.
        alone = len(on) == 1 and change.codec is None
        whole = self._models[on[0]].find("step", **self._terms[on[0]], **chart) if alone else None
        if whole is not None:
            found = whole.run({**inputs, **self._changes(change), **self._fresh_bound(on[0])})
            loss = found["loss"].numpy()
        else:
            loss, gradient = self._loss(candidate, on, change)
            found = self._parts.need("move", **chart).run({**inputs, "gradient": self._value(gradient)})
        self._memories[space] = {name: found[f"next.{name.partition('.')[2]}"] for name in self._memories[space]}
        return found["next"], loss

    def _changes(self, change: SampledTransform) -> dict[str, Value]:
        arrays = {"rows": change.rows, "columns": change.columns, "offset": change.offset}
        return {name: self._value(array) for name, array in arrays.items() if array is not None}

    def _loss(self, candidate: Value, on: Sequence[int], change: SampledTransform) -> tuple[Array, Array]:
        """The mean loss of several surrogates and its gradient by the candidate."""
        pixels = self._value(change(self.to_numpy(candidate)).astype(np.float32, copy=False))
        found = [
            self._losses[index].run({**self._constant, **self._fresh_bound(index), "pixels": pixels}) for index in on
        ]
        loss, gradient = (np.mean([each[name].numpy() for each in found], 0) for name in ("loss", "gradient"))
        return loss, change.pull_back(gradient).astype(np.float32, copy=False)

    def score(self, candidate: Value) -> Array:
        scores = [
            loss.run({**self._constant, **self._bounds[index], "pixels": candidate}, ["loss"])["loss"].numpy()
            for index, loss in enumerate(self._losses)
        ]
        mean: Array = np.mean(scores, 0)
        return mean

    def keep_better(self, best: Value, score: Array, candidate: Value, loss: Array) -> tuple[Value, Array]:
        wins = (loss < score) | (np.isnan(score) & ~np.isnan(loss))
        if wins.all():
            return candidate, loss
        if not wins.any():
            return best, score
        kept = np.where(wins[:, None, None, None], self.to_numpy(candidate), self.to_numpy(best))
        return self._value(kept), np.where(wins, loss, score)

    def synchronize(self) -> None:
        """Runs return when they are done."""

    def to_numpy(self, candidate: Value) -> PixelArray:
        # A copy: on a CPU ONNX Runtime gives a view of the value's memory, which may go with the value.
        pixels: PixelArray = candidate.numpy().copy()
        return pixels


@final
class OnnxEngine:
    """See `engines.base.Engine`.

    Args:
        names: surrogates to optimise on, by name or directory of an artifact; None takes every one that was exported.
        recipe: what it will run.
        device: "auto", "cpu", "cuda", "cuda:1".
    """

    name: ClassVar[str] = "onnx"
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu")
    no_surrogates: ClassVar[str] = (
        "no exported encoders on this machine, so nothing was refined: this is the draft. "
        "`anti-i2v surrogates pull` and `anti-i2v export taesd taesdxl taef1 --half` make them, on a machine with torch"
    )

    def __init__(self, names: Sequence[str | Path] | None, recipe: Recipe | None, device: str) -> None:
        if names is None:
            known = [entry.name for entry in encoders().values() if entry.role == "surrogate"]
            names = [name for name in (*known, *(recipe.video_models if recipe else ())) if artifact_at_hand(name)]
        self._names = list(names) if recipe is not None and recipe.steps else []
        self._asked = device

    @cached_property
    def _runtime(self) -> Runtime:
        return Runtime(self._asked)

    @cached_property
    def _models(self) -> list[_Model]:
        return [_Model(self._runtime, locate_artifact(name)) for name in self._names]

    @cached_property
    def _parts(self) -> _Model:
        return _Model(self._runtime, packaged(SHARED_GRAPHS))

    @property
    def device(self) -> str:
        runtime = self._runtime
        return f"{runtime.kind} ({runtime.active})" if runtime.active else runtime.kind

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of this installation."""
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
        _ = self._models, self._parts

    def initial_candidate(
        self, clean: PixelArray, pattern: PixelArray, budget: float, floor: float
    ) -> tuple[PixelArray, PixelArray]:
        value = self._runtime.value
        arrays = {
            "clean": clean,
            "pattern": pattern,
            "budget": np.array(budget, np.float32),
            "floor": np.array(floor, np.float32),
        }
        found = self._parts.need("begin").run({name: value(array) for name, array in arrays.items()})
        return found["candidate"].numpy(), found["radius"].numpy()

    def caption(self, clean: PixelArray) -> str | None:
        return None  # it runs no whole video models

    def open_photo(
        self,
        clean: PixelArray,
        start: PixelArray,
        radius: PixelArray,
        recipe: Recipe,
        target: PixelArray | None,
        seed: int,
    ) -> OnnxPhoto:
        return OnnxPhoto(self._models, self._parts, clean, start, radius, recipe, target=target, seed=seed)

    def is_available(self, name: str) -> bool:
        return artifact_at_hand(name) is not None

    def load_encoder(self, name: str) -> FrozenEncoder:
        return OnnxFrozenEncoder(_Model(self._runtime, locate_artifact(name)))

    def optimised_encoders(self) -> list[FrozenEncoder]:
        # What looks through a window says nothing of a whole photo; its encoder is among the others.
        return [OnnxFrozenEncoder(model) for model in self._models if not model.artifact.denoises]

    def load_lpips(self) -> Perceptual | None:
        folder = artifact_at_hand(LPIPS)
        if folder is None:
            return None
        model = _Model(self._runtime, folder)
        graph = model.need("distance")

        def distance(first: PixelArray, second: PixelArray) -> npt.NDArray[np.float32]:
            pair = {"first": self._runtime.value(first), "second": self._runtime.value(second)}
            found: npt.NDArray[np.float32] = graph.run(pair)["distance"].numpy()
            return found

        return distance
