"""The same cases without the extension: the original arrives, so that a case that cannot fail is seen."""

from __future__ import annotations

import pytest

from .conftest import Visits
from .judge import judge_baseline
from .surfaces import SURFACES, Surface

FEW = 3.0
"""Seconds until an upload without a detour has arrived."""


@pytest.mark.usefixtures("framework_bundles")
@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.id)
def test_without_the_extension_the_original_arrives(bare: Visits, surface: Surface) -> None:
    with bare.surface(surface) as visit:
        surface.act(visit.person, visit.brought)
        visit.run.wait(len(visit.brought), FEW)
        judge_baseline(visit.run, visit.brought, named=surface.named)
        if surface.relative:
            assert {each["path"] for each in visit.run.seen()} == {each.path for each in visit.brought}
