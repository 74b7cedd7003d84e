"""Firefox: inputs, shadow roots, detached inputs, frames and frameworks, with and without the extension."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("websocket", reason="needs websocket-client: pip install websocket-client")

from .brought import bring
from .browsers import built
from .extension import FAST
from .fox import Fox, foxing
from .judge import judge, judge_baseline
from .receiving import Run, Site
from .serving import Serving
from .surfaces import DETACHED, FRAMES, FRAMEWORKS, INPUTS, SHADOW, Surface

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("framework_bundles")]

ELSEWHERE = {
    "detached-polled": "no event tells of its dialog",
    "filepond": "no event tells of its dialog",
    "frame-written": "the frame is gone from the tree",
    "input-folder": "input.setFiles takes no folder",
    "input-twice": "no event tells of the second dialog",
}
"""Surfaces that WebDriver BiDi cannot drive here, with or without the extension."""

SURFACES = [
    surface
    for surface in [*INPUTS, *SHADOW, *DETACHED, *FRAMES, *FRAMEWORKS]
    if not surface.id.endswith("-drop") and surface.id not in ELSEWHERE
]
each_surface = pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.id)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fox]:
    with foxing(tmp_path_factory.mktemp("fox")) as fox:
        yield fox


@pytest.fixture(scope="module")
def guarding(tmp_path_factory: pytest.TempPathFactory, server: Serving) -> Iterator[Fox]:
    """With the extension, paired."""
    with foxing(tmp_path_factory.mktemp("fox")) as fox:
        fox.install(built("firefox"))
        fox.ask("pair", {"address": server.address, "code": server.code()})
        fox.ask("change", dict(FAST))
        yield fox


def visit(fox: Fox, site: Site, surface: Surface, folder: Path, seconds: float) -> tuple[Run, list[Any]]:
    brought = bring(surface.id, surface.brings, folder)
    run = site.open(surface.page)
    fox.open(site.address(run))
    try:
        surface.act(fox, brought)  # type: ignore[arg-type]  # it picks, presses and waits like a Person
        run.wait(len(brought), seconds)
        fox.wait(200)
    finally:
        fox.close()
    return run, brought


@each_surface
def test_without_the_extension_the_original_arrives(plain: Fox, site: Site, surface: Surface, tmp_path: Path) -> None:
    run, brought = visit(plain, site, surface, tmp_path, 3)
    judge_baseline(run, brought, named=surface.named)


@each_surface
def test_only_protected_photos_arrive(guarding: Fox, site: Site, surface: Surface, tmp_path: Path) -> None:
    run, brought = visit(guarding, site, surface, tmp_path, 20)
    judge(run, brought, named=surface.named, order=surface.order)
    if surface.relative:
        assert {each["path"] for each in run.seen()} == {each.path for each in brought}
