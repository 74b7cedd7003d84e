"""The README is code: its commands stand where people look, and its Python runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_both_commands_stand_within_the_first_25_lines() -> None:
    head = README.splitlines()[:25]
    commands = [line for line in head if line.startswith("pip install hatch && hatch run ")]
    assert len(commands) == 2
    assert "tests/data/astronaut.jpg" in commands[0]
    assert commands[1].endswith("hatch run test")


def test_the_ci_takes_its_commands_from_the_readme() -> None:
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.usefixtures("empty_home")
def test_the_python_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "protected").mkdir()
    for name in ("photo.jpg", "one.jpg", "two.jpg"):
        shutil.copy(ROOT / "tests" / "data" / "chelsea.jpg", tmp_path / name)
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})  # noqa: S102  # our own README
    assert {path.name for path in (tmp_path / "protected").iterdir()} == {"one.jpg", "two.jpg"}
    assert (tmp_path / "protected.jpg").stat().st_size > 10_000
    assert capsys.readouterr().out.count("random change of the same size") >= 2


def test_every_file_that_the_readme_links_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []
