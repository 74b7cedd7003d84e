"""Every upload surface with the extension: protected photos arrive, and nothing of the originals does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Visits
from .extension import Extension
from .fake_server import CODE, run_fake_server
from .overlay_driver import Overlay
from .received_checks import assert_protected
from .surfaces import SURFACES
from .surfaces_base import Surface


@pytest.fixture(scope="module", autouse=True)
def fake_server(extension: Extension) -> Iterator[None]:
    """Perturbs photos at once: these tests are about ways into a site, others use the real server."""
    with run_fake_server() as address:
        extension.pair(address, CODE)
        yield


@pytest.mark.usefixtures("framework_bundles")
@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.id)
def test_only_protected_photos_arrive(with_extension: Visits, surface: Surface) -> None:
    with with_extension.surface(surface) as visit:
        surface.act(visit.user, visit.files)
        if len(visit.run.wait(len(visit.files))) < len(visit.files):
            pytest.fail(f"{len(visit.run.arrivals())} arrived; the overlay says: {Overlay(visit.user.page).text()!r}")
        visit.user.settle()
        assert_protected(visit.run, visit.files, named=surface.named, order=surface.order)
        if surface.relative:
            assert {each["path"] for each in visit.run.seen()} == {each.path for each in visit.files}
