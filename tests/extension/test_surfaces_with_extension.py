"""Every surface with the extension: what arrives is protected, and nothing of the original does."""

from __future__ import annotations

import pytest

from .conftest import Visits
from .overlay_driver import Overlay
from .received_checks import assert_protected
from .surfaces import SURFACES, Surface

SETTLE = 100
"""Milliseconds in which a second, forbidden upload would show."""


@pytest.mark.usefixtures("framework_bundles")
@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.id)
def test_only_protected_photos_arrive(with_extension: Visits, surface: Surface) -> None:
    with with_extension.surface(surface) as visit:
        surface.act(visit.user, visit.files)
        if len(visit.run.wait(len(visit.files))) < len(visit.files):
            pytest.fail(f"{len(visit.run.arrivals())} arrived; the overlay says: {Overlay(visit.user.page).text()!r}")
        visit.user.page.wait_for_timeout(SETTLE)
        assert_protected(visit.run, visit.files, named=surface.named, order=surface.order)
        if surface.relative:
            assert {each["path"] for each in visit.run.seen()} == {each.path for each in visit.files}
