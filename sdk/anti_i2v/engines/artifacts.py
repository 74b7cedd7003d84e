"""Artifacts: directories of exported ONNX graphs, with a sidecar that describes them.

    taesd/
      artifact.json            the sidecar: `Artifact`
      weights.bin              weights, shared by the graphs
      encode.onnx, decode.onnx, bind.TERMS.onnx, loss.TERMS.onnx, step.TERMS.SPACE.ALGORITHM.onnx

Artifacts are untrusted input. Only files that the sidecar lists are opened, by plain names inside the directory and
with the SHA-256 listed there; no pickle is read. ONNX Runtime reads the weights and refuses paths that leave the
directory. `anti_i2v_export` writes artifacts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from anti_i2v.errors import SurrogateError
from anti_i2v.paths import home
from anti_i2v.surrogates.catalogue import STUDENT, encoders, exportable
from anti_i2v.surrogates.info import Normalisation, RandomInput, SurrogateInfo

__all__ = [
    "FORMAT_VERSION",
    "SIDECAR",
    "Artifact",
    "Graph",
    "Port",
    "Verification",
    "file_sha256",
    "find_artifact",
    "load_context",
    "locate_artifact",
    "packaged_artifact",
    "read_artifact",
]

FORMAT_VERSION = 1
SIDECAR = "artifact.json"
CONTEXT = "context.safetensors"
LPIPS = "lpips"
SHARED_GRAPHS = "parts"
"""Name of the artifact with the graphs that need no surrogate: the initial candidate, and the step in each space."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_LARGEST_SIDECAR = 4 * 2**20


class Port(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input or output of a graph.

    Attributes:
        type: element type in ONNX's notation, "tensor(float)".
        shape: a number or a symbol for each dimension.
        range: the meaning of the values, in words.
    """

    name: str
    type: str
    shape: tuple[int | str, ...]
    range: str


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The largest differences found between torch and ONNX Runtime.

    Attributes:
        sizes: (height, width) of the compared photos.
        value_error: relative error of each photo's loss, or of the norm of the other outputs.
        gradient_cosine, sign_agreement: agreement of the gradient with respect to the pixels, where the graph has one.
        equal_levels: share of equal uint8 values after a step, where the graph takes one.
    """

    sizes: tuple[tuple[int, int], ...]
    value_error: float
    gradient_cosine: float | None = None
    sign_agreement: float | None = None
    equal_levels: float | None = None


class Graph(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One graph of an artifact.

    Attributes:
        file: its name in the directory.
        kind: "encode" (pixels -> features), "decode" (latent -> pixels), "bind" (clean photo -> constants of the
            loss), "loss" (pixels -> loss and gradient), "step" (a whole step, with the loss), "begin" (the initial
            candidate), "move" (a step, given its gradient), "distance" (two photos -> LPIPS).
        terms: terms of the loss, in the order of the weights.
        anchor_layers: hook points of the anchor term.
        space, algorithm: only for kinds "step" and "move".
    """

    file: str
    kind: Literal["encode", "decode", "bind", "loss", "step", "begin", "move", "distance"]
    terms: tuple[str, ...] = ()
    anchor_layers: tuple[str, ...] = ()
    space: str | None = None
    algorithm: str | None = None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    nodes: int
    verification: Verification


class Artifact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sidecar.

    Attributes:
        format_version: version of this structure; other versions are refused.
        surrogate: the exported model: name, class, source, fingerprint of the weights, licence.
        normalisation: applied inside the graphs.
        multiple: both sides of the pixels must be multiples of it.
        latent_scale: factor between the autoencoder's latents and the denoiser's.
        random_inputs: inputs sampled for each step (a denoiser: timestep, noise); "draws" in the file.
        denoises: whether it has a denoiser, which some terms need.
        precision: precision of the stored weights; arithmetic is fp32.
        opset: ONNX opset.
        tools: versions of the packages that exported and verified it.
        graphs: the graphs of the artifact.
        files: name -> SHA-256 of every other file.
    """

    format_version: int
    surrogate: SurrogateInfo
    normalisation: Normalisation | None = None
    multiple: int
    latent_scale: float | None = None
    random_inputs: dict[str, RandomInput] = msgspec.field(name="draws", default_factory=dict)
    denoises: bool = False
    precision: Literal["fp32", "fp16"]
    opset: int
    tools: dict[str, str]
    graphs: tuple[Graph, ...]
    files: dict[str, str]

    def find_graph(
        self,
        kind: str,
        *,
        terms: Sequence[str] = (),
        anchor_layers: Sequence[str] = (),
        space: str | None = None,
        algorithm: str | None = None,
    ) -> Graph | None:
        """Find the graph of a kind for these terms, space and algorithm; None where there is none."""
        wanted = (kind, tuple(terms), tuple(anchor_layers) if "anchor" in terms else (), space, algorithm)
        for graph in self.graphs:
            if (graph.kind, graph.terms, graph.anchor_layers, graph.space, graph.algorithm) == wanted:
                return graph
        return None


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_artifact(folder: Path) -> Artifact:
    """Read and check a directory: sidecar, format, names, hashes.

    Raises:
        SurrogateError: a file is missing or differs from the sidecar's hash, a name leaves the directory, or the
            format version is another; the message says what to do.
    """
    sidecar = folder / SIDECAR
    again = "export it again with `anti-i2v export`"
    try:
        if sidecar.stat().st_size > _LARGEST_SIDECAR:
            raise SurrogateError(f"{sidecar} is too large to be a sidecar: {again}")
        text = sidecar.read_bytes()
    except OSError:
        raise SurrogateError(f"no artifact at {folder}: it needs {SIDECAR}; {again}") from None
    try:
        version = msgspec.json.decode(text, type=dict).get("format_version")
        if version != FORMAT_VERSION:
            raise SurrogateError(f"{folder} has format version {version}, this package reads {FORMAT_VERSION}: {again}")
        artifact = msgspec.json.decode(text, type=Artifact)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise SurrogateError(f"{sidecar} is not a sidecar ({problem}): {again}") from None
    for graph in artifact.graphs:
        if graph.file not in artifact.files:
            raise SurrogateError(f"{sidecar} names {graph.file} without its SHA-256: {again}")
        if graph.kind in ("loss", "step") and not _has_gradient(graph):
            raise SurrogateError(f"{folder / graph.file} has no gradient output, so no step can use it: {again}")
    for name, expected in artifact.files.items():
        _check_file(folder, name, expected)
    return artifact


def _has_gradient(graph: Graph) -> bool:
    wanted = "gradient" if graph.kind == "loss" else "next"
    return any(port.name == wanted for port in graph.outputs)


def _check_file(folder: Path, name: str, expected: str) -> None:
    again = "export it again with `anti-i2v export`"
    # A plain name has no separators, "..", drive or leading dot. A link could still lead outside.
    if not _PLAIN.fullmatch(name) or (folder / name).is_symlink():
        raise SurrogateError(f"{folder} names {name!r}, which is not a plain file inside it: do not use this artifact")
    if not (folder / name).is_file():
        raise SurrogateError(f"{folder} lacks {name}: {again}")
    if file_sha256(folder / name) != expected:
        raise SurrogateError(f"{folder / name} is not the file that {SIDECAR} names (its SHA-256 differs): {again}")


def load_context(folder: Path, artifact: Artifact) -> Mapping[str, npt.NDArray[np.generic]]:
    """Load the inputs that are constant over all photos and steps (a prompt's embedding)."""
    if CONTEXT not in artifact.files:
        return {}
    from safetensors.numpy import load_file

    return load_file(folder / CONTEXT)


@lru_cache(maxsize=4)
def packaged_artifact(name: str) -> Path:
    """Return the directory of an artifact that the package ships: STUDENT or SHARED_GRAPHS."""
    return Path(str(resources.files("anti_i2v").joinpath("data", "onnx", name)))


def find_artifact(name: str) -> Path | None:
    """Return the directory of a known surrogate's (or LPIPS's) artifact; None where it is not exported."""
    folder = packaged_artifact(name) if name == STUDENT else home() / "onnx" / name
    return folder if (folder / SIDECAR).is_file() else None


def locate_artifact(name_or_folder: str | Path) -> Path:
    """Return the directory of a surrogate's artifact.

    Args:
        name_or_folder: a known surrogate, or a directory that contains an artifact.

    Raises:
        SurrogateError: it is unknown or not exported; the message says what to do.
    """
    name = str(name_or_folder)
    if name in exportable():
        folder = find_artifact(name)
        if folder is None:
            raise SurrogateError(
                f"{name} is not exported on this machine: run `anti-i2v export {name} --half`, or choose --engine torch"
            )
        return folder
    folder = Path(name_or_folder)
    if (folder / SIDECAR).is_file():
        return folder
    if folder.is_dir():
        raise SurrogateError(
            f"{folder} holds no artifact: run `anti-i2v export {folder} -o DIR` and give DIR, or choose --engine torch"
        )
    known = ", ".join([STUDENT, *encoders()])
    raise SurrogateError(f"unknown surrogate {name!r}: give the directory of an artifact, or one of {known}")
