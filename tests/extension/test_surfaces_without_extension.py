"""The same surfaces without the extension: the originals arrive, which proves that each case can fail."""

from __future__ import annotations

import pytest

from .conftest import Visits
from .received_checks import assert_originals_arrived
from .surfaces import SURFACES
from .surfaces_base import Surface

FEW = 3.0
"""Seconds in which an upload arrives."""


@pytest.mark.usefixtures("framework_bundles")
@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.id)
def test_without_the_extension_the_original_arrives(without_extension: Visits, surface: Surface) -> None:
    with without_extension.surface(surface) as visit:
        surface.act(visit.user, visit.files)
        visit.run.wait(len(visit.files), FEW)
        assert_originals_arrived(visit.run, visit.files, named=surface.named)
        if surface.relative:
            assert {each["path"] for each in visit.run.seen()} == {each.path for each in visit.files}
