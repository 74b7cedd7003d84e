"""Renders icon.svg to public/icon/SIZE.png with Chromium: run it after changing the drawing."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZES = (16, 32, 48, 128)
HERE = Path(__file__).parent


def main(chromium: str) -> None:
    """Draw every size. `chromium`: the browser to draw with."""
    svg = (HERE / "icon.svg").read_text(encoding="utf-8")
    target = HERE.parent / "public" / "icon"
    target.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for size in SIZES:
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(f"<style>body{{margin:0}}svg{{display:block;width:{size}px;height:{size}px}}</style>{svg}")
            page.screenshot(path=target / f"{size}.png", omit_background=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium")
