"""Chromium, with the built extension or without it."""

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
    """Where it is; skips where it is not."""
    for name in (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"):
        if name and (found := shutil.which(name)):
            return found
    pytest.skip("needs Chromium: apt install chromium, or name it in CHROMIUM")


def find_firefox() -> str:
    """Where it is; skips where it is not."""
    for name in (os.environ.get("FIREFOX", ""), "firefox-esr", "firefox"):
        if name and (found := shutil.which(name)):
            return found
    pytest.skip("needs Firefox: apt install firefox-esr, or name it in FIREFOX")


@contextmanager
def launch_browser(
    playwright: Playwright, profile: Path, extension: Path | None, *, display: str = ""
) -> Iterator[BrowserContext]:
    """`display`: of X, where its windows show; by default nowhere."""
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
    done = subprocess.run(  # noqa: S603  # npm, of a project of ours
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} in {folder}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def newest(folder: Path) -> float:
    return max((file.stat().st_mtime for file in folder.rglob("*") if file.is_file()), default=0.0)


def node() -> str:
    found = shutil.which("npm")
    if found is None:
        pytest.skip("needs Node 20 or later with npm")
    return found


def installed(folder: Path) -> None:
    """Its packages, as the lock file names them."""
    npm = node()
    if not (folder / "node_modules").is_dir():
        run(folder, npm, "ci", "--ignore-scripts")


def build_extension(browser: str) -> Path:
    """The folder of the built extension, built anew where the sources are newer. `browser`: chrome or firefox."""
    output = Path(os.environ.get("WXT_OUT", EXTENSION / ".output")) / f"{browser}-mv3"
    sources = [newest(EXTENSION / name) for name in ("src", "public")]
    sources += [(EXTENSION / name).stat().st_mtime for name in ("wxt.config.ts", "package-lock.json")]
    manifest = output / "manifest.json"
    if not manifest.is_file() or manifest.stat().st_mtime < max(sources):
        installed(EXTENSION)
        run(EXTENSION, node(), "exec", "--", "wxt", "build", "-b", browser, "--mv3")
    return output


def build_bundles(names: list[str]) -> dict[str, bytes]:
    """The pages of frameworks, as one script each."""
    installed(HERE)
    output = HERE / "node_modules" / ".bundles"
    sources = max(newest(HERE / "frameworks"), (HERE / "package-lock.json").stat().st_mtime)
    files = {name: output / f"{name}.js" for name in names}
    if any(not file.is_file() or file.stat().st_mtime < sources for file in files.values()):
        run(HERE, node(), "run", "build", "--", f"--outdir={output}")
    return {name: file.read_bytes() for name, file in files.items()}
