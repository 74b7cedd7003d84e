"""Documents name files that exist, and their links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "tests" / "benchmarks" / "results").glob("*.md")),
    ROOT / "extension" / "PERMISSIONS.md",
    ROOT / "sdk" / "training" / "README.md",
]
TOP = ("docs", "export", "extension", "sdk", "server", "tests")
SOURCES = (".css", ".js", ".md", ".py", ".toml", ".ts", ".txt")
ELSEWHERE = {"server/tokens.json"}
"""Paths below `ANTI_I2V_HOME`."""

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])


def paths_in(text: str) -> set[str]:
    """Every path of this repository in backticks: below a top folder, or a source file."""
    found = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", text))
    below_top = {path for path in found if "/" in path and path.partition("/")[0] in TOP and "/.output" not in path}
    return (below_top | {path for path in found if path.endswith(SOURCES)}) - ELSEWHERE


def bases(document: Path) -> list[Path]:
    """Folders that a document's paths may start from."""
    packages = ["sdk/anti_i2v", "sdk/anti_i2v_cli", "export/anti_i2v_export", "server/anti_i2v_server", "extension/src"]
    return [ROOT, document.parent, *(ROOT / package for package in packages)]


@each_document
def test_every_path_exists(document: Path) -> None:
    paths = paths_in(document.read_text(encoding="utf-8"))
    missing = {path for path in paths if not any((base / path).exists() for base in bases(document))}
    assert missing == set()


@each_document
def test_every_relative_link_and_its_anchor_resolve(document: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if link.startswith(("http:", "https:")):
            continue
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub builds them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def module_exists(name: str) -> bool:
    """Whether a dotted name is a module, or a name in the text of one."""
    parts = name.split(".")
    for package in ("sdk", "server", "export"):
        for length in range(len(parts), 0, -1):
            path = ROOT.joinpath(package, *parts[:length])
            for file in (path.with_suffix(".py"), path / "__init__.py"):
                if file.exists():
                    return length == len(parts) or parts[length] in file.read_text(encoding="utf-8")
    return False


@each_document
def test_every_python_name_exists(document: Path) -> None:
    names = set(re.findall(r"`(anti_i2v\w*(?:\.\w+)+)", document.read_text(encoding="utf-8")))
    assert {name for name in names if not module_exists(name)} == set()


def test_the_architecture_shows_the_layers_that_lint_enforces() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    enforced = next(each["layers"] for each in contracts if each.get("containers") == ["anti_i2v"])
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = text.partition("\nanti_i2v\n")[2].partition("```")[0]
    drawn = [re.split(r"\s{2,}", line.strip())[0] for line in drawing.splitlines() if line.strip()]
    assert [sorted(layer.split(", ")) for layer in drawn] == [sorted(layer.split(" | ")) for layer in enforced]


def test_every_folder_that_the_architecture_names_exists() -> None:
    document = ROOT / "docs" / "architecture.md"
    folders = re.findall(r"`([\w./-]+/)`", document.read_text(encoding="utf-8"))
    assert folders
    assert [each for each in folders if not any((base / each).is_dir() for base in bases(document))] == []
