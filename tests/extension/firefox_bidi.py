"""Control Firefox through WebDriver BiDi, without a driver: install the extension and pick files like a user."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from .browsers import find_firefox
from .websocket_rpc import JsonRpcSocket, RpcError

PREFERENCES = """
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("extensions.webextOptionalPermissionPrompts", false);
user_pref("remote.log.level", "Error");
user_pref("extensions.webextensions.uuids", "{\\"anti-i2v@anti-i2v.invalid\\": \\"%s\\"}");
"""

HOME = str(uuid4())
"""Host of the extension's pages, which Firefox would choose at random."""


class Firefox:
    """Firefox with one open tab at a time."""

    def __init__(self, rpc: JsonRpcSocket) -> None:
        self.rpc = rpc
        rpc.call("session.new", capabilities={"alwaysMatch": {"unhandledPromptBehavior": {"default": "ignore"}}})
        try:
            rpc.call("session.subscribe", events=["input.fileDialogOpened", "log.entryAdded"])
        except RpcError as problem:  # ESR 140, for example, cannot answer a file chooser
            if "not a valid event name" not in str(problem):
                raise
            pytest.skip(f"this Firefox is too old, update it: {problem}")
        self.tab = rpc.call("browsingContext.getTree")["contexts"][0]["context"]

    def install(self, folder: Path) -> str:
        """Install an unpacked extension. Return its id."""
        data = {"type": "path", "path": str(folder)}
        return str(self.rpc.call("webExtension.install", extensionData=data)["extension"])

    def send_request(self, name: str, body: Any = None) -> Any:
        """Send a request from an extension page. Raise AssertionError if the reply is a problem."""
        self.open(f"moz-extension://{HOME}/options.html")
        asked = json.dumps({"name": name, "body": body})
        reply = json.loads(self.evaluate(f"browser.runtime.sendMessage({asked}).then(JSON.stringify)"))
        self.close()
        assert reply["ok"], reply
        return reply["value"]

    def open(self, address: str, wait: str = "complete") -> None:
        self.tab = self.rpc.call("browsingContext.create", type="tab")["context"]
        self.rpc.call("browsingContext.navigate", context=self.tab, url=address, wait=wait)

    def close(self) -> None:
        self.rpc.call("browsingContext.close", context=self.tab)

    def evaluate(self, expression: str) -> Any:
        """Evaluate an expression with a JSON value. Raise RpcError if it throws."""
        answer = self.rpc.call(
            "script.evaluate",
            expression=expression,
            target={"context": self.tab},
            awaitPromise=True,
            userActivation=True,
        )
        if answer["type"] == "exception":
            raise RpcError(answer["exceptionDetails"]["text"])
        return answer["result"].get("value")

    def press(self, selector: str, *frames: str) -> None:
        """Click the middle of an element. `frames`: one per nested document, of which the first frame is taken."""
        context = self.inside(len(frames))
        element = self.find(selector, context)
        origin = {"type": "element", "element": {"sharedId": element}}
        actions = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions}
        self.rpc.call("input.performActions", context=context, actions=[mouse])

    def find(self, selector: str, context: str) -> str:
        """Wait for an element: a page that rewrites itself on a click does so after the click."""
        for _ in range(100):
            found = self.rpc.call(
                "browsingContext.locateNodes", context=context, locator={"type": "css", "value": selector}
            )["nodes"]
            if found:
                return str(found[0]["sharedId"])
            self.wait(100)
        raise AssertionError(f"no {selector}")

    def pick(self, files: Sequence[Path], selector: str, *frames: str) -> None:
        """Click what opens the file dialog, and choose files."""
        self.press(selector, *frames)
        opened = self.rpc.event(lambda event: event.get("method") == "input.fileDialogOpened")["params"]
        self.rpc.call(
            "input.setFiles",
            context=opened["context"],
            element=opened["element"],
            files=[str(file) for file in files],
        )

    def inside(self, depth: int) -> str:
        """Return the browsing context at a depth of nested frames."""
        tree = self.rpc.call("browsingContext.getTree", root=self.tab)["contexts"][0]
        for _ in range(depth):
            tree = tree["children"][0]
        return str(tree["context"])

    def wait(self, milliseconds: float) -> None:
        time.sleep(milliseconds / 1000)

    def wait_until(self, expression: str) -> None:
        for _ in range(150):
            if self.evaluate(f"Boolean({expression})"):
                return
            self.wait(100)
        raise TimeoutError(expression)


@contextmanager
def run_firefox(profile: Path) -> Iterator[Firefox]:
    (profile / "user.js").write_text(PREFERENCES % HOME)
    command = [
        find_firefox(),
        "--headless",
        "--no-remote",
        "--profile",
        str(profile),
        "--remote-debugging-port",
        "0",
        "--remote-allow-system-access",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603  # a browser at a known place
    rpc = None
    try:
        for line in process.stderr or ():
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                rpc = JsonRpcSocket(f"{found[1]}/session")
                break
        assert rpc is not None, "Firefox did not start"
        yield Firefox(rpc)
    finally:
        if rpc is not None:
            rpc.close()
        process.terminate()
        process.wait(20)
        if process.stderr is not None:
            process.stderr.close()
