"""showOpenFilePicker through the real file dialog, which no debugger can answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from .browsers import launch_browser
from .extension import FAST, Extension
from .received_checks import assert_originals_arrived, assert_protected
from .server_process import ServerProcess
from .upload_fixtures import write_files
from .upload_receiver import Page, Site

pytestmark = pytest.mark.slow

TITLE = "^(Select a file|Open File)"
"""Title of the dialog in English."""

OPENS = Page(
    "<button id=go></button>",
    """find('#go').onclick = async () => {
        const handles = await showOpenFilePicker();
        post(await Promise.all(handles.map((handle) => handle.getFile())));
    };""",
)


@pytest.fixture
def display() -> Iterator[str]:
    """A virtual X display."""
    for tool in ("Xvfb", "xdotool"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: apt install xvfb xdotool")
    reading, writing = os.pipe()
    command = [
        str(shutil.which("Xvfb")),
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        "1280x1024x24",
        "-nolisten",
        "tcp",
    ]
    process = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)  # noqa: S603  # a tool at a known place
    os.close(writing)
    try:
        with os.fdopen(reading) as output:
            yield f":{output.readline().strip()}"
    finally:
        process.terminate()
        process.wait(10)


def xdotool(display: str, *command: str) -> str:
    done = subprocess.run(  # noqa: S603  # a tool at a known place
        [str(shutil.which("xdotool")), *command],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def choose(display: str, file: Path) -> None:
    """Type the path into the dialog and open the file."""
    until = time.monotonic() + 20
    while not xdotool(display, "search", "--name", TITLE) and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(1)  # it accepts keys shortly after it appears
    window = xdotool(display, "search", "--name", TITLE).split()[-1]
    xdotool(display, "windowfocus", window)
    xdotool(display, "type", "--delay", "20", str(file))
    time.sleep(0.5)
    xdotool(display, "key", "alt+o")  # Open; without a window manager Return means Cancel


@pytest.mark.parametrize("extended", [False, True], ids=["without", "with"])
def test_a_photo_from_the_open_file_picker_is_protected(
    playwright: Playwright,
    chrome_build: Path,
    server: ServerProcess,
    site: Site,
    display: str,
    tmp_path: Path,
    extended: bool,
) -> None:
    extension = chrome_build if extended else None
    files = write_files("picker", ("face.png",), tmp_path)
    run = site.open(OPENS)
    with launch_browser(playwright, tmp_path / "profile", extension, display=display) as context:
        if extended:
            paired = Extension(context)
            paired.pair(server.address, server.code())
            paired.change(**FAST)
        tab = context.new_page()
        tab.goto(site.address(run))
        tab.click("#go")
        choose(display, files[0].place)
        run.wait(1)
    if extended:
        assert_protected(run, files)
    else:
        assert_originals_arrived(run, files)
