"""The command line: every command is documented, every error is one line with an exit code and writes nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

import anti_i2v
from anti_i2v.images.decode import open_photo
from anti_i2v.protector import Protector
from anti_i2v.receipts.receipt import Receipt
from anti_i2v_cli import app

ROOT = Path(__file__).parents[3]
PHOTOS = ROOT / "tests" / "data"
FAST = ["--recipe", "draft", "--no-effects"]


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with photos and things that are none; a machine without downloaded weights."""
    made, home = tmp_path / "desk", tmp_path / "home"
    made.mkdir()
    home.mkdir()
    monkeypatch.setenv("ANTI_I2V_HOME", str(home))
    monkeypatch.chdir(made)
    with Image.open(PHOTOS / "chelsea.jpg") as photo:
        small = photo.convert("RGB").crop((120, 40, 280, 168))
    small.save("photo.png")
    small.save("photo.jpg", quality=95)
    small.convert("RGBA").resize((96, 96)).rotate(20).save("seethrough.png")
    return made


def run(*arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(app, list(arguments), **options)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    root: Any = group or typer.main.get_command(app)
    for name, command in root.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ALL = sorted(commands())


def test_these_are_the_commands() -> None:
    assert [" ".join(command) for command in ALL] == [
        "check",
        "evaluate",
        "export",
        "layers",
        "presets",
        "protect",
        "recipes",
        "serve",
        "surrogates info",
        "surrogates list",
        "surrogates pull",
        "tokens list",
        "tokens revoke",
    ]


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert len(result.stdout.splitlines()) > 4


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_the_readme_names_every_command(command: tuple[str, ...]) -> None:
    assert f"anti-i2v {' '.join(command)}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_without_a_command_the_help_is_shown() -> None:
    result = run()
    assert result.exit_code == 0
    assert "protect" in result.stdout


# What goes right.


def test_a_photo_is_protected_beside_itself_with_its_table() -> None:
    before = Path("photo.jpg").read_bytes()
    result = run("protect", "photo.jpg", "--recipe", "draft")
    assert result.exit_code == 0, result.stderr
    assert Path("photo.jpg").read_bytes() == before
    assert open_photo("photo.protected.jpg").pixels.shape == open_photo("photo.jpg").pixels.shape
    assert "comparisons clearly beat a random change" in result.stdout
    assert "Written: photo.protected.jpg" in result.stdout
    assert result.stderr == ""


def test_every_file_that_was_asked_for_is_written() -> None:
    result = run(
        "protect", "photo.png", "-o", "out.png", *FAST, "--receipt", "r.json", "--preview", "p.png", "--seed", "7"
    )
    assert result.exit_code == 0, result.stderr
    receipt = Receipt.from_json(Path("r.json").read_bytes())
    assert (receipt.recipe, receipt.seed) == ("draft", 7)
    assert receipt.encoding is not None
    assert receipt.encoding.lossless
    delta = open_photo("out.png").pixels.astype(int) - open_photo("photo.png").pixels
    assert 0 < np.abs(delta).max() <= receipt.budget_spent <= 8
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")


def test_the_budget_of_the_command_line_is_kept() -> None:
    assert run("protect", "photo.png", "-o", "out.png", *FAST, "--budget", "3").exit_code == 0
    delta = open_photo("out.png").pixels.astype(int) - open_photo("photo.png").pixels
    assert 0 < np.abs(delta).max() <= 3


def test_quiet_prints_nothing() -> None:
    result = run("protect", "photo.png", *FAST, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert Path("photo.protected.png").exists()


def test_transparency_is_kept() -> None:
    assert run("protect", "seethrough.png", *FAST).exit_code == 0
    np.testing.assert_array_equal(open_photo("seethrough.protected.png").alpha, open_photo("seethrough.png").alpha)


def test_existing_files_are_replaced_only_with_overwrite() -> None:
    Path("out.png").write_bytes(b"mine")
    assert run("protect", "photo.png", "-o", "out.png", *FAST).exit_code == 1
    assert Path("out.png").read_bytes() == b"mine"
    assert run("protect", "photo.png", "-o", "out.png", *FAST, "--overwrite").exit_code == 0
    assert Path("out.png").read_bytes() != b"mine"


def test_a_check_of_our_own_pair_agrees_with_the_receipt_of_its_making() -> None:
    run("protect", "photo.png", "-o", "out.png", *FAST, "--receipt", "r.json")
    result = run("check", "photo.png", "out.png", "--receipt", "c.json", "--preview", "p.png", "--short-side", "128")
    assert result.exit_code == 0, result.stderr
    made, checked = (Receipt.from_json(Path(name).read_bytes()) for name in ("r.json", "c.json"))
    assert checked.imperceptibility == made.imperceptibility
    assert checked.recipe is None
    assert checked.effects
    assert "A pair of photos, checked" in result.stdout
    assert Path("p.png").exists()


def test_a_folder_is_protected_with_one_line_a_file_and_its_failures_at_the_end() -> None:
    Path("album").mkdir()
    shutil.copy("photo.jpg", "album/good.jpg")
    Path("album/broken.jpg").write_bytes(Path("photo.jpg").read_bytes()[:900])
    result = run("protect", "album", *FAST, "--jobs", "2", "--receipt", "r.json")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert sum(line.startswith("good.jpg") for line in lines) == 1
    assert sum(line.startswith("broken.jpg") for line in lines) == 1
    assert lines[-1].startswith("1 of 2 photos protected, in ")
    assert result.stderr.startswith("anti-i2v: broken.jpg is truncated")
    assert result.stderr.count("\n") == 1
    assert sorted(tree(Path("album-protected"))) == ["good.jpg"]
    receipts = json.loads(Path("r.json").read_bytes())
    assert receipts["good.jpg"]["recipe"] == "draft"
    assert "truncated" in receipts["broken.jpg"]["error"]


def test_the_lists_name_everything_that_there_is() -> None:
    for command, names in (
        (["recipes"], anti_i2v.recipe_names()),
        (["presets"], ["instagram", "x", "any"]),
        (
            ["surrogates", "list"],
            ["embedded", "taesd", "taesd3", "dit-taef1", "unet-taesd", "wan2.2-5b", "svd"],
        ),
        (["surrogates"], ["embedded", "taesd"]),
    ):
        result = run(*command)
        assert result.exit_code == 0
        assert set(names) <= {line.split()[0] for line in result.stdout.splitlines() if line}
        assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.parametrize("name", ["embedded", "taesd", "taesd3", "dit-taef1", "dit-taesd3", "svd"])
def test_info_tells_a_surrogates_licence_and_role(name: str) -> None:
    result = run("surrogates", "info", name)
    assert result.exit_code == 0
    assert {"name", "role", "licence"} <= {line.split()[0] for line in result.stdout.splitlines()}


@pytest.mark.parametrize("answer", ["n\n", ""], ids=["no", "nobody there"])
def test_nothing_is_pulled_without_consent(answer: str, tmp_path: Path) -> None:
    result = run("surrogates", "pull", input=answer)
    assert result.exit_code == 1
    for word in ("madebyollin/taesd,", "taesdxl", "taef1", "about 5 MB", "MIT"):
        assert word in result.stdout
    assert "taesd3" not in result.stdout  # held out: only when it is named
    assert "nothing was downloaded" in result.stderr
    assert not list((tmp_path / "home").iterdir())


# What goes wrong.


def _bad_files() -> None:
    data = Path("photo.jpg").read_bytes()
    Path("truncated.jpg").write_bytes(data[: len(data) // 2])
    Path("empty.jpg").write_bytes(b"")
    Path("text.jpg").write_text("not an image", encoding="utf-8")
    frames = [Image.new("RGB", (80, 80), (shade, 90, 90)) for shade in (10, 200)]
    frames[0].save("moving.webp", save_all=True, append_images=frames[1:], duration=100)
    frames[0].save("still.gif")
    frames[0].resize((32, 32)).save("tiny.png")
    frames[0].save("other.png")
    Image.new("1", (9_000, 8_000)).save("bomb.png")
    Path("exists.png").write_bytes(b"mine")
    Path("nophotos").mkdir()
    Path("model").mkdir()
    Path("model/config.json").write_text("{}", encoding="utf-8")


ERRORS = [
    # id, arguments, exit code, what the line says
    ("no arguments", "protect", 2, "Missing argument"),
    ("unknown command", "destroy", 2, "No such command"),
    ("unknown option", "protect photo.png --stronger", 2, "No such option"),
    ("unknown recipe", "protect photo.png --recipe nope", 2, "unknown recipe 'nope': choose from draft"),
    ("unknown preset", "protect photo.png --preset nope", 2, "unknown preset 'nope': choose from"),
    ("budget 0", "protect photo.png --budget 0", 2, "budget must be 1..64 levels, got 0"),
    ("budget 300", "protect photo.png --budget 300", 2, "budget must be 1..64 levels, got 300"),
    ("budget in words", "protect photo.png --budget much", 2, "--budget"),
    ("deadline 0", "protect photo.png --deadline 0", 2, "a deadline must be above 0 seconds, got 0"),
    ("deadline below 0", "protect photo.png --deadline -3", 2, "got -3"),
    ("deadline nan", "protect photo.png --deadline nan", 2, "got nan"),
    ("quality 0", "protect photo.png --quality 0", 2, "--quality"),
    ("quality 101", "protect photo.png --quality 101", 2, "--quality"),
    ("no jobs", "protect nophotos --jobs 0", 2, "--jobs"),
    ("unknown device", "protect photo.png --device toaster", 2, "unknown device 'toaster'"),
    ("unknown engine", "protect photo.png --engine jax", 2, "unknown engine 'jax': choose from auto, torch, onnx"),
    ("unknown engine of a check", "check photo.png photo.jpg --engine jax", 2, "unknown engine 'jax': choose from"),
    ("absent device", "protect photo.png --device cuda:77 --recipe draft", 2, "no device 'cuda:77'"),
    ("draft with a surrogate", "protect photo.png --recipe draft --surrogate embedded", 2, "takes no steps"),
    ("a preview of a folder", "protect nophotos --preview p.png", 2, "a preview shows one photo"),
    ("short side of a check", "check photo.png photo.png --short-side 3", 2, "--short-side"),
    ("a name too long", f"protect {300 * 'x'}", 1, "File name too long"),
    ("a name too long to write", f"protect photo.png -o {300 * 'x'}.png", 1, "File name too long"),
    ("the root", "protect /", 1, "/ has no name to call another folder after: name one with --output"),
    ("missing photo", "protect nowhere.jpg", 1, "nowhere.jpg does not exist"),
    ("truncated", "protect truncated.jpg", 1, "truncated"),
    ("empty", "protect empty.jpg", 1, "empty"),
    ("not an image", "protect text.jpg", 1, "is not an image"),
    ("animation", "protect moving.webp", 1, "animation"),
    ("a GIF", "protect still.gif", 1, "GIF"),
    ("too small", "protect tiny.png", 1, "too small"),
    ("bomb", "protect bomb.png", 1, "megapixels"),
    (
        "output exists",
        "protect photo.png -o exists.png",
        1,
        "exists.png exists: choose another name or pass --overwrite",
    ),
    ("output folder missing", "protect photo.png -o no/out.png", 1, "does not exist: create it first"),
    ("output is a folder", "protect photo.png -o nophotos", 1, "nophotos is a folder"),
    ("output is the photo", "protect photo.png -o photo.png --overwrite", 1, "originals are never replaced"),
    ("output is the photo by detour", "protect photo.png -o ../desk/photo.png --overwrite", 1, "never replaced"),
    ("output without a format", "protect photo.png -o out.xyz", 1, "which format to write"),
    ("transparency into JPEG", "protect seethrough.png -o out.jpg", 1, "cannot hold the transparency"),
    ("receipt over the photo", "protect photo.png --receipt photo.png --overwrite", 1, "never replaced"),
    ("receipt exists", "protect photo.png --receipt exists.png", 1, "exists"),
    ("preview over the output", "protect photo.png -o out.png --preview out.png", 1, "given for two files"),
    ("preview that is no PNG", "protect photo.png --preview p.jpg", 1, "must end in .png"),
    ("unknown surrogate", "protect photo.png --surrogate nope", 1, "unknown surrogate 'nope'"),
    ("surrogate not at hand", "protect photo.png --surrogate taesd", 1, "anti-i2v surrogates pull taesd"),
    ("unreadable surrogate", "protect photo.png --surrogate model", 1, "no surrogate at model"),
    ("folder without photos", "protect nophotos", 1, "holds no photos"),
    ("folder onto itself", "protect . -o . --overwrite", 1, "holds the originals"),
    ("check of different sizes", "check photo.png other.png", 1, "two photos of one size"),
    ("check of a missing photo", "check photo.png nowhere.png", 1, "nowhere.png does not exist"),
    ("check over its photo", "check photo.png photo.jpg --receipt photo.jpg --overwrite", 1, "never replaced"),
    ("info on nothing", "surrogates info nope", 1, "unknown surrogate 'nope'"),
    ("pull of nothing", "surrogates pull nope --yes", 1, "unknown surrogate 'nope'"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_every_error_is_one_line_with_its_exit_code_and_writes_nothing(
    desk: Path, arguments: str, code: int, message: str
) -> None:
    _bad_files()
    before = tree(desk)
    result = run(*arguments.split())
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("anti-i2v: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert tree(desk) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="whom no permission stops")
@pytest.mark.parametrize("path", ["locked", "locked/photo.jpg"])
def test_a_folder_without_permission_is_one_line(path: str) -> None:
    Path("locked").mkdir(mode=0)
    try:
        result = run("protect", path)
    finally:
        Path("locked").chmod(0o700)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "Permission denied" in result.stderr


def test_heic_without_its_package_is_refused_before_any_work(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # how Python itself marks a module that cannot be imported
    monkeypatch.setattr(Protector, "protect", None)  # would be called by the work
    before = tree(desk)
    result = run("protect", "photo.png", "-o", "out.heic")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert 'pip install "anti-i2v-sdk[heif]"' in result.stderr
    assert tree(desk) == before


SHORTAGES = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee the documentation"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("MPS backend out of memory"),
]


@pytest.mark.parametrize("shortage", SHORTAGES, ids=["python", "cuda", "cpu", "mps"])
def test_a_lack_of_memory_is_one_line_and_the_batch_goes_on(
    shortage: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Protector.protect

    def protect(self: Protector, photo: Any, **options: Any) -> Any:
        if photo.name == "large.jpg":
            raise shortage
        return usual(self, photo, **options)

    monkeypatch.setattr(Protector, "protect", protect)  # a real shortage would take the machine's memory
    Path("album").mkdir()
    for name in ("large.jpg", "small.jpg"):
        shutil.copy("photo.jpg", f"album/{name}")
    alone = run("protect", "album/large.jpg", *FAST)
    assert (alone.exit_code, alone.stdout) == (1, "")
    assert alone.stderr == (
        "anti-i2v: not enough memory: give a smaller photo, close other programs, or pass --device cpu\n"
    )
    batch = run("protect", "album", *FAST, "--receipt", "r.json")
    assert batch.exit_code == 1
    assert batch.stderr.startswith("anti-i2v: large.jpg: not enough memory")
    assert batch.stderr.count("\n") == 1
    assert sorted(tree(Path("album-protected"))) == ["small.jpg"]
    assert json.loads(Path("r.json").read_bytes())["large.jpg"]["error"].startswith("not enough memory")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def protect(self: Protector, photo: Any, **options: Any) -> Any:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Protector, "protect", protect)
    assert isinstance(run("protect", "photo.jpg", *FAST).exception, RuntimeError)


# The real entry point, in a process of its own.


def start(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(anti_i2v.__file__).parents[1]), "PYTHONWARNINGS": ""}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)  # noqa: S603  # ours


ENTRY = "from anti_i2v_cli import main; main()"


def test_the_entry_point_protects_and_keeps_the_terminal_clean() -> None:
    done = start(ENTRY, "protect", "photo.jpg", "--recipe", "draft", "-o", "out.jpg")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert Path("out.jpg").exists()


def test_the_entry_point_fails_with_one_line() -> None:
    done = start(ENTRY, "protect", "photo.jpg", "--recipe", "nope")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "anti-i2v: unknown recipe 'nope': choose from draft, balanced, strong, full, paper\n"


def test_a_file_name_that_is_not_text_does_not_end_the_batch() -> None:
    Path("album").mkdir()
    odd = "\udcff.jpg"  # how Python reads the byte 255 in a file name
    try:
        shutil.copy("photo.jpg", f"album/{odd}")
    except (OSError, UnicodeError):
        pytest.skip("this file system knows Unicode names only")
    shutil.copy("photo.jpg", "album/good.jpg")
    Path("album/\udcfe.jpg").write_bytes(b"no photo")
    done = start(ENTRY, "protect", "album", *FAST, "--receipt", "r.json")
    assert done.returncode == 1
    assert "2 of 3 photos protected" in done.stdout
    assert done.stderr.startswith("anti-i2v: \\udcfe.jpg is not an image")
    assert done.stderr.count("\n") == 1
    assert sorted(os.listdir("album-protected")) == ["good.jpg", odd]
    receipts = json.loads(Path("r.json").read_bytes())
    assert sorted(receipts) == ["\\udcfe.jpg", "\\udcff.jpg", "good.jpg"]
    alone = start(ENTRY, "protect", f"album/{odd}", *FAST)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert "Written: album/\\udcff.protected.jpg" in alone.stdout


# Presses Ctrl-C in the midst of the work, when the nets that measure are looked for; a watching thread may come late.
PRESS = """
import sys, _thread
class Press:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "anti_i2v.receipts.measure":
            _thread.interrupt_main()
sys.meta_path.insert(0, Press)
"""


def test_ctrl_c_ends_with_one_line_and_writes_nothing(desk: Path) -> None:
    before = tree(desk)
    done = start(PRESS + ENTRY, "protect", "photo.jpg", "--recipe", "draft", "-o", "out.jpg")
    assert done.returncode == 130
    assert done.stderr == "anti-i2v: cancelled, nothing was written\n"
    assert tree(desk) == before
