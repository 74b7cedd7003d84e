"""Shared by the extension's tests: the receiving site, protection servers, Chromium with and without the extension."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs playwright: pip install playwright")

from playwright.sync_api import BrowserContext, Error, Playwright, sync_playwright
from playwright.sync_api import Page as Tab

from .browsers import build_bundles, build_extension, launch_browser
from .extension import FAST, Extension
from .server_process import ServerProcess
from .surfaces_base import Surface
from .surfaces_network import BUNDLES
from .upload_fixtures import UploadFile, write_files
from .upload_receiver import Page as SitePage
from .upload_receiver import Run, Site, run_receiver
from .user_actions import User, clipboard_page


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    with run_receiver() as site:
        yield site


@pytest.fixture(scope="package")
def framework_bundles(site: Site) -> None:
    site.scripts.update(build_bundles(BUNDLES))


# Not session-scoped: while Playwright's event loop runs, no other test can start one.
@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@dataclass
class Visit:
    """A user at a page of the site, with files to upload."""

    user: User
    run: Run
    files: list[UploadFile] = field(default_factory=list)


class Visits:
    """Opens pages of the site in one browser. Tabs are reused; each visit starts with a new document."""

    def __init__(self, context: BrowserContext, site: Site, folder: Path) -> None:
        self.context, self.site, self.folder = context, site, folder
        self.helper = clipboard_page(context, site.address(site.open(SitePage())))
        self.free: list[Tab] = []

    @contextmanager
    def open(self, page: SitePage, case: str, paths: tuple[str, ...], given: bool = False) -> Iterator[Visit]:
        files = write_files(case, paths, self.folder / case)
        run = self.site.open(page, files[0].data if given else b"")
        tab = self.free.pop() if self.free else self.context.new_page()
        tab.bring_to_front()
        tab.goto(self.site.address(run))
        try:
            yield Visit(User(tab, self.helper), run, files)
        except BaseException:
            leave(tab)
            tab.close()
            raise
        leave(tab)
        if not tab.is_closed():
            self.free.append(tab)

    def surface(self, surface: Surface) -> Any:
        return self.open(surface.page, surface.id, surface.paths, surface.given)


def leave(tab: Tab) -> None:
    """Go to an empty page, although the tab may be in the middle of a navigation."""
    for _ in range(5):
        if tab.is_closed():
            return
        with suppress(Error):
            tab.goto("about:blank")
            return
        tab.wait_for_timeout(100)


@pytest.fixture(scope="package")
def without_extension(playwright: Playwright, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visits]:
    """A browser without the extension."""
    with launch_browser(playwright, tmp_path_factory.mktemp("profile"), None) as context:
        yield Visits(context, site, tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A real server. Tests must leave it running."""
    pytest.importorskip("onnxruntime", reason="needs the server: pip install 'anti-i2v-sdk[server,cpu]'")
    server = ServerProcess(tmp_path_factory.mktemp("server") / "home")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="package")
def chrome_build() -> Path:
    return build_extension("chrome")


@pytest.fixture(scope="package")
def context(
    playwright: Playwright, chrome_build: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    """A browser with the extension."""
    with launch_browser(playwright, tmp_path_factory.mktemp("profile"), chrome_build) as context:
        yield context


@pytest.fixture(scope="package")
def extension(context: BrowserContext) -> Extension:
    """The extension with a fast recipe. Each test file pairs it with the server it needs."""
    extension = Extension(context)
    extension.change(**FAST)
    return extension


@pytest.fixture(scope="module")
def paired(extension: Extension, server: ServerProcess) -> Extension:
    """The extension, paired with the real server."""
    extension.pair(server.address, server.code())
    return extension


@pytest.fixture(scope="package")
def with_extension(context: BrowserContext, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Visits:
    """The browser with the extension."""
    return Visits(context, site, tmp_path_factory.mktemp("files"))
