"""Control the overlay through the debugger, because its shadow root is closed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Page

Node = dict[str, Any]


def walk(node: Node) -> Iterator[Node]:
    yield node
    for key in ("children", "shadowRoots"):
        for child in node.get(key, ()):
            yield from walk(child)


def words(node: Node) -> str:
    return " ".join(
        text for each in walk(node) if (text := each.get("nodeValue", "").strip()) and each["nodeType"] == 3
    )


class Overlay:
    def __init__(self, page: Page) -> None:
        self.page = page
        self.session = page.context.new_cdp_session(page)

    def _roots(self) -> list[Node]:
        """Return closed shadow roots directly under <html>: only the overlay has one."""
        tree = self.session.send("DOM.getDocument", {"depth": -1, "pierce": True})["root"]
        html = next((node for node in tree["children"] if node["nodeName"] == "HTML"), {"children": []})
        return [root for host in html.get("children", ()) for root in host.get("shadowRoots", ())]

    def text(self) -> str:
        return " ".join(words(root) for root in self._roots())

    def wait(self, text: str, seconds: float = 20.0) -> None:
        """Wait until the overlay contains a text."""
        until = time.monotonic() + seconds
        while text not in (said := self.text()):
            assert time.monotonic() < until, f"the overlay says {said!r}, not {text!r}"
            self.page.wait_for_timeout(40)

    def wait_gone(self, seconds: float = 20.0) -> None:
        """Wait until no dialog is open."""
        until = time.monotonic() + seconds
        while any(node["nodeName"] == "DIALOG" for root in self._roots() for node in walk(root)):
            assert time.monotonic() < until, f"the overlay still says {self.text()!r}"
            self.page.wait_for_timeout(40)

    def has(self, button: str) -> bool:
        return self._button(button) is not None

    def press(self, button: str) -> None:
        node = self._button(button)
        assert node is not None, f"no button {button!r} in {self.text()!r}"
        self.session.send("DOM.scrollIntoViewIfNeeded", {"nodeId": node["nodeId"]})
        quad = self.session.send("DOM.getBoxModel", {"nodeId": node["nodeId"]})["model"]["content"]
        self.page.mouse.click(sum(quad[0::2]) / 4, sum(quad[1::2]) / 4)

    def _button(self, text: str) -> Node | None:
        nodes = (node for root in self._roots() for node in walk(root) if node["nodeName"] == "BUTTON")
        return next((node for node in nodes if words(node) == text), None)
