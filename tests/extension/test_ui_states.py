"""The overlay and the extension's pages in every state, light and dark, wide and narrow.

With ANTI_I2V_SCREENS=DIR, screenshots are saved there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page

from .browsers import EXTENSION
from .extension import Extension
from .ui_states import ANSWER, View, failed, hold, overlay_states, page_states, photo, running, strict_site

AXE = EXTENSION / "node_modules" / "axe-core" / "axe.min.js"
SCHEMES = ("light", "dark")
WIDTHS = (320, 390, 1100)
RULES = {"region": {"enabled": False}, "page-has-heading-one": {"enabled": False}}
"""Rules that do not apply: the overlay has no page around it, and the popup starts with a switch."""


class Screen:
    """A tab with the overlay, seen from the extension's own world, as the page's world cannot see it."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        workers = context.service_workers
        self.worker = workers[0] if workers else context.wait_for_event("serviceworker")
        self.address = address
        self.page = context.new_page()
        self.errors = listen(self.page)
        self.session = context.new_cdp_session(self.page)
        self.worlds: list[Any] = []
        self.session.on("Runtime.executionContextCreated", lambda event: self.worlds.append(event["context"]))
        self.session.send("Runtime.enable")
        self.page.goto(address)
        self.page.bring_to_front()
        self.tab = self.worker.evaluate("async () => (await chrome.tabs.query({ active: true }))[0].id")
        self.worker.evaluate(
            """() => { if (globalThis.heard) return; globalThis.heard = [];
            chrome.runtime.onMessage.addListener(({ name, body }) => { if (name === 'decide') heard.push(body); }) }"""
        )

    def reset(self) -> None:
        """Load the page again, without any overlay."""
        self.page.bring_to_front()
        self.page.emulate_media(color_scheme="light", reduced_motion="no-preference")
        self.page.set_viewport_size({"width": 900, "height": 700})
        self.worlds.clear()
        self.page.goto(self.address)
        self.errors.clear()
        self.worker.evaluate("() => { heard.length = 0 }")
        # In the extension's world, closed roots look open, so that axe can read them.
        self.inside(
            """Object.defineProperty(Element.prototype, 'shadowRoot', { configurable: true,
            get() { return this instanceof HTMLElement ? chrome.dom.openOrClosedShadowRoot(this) : null } });
            globalThis.overlay = () => [...document.documentElement.children].at(-1).shadowRoot; undefined"""
        )

    def inside(self, expression: str) -> Any:
        """Evaluate in the extension's world."""
        world = next(
            each
            for each in reversed(self.worlds)
            if each["auxData"].get("type") == "isolated" and each["name"] == "Anti-I2V"
        )
        asked = {"expression": expression, "contextId": world["id"], "returnByValue": True, "awaitPromise": True}
        answer = self.session.send("Runtime.evaluate", asked)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_until(self, expression: str, seconds: float = 15.0) -> None:
        until = time.monotonic() + seconds
        while not self.inside(expression):
            assert time.monotonic() < until, f"never true: {expression}"
            self.page.wait_for_timeout(20)

    def resize(self, width: int) -> None:
        self.page.set_viewport_size({"width": width, "height": 780})
        self.page.evaluate(NEXT_FRAME)

    def show(self, *views: View) -> None:
        """Show views as the background relays them for a frame of the tab. They are drawn when this returns."""
        for view in views:
            message = {"kind": "show", "frame": 7, "hold": view["hold"], "view": view}
            self.worker.evaluate(
                "([tab, message]) => chrome.tabs.sendMessage(tab, message, { frameId: 0 })", [self.tab, message]
            )

    def decisions(self) -> list[tuple[str | None, str]]:
        self.inside("chrome.runtime.sendMessage({ name: 'clones', body: {} })")  # answered after earlier messages
        heard = self.worker.evaluate("() => heard")
        return [(each["decision"]["photo"], each["decision"]["choice"]) for each in heard]

    def press(self, words: str) -> None:
        box = self.inside(
            f"""(() => {{ const all = [...overlay().querySelectorAll('button, summary')];
            const found = all.find((each) => each.textContent === {json.dumps(words)});
            found.scrollIntoView({{ block: 'nearest' }}); const box = found.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2] }})()"""
        )
        self.page.mouse.click(*box)

    def focused(self) -> str:
        return str(self.inside("overlay()?.activeElement?.textContent ?? ''"))

    def words(self) -> str:
        return str(self.inside("overlay()?.textContent ?? ''"))


NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
AT_REST = """async () => {
  let [before, same] = ['', 0];
  while (same < 3) {
    await new Promise(requestAnimationFrame);
    const now = document.body.innerHTML;
    [before, same] = [now, now === before ? same + 1 : 0];
  }
}"""
"""Waits until a page has not changed for some frames."""
PICTURES = "overlay().querySelector('.pictures')?.children.length > 0"
DRAWN = "overlay()?.querySelectorAll('.frame canvas').length === 2"
ON_TOP = """(() => {
  const box = overlay()?.querySelector('dialog')?.getBoundingClientRect();
  if (!box?.width) return false;
  const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  return top === document.documentElement.lastElementChild })()"""


def listen(page: Page) -> list[str]:
    errors: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            errors.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


def complaints(found: Any) -> list[str]:
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


AUDIT = f"axe.run(document, {{ rules: {json.dumps(RULES)}, resultTypes: ['violations'] }})"


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        pytest.skip("needs axe-core: npm ci in extension/")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with strict_site() as address:
        yield address


@pytest.fixture(scope="module")
def screen_tab(context: BrowserContext, address: str) -> Iterator[Screen]:
    screen = Screen(context, address)
    yield screen
    screen.page.close()


@pytest.fixture
def screen(screen_tab: Screen) -> Screen:
    screen_tab.reset()
    return screen_tab


@pytest.fixture
def keep() -> Callable[[Page, str], None]:
    """Takes a screenshot, if they are wanted."""
    name = os.environ.get("ANTI_I2V_SCREENS")
    folder = Path(name or ".")
    folder.mkdir(parents=True, exist_ok=True)

    def shot(page: Page, name_of_shot: str) -> None:
        if name:
            page.screenshot(path=folder / f"{name_of_shot}.png")

    return shot


@pytest.mark.parametrize("state", overlay_states())
def test_the_overlay_fits_and_is_accessible(
    screen: Screen, axe: str, keep: Callable[[Page, str], None], state: str
) -> None:
    screen.show(*overlay_states()[state])
    screen.inside(axe + "; undefined")
    for scheme in SCHEMES:
        screen.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in WIDTHS:
            screen.resize(width)
            keep(screen.page, f"overlay-{state}-{scheme}-{width}")
            widest = screen.inside(
                "Math.max(...[...overlay().querySelectorAll('*')].map((each) => each.getBoundingClientRect().right))"
            )
            assert widest <= width, f"it is {widest} wide at {width}"
        assert complaints(screen.inside(AUDIT)) == []
    if state.startswith("done"):
        screen.press("See how")
        screen.wait_until(PICTURES)
        for width in WIDTHS:
            screen.resize(width)
            keep(screen.page, f"overlay-{state}-how-{width}")
        assert complaints(screen.inside(AUDIT)) == []
        assert "checks beat a random change of the same size" in screen.words()
    assert screen.errors == []


def test_pictures_are_drawn_under_the_strictest_policy(screen: Screen) -> None:
    screen.show(*overlay_states()["done"])
    screen.press("See how")
    screen.wait_until(DRAWN)
    drawn = screen.inside(
        """[...overlay().querySelectorAll('.frame canvas')].map((canvas) => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.reduce((sum, value) => sum + value, 0) / data.length })"""
    )
    assert len(drawn) == 2
    assert all(value > 70 for value in drawn)  # 64 is opaque black
    assert drawn[0] != drawn[1]


def fail(screen: Screen) -> None:
    """Show a held photo whose protection failed."""
    for stage in ({"at": "sending"}, failed("unreachable")):
        screen.show(hold(photo("beach.jpg", "woman_in_white.jpg", stage)))


def test_the_original_needs_a_second_click_after_a_moment(screen: Screen) -> None:
    fail(screen)
    assert screen.focused() == "Try again"
    screen.press("Send the original…")
    assert screen.focused() == "No, go back"
    screen.press("Yes, send unprotected")  # as part of a double click
    assert screen.decisions() == []
    screen.page.wait_for_timeout(750)  # the extension ignores a second click for 700 ms
    screen.press("Yes, send unprotected")
    assert screen.decisions() == [("beach.jpg", "original")]


def test_scripts_of_the_page_cannot_see_or_decide(screen: Screen) -> None:
    fail(screen)
    seen = screen.page.evaluate(
        """() => { const host = document.documentElement.lastElementChild; host.click();
        host.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
        host.setAttribute('style', 'display: none !important; opacity: 0 !important');
        host.hidden = true; host.inert = true;
        return [host.shadowRoot, document.activeElement === host || document.activeElement === document.body] }"""
    )
    assert seen == [None, True]
    screen.wait_until("overlay().querySelector('dialog').checkVisibility({ opacityProperty: true })")
    screen.wait_until(ON_TOP)
    screen.press("Send nothing")
    assert screen.decisions() == [("beach.jpg", "nothing")]


def test_the_tab_key_stays_in_the_dialog(screen: Screen) -> None:
    fail(screen)
    order = [screen.focused()]
    for _ in range(3):
        screen.page.keyboard.press("Tab")
        order.append(screen.focused())
    assert order[:3] == ["Try again", "Send nothing", "Send the original…"]
    assert screen.page.evaluate("document.activeElement.id") != "words"


def test_escape_asks_for_confirmation_and_keys_do_not_reach_the_page(screen: Screen) -> None:
    screen.page.focus("#words")
    screen.page.evaluate(
        "() => { window.keys = []; document.addEventListener('keydown', ({ key }) => keys.push(key)) }"
    )
    screen.show(hold(photo("beach.jpg", "woman_in_white.jpg", running(3))))
    for _ in range(2):  # browsers let a second Escape close any dialog
        screen.page.keyboard.press("Escape")
        assert "Stop, and send nothing?" in screen.words()
        assert screen.focused() == "Continue"
        screen.page.keyboard.press("Enter")
        assert "Stop, and send nothing?" not in screen.words()
    assert screen.page.evaluate("keys") == []
    assert screen.decisions() == []
    screen.page.keyboard.press("Escape")
    screen.press("Send nothing")
    assert screen.decisions() == [("beach.jpg", "nothing")]
    screen.show(hold(photo("beach.jpg", "woman_in_white.jpg", {"at": "withheld"}), holding=False))
    assert screen.page.evaluate("document.activeElement.id") == "words"
    assert "Nothing was sent to photos.example" in screen.words()


def test_the_overlay_returns_if_the_page_removes_or_covers_it(screen: Screen) -> None:
    fail(screen)
    screen.page.evaluate("document.documentElement.lastElementChild.remove()")
    screen.wait_until(ON_TOP)
    screen.press("Try again")
    assert screen.decisions() == [("beach.jpg", "retry")]
    screen.page.evaluate("document.querySelector('#theirs').showModal()")
    screen.wait_until(ON_TOP)
    screen.press("Send nothing")
    assert screen.decisions()[1:] == [("beach.jpg", "nothing")]


def test_steps_do_not_move_the_focus(screen: Screen) -> None:
    views = [hold(*(photo(name, "astronaut.jpg", running(step)) for name in ("a.jpg", "b.jpg"))) for step in (3, 4)]
    screen.show(views[0])
    screen.page.keyboard.press("Tab")
    assert screen.focused() == "Cancel"
    screen.show(views[1])
    assert screen.focused() == "Cancel"
    assert "step 4 of at most 45" in screen.words()


def test_nothing_is_animated_with_reduced_motion(screen: Screen) -> None:
    screen.page.emulate_media(reduced_motion="reduce")
    screen.show(*overlay_states()["several"], *overlay_states()["notices"])
    assert screen.inside("overlay().getAnimations().length") == 0


@pytest.mark.parametrize("state", page_states())
def test_a_page_fits_and_is_accessible(
    context: BrowserContext, axe: str, keep: Callable[[Page, str], None], state: str
) -> None:
    name, answers = page_states()[state]
    extension = (context.service_workers or [context.wait_for_event("serviceworker")])[0].url.split("/")[2]
    page = context.new_page()
    errors = listen(page)
    page.add_init_script(f"({ANSWER})({json.dumps(answers)})")
    page.goto(f"chrome-extension://{extension}/{name}.html")
    page.locator("main > *").first.wait_for()
    page.evaluate(AT_REST)
    page.evaluate(axe)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in (360,) if name == "popup" else WIDTHS:
            page.set_viewport_size({"width": width, "height": 780})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            keep(page, f"{state}-{scheme}-{width}")
        assert complaints(page.evaluate(AUDIT)) == []
    assert errors == []
    page.close()


def test_a_pasted_link_fills_both_fields_and_a_refusal_is_shown_below(context: BrowserContext) -> None:
    extension = context.service_workers[0].url.split("/")[2]
    page = context.new_page()
    page.add_init_script(f"({ANSWER})({json.dumps(page_states()['welcome'][1])})")
    page.goto(f"chrome-extension://{extension}/welcome.html")
    page.get_by_label("Pairing code").fill("http://127.0.0.1:9000/#code=ABCD-EFGH")
    assert page.get_by_label("Server address").input_value() == "http://127.0.0.1:9000"
    assert page.get_by_label("Pairing code").input_value() == "ABCD-EFGH"
    page.get_by_role("button", name="Pair", exact=True).click()
    assert page.get_by_role("alert").inner_text() == "This is not the pairing code."
    page.close()


def test_options_are_saved_immediately(context: BrowserContext) -> None:
    worker = context.service_workers[0]
    page = context.new_page()
    page.goto(f"chrome-extension://{worker.url.split('/')[2]}/options.html")
    page.get_by_role("radio", name="Refuse it").check()
    page.get_by_text("Saved", exact=True).wait_for()
    section = page.locator("section").filter(has_text="Sites that reject")
    section.get_by_label("Site").fill("https://")
    section.get_by_role("button", name="Add").click()
    assert section.get_by_role("alert").inner_text().startswith("This is not a site")
    section.get_by_label("Site").fill("https://Photos.Example.org/upload")
    section.get_by_role("button", name="Add").click()
    section.get_by_role("button", name="Remove photos.example.org").wait_for()
    stored = worker.evaluate("async () => (await chrome.storage.local.get('settings')).settings")
    assert (stored["others"], stored["untrusted"]) == ("refuse", ["photos.example.org"])
    section.get_by_role("button", name="Remove photos.example.org").click()
    page.get_by_role("radio", name="Send it and tell me").check()
    until = time.monotonic() + 15
    while (stored["others"], stored["untrusted"]) != ("tell", []):
        assert time.monotonic() < until, stored
        stored = worker.evaluate("async () => (await chrome.storage.local.get('settings')).settings")
    page.close()


@pytest.mark.slow
def test_the_welcome_page_protects_its_sample(paired: Extension, keep: Callable[[Page, str], None]) -> None:
    page = paired.context.new_page()
    page.goto(paired.address("welcome.html"))
    page.get_by_role("button", name="Protect the sample").click()
    page.locator(".verdict").wait_for(timeout=120_000)
    page.set_viewport_size({"width": 1000, "height": 1400})
    page.locator(".job").scroll_into_view_if_needed()
    keep(page, "welcome-tested")
    assert "random change of the same size" in page.locator(".verdict").inner_text()
    assert page.locator(".compare canvas").count() == 2
    page.close()
