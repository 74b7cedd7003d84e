"""All upload surfaces: every way in which a site takes a photo."""

from __future__ import annotations

from .surfaces_inputs import DETACHED, FORMS, FRAMES, INPUTS, SHADOW
from .surfaces_network import FRAMEWORKS, NETWORK
from .surfaces_transfers import DROPS, OTHERS, PASTES

SURFACES = [*INPUTS, *FORMS, *DETACHED, *SHADOW, *FRAMES, *DROPS, *PASTES, *OTHERS, *NETWORK, *FRAMEWORKS]
assert len({surface.id for surface in SURFACES}) == len(SURFACES)
