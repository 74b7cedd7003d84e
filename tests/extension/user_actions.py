"""User actions in Chromium: picks, drops and pastes whose events are trusted."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import BrowserContext, Error, FileChooser, Locator, Page

from .upload_fixtures import UploadFile

__all__ = ["Action", "User", "drop", "paste", "pick", "press"]


class User:
    """A user at one page. `frames`: selectors of nested frames, the outermost first."""

    def __init__(self, page: Page, helper: Page | None = None) -> None:
        self.page, self.helper = page, helper

    def at(self, selector: str, *frames: str) -> Locator:
        place = self.page.frame_locator(frames[0]) if frames else None
        for frame in frames[1:]:
            place = place.frame_locator(frame) if place else None
        return place.locator(selector) if place else self.page.locator(selector)

    def press(self, selector: str, *frames: str) -> None:
        self.at(selector, *frames).click()

    def pick(self, files: Sequence[Path], selector: str, *frames: str) -> None:
        """Click what opens the file dialog, and choose files."""
        with self.page.expect_file_chooser() as opened:
            self.press(selector, *frames)
        choose(opened.value, files)

    def wait_until(self, expression: str) -> None:
        """Wait until a JavaScript expression of the page is true."""
        self.page.wait_for_function(expression)

    def settle(self) -> None:
        """Wait for a round trip from the page to the site: what the page sent before has arrived then."""
        with suppress(Error):  # the page is navigating: it sends nothing more
            self.page.evaluate("() => new Promise((done) => setTimeout(done)).then(() => fetch(location.origin))")

    def drop(self, files: Sequence[Path], selector: str) -> None:
        box = self.page.locator(selector).bounding_box()
        assert box is not None
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        session = self.page.context.new_cdp_session(self.page)
        for kind in ("dragEnter", "dragOver", "drop"):
            at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
            session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
        session.detach()

    def copy(self, png: bytes) -> None:
        """Copy an image to the clipboard, in another tab."""
        assert self.helper is not None
        self.helper.bring_to_front()
        self.helper.evaluate(
            """async (text) => {
                const photo = await (await fetch('data:image/png;base64,' + text)).blob();
                await navigator.clipboard.write([new ClipboardItem({ 'image/png': photo })]);
            }""",
            base64.b64encode(png).decode(),
        )
        self.page.bring_to_front()

    def paste(self, png: bytes, selector: str) -> None:
        self.copy(png)
        self.page.locator(selector).click()
        self.page.keyboard.press("Control+V")


def choose(chooser: FileChooser, files: Sequence[Path]) -> None:
    chooser.set_files([str(file) for file in files])


def clipboard_page(context: BrowserContext, address: str) -> Page:
    """Open a tab that may write to the clipboard."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(address)
    return page


Action = Callable[[User, list[UploadFile]], None]
"""What the user does at a page, with the files."""


def roots(files: list[UploadFile]) -> list[Path]:
    """Return the paths to choose: files, or the folder that contains them."""
    tops = {}
    for each in files:
        depth = each.path.count("/")
        tops[each.place.parents[depth - 1] if depth else each.place] = None
    return list(tops)


def pick(selector: str = "#pick", *frames: str) -> Action:
    return lambda user, files: user.pick(roots(files), selector, *frames)


def drop(selector: str = "#drop") -> Action:
    return lambda user, files: user.drop(roots(files), selector)


def paste(selector: str = "#paste") -> Action:
    return lambda user, files: user.paste(files[0].data, selector)


def press(selector: str = "#go", *frames: str) -> Action:
    return lambda user, _: user.press(selector, *frames)


def copy_then_press(user: User, files: list[UploadFile]) -> None:
    user.copy(files[0].data)
    user.press("#go")


def pick_then_press(user: User, files: list[UploadFile]) -> None:
    user.pick(roots(files), "#pick")
    user.press("#go")
