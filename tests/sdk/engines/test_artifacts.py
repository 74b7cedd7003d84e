"""Artifacts are untrusted input: whatever differs from the sidecar is refused, and nothing else is opened."""

from __future__ import annotations

import ast
import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from anti_i2v.engines import artifacts
from anti_i2v.engines.artifacts import (
    FORMAT_VERSION,
    SHARED_GRAPHS,
    SIDECAR,
    Artifact,
    Graph,
    Port,
    Verification,
    file_sha256,
    find_artifact,
    load_context,
    locate_artifact,
    packaged_artifact,
    read_artifact,
)
from anti_i2v.errors import SurrogateError
from anti_i2v.optim.space_constants import SPACE_KINDS
from anti_i2v.surrogates.catalogue import STUDENT
from anti_i2v.surrogates.info import SurrogateInfo

FILES = {"encode.onnx": b"an encoder", "loss.displacement.onnx": b"a loss", "weights.bin": bytes(range(256))}
PROVED = Verification(sizes=((64, 96),), value_error=0.0)


def port(name: str, *shape: int | str) -> Port:
    return Port(name=name, type="tensor(float)", shape=shape, range="of this test")


def good() -> Artifact:
    pixels = port("pixels", "batch", 3, "height", "width")
    lost = (port("loss", "batch"), port("gradient", "batch", 3, "height", "width"))
    return Artifact(
        format_version=FORMAT_VERSION,
        surrogate=SurrogateInfo(name="toy", kind="Toy", source="test", fingerprint="none", licence="Apache-2.0"),
        multiple=8,
        precision="fp32",
        opset=20,
        tools={"onnx": "1"},
        graphs=(
            Graph(
                file="encode.onnx",
                kind="encode",
                inputs=(pixels,),
                outputs=(port("latent", "batch", 4, "height/8", "width/8"),),
                nodes=1,
                verification=PROVED,
            ),
            Graph(
                file="loss.displacement.onnx",
                kind="loss",
                terms=("displacement",),
                inputs=(pixels,),
                outputs=lost,
                nodes=2,
                verification=PROVED,
            ),
        ),
        files={name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A valid artifact whose graphs are text: reading checks the bytes only."""
    made = tmp_path / "toy-onnx"
    made.mkdir()
    for name, data in FILES.items():
        (made / name).write_bytes(data)
    write(made, good())
    return made


def write(folder: Path, sidecar: object) -> None:
    (folder / SIDECAR).write_bytes(msgspec.json.encode(sidecar))


def changed(folder: Path, change: Callable[[Any], object]) -> None:
    """The sidecar after a change to its plain dicts and lists."""
    sidecar = json.loads((folder / SIDECAR).read_bytes())
    change(sidecar)
    write(folder, sidecar)


def test_a_good_artifact_is_read_as_it_was_written(folder: Path) -> None:
    assert read_artifact(folder) == good()


def test_the_hash_of_a_file_is_its_sha_256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_graph_is_found_by_kind_terms_space_and_algorithm() -> None:
    artifact = good()
    assert artifact.find_graph("encode") is artifact.graphs[0]
    assert artifact.find_graph("loss", terms=["displacement"]) is artifact.graphs[1]
    # Layers belong to the anchor term: without it they do not count.
    assert artifact.find_graph("loss", terms=["displacement"], anchor_layers=["latent"]) is artifact.graphs[1]
    assert artifact.find_graph("loss") is None
    assert artifact.find_graph("loss", terms=["displacement", "anchor"], anchor_layers=["latent"]) is None
    assert artifact.find_graph("step", terms=["displacement"], space="rgb", algorithm="adam") is None


def test_a_missing_directory_and_a_missing_sidecar_are_refused_alike(folder: Path) -> None:
    for nothing in (folder / "nowhere", folder):
        (folder / SIDECAR).unlink(missing_ok=True)
        with pytest.raises(SurrogateError, match=r"^no artifact at .*: it needs artifact.json; export it again with"):
            read_artifact(nothing)


SIDECARS = [
    ("not JSON", b"pixels", "is not a sidecar"),
    ("empty", b"", "is not a sidecar"),
    ("not text", b'{"format_version": "\xff"}', "is not a sidecar"),
    ("a list", b"[1]", "is not a sidecar"),
    ("no version", b"{}", "has format version None, this package reads 1: export it again"),
    ("a later version", b'{"format_version": 2, "new": 1}', "has format version 2, this package reads 1"),
    ("a version and no more", b'{"format_version": 1}', "is not a sidecar .*missing required field"),
]


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in SIDECARS], ids=[row[0] for row in SIDECARS])
def test_a_file_that_is_not_a_sidecar_is_refused(folder: Path, text: bytes, message: str) -> None:
    (folder / SIDECAR).write_bytes(text)
    with pytest.raises(SurrogateError, match=message) as raised:
        read_artifact(folder)
    assert len(str(raised.value).splitlines()) == 1


FIELDS: list[tuple[str, Callable[[Any], object], str]] = [
    ("an unknown field", lambda sidecar: sidecar.update(run="rm"), "is not a sidecar .*unknown field `run`"),
    ("an unknown field of a graph", lambda sidecar: sidecar["graphs"][0].update(hook="x"), "unknown field `hook`"),
    ("an unknown kind", lambda sidecar: sidecar["graphs"][0].update(kind="shell"), "Invalid enum value 'shell'"),
    ("a number as a name", lambda sidecar: sidecar["graphs"][0].update(file=1), "Expected `str`, got `int`"),
    (
        "a graph without its hash",
        lambda sidecar: sidecar["files"].pop("encode.onnx"),
        "names encode.onnx without its SHA-256: export it again",
    ),
    (
        "a loss without a gradient",
        lambda sidecar: sidecar["graphs"][1]["outputs"].pop(),
        r"loss.displacement.onnx has no gradient output, so no step can use it: export it again",
    ),
    (
        "a step without a candidate",
        lambda sidecar: sidecar["graphs"][1].update(kind="step"),
        r"loss.displacement.onnx has no gradient output, so no step can use it",
    ),
    (
        "a missing file",
        lambda sidecar: sidecar["files"].update({"more.bin": 64 * "0"}),
        r"toy-onnx lacks more.bin: export it again",
    ),
    (
        "another hash",
        lambda sidecar: sidecar["files"].update({"weights.bin": 64 * "0"}),
        r"weights.bin is not the file that artifact.json names \(its SHA-256 differs\): export it again",
    ),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_a_sidecar_with_wrong_fields_is_refused(folder: Path, change: Callable[[Any], object], message: str) -> None:
    changed(folder, change)
    with pytest.raises(SurrogateError, match=message):
        read_artifact(folder)


def test_an_oversized_sidecar_is_refused_before_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (folder / SIDECAR).open("r+b") as file:
        file.truncate(4 * 2**20 + 1)  # sparse: it takes no space on the disk
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(SurrogateError, match=r"artifact.json is too large to be a sidecar"):
        read_artifact(folder)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_noticed(folder: Path, name: str) -> None:
    data = bytearray(FILES[name])
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(SurrogateError, match=rf"{name} is not the file that artifact.json names"):
        read_artifact(folder)


ESCAPES = ["../x.onnx", "..", ".", "", "/etc/passwd", "a/b.onnx", "a\\b.onnx", ".hidden", "C:x.onnx", "x\n.onnx", "é"]


@pytest.mark.parametrize("name", ESCAPES)
def test_a_name_that_is_not_plain_is_refused_and_never_opened(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "x.onnx").write_bytes(b"outside")
    (folder / "a").mkdir()
    (folder / "a" / "b.onnx").write_bytes(b"inside")
    (folder / ".hidden").write_bytes(b"hidden")
    write(
        folder, {**msgspec.to_builtins(good()), "files": {name: hashlib.sha256(b"outside").hexdigest()}, "graphs": []}
    )
    monkeypatch.setattr(artifacts, "file_sha256", None)  # what opens files
    with pytest.raises(SurrogateError, match="is not a plain file inside it: do not use this artifact") as raised:
        read_artifact(folder)
    assert len(str(raised.value).splitlines()) == 1


def test_a_graph_without_a_hash_is_refused(folder: Path) -> None:
    changed(folder, lambda sidecar: sidecar["graphs"][0].update(file="../x.onnx"))
    with pytest.raises(SurrogateError, match=r"names ../x.onnx without its SHA-256"):
        read_artifact(folder)


def test_a_link_is_refused_even_if_its_target_has_the_right_hash(folder: Path) -> None:
    outside = folder.parent / "outside.bin"
    (folder / "weights.bin").rename(outside)
    try:
        (folder / "weights.bin").symlink_to(outside)
    except OSError:
        pytest.skip("this system does not allow links")
    with pytest.raises(SurrogateError, match=r"'weights.bin', which is not a plain file inside it"):
        read_artifact(folder)


def test_a_directory_in_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").mkdir()
    with pytest.raises(SurrogateError, match=r"lacks weights.bin"):
        read_artifact(folder)


# What ONNX Runtime loads.


def graph_with_weights_at(place: str) -> bytes:
    """A graph whose output is 1024 numbers that are stored in another file."""
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'anti-i2v-sdk[export]'")
    weights = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1024])
    weights.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": place, "offset": "0", "length": "4096"}.items():
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["w"], ["latent"])],
        "graph",
        [],
        [onnx.helper.make_tensor_value_info("latent", onnx.TensorProto.FLOAT, [1024])],
        [weights],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize("place", ["../secret.bin", "{outside}/secret.bin", "a/../../secret.bin", "link.bin"])
def test_weights_outside_the_directory_are_never_read(place: str, folder: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'anti-i2v-sdk[cpu]'")
    from anti_i2v.engines.onnx_session import GraphSession, OrtDevice

    numbers = np.arange(1024, dtype=np.float32)
    (folder.parent / "secret.bin").write_bytes(numbers.tobytes())
    (folder / "a").mkdir()
    if place == "link.bin":
        (folder / place).symlink_to(folder.parent / "secret.bin")
    graph, runtime = folder / "encode.onnx", OrtDevice("cpu")
    (folder / "inside.bin").write_bytes(numbers.tobytes())
    graph.write_bytes(graph_with_weights_at("inside.bin"))
    assert np.array_equal(GraphSession(runtime, graph).run({})["latent"].numpy(), numbers)  # the graph itself is good
    graph.write_bytes(graph_with_weights_at(place.format(outside=folder.parent)))
    changed(folder, lambda sidecar: sidecar["files"].update({"encode.onnx": file_sha256(graph)}))
    read_artifact(folder)  # names and hashes are right
    with pytest.raises(SurrogateError, match=r"encode.onnx cannot be loaded by ONNX Runtime") as raised:
        GraphSession(runtime, graph).run({})
    assert len(str(raised.value).splitlines()) == 1


def test_the_error_for_a_file_that_is_not_a_graph_is_one_line(folder: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'anti-i2v-sdk[cpu]'")
    from anti_i2v.engines.onnx_session import GraphSession, OrtDevice

    with pytest.raises(SurrogateError, match=r"encode.onnx cannot be loaded by ONNX Runtime: ") as raised:
        GraphSession(OrtDevice("cpu"), folder / "encode.onnx").load()
    assert len(str(raised.value).splitlines()) == 1


class Bomb:
    """Reading its pickle would end the test."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was read",)


def test_a_pickle_is_never_read(folder: Path) -> None:
    for name in ("context.pt", "context.pkl", "weights.pt"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    artifact = read_artifact(folder)
    assert load_context(folder, artifact) == {}
    for module in ("artifacts.py", "onnx_engine.py", "onnx_session.py"):
        tree = ast.parse((Path(artifacts.__file__).parent / module).read_text(encoding="utf-8"))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        roots = {name.partition(".")[0] for name in imported}
        assert not roots & {"pickle", "torch", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
        assert "allow_pickle" not in ast.dump(tree)


def test_a_context_is_only_read_from_safetensors(folder: Path) -> None:
    prompt = {"prompt": np.linspace(-1, 1, 4, dtype=np.float32)}
    save_file(prompt, folder / "context.safetensors")
    assert load_context(folder, read_artifact(folder)) == {}  # the sidecar does not name it
    changed(
        folder,
        lambda sidecar: sidecar["files"].update({"context.safetensors": file_sha256(folder / "context.safetensors")}),
    )
    found = load_context(folder, read_artifact(folder))
    assert list(found) == ["prompt"]
    assert np.array_equal(found["prompt"], prompt["prompt"])


# Finding artifacts.


def test_artifacts_are_found_by_name_and_by_directory(folder: Path, empty_home: Path) -> None:
    assert locate_artifact("embedded") == packaged_artifact(STUDENT)
    assert locate_artifact(folder) == folder
    assert find_artifact("taesd") is None
    (empty_home / "onnx").mkdir(parents=True)
    folder.rename(empty_home / "onnx" / "taesd")
    assert locate_artifact("taesd") == find_artifact("taesd") == empty_home / "onnx" / "taesd"


@pytest.mark.usefixtures("empty_home")
def test_the_error_for_a_missing_artifact_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        SurrogateError, match=r"^taesd is not exported on this machine: run `anti-i2v export taesd --half`, or"
    ):
        locate_artifact("taesd")
    with pytest.raises(SurrogateError, match=r"holds no artifact: run `anti-i2v export .* -o DIR` and give DIR, or"):
        locate_artifact(tmp_path)
    with pytest.raises(
        SurrogateError, match=r"^unknown surrogate 'nope': give the directory of an artifact, or one of"
    ):
        locate_artifact("nope")


# The packaged artifacts.


@pytest.mark.parametrize("name", [SHARED_GRAPHS, STUDENT])
def test_the_packaged_artifacts_are_intact_and_list_every_file(name: str) -> None:
    artifact = read_artifact(packaged_artifact(name))
    assert artifact.surrogate.name == name
    assert {path.name for path in packaged_artifact(name).iterdir()} == {SIDECAR, *artifact.files}
    assert all(artifact.tools.values())


def test_the_packaged_shared_graphs_have_every_step_of_the_torch_engine() -> None:
    from anti_i2v.optim.update_rules import UPDATE_RULES

    artifact = read_artifact(packaged_artifact(SHARED_GRAPHS))
    assert artifact.find_graph("begin") is not None
    for space in SPACE_KINDS.values():
        for algorithm, rule in UPDATE_RULES.items():
            graph = artifact.find_graph("move", space=space, algorithm=algorithm)
            assert graph is not None
            assert [found.name for found in graph.outputs] == ["next", *(f"next.{name}" for name in rule.state)]


def test_the_packaged_student_is_that_of_the_torch_engine() -> None:
    from anti_i2v.recipes import for_encoders, load_recipe, weighted_terms
    from anti_i2v.surrogates.student import load_student

    artifact, student = read_artifact(packaged_artifact(STUDENT)), load_student()
    assert artifact.surrogate == student.info
    assert (artifact.multiple, artifact.normalisation) == (student.multiple, student.normalisation)
    recipe = load_recipe("balanced")
    terms = tuple(weighted_terms(for_encoders(recipe)))
    for kind in ("bind", "loss"):
        assert artifact.find_graph(kind, terms=terms)
    for space in ("rgb", "lab", "dct"):
        assert artifact.find_graph("step", terms=terms, space=space, algorithm=recipe.algorithm)


def test_the_engine_keeps_the_state_of_each_update_rule() -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'anti-i2v-sdk[cpu]'")
    from anti_i2v.engines.onnx_engine import RULE_STATES
    from anti_i2v.optim.update_rules import UPDATE_RULES

    assert {name: rule.state for name, rule in UPDATE_RULES.items()} == RULE_STATES
