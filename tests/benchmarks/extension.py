"""Measure what the extension adds to an upload and to loading a page in Chromium, and its size.

    python tests/benchmarks/extension.py [--parts upload load size] [--rounds 15] [--loads 60]

The server returns every photo unprotected and at once, so that only the extension's own work is measured: hold, copy
between its parts, submit, follow, fetch, previews, replay. A browser with the extension and one without take turns,
each round in a new tab, and the photo is chosen in a file dialog. Measured is the time from the choice until the
receiving site has the whole body. The table shows medians, and the ratio to the browser without the extension.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext, Page, Playwright, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the site and the browsers of the tests

from tests.extension.browsers import build_extension, launch_browser
from tests.extension.extension import Extension
from tests.extension.fake_server import CODE, run_fake_server
from tests.extension.upload_receiver import Page as SitePage
from tests.extension.upload_receiver import Site, run_receiver

MEGABYTES = (1, 5, 12)
UPLOAD = SitePage("<input id=pick type=file>", "find('#pick').onchange = (e) => send(e.target.files[0])")
LOADS = {
    "one document": SitePage("<p>Nothing here"),
    "with 10 frames": SitePage("<iframe src={{near}}/inner/{{run}}></iframe>" * 10),
}


def photo(megabytes: int, folder: Path) -> Path:
    """Write a JPEG of that size with about as many megapixels, like a photo of a phone."""
    size = (int(1155 * megabytes**0.5), int(866 * megabytes**0.5))
    noise = np.random.default_rng(megabytes).integers(0, 256, (size[1] // 4, size[0] // 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=96, subsampling=0)
    place = folder / f"{megabytes}.jpg"
    place.write_bytes(buffer.getvalue()[: megabytes * 1_000_000].ljust(megabytes * 1_000_000, b"\0"))
    return place


def upload(context: BrowserContext, site: Site, file: Path) -> float:
    """Return the milliseconds from the choice to the arrival."""
    run = site.open(UPLOAD)
    tab = context.new_page()
    tab.goto(site.address(run))
    with tab.expect_file_chooser() as opened:
        tab.click("#pick")
    tab.wait_for_timeout(100)
    begun = time.perf_counter()
    opened.value.set_files(str(file))
    while not run.requests:
        tab.wait_for_timeout(1)  # lets the driver work
        if time.perf_counter() - begun > 30:
            raise SystemExit("nothing arrived: the extension does not work")
    taken = run.requests[0].when - begun
    left = len(run.requests[0].body) - file.stat().st_size
    if left:
        raise SystemExit(f"the upload is {left} bytes longer than the photo")
    leave(tab)
    return taken * 1000


def leave(tab: Page) -> None:
    tab.goto("about:blank")
    tab.close()


def uploads(with_it: BrowserContext, without: BrowserContext, site: Site, rounds: int) -> None:
    print(f"an upload, from the choice to its arrival, milliseconds, medians of {rounds} (goal at 12 MB: 150 added)")
    print(f"{'':12}{'without':>10}{'with':>10}{'added':>10}{'p95 added':>11}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in MEGABYTES:
            file = photo(megabytes, Path(folder))
            pairs = [(upload(without, site, file), upload(with_it, site, file)) for _ in range(rounds + 1)][1:]
            row(f"{megabytes} MB", pairs)
    print()


def row(label: str, pairs: list[tuple[float, float]]) -> None:
    bare, guarded = (median(each) for each in zip(*pairs, strict=True))
    added = [after - before for before, after in pairs]
    worst = quantiles(added, n=20)[-1] if len(added) > 1 else added[0]
    print(f"{label:14}{bare:8.1f}{guarded:10.1f}{median(added):10.1f}{worst:11.1f}{guarded / bare:8.2f}", flush=True)


def load(tab: Page, address: str) -> float:
    """Return the milliseconds from the first byte of the document to the end of its load event."""
    tab.goto(address)
    return float(
        tab.evaluate(
            """() => {
                const [it] = performance.getEntriesByType('navigation');
                return it.loadEventEnd - it.responseStart;
            }"""
        )
    )


def loads(with_it: BrowserContext, without: BrowserContext, site: Site, rounds: int) -> None:
    print(f"the load of a page, first byte to load event, milliseconds, medians of {rounds} (goal: 5 added)")
    print(f"{'':14}{'without':>8}{'with':>10}{'added':>10}{'p95 added':>11}{'ratio':>8}")
    tabs = [context.new_page() for context in (without, with_it)]
    for label, page in LOADS.items():
        address = site.address(site.open(page))
        pairs = []
        for number in range(rounds + 5):
            order = tabs if number % 2 else tabs[::-1]
            for tab in order:
                tab.bring_to_front()
            times = {tab: load(tab, address) for tab in order}
            pairs.append((times[tabs[0]], times[tabs[1]]))
        row(label, pairs[5:])
    print()


def sizes() -> None:
    print(f"{'size, kB':24}{'as it is':>10}{'gzip':>10}")
    folder = build_extension("chrome")
    everything = [file for file in folder.rglob("*") if file.is_file()]
    rows = {
        "page.js, every frame": [folder / "content-scripts" / "page.js"],
        "bridge.js, every frame": [folder / "content-scripts" / "bridge.js"],
        "background.js": [folder / "background.js"],
        "all of it": everything,
    }
    for label, files in rows.items():
        contents = [file.read_bytes() for file in files]
        packed = sum(len(gzip.compress(each)) for each in contents)
        print(f"{label:24}{sum(map(len, contents)) / 1000:10.1f}{packed / 1000:10.1f}")


@contextmanager
def browsers(playwright: Playwright) -> Iterator[tuple[BrowserContext, BrowserContext]]:
    """Yield browsers (with, without) the extension."""
    with (
        run_fake_server(bytes) as echo,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as one,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as other,
        launch_browser(playwright, Path(one), build_extension("chrome")) as with_it,
        launch_browser(playwright, Path(other), None) as without,
    ):
        extension = Extension(with_it)
        extension.send_request("pair", {"address": echo, "code": CODE})
        extension.change(recipe="draft")
        yield with_it, without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("upload", "load", "size")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--loads", type=int, default=60)
    settings = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start\n")
    with run_receiver() as site, sync_playwright() as playwright, browsers(playwright) as (with_it, without):
        if "upload" in settings.parts:
            uploads(with_it, without, site, settings.rounds)
        if "load" in settings.parts:
            loads(with_it, without, site, settings.loads)
    if "size" in settings.parts:
        sizes()


if __name__ == "__main__":
    main()
