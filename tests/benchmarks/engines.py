"""Compares the engines: seconds of one value and gradient, agreement of the gradients, start time, memory.

    ANTI_I2V_HOME=FOLDER python tests/benchmarks/engines.py [--surrogates embedded taesd] [--sizes 256 512] [--rounds 5]

FOLDER holds surrogates/ and the artifacts onnx/ (`anti-i2v export taesd`). Variants run in turn within one process,
several rounds, and each figure is a median beside plain torch: eager, fp32, contiguous, as torch comes. Start and peak
memory are measured in a process of their own for each engine. With CUDA the same is printed for it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from anti_i2v.engines.artifacts import locate_artifact
from anti_i2v.engines.onnx_engine import OnnxEngine
from anti_i2v.images.decode import open_photo
from anti_i2v.images.resize import resize_to_working
from anti_i2v.objectives.binding import bind_objectives
from anti_i2v.objectives.encoder_shift import LatentShift
from anti_i2v.optim.initialisation import initial_pattern
from anti_i2v.optim.transforms import SampledTransform
from anti_i2v.optim.update_rules import value_and_gradient
from anti_i2v.recipes import load_recipe
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.surrogates.catalogue import load_surrogate
from anti_i2v.surrogates.student import Student

PHOTO = Path(__file__).parent.parent / "data" / "astronaut.jpg"
RECIPE = load_recipe("balanced", spaces=["rgb"])

Run = Callable[[], np.ndarray]
"""One value and gradient; returns the gradient, so that the device has finished."""


def pixels(size: int) -> tuple[np.ndarray, np.ndarray]:
    """(clean, candidate): the committed photo, and its draft."""
    clean = resize_to_working(open_photo(PHOTO).pixels, (size, size))
    return clean, (clean + np.float32(8 / 255) * initial_pattern(clean, "draft", 0)).clip(0, 1)


def contiguous(surrogate: Surrogate) -> Surrogate:
    """In torch's own memory format, without the SDK's channels_last."""
    surrogate.to(memory_format=torch.contiguous_format)
    if isinstance(surrogate, Student):
        surrogate.features = lambda pixels, inputs=None: {  # type: ignore[method-assign]  # only for this comparison
            "latent": surrogate.head(surrogate.trunk(surrogate.normalised(pixels)))
        }
    else:
        surrogate.features = lambda pixels, inputs=None: {  # type: ignore[method-assign]
            "latent": surrogate.model.encoder(surrogate.normalised(pixels))
        }
    return surrogate


def torch_run(surrogate: Surrogate, size: int, device: str, compiled: bool = False, autocast: bool = False) -> Run:
    clean, candidate = (torch.from_numpy(array).to(device) for array in pixels(size))
    loss_fn = bind_objectives({LatentShift(): 1.0}, surrogate, clean)
    called = torch.compile(loss_fn) if compiled else loss_fn

    def run() -> np.ndarray:
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            return value_and_gradient(called, candidate)[1].float().cpu().numpy()

    return run


def onnx_run(name: str, size: int, device: str) -> Run:
    clean, candidate = pixels(size)
    engine = OnnxEngine([name], RECIPE, device)
    engine.prepare()
    optimiser = engine.create_optimiser(clean, candidate, np.full((1, 1, size, size), 8 / 255, np.float32), RECIPE, 0)
    optimiser.bind(0)
    return lambda: optimiser._loss_and_gradient(optimiser.start, [0], SampledTransform())[
        1
    ]  # only the loss graph, as torch's side is timed


def steps_of(name: str, size: int, device: str) -> dict[str, Callable[[], object]]:
    """A whole step: one graph, or the loss graph and the move graph."""
    clean, candidate = pixels(size)
    engine = OnnxEngine([name], RECIPE, device)
    engine.prepare()
    optimiser = engine.create_optimiser(clean, candidate, np.full((1, 1, size, size), 8 / 255, np.float32), RECIPE, 0)
    optimiser.bind(0)
    one = lambda: optimiser.step(optimiser.start, [0], SampledTransform(), 0, 0, 1e-3)[0].numpy()  # noqa: E731

    def two() -> object:
        model, found = optimiser._models[0], optimiser._models[0].find_graph
        model.find_graph = lambda kind, **wanted: None if kind == "step" else found(kind, **wanted)  # type: ignore[method-assign]
        try:
            return one()
        finally:
            model.find_graph = found  # type: ignore[method-assign]

    return {"whole step, one run": one, "whole step, two runs": two}


def interleaved(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, run in turn; the first round warms up."""
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(rounds + 1):
        for label, run in runs.items():
            begun = time.perf_counter()
            run()
            seconds[label].append(time.perf_counter() - begun)
    return {label: median(taken[1:]) for label, taken in seconds.items()}


def compare(name: str, size: int, device: str, rounds: int) -> None:
    half = {} if name == "embedded" else {"dtype": torch.bfloat16}
    load = lambda **options: load_surrogate(name, device=device, **options)  # noqa: E731
    runs: dict[str, Run] = {
        "torch eager, fp32": torch_run(contiguous(load()), size, device),
        "torch eager, fp32, channels_last": torch_run(load(), size, device),
        "torch eager, bf16, channels_last": torch_run(load(**half), size, device, autocast=not half),
        "ONNX Runtime, fp32": onnx_run(name, size, device),
    }
    if device == "cuda":
        runs["torch.compile, fp32"] = torch_run(load(), size, device, compiled=True)
        runs["torch.compile, bf16"] = torch_run(load(**half), size, device, compiled=True, autocast=not half)
    seconds = interleaved({**runs, **steps_of(name, size, device)}, rounds)
    reference = runs["torch eager, fp32"]()
    print(f"\n{name}, {size} px, {device}, {torch.get_num_threads()} threads: one value and gradient")
    for label, taken in seconds.items():
        line = f"  {label:36}{taken:8.3f} s{seconds['torch eager, fp32'] / taken:7.2f}x"
        if label in runs:
            gradient = runs[label]()
            signs = (np.sign(gradient) == np.sign(reference)).mean()
            cosine = (gradient * reference).sum() / np.linalg.norm(gradient) / np.linalg.norm(reference)
            line += f"   signs {signs:7.2%}   cosine {cosine:.5f}"
        print(line, flush=True)


LIGHT = """
import sys, time
begun = time.perf_counter()
from anti_i2v import load_recipe
from anti_i2v.engines import make_engine
import numpy as np, resource
from anti_i2v.images.decode import open_photo
from anti_i2v.images.resize import resize_to_working
from anti_i2v.optim.initialisation import initial_pattern
from anti_i2v.optim.transforms import SampledTransform
recipe = load_recipe("balanced")
engine = make_engine({engine!r}, [{name!r}], recipe, "cpu")
engine.prepare()
clean = resize_to_working(open_photo({photo!r}).pixels, (256, 256))
start = (clean + np.float32(8 / 255) * initial_pattern(clean, "draft", 0)).clip(0, 1)
optimiser = engine.create_optimiser(clean, start, np.full((1, 1, 256, 256), 8 / 255, np.float32), recipe, 0)
optimiser.bind(0)
ready = time.perf_counter() - begun
optimiser.step(optimiser.start, [0], SampledTransform(), 0, 0, 1e-3)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
torch = "with torch" if "torch" in sys.modules else "without torch"
print(f"{{ready:.2f}} s from start to ready, {{peak:.0f}} MB peak after a step at 256 px, {{torch}}", flush=True)
"""
"""Run in a process of its own: importing this file would load torch for both engines."""


def starts(names: list[str]) -> None:
    print("\nstart and memory, a process each")
    for name in names:
        for engine in ("torch", "onnx"):
            code = LIGHT.format(engine=engine, name=name, photo=str(PHOTO))
            run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  # this very code
            print(f"  {engine:6}{name:12}{run.stdout.strip()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surrogates", nargs="+", default=["embedded", "taesd"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512])
    parser.add_argument("--rounds", type=int, default=5)
    settings = parser.parse_args()
    for name in settings.surrogates:
        locate_artifact(name)  # says what to do where it is missing
    starts(settings.surrogates)
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for name in settings.surrogates:
            for size in settings.sizes:
                compare(name, size, device, settings.rounds)


if __name__ == "__main__":
    main()
