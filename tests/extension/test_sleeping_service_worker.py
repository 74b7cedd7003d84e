"""A service worker that the browser has stopped. No debugger is attached to it, since that would keep it running."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("websocket", reason="needs websocket-client: pip install websocket-client")

from .browsers import CHROMIUM_FLAGS, find_chromium
from .extension import FAST
from .received_checks import assert_protected
from .server_process import ServerProcess
from .upload_fixtures import write_files
from .upload_receiver import Page, Site
from .websocket_rpc import JsonRpcSocket

pytestmark = pytest.mark.slow

IDLE = 60.0
"""Seconds in which Chromium stops an idle worker; documented are 30."""

HELD = 12.0
"""Seconds that the job lasts: less than the server allows a frozen worker."""

POSTS = Page("<input id=pick type=file>", "find('#pick').onchange = (e) => post(e.target.files)")


class Chrome:
    """A browser in which a debugger is attached to single tabs only, and only as long as needed."""

    def __init__(self, port: int) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)

    def targets(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.http.get("/json/list").json() if each["type"] == kind]

    @contextmanager
    def tab(self, address: str) -> Iterator[JsonRpcSocket]:
        target = self.http.put(f"/json/new?{urllib.parse.quote(address, safe='')}").json()
        rpc = JsonRpcSocket(target["webSocketDebuggerUrl"])
        try:
            rpc.call("Page.enable")
            until = time.monotonic() + 10
            while evaluated(rpc, "document.readyState") != "complete" and time.monotonic() < until:
                time.sleep(0.1)
            yield rpc
        finally:
            rpc.close()
            self.http.get(f"/json/close/{target['id']}")


def evaluated(rpc: JsonRpcSocket, expression: str) -> Any:
    answer = rpc.call(
        "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
    )
    assert "exceptionDetails" not in answer, answer
    return answer["result"].get("value")


def send_request(rpc: JsonRpcSocket, name: str, body: Any) -> None:
    asked = json.dumps({"name": name, "body": body})
    reply = evaluated(rpc, f"chrome.runtime.sendMessage({asked})")
    assert reply["ok"], reply


@pytest.fixture
def chrome(chrome_build: Path, tmp_path: Path) -> Iterator[Chrome]:
    loaded = [f"--disable-extensions-except={chrome_build}", f"--load-extension={chrome_build}"]
    shown = ["--headless=new", f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0", "about:blank"]
    with subprocess.Popen(  # noqa: S603  # a browser at a known place
        [find_chromium(), *CHROMIUM_FLAGS, *loaded, *shown], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            file = tmp_path / "profile" / "DevToolsActivePort"
            until = time.monotonic() + 30
            while not (file.is_file() and file.read_text().strip()) and time.monotonic() < until:
                time.sleep(0.1)
            chrome = Chrome(int(file.read_text().split()[0]))
            with chrome.http:
                yield chrome
        finally:
            process.terminate()


def test_a_stopped_service_worker_wakes_up_for_a_photo(
    chrome: Chrome, server: ServerProcess, site: Site, tmp_path: Path
) -> None:
    until = time.monotonic() + 30
    while not (workers := chrome.targets("service_worker")) and time.monotonic() < until:
        time.sleep(0.2)
    origin = "/".join(workers[0]["url"].split("/")[:3])
    with chrome.tab(f"{origin}/options.html") as options:
        send_request(options, "pair", {"address": server.address, "code": server.code()})
        send_request(options, "change", dict(FAST))
    for page in chrome.targets("page"):
        if page["url"].startswith(origin):
            chrome.http.get(f"/json/close/{page['id']}")
    run, files = site.open(POSTS), write_files("evicted", ("face.png",), tmp_path)
    with chrome.tab(site.address(run)) as tab:
        until = time.monotonic() + IDLE
        while chrome.targets("service_worker") and time.monotonic() < until:
            time.sleep(1)
        assert not chrome.targets("service_worker"), "the worker was never stopped"
        server.freeze()
        try:
            tab.call("Page.setInterceptFileChooserDialog", enabled=True)
            evaluated(tab, "find('#pick').showPicker()")
            opened = tab.event(lambda event: event.get("method") == "Page.fileChooserOpened")["params"]
            places = [str(each.place) for each in files]
            tab.call("DOM.setFileInputFiles", files=places, backendNodeId=opened["backendNodeId"])
            time.sleep(HELD)
        finally:
            server.freeze(False)
        run.wait(1, 40)
        assert_protected(run, files)
