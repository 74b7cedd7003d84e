"""Find and launch browsers, and build the extension."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Playwright

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "extension"
HERE = Path(__file__).parent

CHROMIUM_FLAGS = (
    "--no-sandbox",  # the tests may run as root, in a container
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--password-store=basic",
)


def find_chromium() -> str:
    """Return the path of Chromium. Skip the test if it is missing."""
    for name in (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"):
        if name and (found := shutil.which(name)):
            return found
    pytest.skip("needs Chromium: apt install chromium, or name it in CHROMIUM")


def find_firefox() -> str:
    """Return the path of Firefox. Skip the test if it is missing."""
    for name in (os.environ.get("FIREFOX", ""), "firefox-esr", "firefox"):
        if name and (found := shutil.which(name)):
            return found
    pytest.skip("needs Firefox: apt install firefox-esr, or name it in FIREFOX")


@contextmanager
def launch_browser(
    playwright: Playwright, profile: Path, extension: Path | None, *, display: str = ""
) -> Iterator[BrowserContext]:
    """Launch Chromium. `display`: an X display; headless by default."""
    loaded = (f"--disable-extensions-except={extension}", f"--load-extension={extension}") if extension else ()
    context = playwright.chromium.launch_persistent_context(
        profile,
        executable_path=find_chromium(),
        headless=not display,
        env={**os.environ, "DISPLAY": display},
        args=[*CHROMIUM_FLAGS, *loaded],
        viewport={"width": 900, "height": 700},
    )
    context.set_default_timeout(15_000)
    try:
        yield context
    finally:
        context.close()


def run(folder: Path, *command: str, **variables: str) -> None:
    done = subprocess.run(  # noqa: S603  # npm in our own project
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} in {folder}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def last_change(folder: Path) -> float:
    return max((file.stat().st_mtime for file in folder.rglob("*") if file.is_file()), default=0.0)


def find_npm() -> str:
    found = shutil.which("npm")
    if found is None:
        pytest.skip("needs Node 20 or later with npm")
    return found


def install_packages(folder: Path) -> None:
    """Install the packages of the lock file, unless they are there."""
    npm = find_npm()
    if not (folder / "node_modules").is_dir():
        run(folder, npm, "ci", "--ignore-scripts")


def build_extension(browser: str) -> Path:
    """Build the extension if its sources have changed. Return its folder. `browser`: chrome or firefox."""
    output = Path(os.environ.get("WXT_OUT", EXTENSION / ".output")) / f"{browser}-mv3"
    sources = [last_change(EXTENSION / name) for name in ("src", "public")]
    sources += [(EXTENSION / name).stat().st_mtime for name in ("wxt.config.ts", "package-lock.json")]
    manifest = output / "manifest.json"
    if not manifest.is_file() or manifest.stat().st_mtime < max(sources):
        install_packages(EXTENSION)
        run(EXTENSION, find_npm(), "exec", "--", "wxt", "build", "-b", browser, "--mv3")
    return output


def build_bundles(names: list[str]) -> dict[str, bytes]:
    """Bundle the pages of frameworks into one script each."""
    install_packages(HERE)
    output = HERE / "node_modules" / ".bundles"
    sources = max(last_change(HERE / "frameworks"), (HERE / "package-lock.json").stat().st_mtime)
    files = {name: output / f"{name}.js" for name in names}
    if any(not file.is_file() or file.stat().st_mtime < sources for file in files.values()):
        run(HERE, find_npm(), "run", "build", "--", f"--outdir={output}")
    return {name: file.read_bytes() for name, file in files.items()}
