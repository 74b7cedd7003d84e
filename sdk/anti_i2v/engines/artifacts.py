"""Artifacts: exported graphs in a directory, beside a sidecar that says what they are.

    taesd/
      artifact.json            the sidecar: `Artifact`
      weights.bin              weights, shared by the graphs
      encode.onnx, decode.onnx, bind.TERMS.onnx, loss.TERMS.onnx, step.TERMS.SPACE.ALGORITHM.onnx

An artifact is data from elsewhere. Only the files that its sidecar names are opened, each by a plain name inside the
directory and only if its SHA-256 is the one named there; no pickle is ever read. Weights beside a graph are read by
ONNX Runtime, which refuses paths that leave the directory. Writing artifacts is `anti_i2v_export`'s.
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
    "artifact_at_hand",
    "context_of",
    "digest",
    "locate_artifact",
    "packaged",
    "read_artifact",
]

FORMAT_VERSION = 1
SIDECAR = "artifact.json"
CONTEXT = "context.safetensors"
LPIPS = "lpips"
SHARED_GRAPHS = "parts"
"""The graphs that hold no surrogate: where steps begin, and the moves in each space."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_LARGEST_SIDECAR = 4 * 2**20


class Port(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input or output of a graph.

    Attributes:
        type: element type in ONNX's words, "tensor(float)".
        shape: a side each, a number or a symbol.
        range: what the values mean, in words.
    """

    name: str
    type: str
    shape: tuple[int | str, ...]
    range: str


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The worst that was found when torch and ONNX Runtime were compared.

    Attributes:
        sizes: (height, width) of the photos, the first of them the traced one.
        value_error: of the loss of each photo, or of the length of a latent or of pixels: relative to what torch gave.
        gradient_cosine, sign_agreement: of the gradient with respect to the pixels, where the graph has one.
        equal_levels: share of uint8 values that agree after a step, where the graph makes pixels.
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
        kind: "encode" (pixels -> features), "decode" (latent -> pixels), "bind" (clean photo -> what losses compare
            with), "loss" (pixels -> loss and gradient), "step" (a whole step around a loss), "begin" (where steps
            start), "move" (a step from its gradient on), "distance" (two photos -> LPIPS).
        terms: of the objective, in the order of the weights.
        anchor_layers: hook points that its anchor pulls.
        space, algorithm: of steps and moves.
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
        format_version: of this structure; another one is refused.
        surrogate: what was exported: name, class, source, SHA-256 of the weights' values, licence.
        normalisation: inside the graphs.
        multiple: both sides of the pixels are multiples of it.
        latent_scale: factor between the autoencoder's own latents and those that a denoiser sees.
        draws: what is drawn anew for each step (a denoiser: timestep, noise).
        denoises: whether it has a denoiser, so that terms that look at one are asked of it.
        precision: of the stored weights; arithmetic is fp32.
        opset: of ONNX.
        tools: versions of what exported and verified it.
        graphs: what it holds.
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

    def find(
        self,
        kind: str,
        *,
        terms: Sequence[str] = (),
        anchor_layers: Sequence[str] = (),
        space: str | None = None,
        algorithm: str | None = None,
    ) -> Graph | None:
        """The graph of a kind for these terms, space and algorithm, or None."""
        wanted = (kind, tuple(terms), tuple(anchor_layers) if "anchor" in terms else (), space, algorithm)
        for graph in self.graphs:
            if (graph.kind, graph.terms, graph.anchor_layers, graph.space, graph.algorithm) == wanted:
                return graph
        return None


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_artifact(folder: Path) -> Artifact:
    """Read and check a directory: sidecar, format, names, hashes.

    Raises:
        SurrogateError: a file is missing or not the one that the sidecar names, a name leaves the directory, or the
            format is another one; the message says what to do.
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
    # A plain name: no separators, no "..", no drive, no leading dot. A link could still lead outside.
    if not _PLAIN.fullmatch(name) or (folder / name).is_symlink():
        raise SurrogateError(f"{folder} names {name!r}, which is no plain file inside it: do not use this artifact")
    if not (folder / name).is_file():
        raise SurrogateError(f"{folder} lacks {name}: {again}")
    if digest(folder / name) != expected:
        raise SurrogateError(f"{folder / name} is not the file that {SIDECAR} names (its SHA-256 differs): {again}")


def context_of(folder: Path, artifact: Artifact) -> Mapping[str, npt.NDArray[np.generic]]:
    """What the surrogate is given unchanged in every step (a prompt's embedding): the tensors of CONTEXT."""
    if CONTEXT not in artifact.files:
        return {}
    from safetensors.numpy import load_file

    return load_file(folder / CONTEXT)


@lru_cache(maxsize=4)
def packaged(name: str) -> Path:
    """The directory of an artifact that the package ships: EMBEDDED or PARTS."""
    return Path(str(resources.files("anti_i2v").joinpath("data", "onnx", name)))


def artifact_at_hand(name: str) -> Path | None:
    """The directory of a known surrogate's artifact (or LPIPS's), or None where there is none."""
    folder = packaged(name) if name == STUDENT else home() / "onnx" / name
    return folder if (folder / SIDECAR).is_file() else None


def locate_artifact(name_or_folder: str | Path) -> Path:
    """The artifact of a surrogate by name, or a directory that holds one.

    Raises:
        SurrogateError: it is unknown, or known and not exported; the message says what to do.
    """
    name = str(name_or_folder)
    if name in exportable():
        folder = artifact_at_hand(name)
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
