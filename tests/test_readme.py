"""The README's commands stand in its first lines, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

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
    with Image.open(ROOT / "tests" / "data" / "chelsea.jpg") as photo:
        small = photo.crop((120, 40, 280, 168))
    for name in ("photo.jpg", "one.jpg", "two.jpg"):
        small.save(tmp_path / name, quality=95)
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})  # noqa: S102  # our own README
    assert {path.name for path in (tmp_path / "protected").iterdir()} == {"one.jpg", "two.jpg"}
    assert (tmp_path / "protected.jpg").stat().st_size > 1_000
    assert capsys.readouterr().out.count("random change of the same size") >= 2
