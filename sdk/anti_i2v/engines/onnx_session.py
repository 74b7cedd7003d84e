"""ONNX Runtime on one device: its sessions, and artifacts whose graphs run on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt
import onnxruntime

from anti_i2v.engines.artifacts import Artifact, load_context, read_artifact
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.surrogates.info import ALL_LEVELS, sample_inputs

__all__ = ["Array", "DeviceTensor", "GraphSession", "LoadedArtifact", "OrtDevice"]

Array = npt.NDArray[Any]
DeviceTensor: TypeAlias = onnxruntime.OrtValue


class OrtDevice:
    """A device of ONNX Runtime.

    Args:
        name: "auto" takes CUDA where ONNX Runtime has it; "cpu", "cuda", "cuda:1".

    Raises:
        RecipeError: the device is missing.
    """

    def __init__(self, name: str) -> None:
        kind, _, index = name.partition(":")
        has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        known = name in ("auto", "cpu") or (kind == "cuda" and (index or "0").isdecimal())
        if not known or (kind == "cuda" and not has_cuda):
            raise RecipeError(
                f"ONNX Runtime has no device {name!r} here: use auto or cpu"
                + (', or install "anti-i2v-sdk[gpu]" without onnxruntime beside it' if kind == "cuda" else "")
            )
        self.index = int(index or 0)
        self.kind = "cuda" if kind == "cuda" or (kind == "auto" and has_cuda) else "cpu"
        self._requested = kind
        self.active: str | None = None

    def session(self, path: Path) -> onnxruntime.InferenceSession:
        """Load a graph.

        Raises:
            SurrogateError: this ONNX Runtime cannot read it.
            RecipeError: CUDA was requested and ONNX Runtime fell back to another provider.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: warnings about folded constants are expected
        providers: list[Any] = ["CPUExecutionProvider"]
        if self.kind == "cuda":
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": self.index}))
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as problem:  # ONNX Runtime's errors have no common class below Exception
            raise SurrogateError(f"{path} cannot be loaded by ONNX Runtime: {_first_line(problem)}") from None
        # Ask the session: CUDA silently falls back to the CPU where one of its libraries is missing.
        self.active = session.get_providers()[0]
        if self.kind == "cuda" and self.active != "CUDAExecutionProvider":
            if self._requested == "cuda":
                raise RecipeError(
                    f"CUDA was requested, but ONNX Runtime runs on {self.active}: its CUDA libraries are missing, "
                    "use --device cpu or install them"
                )
            self.kind = "cpu"
        return session

    def to_device(self, array: Array) -> DeviceTensor:
        """Copy a numpy array to the device."""
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self.kind, self.index)


class GraphSession:
    """A session of one graph, loaded when it first runs."""

    def __init__(self, device: OrtDevice, path: Path) -> None:
        self._device, self._path = device, path

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return self._device.session(self._path)

    @cached_property
    def _inputs(self) -> list[str]:
        return [port.name for port in self._session.get_inputs()]

    def load(self) -> None:
        """Load the graph now."""
        _ = self._session

    def run(self, inputs: Mapping[str, DeviceTensor], outputs: Sequence[str] = ()) -> dict[str, DeviceTensor]:
        """Run the graph on the device.

        Args:
            inputs: by name; inputs that the graph does not have are ignored.
            outputs: names of the outputs to compute; none: all of them.

        Raises:
            SurrogateError: an input is missing, or the graph fails on the inputs.
        """
        names = list(outputs) or [port.name for port in self._session.get_outputs()]
        binding = self._session.io_binding()
        missing = [name for name in self._inputs if name not in inputs]
        if missing:
            raise SurrogateError(f"{self._path} needs an input {missing[0]!r} that this version does not provide")
        for name in self._inputs:
            binding.bind_ortvalue_input(name, inputs[name])
        for name in names:
            binding.bind_output(name, self._device.kind, self._device.index)
        options = onnxruntime.RunOptions()
        if outputs:
            options.only_execute_path_to_fetches = True
        try:
            self._session.run_with_iobinding(binding, options)
        except Exception as problem:  # as with loading
            raise SurrogateError(f"{self._path} failed in ONNX Runtime: {_first_line(problem)}") from None
        return dict(zip(names, binding.get_outputs(), strict=True))


def _first_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0][:200]


@final
class LoadedArtifact:
    """An artifact with sessions for its graphs."""

    def __init__(self, device: OrtDevice, folder: Path) -> None:
        self.folder, self.device = folder, device
        self.artifact: Artifact = read_artifact(folder)
        self.name = self.artifact.surrogate.name
        self.context = {
            f"draw.{name}": device.to_device(array) for name, array in load_context(folder, self.artifact).items()
        }
        self._sessions: dict[str, GraphSession] = {}

    def find_graph(self, kind: str, **wanted: Any) -> GraphSession | None:
        """Return the session of a graph: see `Artifact.find_graph`."""
        graph = self.artifact.find_graph(kind, **wanted)
        if graph is None:
            return None
        return self._sessions.setdefault(graph.file, GraphSession(self.device, self.folder / graph.file))

    def require_graph(self, kind: str, **wanted: Any) -> GraphSession:
        """Return the session of a graph. Raises SurrogateError where the artifact lacks it."""
        session = self.find_graph(kind, **wanted)
        if session is None:
            texts = {key: value if isinstance(value, str) else "+".join(value) for key, value in wanted.items()}
            purpose = ", ".join(f"{key} {value}" for key, value in texts.items() if value)
            raise SurrogateError(
                f"{self.folder} has no {kind} graph{' for ' + purpose if purpose else ''}: "
                "export it again with what the recipe needs (`anti-i2v export --help`)"
            )
        return session

    def sample_inputs(
        self,
        shape: tuple[int, ...],
        generator: np.random.Generator,
        noise_levels: tuple[float, float] = ALL_LEVELS,
    ) -> dict[str, DeviceTensor]:
        """Sample the surrogate's random inputs for pixels of a shape, and add its context."""
        arrays = sample_inputs(self.artifact.random_inputs, shape, generator, noise_levels)
        return self.context | {f"draw.{name}": self.device.to_device(array) for name, array in arrays.items()}
