"""Firefox: inputs, shadow roots, detached inputs, frames and frameworks, with and without the extension."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("websocket", reason="needs websocket-client: pip install websocket-client")

from .browsers import build_extension
from .extension import FAST
from .firefox_bidi import Firefox, run_firefox
from .received_checks import assert_originals_arrived, assert_protected
from .server_process import ServerProcess
from .surfaces_base import Surface
from .surfaces_inputs import DETACHED, FRAMES, INPUTS, SHADOW
from .surfaces_network import FRAMEWORKS
from .upload_fixtures import write_files
from .upload_receiver import Run, Site

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("framework_bundles")]

UNSUPPORTED = {
    "detached-polled": "no event reports its dialog",
    "filepond": "no event reports its dialog",
    "frame-written": "the frame is missing from the tree",
    "input-folder": "input.setFiles accepts no folder",
    "input-twice": "no event reports the second dialog",
}
"""Surfaces that WebDriver BiDi cannot drive, with or without the extension."""

SURFACES = [
    surface
    for surface in [*INPUTS, *SHADOW, *DETACHED, *FRAMES, *FRAMEWORKS]
    if not surface.id.endswith("-drop") and surface.id not in UNSUPPORTED
]
each_surface = pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.id)


@pytest.fixture(scope="module")
def firefox_without_extension(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with run_firefox(tmp_path_factory.mktemp("profile")) as firefox:
        yield firefox


@pytest.fixture(scope="module")
def firefox_with_extension(tmp_path_factory: pytest.TempPathFactory, server: ServerProcess) -> Iterator[Firefox]:
    """Firefox with the paired extension."""
    with run_firefox(tmp_path_factory.mktemp("profile")) as firefox:
        firefox.install(build_extension("firefox"))
        firefox.send_request("pair", {"address": server.address, "code": server.code()})
        firefox.send_request("change", dict(FAST))
        yield firefox


def visit(firefox: Firefox, site: Site, surface: Surface, folder: Path, seconds: float) -> tuple[Run, list[Any]]:
    files = write_files(surface.id, surface.paths, folder)
    run = site.open(surface.page)
    firefox.open(site.address(run))
    try:
        surface.act(firefox, files)  # type: ignore[arg-type]  # it has the methods of User that the surfaces use
        run.wait(len(files), seconds)
        firefox.wait(200)
    finally:
        firefox.close()
    return run, files


@each_surface
def test_without_the_extension_the_original_arrives(
    firefox_without_extension: Firefox, site: Site, surface: Surface, tmp_path: Path
) -> None:
    run, files = visit(firefox_without_extension, site, surface, tmp_path, 3)
    assert_originals_arrived(run, files, named=surface.named)


@each_surface
def test_only_protected_photos_arrive(
    firefox_with_extension: Firefox, site: Site, surface: Surface, tmp_path: Path
) -> None:
    run, files = visit(firefox_with_extension, site, surface, tmp_path, 20)
    assert_protected(run, files, named=surface.named, order=surface.order)
    if surface.relative:
        assert {each["path"] for each in run.seen()} == {each.path for each in files}
