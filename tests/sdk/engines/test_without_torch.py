"""Protecting with ONNX Runtime, from Python and from the command line, where torch cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import anti_i2v
from anti_i2v.arrays import Rgb8
from anti_i2v.recipes import load_recipe

pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'anti-i2v-sdk[cpu]'")


pytestmark = pytest.mark.usefixtures("empty_home")

HEAVY = ("torch", "kornia", "diffusers", "transformers", "onnx", "onnxscript")
WITHOUT = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None  # how Python itself marks a module that cannot be imported
"""
PROTECT = """
import numpy as np
from anti_i2v import protect
photo = np.random.default_rng(0).integers(0, 256, (64, 72, 3), dtype=np.uint8)
made = protect(
    photo, recipe="balanced", preset="instagram", engine=sys.argv[1], surrogates=["embedded"], steps=3,
    spaces=["rgb", "lab", "dct"],
)
print(made.receipt)
print(made.receipt.to_json().decode())
made.save("made.png")
assert not [name for name, module in sys.modules.items() if name.partition(".")[0] in HEAVY and module]
""".replace("HEAVY", repr(HEAVY))
ENTRY = "from anti_i2v_cli import main; main()"


def start(program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(anti_i2v.__file__).parents[1]), "PYTHONWARNINGS": ""}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=300)  # noqa: S603  # ours


@pytest.mark.parametrize("engine", ["onnx", "auto"])
def test_protecting_does_not_import_torch(engine: str, tmp_path: Path) -> None:
    done = start(WITHOUT + PROTECT, engine, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"engine": "onnx"' in done.stdout
    assert (tmp_path / "made.png").exists()


def test_the_command_protects_and_checks_without_torch(tmp_path: Path, photos: list[Rgb8]) -> None:
    Image.fromarray(photos[0][:64, :72]).save(tmp_path / "photo.png")
    options = ("--engine", "onnx", "--surrogate", "embedded", "--receipt", "r.json", "--preview", "p.png", "--quiet")
    done = start(WITHOUT + ENTRY, "protect", "photo.png", "-o", "out.png", *options, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    receipt = json.loads((tmp_path / "r.json").read_bytes())
    assert (receipt["engine"], receipt["steps"], receipt["stopped"]) == ("onnx", load_recipe("balanced").steps, "steps")
    assert [effect["surrogate"] for effect in receipt["effects"]] == ["embedded"]
    done = start(WITHOUT + ENTRY, "check", "photo.png", "out.png", "--engine", "onnx", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "embedded" in done.stdout
