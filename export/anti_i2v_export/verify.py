"""Compare a graph in ONNX Runtime with its torch function on a real photo, and refuse it where they differ."""

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

__all__ = ["check_limits", "photo_examples", "verify"]

VALUE_ERROR = 1e-4
GRADIENT_COSINE = 0.9999
SIGN_AGREEMENT = {"fp32": 0.999, "fp16": 0.995}
"""By the precision of the weights, over elements whose gradient is above a millionth of the largest."""

EQUAL_LEVELS = 0.99

SIDES = ((64, 96), (96, 64), (160, 128))
"""Minimum sizes of the examples. Graphs are traced at another size and batch."""


def photo_examples(multiple: int) -> list[ExampleInput]:
    """Load the packaged photo at three sizes, sides multiples of `multiple`, in batches of 1, 3 and 2."""
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
    """Round a side up to a multiple of `step`, at least four times `step`."""
    return max(4 * step, -(-side // step) * step)


def verify(spec: GraphSpec, path: Path, examples: Sequence[ExampleInput], precision: str) -> Verification:
    """Compare a traced graph with the function that it was traced from.

    Raises:
        SurrogateError: they differ by more than the limits above, or ONNX Runtime cannot run the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        pairs = [_run_both(spec, session, example) for example in examples]
    except SurrogateError:
        raise
    except Exception as problem:  # ONNX Runtime's errors have no common class below Exception
        first_line = str(problem).strip().splitlines()[0][:200]
        raise SurrogateError(f"{path.name} does not run in ONNX Runtime: {first_line}") from None
    found = Verification(
        sizes=tuple(example.size for example in examples),
        value_error=max(_value_error(spec, *pair) for pair in pairs),
        gradient_cosine=min([_gradient_cosine(*pair) for pair in pairs]) if "gradient" in spec.outputs else None,
        sign_agreement=min([_sign_agreement(*pair) for pair in pairs]) if "gradient" in spec.outputs else None,
        equal_levels=min([_equal_levels(*pair) for pair in pairs]) if "next" in spec.outputs else None,
    )
    check_limits(spec, found, precision)
    return found


Array = npt.NDArray[np.float32]
Arrays = Mapping[str, Array]


def _run_both(spec: GraphSpec, session: onnxruntime.InferenceSession, example: ExampleInput) -> tuple[Arrays, Arrays]:
    inputs = spec.inputs(example)
    # Not inference mode: the functions differentiate.
    torch_values = [value.detach().numpy() for value in spec.function(**inputs)]
    read = {port.name for port in session.get_inputs()}
    feed = {name: value.detach().numpy() for name, value in inputs.items() if name in read}
    onnx_values = session.run(list(spec.outputs), feed)
    return dict(zip(spec.outputs, torch_values, strict=True)), dict(zip(spec.outputs, onnx_values, strict=True))


def _value_error(spec: GraphSpec, expected: Arrays, found: Arrays) -> float:
    """Compare the outputs except gradients and steps: one flipped sign moves a pixel by a whole step."""
    names = [
        name
        for name in spec.outputs
        if name == "loss" or spec.kind in ("encode", "decode", "bind", "begin", "distance")
    ]
    if not all(np.isfinite(found[name]).all() for name in spec.outputs):
        return float("inf")
    return max([0.0, *(_relative(expected[name], found[name], each=name == "loss") for name in names)])


def _relative(expected: Array, found: Array, *, each: bool) -> float:
    """Return the norm of the difference relative to that of the expected values, or with `each` the largest element's.

    Values below .1 are compared absolutely: a loss may cross zero.
    """
    if each:
        return float((np.abs(expected - found) / np.abs(expected).clip(0.1)).max())
    floor = 0.1 * math.sqrt(expected.size)
    return float(np.linalg.norm(expected - found)) / max(float(np.linalg.norm(expected)), floor)


def _gradient_cosine(expected: Arrays, found: Arrays) -> float:
    one, two = (values["gradient"].astype(np.float64).ravel() for values in (expected, found))
    return float(one @ two) / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-30)


def _sign_agreement(expected: Arrays, found: Arrays) -> float:
    one, two = expected["gradient"], found["gradient"]
    counted = np.abs(one) > 1e-6 * np.abs(one).max()
    return float((np.sign(one) == np.sign(two))[counted].mean())


def _equal_levels(expected: Arrays, found: Arrays) -> float:
    one, two = (np.rint(np.float32(255) * values["next"]) for values in (expected, found))
    return float((one == two).mean())


def check_limits(spec: GraphSpec, found: Verification, precision: str) -> None:
    """Raise SurrogateError for the first figure that is worse than its limit, or NaN."""
    hint = _hint(precision)
    if not found.value_error <= VALUE_ERROR:
        raise SurrogateError(
            f"{spec.file} was not exported: it differs from torch by {found.value_error:.1e}, "
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
                f"{spec.file} was not exported: its {name} with torch is {value:.5f}, below {limit}{hint}"
            )


def _hint(precision: str) -> str:
    return ": leave --half out, its weights need full precision" if precision == "fp16" else ""
