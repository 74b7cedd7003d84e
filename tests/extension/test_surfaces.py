"""Every surface with the extension: what arrives is protected, and nothing of the original does."""

from __future__ import annotations

import pytest

from .conftest import Visits
from .judge import judge
from .overlay import Overlay
from .surfaces import SURFACES, Surface

SETTLE = 100
"""Milliseconds in which a second, forbidden upload would show."""


@pytest.mark.usefixtures("framework_bundles")
@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.id)
def test_only_protected_photos_arrive(guarded: Visits, surface: Surface) -> None:
    with guarded.surface(surface) as visit:
        surface.act(visit.person, visit.brought)
        if len(visit.run.wait(len(visit.brought))) < len(visit.brought):
            pytest.fail(f"{len(visit.run.arrivals())} arrived; the overlay says: {Overlay(visit.person.page).text()!r}")
        visit.person.page.wait_for_timeout(SETTLE)
        judge(visit.run, visit.brought, named=surface.named, order=surface.order)
        if surface.relative:
            assert {each["path"] for each in visit.run.seen()} == {each.path for each in visit.brought}
