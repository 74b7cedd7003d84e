"""Write an artifact: trace the graphs, store shared weights once, verify, then move the directory into place."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal, cast

import msgspec
import onnx
from onnx import external_data_helper

from anti_i2v.engines.artifacts import (
    CONTEXT,
    FORMAT_VERSION,
    SIDECAR,
    Artifact,
    Graph,
    Port,
    file_sha256,
    read_artifact,
)
from anti_i2v.errors import OutputError, SurrogateError
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.surrogates.info import Normalisation, RandomInput, SurrogateInfo
from anti_i2v_export.graphs import RANGES, ExampleInput, GraphSpec, Tensors, dynamic_shapes
from anti_i2v_export.trace import OPSET, half_weights, trace
from anti_i2v_export.verify import verify

__all__ = ["Subject", "check_artifact", "write_artifact"]

WEIGHTS = "weights.bin"

ALIGNMENT = 64
"""Alignment of tensors in bytes, for fast loads."""

MIN_SHARED_BYTES = 1024
"""Initializers of at least this many bytes are stored beside their graph."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of an exported surrogate, for the sidecar."""

    info: SurrogateInfo
    normalisation: Normalisation | None = None
    multiple: int = 8
    latent_scale: float | None = None
    random_inputs: dict[str, RandomInput] = msgspec.field(default_factory=dict)
    denoises: bool = False

    @classmethod
    def of(cls, surrogate: Surrogate) -> Subject:
        """Take the facts from a surrogate."""
        return cls(
            info=surrogate.info,
            normalisation=surrogate.normalisation,
            multiple=surrogate.multiple,
            latent_scale=surrogate.latent_scale,
            random_inputs=dict(surrogate.random_inputs),
            denoises=surrogate.denoises,
        )


def write_artifact(
    subject: Subject,
    graphs: Iterable[GraphSpec],
    folder: Path,
    examples: Sequence[ExampleInput],
    *,
    half: bool = False,
    context: Tensors | None = None,
    overwrite: bool = False,
    progress: Callable[[Graph], None] | None = None,
) -> Artifact:
    """Export into a directory, completely or not at all.

    Args:
        examples: each graph is verified on them.
        half: store weights as fp16 and cast them back on loading.
        context: inputs of the surrogate that are the same in every step.
        overwrite: replace an existing artifact.
        progress: called after each graph.

    Raises:
        OutputError: the directory exists, or cannot be written.
        SurrogateError: a graph does not export, or differs from torch.
    """
    check_free(folder, overwrite=overwrite)
    precision: Literal["fp32", "fp16"] = "fp16" if half else "fp32"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as scratch:
            fresh = Path(scratch) / "artifact"
            fresh.mkdir()
            written = _write_graphs(subject, graphs, fresh, examples, precision, progress)
            if context:
                from safetensors.torch import save_file

                save_file(context, fresh / CONTEXT)
            files = {path.name: file_sha256(path) for path in sorted(fresh.iterdir())}
            artifact = Artifact(
                format_version=FORMAT_VERSION,
                surrogate=subject.info,
                normalisation=subject.normalisation,
                multiple=subject.multiple,
                latent_scale=subject.latent_scale,
                random_inputs=subject.random_inputs,
                denoises=subject.denoises,
                precision=precision,
                opset=OPSET,
                tools={name: version(name) for name in ("anti-i2v-sdk", "torch", "onnx", "onnxscript", "onnxruntime")},
                graphs=tuple(written),
                files=files,
            )
            text = msgspec.json.format(msgspec.json.encode(artifact), indent=1)
            (fresh / SIDECAR).write_bytes(text + b"\n")
            read_artifact(fresh)
            if folder.exists():
                shutil.rmtree(folder)
            fresh.replace(folder)
    except OSError as problem:
        raise OutputError(
            f"{folder} cannot be written ({problem.strerror}): check the path and your permissions"
        ) from None
    return artifact


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Check that an artifact may be written to a directory: only artifacts are ever replaced.

    Raises:
        OutputError: the directory holds something else, or an artifact and `overwrite` is false.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / SIDECAR).is_file():
        raise OutputError(f"{folder} exists and is not an artifact: choose another directory")
    if not overwrite:
        raise OutputError(f"{folder} holds an artifact already: pass --overwrite, or choose another directory")


def _write_graphs(
    subject: Subject,
    specs: Iterable[GraphSpec],
    folder: Path,
    examples: Sequence[ExampleInput],
    precision: str,
    progress: Callable[[Graph], None] | None,
) -> list[Graph]:
    weights, graphs = _WeightsFile(folder / WEIGHTS), []
    for spec in specs:
        inputs, dims, labels = dynamic_shapes(spec, subject.multiple)
        model = trace(spec.function, inputs, spec.outputs, dims)
        if precision == "fp16":
            model = half_weights(model)
        path = folder / spec.file
        _remove_metadata(model)
        weights.extract(model)
        onnx.save(model, path)
        graph = Graph(
            file=spec.file,
            kind=cast(Literal["encode"], spec.kind),
            terms=spec.terms,
            anchor_layers=spec.anchor_layers,
            space=spec.space,
            algorithm=spec.algorithm,
            inputs=tuple(_port(port, spec, labels) for port in model.graph.input),
            outputs=tuple(_port(port, spec, {}) for port in model.graph.output),
            nodes=len(model.graph.node),
            verification=verify(spec, path, examples, precision),
        )
        graphs.append(graph)
        if progress is not None:
            progress(graph)
    return graphs


def _remove_metadata(model: onnx.ModelProto) -> None:
    """Remove stack traces, which are half of the file and contain folder names of this machine."""
    model.graph.ClearField("doc_string")
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        part.ClearField("doc_string")
        del part.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.ClearField("doc_string")
        del tensor.metadata_props[:]


class _WeightsFile:
    """The weights of several graphs in one file; equal values are stored once."""

    def __init__(self, path: Path) -> None:
        self._path, self._offsets, self._end = path, dict[str, int](), 0

    def extract(self, model: onnx.ModelProto) -> None:
        """Move a model's large initializers into the file."""
        for tensor in model.graph.initializer:
            data = onnx.numpy_helper.to_array(tensor).tobytes()
            if len(data) < MIN_SHARED_BYTES:
                continue
            key = hashlib.sha256(data).hexdigest()
            if key not in self._offsets:
                self._offsets[key] = self._append(data)
            tensor.ClearField("raw_data")
            tensor.raw_data = b""
            external_data_helper.set_external_data(tensor, WEIGHTS, offset=self._offsets[key], length=len(data))
            tensor.ClearField("raw_data")

    def _append(self, data: bytes) -> int:
        start = -(-self._end // ALIGNMENT) * ALIGNMENT
        with self._path.open("ab") as file:
            file.write(b"\0" * (start - self._end) + data)
        self._end = start + len(data)
        return start


def _port(port: onnx.ValueInfoProto, spec: GraphSpec, labels: dict[str, tuple[int | str, ...]]) -> Port:
    kind = port.type.tensor_type
    shape = labels.get(port.name, tuple(side.dim_value or side.dim_param for side in kind.shape.dim))
    name = port.name.partition(".")[2] or port.name
    meaning = (
        spec.ranges.get(port.name)
        or RANGES.get(port.name)
        or PREFIX_RANGES.get(port.name.partition(".")[0])
        or f"feature {name}"
    )
    return Port(
        name=port.name,
        type=f"tensor({onnx.TensorProto.DataType.Name(kind.elem_type).lower()})",
        shape=shape,
        range=meaning,
    )


PREFIX_RANGES = {
    "chart": "constant of the space, see anti_i2v.optim.space_constants",
    "memory": "state of the algorithm, zero before the first step in a space",
    "next": "state of the algorithm, for the next step in the space",
    "draw": "sampled anew for each step, or the surrogate's context",
    "displacement": "bound to the clean photo by the bind graph",
    "anchor": "bound to the target and the clean photo by the bind graph",
    "decoded": "bound to the clean photo by the bind graph",
    "auxiliary": "bound to the clean photo by the bind graph",
}
"""Meaning of inputs and outputs, by the prefix of their names. The names are those of artifact format 1."""


def check_artifact(folder: Path, specs: Iterable[GraphSpec], examples: Sequence[ExampleInput]) -> Artifact:
    """Verify an artifact again: its files against their hashes, each graph against torch.

    Raises:
        SurrogateError: a file or a graph differs, or no spec belongs to a graph.
    """
    artifact = read_artifact(folder)
    known = {spec.file: spec for spec in specs}
    for graph in artifact.graphs:
        if graph.file not in known:
            raise SurrogateError(f"{folder / graph.file} belongs to none of the given recipes: name its recipe")
        verify(known[graph.file], folder / graph.file, examples, artifact.precision)
    return artifact
