"""Control the extension in Chromium through messages of its own options page."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import BrowserContext, Page

FAST = {"recipe": "draft", "deadline": 5}


class Extension:
    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        workers = context.service_workers
        worker = workers[0] if workers else context.wait_for_event("serviceworker")
        self.id = worker.url.split("/")[2]
        self.page: Page = context.new_page()
        self.page.goto(self.address("options.html"))

    def address(self, path: str) -> str:
        return f"chrome-extension://{self.id}/{path}"

    def send_request(self, name: str, body: Any = None) -> Any:
        """Send a request and return the reply's value. Raise AssertionError if the reply is a problem."""
        reply = self.page.evaluate("(asked) => chrome.runtime.sendMessage(asked)", {"name": name, "body": body})
        assert reply["ok"], reply
        return reply["value"]

    def pair(self, address: str, code: str) -> None:
        state = self.send_request("pair", {"address": address, "code": code})
        assert state["paired"], state
        assert state["problem"] is None, state

    def change(self, **settings: Any) -> None:
        self.send_request("change", settings)
