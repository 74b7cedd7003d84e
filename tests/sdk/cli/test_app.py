"""The application: its commands, their help, and the entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import anti_i2v
from anti_i2v_cli import app

from .command_line import FAST, ROOT, run, run_main


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


def find(command: tuple[str, ...]) -> Any:
    found: Any = typer.main.get_command(app)
    for name in command:
        found = found.commands[name]
    return found


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_every_parameter_has_help(command: tuple[str, ...]) -> None:
    assert [each.name for each in find(command).params if not each.help] == []


@pytest.mark.parametrize("group", [(), ("surrogates",), ("tokens",)], ids=" ".join)
def test_the_summaries_of_commands_fit_into_one_line(group: tuple[str, ...]) -> None:
    assert "..." not in run(*group, "--help").stdout.partition("Commands:")[2]


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_the_readme_names_every_command(command: tuple[str, ...]) -> None:
    assert f"anti-i2v {' '.join(command)}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_without_a_command_the_help_is_shown() -> None:
    result = run()
    assert result.exit_code == 0
    assert "protect" in result.stdout


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(anti_i2v.__file__).parents[1]), "PYTHONWARNINGS": ""}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)  # noqa: S603  # ours


def test_a_process_of_its_own_protects_and_keeps_the_terminal_clean() -> None:
    done = start("-m", "anti_i2v_cli", "protect", "photo.jpg", *FAST, "-o", "out.jpg")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert Path("out.jpg").exists()


def test_the_deprecated_module_still_runs_the_command() -> None:
    done = start("-m", "anti_i2v", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("anti-i2v ")


def test_the_entry_point_fails_with_one_line() -> None:
    done = run_main("protect", "photo.jpg", "--recipe", "nope")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "anti-i2v: unknown recipe 'nope': choose from draft, balanced, strong, full, paper\n"
