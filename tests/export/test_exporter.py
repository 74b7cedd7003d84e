"""Exports are complete, verified and described in a sidecar, or they leave nothing behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from anti_i2v.engines.artifacts import (
    SIDECAR,
    Artifact,
    Verification,
    read_artifact,
)
from anti_i2v.engines.torch_engine import TorchFrozenEncoder
from anti_i2v.errors import OutputError, RecipeError, SurrogateError
from anti_i2v.recipes import Recipe, load_recipe
from anti_i2v.surrogates.autoencoders import fingerprint, load_autoencoder
from anti_i2v.surrogates.catalogue import load_surrogate
from anti_i2v.surrogates.hub import WEIGHTS
from anti_i2v.surrogates.info import Normalisation
from anti_i2v_cli import app

pytest.importorskip("onnx", reason="needs onnx: pip install 'anti-i2v-sdk[export]'")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'anti-i2v-sdk[export]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'anti-i2v-sdk[cpu]'")
pytest.importorskip("diffusers", reason="needs diffusers: pip install 'anti-i2v-sdk[backbones]'")

from tests import tiny_models
from tests.export.limits import assert_within_limits

from anti_i2v.engines.onnx_engine import OnnxEngine
from anti_i2v_export import check_export, export_surrogate, verify
from anti_i2v_export.exporter import default_folder

OWN = Recipe(name="own", summary="Of this test.", steps=3)
"""Displacement by sign-gradient in RGB: the smallest step there is."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Of torch's: more of them only wait for each other on photos as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Surrogates of each class, as folders in the hub's layout.


MODELS: dict[str, Callable[[], Any]] = {
    "toy-tiny-4": lambda: tiny_models.autoencoder_tiny((8, 8), 4),
    "toy-tiny-16": lambda: tiny_models.autoencoder_tiny((8, 8), 16),
    "toy-kl": tiny_models.autoencoder_kl,
    "toy-video": tiny_models.autoencoder_cogvideox,
}
FACTS = {
    # class, multiple, latent channels, pixels a latent's side
    "toy-tiny-4": ("AutoencoderTiny", 2, 4, 2),
    "toy-tiny-16": ("AutoencoderTiny", 2, 16, 2),
    "toy-kl": ("AutoencoderKL", 2, 4, 2),
    "toy-video": ("AutoencoderKLCogVideoX", 8, 4, 8),
    "embedded": ("Student", 8, 24, 8),
}
KINDS = [pytest.param(name, marks=pytest.mark.slow) for name in FACTS]
QUICK = "toy-tiny-4"


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str | Path]:
    """Name -> what `export_surrogate` takes: the folder, made once."""
    root = tmp_path_factory.mktemp("surrogates")

    def made(name: str) -> str | Path:
        if name not in MODELS:
            return name
        if not (root / name).exists():
            with torch.random.fork_rng():
                torch.manual_seed(0)
                MODELS[name]().save_pretrained(root / name)
        return root / name

    return made


@pytest.fixture(scope="module")
def exported(folder_of: Callable[[str], str | Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """(name, recipes) -> the directory of its artifact, made once for each."""
    made: dict[tuple[str, int], Path] = {}

    def once(name: str, *recipes: Recipe) -> Path:
        if (name, len(recipes)) not in made:
            folder = tmp_path_factory.mktemp("artifacts") / f"{name}-onnx"
            export_surrogate(folder_of(name), folder, recipes=recipes)
            made[name, len(recipes)] = folder
        return made[name, len(recipes)]

    return once


def assert_facts(artifact: Artifact, name: str, source: str | Path) -> None:
    kind, multiple, channels, side = FACTS[name]
    surrogate = load_surrogate(source)
    assert artifact.surrogate == surrogate.info
    assert (artifact.surrogate.name, artifact.surrogate.kind) == (name, kind)
    if isinstance(source, Path):
        assert artifact.surrogate.fingerprint == fingerprint(source / WEIGHTS)
    assert artifact.surrogate.licence == ("Apache-2.0" if name == "embedded" else "unknown")
    assert (artifact.multiple, artifact.latent_scale) == (multiple, surrogate.latent_scale)
    assert artifact.normalisation == Normalisation()
    assert (artifact.random_inputs, artifact.precision, artifact.opset) == ({}, "fp32", 20)
    assert artifact.tools["torch"] == torch.__version__
    assert set(artifact.tools) == {"anti-i2v-sdk", "torch", "onnx", "onnxscript", "onnxruntime"}
    encode = artifact.find_graph("encode")
    assert encode is not None
    assert [(port.name, port.type, port.shape) for port in encode.inputs] == [
        ("pixels", "tensor(float)", ("batch", 3, "height", "width"))
    ]
    latent = encode.outputs[0]
    assert (latent.name, latent.type, latent.shape[:2]) == ("latent", "tensor(float)", ("batch", channels))
    decode = artifact.find_graph("decode")
    assert (decode is not None) == surrogate.decodes
    if decode is not None:
        frames = (1,) if kind == "AutoencoderKLCogVideoX" else ()
        assert decode.inputs[0].shape == ("batch", channels, *frames, f"height/{side}", f"width/{side}")
    for graph in artifact.graphs:
        assert_within_limits(graph.verification)
        assert graph.nodes > 0
        assert all(port.range for port in (*graph.inputs, *graph.outputs))


def test_an_encoder_and_its_decoder_are_exported_with_their_facts(
    exported: Callable[..., Path], folder_of: Callable[[str], Path]
) -> None:
    folder = exported(QUICK)
    artifact = read_artifact(folder)
    assert [graph.file for graph in artifact.graphs] == ["encode.onnx", "decode.onnx"]
    assert_facts(artifact, QUICK, folder_of(QUICK))
    assert {path.name for path in folder.iterdir()} == {SIDECAR, *artifact.files}
    assert "weights.bin" in artifact.files
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    for path in folder.iterdir():  # no folder of this machine is in it
        assert str(Path.cwd()).encode() not in path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_exported_with_its_loss_and_step(
    name: str, exported: Callable[..., Path], folder_of: Callable[[str], str | Path]
) -> None:
    artifact = read_artifact(exported(name, OWN))
    assert_facts(artifact, name, folder_of(name))
    files = [graph.file for graph in artifact.graphs]
    assert files == [
        "encode.onnx",
        *(["decode.onnx"] if name != "embedded" else []),
        "bind.displacement.onnx",
        "loss.displacement.onnx",
        "step.displacement.rgb.sign-gradient.onnx",
    ]
    bind, loss, step = artifact.graphs[-3:]
    assert [port.name for port in bind.inputs] == ["clean", "target"]
    assert [port.name for port in bind.outputs] == ["displacement.clean"]
    assert [port.name for port in loss.inputs] == ["pixels", "weights", "displacement.clean"]
    assert [port.name for port in loss.outputs] == ["loss", "gradient"]
    assert [port.name for port in step.outputs] == ["next", "loss"]
    shapes = {port.name: port.shape for port in step.inputs}
    assert shapes["radius"] == ("batch", 1, "height", "width")
    assert (shapes["rows"], shapes["columns"]) == (("height", "height"), ("width", "width"))
    assert (shapes["moved"], shapes["length"], shapes["weights"]) == ((), (), (1,))
    assert loss.verification.gradient_cosine is not None
    assert loss.verification.sign_agreement is not None
    assert step.verification.equal_levels is not None
    assert check_export(exported(name, OWN), folder_of(name), [OWN]) == artifact


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_frozen_encoder_of_every_kind_agrees_with_torch(
    name: str, exported: Callable[..., Path], folder_of: Callable[[str], str | Path]
) -> None:
    assert_encoders_agree(exported(name, OWN), folder_of(name))


def test_a_frozen_encoder_agrees_with_torch(exported: Callable[..., Path], folder_of: Callable[[str], Path]) -> None:
    assert_encoders_agree(exported(QUICK), folder_of(QUICK))


def assert_encoders_agree(folder: Path, source: str | Path) -> None:
    (found,) = OnnxEngine([folder], OWN, "cpu").optimised_encoders()
    expected = TorchFrozenEncoder(load_surrogate(source))
    assert (found.info, found.decodes) == (expected.info, expected.decodes)
    for batch, height, width in [(1, 64, 40), (3, 40, 72)]:
        pixels = np.random.default_rng(0).random((batch, 3, height, width), np.float32)
        latent = expected.encode(pixels)
        np.testing.assert_allclose(found.encode(pixels), latent, atol=1e-4 * max(1.0, np.abs(latent).max()))
        if expected.decodes:
            np.testing.assert_allclose(found.decode(5 * latent), expected.decode(5 * latent), atol=1e-3)


# Verifying again.


def test_an_artifact_is_verified_again_and_other_weights_are_refused(
    exported: Callable[..., Path], folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, source = exported(QUICK), folder_of(QUICK)
    assert check_export(folder, source) == read_artifact(folder)
    assert check_export(folder, load_autoencoder(source)) == read_artifact(folder)
    shutil.copytree(source, tmp_path / QUICK)
    weights = load_file(tmp_path / QUICK / WEIGHTS)
    name = min(weights)
    weights[name] = weights[name] + 0.25
    save_file(weights, tmp_path / QUICK / WEIGHTS, {"format": "pt"})
    for other in (tmp_path / QUICK, "embedded"):
        with pytest.raises(
            SurrogateError, match=r"was exported from other weights \(fingerprint .*\): export it again"
        ):
            check_export(folder, other)
    with pytest.raises(SurrogateError, match="unknown surrogate 'toy-tiny-4': give a folder, or one of"):
        check_export(folder)  # the name in the sidecar is none that this machine knows


def test_a_graph_with_other_values_is_refused(exported: Callable[..., Path], folder_of: Callable[[str], Path]) -> None:
    """Same fingerprint on paper, other numbers: only running it shows that."""
    surrogate = load_autoencoder(folder_of(QUICK))
    with torch.no_grad():
        next(iter(surrogate.model.encoder.parameters())).add_(0.25)
    with pytest.raises(SurrogateError, match=r"encode.onnx was not exported: it differs from torch by .*, 0.0001 is"):
        check_export(exported(QUICK), surrogate)


def test_a_graph_of_none_of_the_recipes_is_refused(
    exported: Callable[..., Path], folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anti_i2v_export.exporter.surrogate_graphs", lambda *given: iter(()))
    with pytest.raises(SurrogateError, match=r"encode.onnx belongs to none of the given recipes: name its recipe"):
        check_export(exported(QUICK), folder_of(QUICK))


# Whole or not at all.


def test_an_export_that_differs_from_torch_leaves_nothing_behind(
    folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "VALUE_ERROR", -1.0)
    with pytest.raises(
        SurrogateError, match=r"encode.onnx was not exported: it differs from torch by .*, -1 is allowed$"
    ):
        export_surrogate(folder_of(QUICK), tmp_path / "parent" / "out", recipes=[])
    assert list((tmp_path / "parent").iterdir()) == []


LIMITS = [
    ("value", {"value_error": 2e-4}, "differs from torch by 2.0e-04, 0.0001 is allowed"),
    ("not a number", {"value_error": float("nan")}, "differs from torch by nan, 0.0001 is allowed"),
    ("cosine", {"gradient_cosine": 0.5}, "its gradient cosine with torch is 0.50000, below 0.9999"),
    ("cosine of nothing", {"gradient_cosine": float("nan")}, "its gradient cosine with torch is nan"),
    ("signs", {"sign_agreement": 0.9985}, "its sign agreement with torch is 0.99850, below 0.999"),
    ("levels", {"equal_levels": 0.98}, "its share of equal levels with torch is 0.98000, below 0.99"),
]


@pytest.mark.parametrize(("figure", "message"), [row[1:] for row in LIMITS], ids=[row[0] for row in LIMITS])
def test_each_figure_has_its_limit(figure: Mapping[str, float], message: str) -> None:
    spec: Any = type("Spec", (), {"file": "loss.onnx"})
    good: dict[str, Any] = {"sizes": (), "value_error": 0.0}
    verify.check_limits(spec, Verification(**good), "fp32")
    with pytest.raises(SurrogateError, match=f"^loss.onnx was not exported: (it )?{message}"):
        verify.check_limits(spec, Verification(**{**good, **figure}), "fp32")
    with pytest.raises(SurrogateError, match="leave --half out, its weights need full precision"):
        verify.check_limits(spec, Verification(**{**good, **figure, "sign_agreement": 0.9}), "fp16")


def test_only_an_artifact_is_replaced_and_only_when_asked(
    exported: Callable[..., Path], folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without graphs: whether the directory may be replaced is decided before.
    monkeypatch.setattr("anti_i2v_export.exporter.surrogate_graphs", lambda *given: iter(()))
    source = folder_of(QUICK)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for taken in (photos, tmp_path / "file"):
        for overwrite in (False, True):
            with pytest.raises(OutputError, match="exists and is not an artifact: choose another directory"):
                export_surrogate(source, taken, recipes=[], overwrite=overwrite)
    assert (photos / "mine.txt").read_text(encoding="utf-8") == "mine"
    artifact = shutil.copytree(exported(QUICK), tmp_path / "artifact")
    before = {path.name: path.read_bytes() for path in artifact.iterdir()}
    with pytest.raises(OutputError, match="holds an artifact already: pass --overwrite, or choose another directory"):
        export_surrogate(source, artifact, recipes=[])
    assert {path.name: path.read_bytes() for path in artifact.iterdir()} == before
    assert export_surrogate(source, artifact, recipes=[], overwrite=True).graphs == ()
    assert [path.name for path in artifact.iterdir()] == [SIDECAR]
    (tmp_path / "empty").mkdir()
    export_surrogate(source, tmp_path / "empty", recipes=[])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact", "empty", "file", "photos"]


def test_a_directory_that_cannot_be_made_is_one_line(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written \(.*\): check the path and your permissions"):
        export_surrogate(folder_of(QUICK), tmp_path / "file" / "out", recipes=[])


@pytest.mark.usefixtures("empty_home")
def test_the_default_folder_is_where_the_engine_looks(empty_home: Path) -> None:
    assert default_folder("taesd") == empty_home / "onnx" / "taesd"
    with pytest.raises(SurrogateError, match="embedded has no default folder: give one with -o DIR"):
        default_folder("embedded")


# Weights.


@pytest.mark.slow
def test_half_weights_halve_the_file_and_keep_their_limits(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wide = tiny_models.autoencoder_tiny((16, 16), 4)  # weights of less than 1024 numbers stay as they are
    wide.half().float().save_pretrained(tmp_path / "toy-wide")  # numbers that fp16 holds, as hubs store them
    whole, half = (
        export_surrogate(tmp_path / "toy-wide", tmp_path / name, recipes=[OWN], half=name == "half")
        for name in ("whole", "half")
    )
    assert (whole.precision, half.precision) == ("fp32", "fp16")
    assert half.surrogate == whole.surrogate
    sizes = [(tmp_path / name / "weights.bin").stat().st_size for name in ("whole", "half")]
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.1)
    for graph in half.graphs:
        assert_within_limits(graph.verification, signs=0.995)


@pytest.mark.slow
def test_several_layers_are_hooked_for_an_anchor(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    layers = ("latent", "layers.1", "layers.3")
    own = load_recipe(OWN, terms={"displacement": 1.0, "anchor": 0.5}, anchor_layers=layers)
    artifact = export_surrogate(folder_of(QUICK), tmp_path / "out", recipes=[own])
    encode, loss = (
        artifact.find_graph("encode"),
        artifact.find_graph("loss", terms=["displacement", "anchor"], anchor_layers=layers),
    )
    assert encode is not None
    assert loss is not None
    assert [port.name for port in encode.outputs] == list(layers)
    assert {port.name for port in loss.inputs if port.name.startswith("anchor.")} == {
        f"anchor.{what}.{layer}" for what in ("target", "scale") for layer in layers
    }
    assert_within_limits(loss.verification)
    assert check_export(tmp_path / "out", folder_of(QUICK), [own]) == artifact
    wrong = load_recipe(own, anchor_layers=["layers.99"])
    with pytest.raises(SurrogateError, match=r"has no encoder layer 'layers.99'"):
        export_surrogate(folder_of(QUICK), tmp_path / "no", recipes=[wrong])


# The command.


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def assert_one_line(result: Any, code: int, message: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("anti-i2v: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert "Traceback" not in result.output


USAGE = [
    ("nothing named", [], "name what to export, such as taesd"),
    ("unknown recipe", ["taesd", "--recipe", "nope"], "unknown recipe 'nope'"),
    ("unknown option", ["taesd", "--fast"], "No such option"),
    ("two surrogates into one directory", ["taesd", "taef1", "-o", "out"], "one folder holds one artifact"),
    ("a check with an output", ["--check", "out", "-o", "out"], "--check takes a folder, and at most one"),
    ("a check of two", ["--check", "out", "taesd", "taef1"], "--check takes a folder, and at most one"),
]
FAILURES = [
    ("unknown surrogate", ["nope", "-o", "out"], "unknown surrogate 'nope'"),
    ("not at hand", ["taesd"], "anti-i2v surrogates pull taesd"),
    ("no place", ["nope"], "nope has no default folder: give one with -o DIR"),
    ("no LPIPS weights", ["lpips"], "no LPIPS weights here"),
    ("a check of nothing", ["--check", "nowhere"], "no artifact at nowhere"),
    ("taken", ["embedded", "-o", "taken"], "taken exists and is not an artifact: choose another directory"),
]
ROWS = [*((*row, 2) for row in USAGE), *((*row, 1) for row in FAILURES)]


@pytest.mark.usefixtures("empty_home")
@pytest.mark.parametrize(("arguments", "message", "code"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_every_error_is_one_line_and_writes_nothing(
    arguments: list[str], message: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").touch()
    before = sorted(tmp_path.rglob("*"))
    assert_one_line(run(*arguments), code, message)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tool_that_is_missing_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else object())
    result = run("embedded", "-o", "out")
    assert_one_line(
        result, 1, 'exporting needs onnxscript, which is not installed: pip install "anti-i2v-sdk[export,cpu]"'
    )


def test_the_command_checks_an_artifact(
    exported: Callable[..., Path], folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    result = run("--check", exported(QUICK), folder_of(QUICK))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "encode.onnx" in result.stdout
    assert "every graph agrees with torch" in result.stdout
    assert run("--check", exported(QUICK), folder_of(QUICK), "--quiet").output == ""
    assert_one_line(run("--check", exported(QUICK), "embedded"), 1, "was exported from other weights")
    broken = shutil.copytree(exported(QUICK), tmp_path / "broken")
    (broken / "weights.bin").write_bytes(b"others")
    assert_one_line(run("--check", broken, folder_of(QUICK)), 1, "weights.bin is not the file that artifact.json names")


@pytest.mark.slow
def test_the_command_exports_and_replaces_only_when_asked(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(folder_of(QUICK), "-o", out, "--recipe", "balanced")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{QUICK}: 5 graphs" in result.stdout
    assert "gradient cosine 1.000000" in result.stdout
    assert read_artifact(out).find_graph("step", terms=["displacement"], space="rgb", algorithm="adam")
    assert_one_line(run(folder_of(QUICK), "-o", out), 1, "holds an artifact already: pass --overwrite")
    result = run(folder_of(QUICK), "-o", out, "--recipe", "draft", "--overwrite", "--half", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    replaced = read_artifact(out)
    assert replaced.precision == "fp16"
    assert not replaced.find_graph("step", terms=["displacement"], space="rgb", algorithm="adam")


def test_whole_video_models_and_their_recipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(SurrogateError, match="is a whole video model: the ONNX engine only runs encoders"):
        export_surrogate(tmp_path, tmp_path / "out")
    with pytest.raises(RecipeError, match="recipe full needs a whole video model"):
        export_surrogate("embedded", tmp_path / "out", recipes=["full"])
    assert not (tmp_path / "out").exists()
