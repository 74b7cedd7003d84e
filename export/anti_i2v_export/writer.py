"""Writes an artifact: traces, stores weights once, verifies the files, and only then puts the directory in place."""

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

from anti_i2v.engines.artifacts import CONTEXT, FORMAT_VERSION, SIDECAR, Artifact, Graph, Port, digest, read_artifact
from anti_i2v.errors import OutputError, SurrogateError
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.surrogates.info import Normalisation, RandomInput, SurrogateInfo
from anti_i2v_export.graphs import RANGES, ExampleInput, GraphSpec, Tensors, dynamic_shapes
from anti_i2v_export.trace import OPSET, half_weights, trace
from anti_i2v_export.verify import verify

__all__ = ["Subject", "check_artifact", "write_artifact"]

WEIGHTS = "weights.bin"

ALIGNMENT = 64
"""Bytes: where a tensor may begin, so that a processor reads it at full speed."""

LEAST_SHARED = 1024
"""Bytes from which an initializer is stored beside its graph instead of inside it."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported: the facts that the sidecar tells of it."""

    info: SurrogateInfo
    normalisation: Normalisation | None = None
    multiple: int = 8
    latent_scale: float | None = None
    random_inputs: dict[str, RandomInput] = msgspec.field(default_factory=dict)
    denoises: bool = False

    @classmethod
    def of(cls, surrogate: Surrogate) -> Subject:
        """Of a surrogate."""
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
    drafts: Iterable[GraphSpec],
    folder: Path,
    samples: Sequence[ExampleInput],
    *,
    half: bool = False,
    context: Tensors | None = None,
    overwrite: bool = False,
    progress: Callable[[Graph], None] | None = None,
) -> Artifact:
    """Export into a directory, whole or not at all.

    Args:
        samples: what each graph is verified on.
        half: store weights as fp16 and cast them back when they are loaded.
        context: what the surrogate is given unchanged in every step.
        overwrite: replace an artifact that is there.
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
            graphs = _write_graphs(subject, drafts, fresh, samples, precision, progress)
            if context:
                from safetensors.torch import save_file

                save_file(context, fresh / CONTEXT)
            files = {path.name: digest(path) for path in sorted(fresh.iterdir())}
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
                graphs=tuple(graphs),
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
    """Whether an artifact may be put there: nothing but an artifact is ever replaced.

    Raises:
        OutputError: something is there already.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / SIDECAR).is_file():
        raise OutputError(f"{folder} exists and is no artifact: choose another directory")
    if not overwrite:
        raise OutputError(f"{folder} holds an artifact already: pass --overwrite, or choose another directory")


def _write_graphs(
    subject: Subject,
    drafts: Iterable[GraphSpec],
    folder: Path,
    samples: Sequence[ExampleInput],
    precision: str,
    progress: Callable[[Graph], None] | None,
) -> list[Graph]:
    weights, graphs = _Weights(folder / WEIGHTS), []
    for draft in drafts:
        inputs, dims, words = dynamic_shapes(draft, subject.multiple)
        model = trace(draft.function, inputs, draft.outputs, dims)
        if precision == "fp16":
            model = half_weights(model)
        path = folder / draft.file
        _forget_origins(model)
        weights.take(model)
        onnx.save(model, path)
        graph = Graph(
            file=draft.file,
            kind=cast(Literal["encode"], draft.kind),
            terms=draft.terms,
            anchor_layers=draft.anchor_layers,
            space=draft.space,
            algorithm=draft.algorithm,
            inputs=tuple(_port(port, draft, words) for port in model.graph.input),
            outputs=tuple(_port(port, draft, {}) for port in model.graph.output),
            nodes=len(model.graph.node),
            verification=verify(draft, path, samples, precision),
        )
        graphs.append(graph)
        if progress is not None:
            progress(graph)
    return graphs


def _forget_origins(model: onnx.ModelProto) -> None:
    """Without the stack traces of its making, which are half of the file and name folders of this machine."""
    model.graph.ClearField("doc_string")
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        part.ClearField("doc_string")
        del part.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.ClearField("doc_string")
        del tensor.metadata_props[:]


class _Weights:
    """One file for the weights of several graphs: the same values are stored once."""

    def __init__(self, path: Path) -> None:
        self._path, self._places, self._end = path, dict[str, int](), 0

    def take(self, model: onnx.ModelProto) -> None:
        """Move a model's large initializers into the file."""
        for tensor in model.graph.initializer:
            data = onnx.numpy_helper.to_array(tensor).tobytes()
            if len(data) < LEAST_SHARED:
                continue
            key = hashlib.sha256(data).hexdigest()
            if key not in self._places:
                self._places[key] = self._append(data)
            tensor.ClearField("raw_data")
            tensor.raw_data = b""
            external_data_helper.set_external_data(tensor, WEIGHTS, offset=self._places[key], length=len(data))
            tensor.ClearField("raw_data")

    def _append(self, data: bytes) -> int:
        start = -(-self._end // ALIGNMENT) * ALIGNMENT
        with self._path.open("ab") as file:
            file.write(b"\0" * (start - self._end) + data)
        self._end = start + len(data)
        return start


def _port(port: onnx.ValueInfoProto, draft: GraphSpec, words: dict[str, tuple[int | str, ...]]) -> Port:
    kind = port.type.tensor_type
    shape = words.get(port.name, tuple(side.dim_value or side.dim_param for side in kind.shape.dim))
    name = port.name.partition(".")[2] or port.name
    meaning = (
        draft.ranges.get(port.name)
        or RANGES.get(port.name)
        or _KINDS.get(port.name.partition(".")[0])
        or f"feature {name}"
    )
    return Port(
        name=port.name,
        type=f"tensor({onnx.TensorProto.DataType.Name(kind.elem_type).lower()})",
        shape=shape,
        range=meaning,
    )


_KINDS = {
    "chart": "of the space, see anti_i2v.optim.space_constants",
    "memory": "of the algorithm, zero before the first step of a space",
    "next": "of the algorithm, for the next step of the space",
    "draw": "drawn anew for each step, or the surrogate's context",
    "displacement": "bound to the clean photo by the bind graph",
    "anchor": "bound to the target and the clean photo by the bind graph",
    "decoded": "bound to the clean photo by the bind graph",
    "auxiliary": "bound to the clean photo by the bind graph",
}


def check_artifact(folder: Path, drafts: Iterable[GraphSpec], samples: Sequence[ExampleInput]) -> Artifact:
    """Verify an artifact again: its files against their hashes, each graph against torch.

    Raises:
        SurrogateError: a file or a graph is not what the sidecar says, or a graph is none that this version makes.
    """
    artifact = read_artifact(folder)
    known = {draft.file: draft for draft in drafts}
    for graph in artifact.graphs:
        if graph.file not in known:
            raise SurrogateError(f"{folder / graph.file} is no graph of the recipes that were named: name its recipe")
        verify(known[graph.file], folder / graph.file, samples, artifact.precision)
    return artifact
