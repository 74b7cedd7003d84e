"""Run the command line in this process, and compare what it printed and wrote."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anti_i2v_cli import app, main

ROOT = Path(__file__).parents[3]
FAST = ("--recipe", "draft", "--no-effects")


def run(*arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(app, list(arguments), **options)


@dataclass
class Finished:
    """How the entry point ended."""

    code: Any
    stdout: str
    stderr: str


def run_main(*arguments: str) -> Finished:
    """Run the entry point itself, on streams that are as strict as a terminal's."""
    from anti_i2v_cli.app import LIBRARY_LOGGING

    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for name in ("stdout", "stderr")}
    streams["stderr"].reconfigure(errors="backslashreplace")  # as Python's own stderr
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LIBRARY_LOGGING.items():
            patch.setenv(name, value)  # what the entry point sets must not outlast the test
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        patch.setattr(sys, "argv", ["anti-i2v", *arguments])
        with pytest.raises(SystemExit) as exit_info:
            main()
    texts = {}
    for name, stream in streams.items():
        stream.flush()
        texts[name] = stream.buffer.getvalue().decode()  # type: ignore[attr-defined]  # a BytesIO
    return Finished(exit_info.value.code, **texts)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(desk: Path, arguments: str, code: int, message: str) -> None:
    """The command ends with one line and its exit code, and writes nothing."""
    before = tree(desk)
    result = run(*arguments.split())
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("anti-i2v: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert tree(desk) == before
