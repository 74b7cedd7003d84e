"""Torch against ONNX Runtime, on a real photo: verify or refuse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from PIL import Image

from anti_i2v.engines.artifacts import Verification
from anti_i2v.errors import SurrogateError
from anti_i2v_export.graphs import ExampleInput, GraphSpec, example_input

__all__ = ["real_samples", "verify"]

VALUE_ERROR = 1e-4
GRADIENT_COSINE = 0.9999
SIGN_AGREEMENT = {"fp32": 0.999, "fp16": 0.995}
"""By the precision of the weights; counted where the gradient is above a millionth of its largest value."""

EQUAL_LEVELS = 0.99

SIDES = ((64, 96), (96, 64), (160, 128))
"""Least sizes of the samples; none of them is what graphs are traced at, and the batch differs from it as well."""


def real_samples(multiple: int) -> list[ExampleInput]:
    """The packaged photo at three sizes, sides multiples of what the surrogate needs, in batches of 1, 3 and 2."""
    data = resources.files("anti_i2v_export").joinpath("data/astronaut.jpg").read_bytes()
    step = int(np.lcm(multiple, 8))
    found = []
    with Image.open(BytesIO(data)) as file:
        for batch, (height, width) in zip((1, 3, 2), SIDES, strict=True):
            size = (_at_least(width, step), _at_least(height, step))
            pixels = np.asarray(file.convert("RGB").resize(size, Image.Resampling.LANCZOS), np.float32) / 255
            found.append(example_input(torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()), batch))
    return found


def _at_least(side: int, step: int) -> int:
    """A side as a multiple of `step`, four of them at least."""
    return max(4 * step, -(-side // step) * step)


def verify(draft: GraphSpec, path: Path, samples: Sequence[ExampleInput], precision: str) -> Verification:
    """Compare a traced graph with the function that it was traced from.

    Raises:
        SurrogateError: it differs by more than the limits above, or ONNX Runtime does not run it.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        pairs = [_pair(draft, session, given) for given in samples]
    except SurrogateError:
        raise
    except Exception as problem:  # ONNX Runtime's errors have no common class below Exception
        first_line = str(problem).strip().splitlines()[0][:200]
        raise SurrogateError(f"{path.name} does not run in ONNX Runtime: {first_line}") from None
    found = Verification(
        sizes=tuple(given.size for given in samples),
        value_error=max(_value_error(draft, *pair) for pair in pairs),
        gradient_cosine=_worst([_cosine(*pair) for pair in pairs]) if "gradient" in draft.outputs else None,
        sign_agreement=_worst([_signs(*pair) for pair in pairs]) if "gradient" in draft.outputs else None,
        equal_levels=_worst([_levels(*pair) for pair in pairs]) if "next" in draft.outputs else None,
    )
    _refuse(draft, found, precision)
    return found


Array = npt.NDArray[np.float32]
Arrays = Mapping[str, Array]


def _pair(draft: GraphSpec, session: onnxruntime.InferenceSession, given: ExampleInput) -> tuple[Arrays, Arrays]:
    inputs = draft.inputs(given)
    # Not inference mode: the functions differentiate.
    torch_values = [value.detach().numpy() for value in draft.function(**inputs)]
    read = {port.name for port in session.get_inputs()}
    feed = {name: value.detach().numpy() for name, value in inputs.items() if name in read}
    onnx_values = session.run(list(draft.outputs), feed)
    return dict(zip(draft.outputs, torch_values, strict=True)), dict(zip(draft.outputs, onnx_values, strict=True))


def _worst(values: Sequence[float]) -> float:
    return min(values)


def _value_error(draft: GraphSpec, expected: Arrays, found: Arrays) -> float:
    """Of what is a value and not a gradient, or moved by one: a sign that flips there moves a pixel by a whole step."""
    names = [
        name
        for name in draft.outputs
        if name == "loss" or draft.kind in ("encode", "decode", "bind", "begin", "distance")
    ]
    if not all(np.isfinite(found[name]).all() for name in draft.outputs):
        return float("inf")
    return max([0.0, *(_relative(expected[name], found[name], each=name == "loss") for name in names)])


def _relative(expected: Array, found: Array, *, each: bool) -> float:
    """Length of the difference, relative to the expected values' own; `each`: the worst of the single values.

    Below a tenth a value is compared absolutely: a loss may cross zero.
    """
    if each:
        return float((np.abs(expected - found) / np.abs(expected).clip(0.1)).max())
    floor = 0.1 * math.sqrt(expected.size)
    return float(np.linalg.norm(expected - found)) / max(float(np.linalg.norm(expected)), floor)


def _cosine(expected: Arrays, found: Arrays) -> float:
    one, two = (values["gradient"].astype(np.float64).ravel() for values in (expected, found))
    return float(one @ two) / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-30)


def _signs(expected: Arrays, found: Arrays) -> float:
    one, two = expected["gradient"], found["gradient"]
    counted = np.abs(one) > 1e-6 * np.abs(one).max()
    return float((np.sign(one) == np.sign(two))[counted].mean())


def _levels(expected: Arrays, found: Arrays) -> float:
    one, two = (np.rint(np.float32(255) * values["next"]) for values in (expected, found))
    return float((one == two).mean())


def _refuse(draft: GraphSpec, found: Verification, precision: str) -> None:
    """Raises SurrogateError for the first figure that is worse than allowed; a figure that is not a number is."""
    hint = _hint(precision)
    if not found.value_error <= VALUE_ERROR:
        raise SurrogateError(
            f"{draft.file} was not exported: it differs from torch by {found.value_error:.1e}, "
            f"{VALUE_ERROR:g} is allowed{hint}"
        )
    least = {
        "gradient cosine": (found.gradient_cosine, GRADIENT_COSINE),
        "sign agreement": (found.sign_agreement, SIGN_AGREEMENT[precision]),
        "share of equal levels": (found.equal_levels, EQUAL_LEVELS),
    }
    for name, (value, limit) in least.items():
        if value is not None and not value >= limit:
            raise SurrogateError(
                f"{draft.file} was not exported: its {name} with torch is {value:.5f}, below {limit}{hint}"
            )


def _hint(precision: str) -> str:
    return ": leave --half out, its weights need full precision" if precision == "fp16" else ""
