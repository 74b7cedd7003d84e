"""Atomic writes."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from anti_i2v.errors import OutputError
from anti_i2v.files import write_atomic


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_written_file_is_complete_and_leaves_no_temporary_file(tmp_path: Path, overwrite: bool) -> None:
    write_atomic(tmp_path / "out.png", b"data", overwrite=overwrite)
    assert (tmp_path / "out.png").read_bytes() == b"data"
    assert names(tmp_path) == ["out.png"]


def test_an_existing_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"out\.png exists: choose another name or pass --overwrite"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["out.png"]


def test_one_of_many_writers_wins_and_the_others_get_an_error(tmp_path: Path) -> None:
    path, start, lost = tmp_path / "out.png", threading.Barrier(8), []

    def write(index: int) -> None:
        start.wait()
        try:
            write_atomic(path, bytes([index]) * 100_000)
        except OutputError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=write, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = path.read_bytes()
    assert data == data[:1] * 100_000
    assert len(lost) == 7
    assert all("exists" in message for message in lost)
    assert names(tmp_path) == ["out.png"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_written_file_has_the_permissions_of_any_new_file(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomic(tmp_path / "out.png", b"data", overwrite=overwrite)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "out.png")}
    assert len(modes) == 1


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_write_changes_nothing(tmp_path: Path, overwrite: bool) -> None:
    resource = pytest.importorskip("resource", reason="a full disk is made with POSIX limits")
    path = tmp_path / "out.png"
    if overwrite:
        path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # the system refuses whatever grows beyond
    try:
        with pytest.raises(OutputError, match=r"out\.png cannot be written \(File too large\)"):
            write_atomic(path, b"x" * 100_000, overwrite=overwrite)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == (["out.png"] if overwrite else [])
    assert not overwrite or path.read_bytes() == b"old"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_missing_folder_and_an_existing_folder_are_named(tmp_path: Path, overwrite: bool) -> None:
    with pytest.raises(OutputError, match="none does not exist: create it first, or choose another"):
        write_atomic(tmp_path / "none" / "out.png", b"data", overwrite=overwrite)
    with pytest.raises(OutputError, match="is a folder: add a file name to it"):
        write_atomic(tmp_path, b"data", overwrite=overwrite)
    assert names(tmp_path) == []


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    link = tmp_path / "out.png"
    try:
        link.symlink_to(tmp_path / "elsewhere.png")
    except OSError:
        pytest.skip("this system makes no symbolic links")
    with pytest.raises(OutputError, match="exists"):
        write_atomic(link, b"data")
    assert names(tmp_path) == ["out.png"]


def test_without_hard_links_the_name_is_reserved_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", unsupported)  # no file system here lacks hard links
    write_atomic(tmp_path / "out.png", b"data")
    assert (tmp_path / "out.png").read_bytes() == b"data"
    with pytest.raises(OutputError, match="exists"):
        write_atomic(tmp_path / "out.png", b"new")
    assert names(tmp_path) == ["out.png"]
