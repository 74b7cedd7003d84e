"""Upload surface: a small page that takes a photo, and what the user does there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .upload_receiver import Page
from .user_actions import Action, pick

PHOTO = ("face.png",)
INPUT = "<input id=pick type=file>"
STRICT = "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'self'"


@dataclass(frozen=True)
class Surface:
    """One upload surface.

    Attributes:
        act: what the user does.
        paths: paths of the files; the extensions determine their content.
        named: whether names and types travel with the files.
        order: whether the site gets the files in order.
        relative: whether the page sees paths in the folder.
        given: whether the photo comes from the site, not from the user.
    """

    id: str
    body: str = INPUT
    script: str = ""
    act: Action = field(default_factory=pick)
    paths: tuple[str, ...] = PHOTO
    named: bool = True
    order: bool = True
    relative: bool = False
    given: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def page(self) -> Page:
        return Page(self.body, self.script, self.headers)


def form(attributes: str = "", inside: str = "", input: str = "") -> str:
    return (
        f"<form action={{{{up}}}} method=post enctype=multipart/form-data {attributes}>"
        f"<input id=pick type=file name=photos {input}>{inside}</form>"
    )
