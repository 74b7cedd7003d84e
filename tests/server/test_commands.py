"""`anti-i2v serve` checks its options before it starts; `anti-i2v tokens` lists and revokes tokens."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anti_i2v_cli import app
from anti_i2v_server.tokens import TokenStore


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("ANTI_I2V_HOME", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "lets other machines reach this server"),  # noqa: S104  # which is what is refused
        (["--token", "short"], "at least 20 characters"),
        (["--device", "warp"], "unknown device 'warp'"),
        (["--device", "mps"], "has no device 'mps'"),
        (["--port", "70000"], "--port"),
        (["--queue", "0"], "--queue"),
    ],
    ids=["elsewhere without a token", "a short token", "an unknown device", "a device of torch", "port", "queue"],
)
def test_invalid_options_are_refused_in_one_line(arguments: list[str], words: str) -> None:
    result = run("serve", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.startswith("anti-i2v: ")
    assert result.stderr.count("\n") == 1


def test_an_unknown_surrogate_is_refused() -> None:
    result = run("serve", "--surrogate", "nothing")
    assert result.exit_code == 1
    assert "unknown surrogate 'nothing'" in result.stderr


def test_a_port_in_use_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("serve", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 1
    assert "choose another --port" in result.stderr


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import util

    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "litestar" else real(name))
    result = run("serve")
    assert result.exit_code == 1
    assert 'pip install "anti-i2v-sdk[server,cpu]"' in result.stderr


def test_tokens_are_listed_and_revoked(home: Path) -> None:
    tokens = TokenStore()
    assert tokens.path.parent.parent == home
    tokens.issue("chrome-extension://abcdefgh")
    tokens.issue(None)
    listed = run("tokens", "list").stdout
    assert "chrome-extension://abcdefgh" in listed
    assert "a client without an origin" in listed
    first = tokens.entries()[0].id
    assert run("tokens", "revoke", first).stdout == f"{first}: revoked\n"
    assert "chrome-extension" not in run("tokens").stdout


def test_an_empty_list_explains_how_to_pair() -> None:
    assert "anti-i2v serve" in run("tokens", "list").stdout


def test_an_unknown_token_is_refused() -> None:
    result = run("tokens", "revoke", "nothing")
    assert result.exit_code == 2
    assert "see `anti-i2v tokens list`" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
def test_a_token_file_that_other_users_can_read_is_reported() -> None:
    tokens = TokenStore()
    tokens.issue(None)
    tokens.path.chmod(0o644)
    result = run("tokens", "list")
    assert result.exit_code == 1
    assert "chmod 600" in result.stderr


def test_the_token_of_a_file_follows_the_same_rules(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("short\n")
    assert "at least 20 characters" in run("serve", "--token-file", str(secret)).stderr
    assert "cannot be read as a token" in run("serve", "--token-file", str(tmp_path / "none")).stderr
    secret.write_text("x" * 32)
    both = run("serve", "--token-file", str(secret), "--token", "y" * 32)
    assert "not from both" in both.stderr
    assert "x" * 32 not in both.stderr
