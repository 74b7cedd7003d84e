"""Errors of the system and of usage are one line with an exit code; a bug keeps its traceback."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from anti_i2v.protector import Protector

from .command_line import FAST, assert_refused, run, run_main, tree

ERRORS = [
    # id, arguments, exit code, part of the message
    ("no arguments", "protect", 2, "Missing argument"),
    ("unknown command", "destroy", 2, "No such command"),
    ("unknown option", "protect photo.png --stronger", 2, "No such option"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_every_error_is_one_line_with_its_exit_code_and_writes_nothing(
    desk: Path, arguments: str, code: int, message: str
) -> None:
    assert_refused(desk, arguments, code, message)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="no permission stops this user")
@pytest.mark.parametrize("path", ["locked", "locked/photo.jpg"])
def test_a_folder_without_permission_is_one_line(path: str) -> None:
    Path("locked").mkdir(mode=0)
    try:
        result = run("protect", path)
    finally:
        Path("locked").chmod(0o700)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "Permission denied" in result.stderr


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
    single = run("protect", "album/large.jpg", *FAST)
    assert (single.exit_code, single.stdout) == (1, "")
    assert single.stderr == (
        "anti-i2v: not enough memory: give a smaller photo, close other programs, or pass --device cpu\n"
    )
    batch = run("protect", "album", *FAST, "--receipt", "r.json")
    assert batch.exit_code == 1
    assert batch.stderr.startswith("anti-i2v: large.jpg: not enough memory")
    assert batch.stderr.count("\n") == 1
    assert sorted(tree(Path("album-protected"))) == ["small.jpg"]
    assert json.loads(Path("r.json").read_bytes())["large.jpg"]["error"].startswith("not enough memory")


def test_an_unexpected_exception_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def protect(self: Protector, photo: Any, **options: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Protector, "protect", protect)
    assert isinstance(run("protect", "photo.jpg", *FAST).exception, RuntimeError)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of Ctrl-C: a process that was started in the background ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_with_one_line_and_writes_nothing(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Protector.protect

    def protect(self: Protector, photo: Any, **options: Any) -> Any:
        usual(self, photo, **options)
        signal.raise_signal(signal.SIGINT)  # handled at once, in this very call

    monkeypatch.setattr(Protector, "protect", protect)
    before = tree(desk)
    done = run_main("protect", "photo.jpg", "-o", "out.jpg", *FAST)
    assert (done.code, done.stdout) == (130, "")
    assert done.stderr == "anti-i2v: cancelled, nothing was written\n"
    assert tree(desk) == before


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_in_a_folder_counts_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Protector.protect

    def protect(self: Protector, photo: Any, **options: Any) -> Any:
        if photo.name == "second.jpg":
            signal.raise_signal(signal.SIGINT)
        return usual(self, photo, **options)

    monkeypatch.setattr(Protector, "protect", protect)
    Path("album").mkdir()
    for name in ("first.jpg", "second.jpg", "third.jpg"):
        shutil.copy("photo.jpg", f"album/{name}")
    done = run_main("protect", "album", "-o", "out", *FAST)
    assert done.code == 130
    assert done.stderr == "anti-i2v: cancelled, 1 file was written before: the last is out/first.jpg\n"
    assert sorted(tree(Path("out"))) == ["first.jpg"]
