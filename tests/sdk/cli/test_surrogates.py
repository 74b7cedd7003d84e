"""`anti-i2v surrogates`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .command_line import assert_refused, run


@pytest.mark.parametrize("command", [("surrogates", "list"), ("surrogates",)], ids=["list", "no subcommand"])
def test_every_kind_of_model_is_listed(command: tuple[str, ...]) -> None:
    result = run(*command)
    assert result.exit_code == 0
    names = {line.split()[0] for line in result.stdout.splitlines() if line}
    assert {"embedded", "taesd", "taesd3", "dit-taef1", "unet-taesd", "wan2.2-5b", "svd"} <= names
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.parametrize("name", ["embedded", "taesd", "taesd3", "dit-taef1", "dit-taesd3", "svd"])
def test_info_shows_a_models_licence_and_role(name: str) -> None:
    result = run("surrogates", "info", name)
    assert result.exit_code == 0
    assert {"name", "role", "licence"} <= {line.split()[0] for line in result.stdout.splitlines()}


@pytest.mark.parametrize("answer", ["n\n", ""], ids=["no", "no answer"])
def test_nothing_is_pulled_without_consent(answer: str, tmp_path: Path) -> None:
    result = run("surrogates", "pull", input=answer)
    assert result.exit_code == 1
    for word in ("madebyollin/taesd,", "taesdxl", "taef1", "about 5 MB", "MIT"):
        assert word in result.stdout
    assert "taesd3" not in result.stdout  # held out: only when it is named
    assert "nothing was downloaded" in result.stderr
    assert not list((tmp_path / "home").iterdir())


ERRORS = [
    # id, arguments, exit code, part of the message
    ("info on nothing", "surrogates info nope", 1, "unknown surrogate 'nope'"),
    ("pull of nothing", "surrogates pull nope --yes", 1, "unknown surrogate 'nope'"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_every_error_is_one_line_with_its_exit_code_and_writes_nothing(
    desk: Path, arguments: str, code: int, message: str
) -> None:
    assert_refused(desk, arguments, code, message)
