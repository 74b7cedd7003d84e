"""Shared by the extension's tests: the receiving site, a protection server, Chromium with and without the extension."""

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

from .brought import Brought, bring
from .browsers import browsing, built, bundles
from .extension import FAST, Extension
from .person import Person, helper_page
from .receiving import Page as SitePage
from .receiving import Run, Site, receiving
from .serving import Serving
from .surfaces import BUNDLES, Surface


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    with receiving() as site:
        yield site


@pytest.fixture(scope="package")
def framework_bundles(site: Site) -> None:
    site.scripts.update(bundles(BUNDLES))


# Of the package, not of the session: while Playwright's own loop runs, no other test may start one.
@pytest.fixture(scope="package")
def player() -> Iterator[Playwright]:
    with sync_playwright() as player:
        yield player


@dataclass
class Visit:
    """A person at a page of the site, with files in hand."""

    person: Person
    run: Run
    brought: list[Brought] = field(default_factory=list)


def leave(tab: Tab) -> None:
    """A tab that is closed in mid-navigation hangs: it comes to rest first."""
    for _ in range(5):
        with suppress(Error):
            tab.goto("about:blank")
            break
        tab.wait_for_timeout(100)
    tab.close()


class Visits:
    """Opens pages of the site in one browser; closes them after the test."""

    def __init__(self, context: BrowserContext, site: Site, folder: Path) -> None:
        self.context, self.site, self.folder = context, site, folder
        self.helper = helper_page(context, site.address(site.open(SitePage())))

    @contextmanager
    def open(self, page: SitePage, case: str, brings: tuple[str, ...], given: bool = False) -> Iterator[Visit]:
        brought = bring(case, brings, self.folder / case)
        run = self.site.open(page, brought[0].data if given else b"")
        tab = self.context.new_page()
        try:
            tab.goto(self.site.address(run))
            yield Visit(Person(tab, self.helper), run, brought)
        finally:
            leave(tab)

    def surface(self, surface: Surface) -> Any:
        return self.open(surface.page, surface.id, surface.brings, surface.given)


@pytest.fixture(scope="package")
def bare(player: Playwright, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visits]:
    """A browser without the extension."""
    with browsing(player, tmp_path_factory.mktemp("bare"), None) as context:
        yield Visits(context, site, tmp_path_factory.mktemp("brought"))


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Left running by all tests that use it."""
    pytest.importorskip("onnxruntime", reason="needs the server: pip install 'anti-i2v-sdk[server,cpu]'")
    serving = Serving(tmp_path_factory.mktemp("server") / "home")
    try:
        yield serving
    finally:
        serving.stop()


@pytest.fixture(scope="package")
def chrome_build() -> Path:
    return built("chrome")


@pytest.fixture(scope="package")
def context(
    player: Playwright, chrome_build: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    """A browser with the extension, not paired."""
    with browsing(player, tmp_path_factory.mktemp("profile"), chrome_build) as context:
        yield context


@pytest.fixture(scope="package")
def extension(context: BrowserContext, server: Serving) -> Extension:
    """Paired, with a fast recipe."""
    extension = Extension(context)
    extension.pair(server)
    extension.change(**FAST)
    return extension


@pytest.fixture(scope="package")
def guarded(
    context: BrowserContext, extension: Extension, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Visits:
    """The browser with the paired extension."""
    return Visits(context, site, tmp_path_factory.mktemp("brought"))
