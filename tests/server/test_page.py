"""The server's own page, in real Chromium, against a real server."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anti_i2v import receipt as receipts
from anti_i2v import report
from anti_i2v.recipes import load_recipe
from anti_i2v_server.pairing.tokens import TokenStore

playwright = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright")
expect = playwright.expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
EXTENSION = "chrome-extension://abcdefghijklmnopabcdefghijklmnop"
STEPS = load_recipe("balanced").steps
PATIENCE = 60_000.0
"""Milliseconds that a test waits for what must come; it measures nothing."""

DATA = Path(__file__).parents[1] / "data"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the page is tested in Chromium, which is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    expect.set_options(timeout=PATIENCE)
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield launched
        launched.close()


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """A page in a profile of its own. What it should never do fails the test: ask another host, break its policy."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    faults: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    # Refusals that a test provokes are told there as well.
    page.on("console", lambda line: line.text.startswith("Failed to load") or faults.append(line.text))
    context.on(
        "request",
        lambda asked: asked.url.startswith((f"{url}/", "blob:", "data:")) or faults.append(f"asked {asked.url}"),
    )
    yield page
    context.close()
    assert faults == []


@pytest.fixture
def page(browser: Any, process: Any) -> Iterator[Any]:
    """Not paired, on a server that other tests use too."""
    with opened(browser, process.url) as found:
        yield found


def new_code(server: Any) -> str:
    with server.client() as client:
        return str(client.post("/v1/pair/code").json()["code"])


def enter(page: Any, server: Any, recipe: str = "draft") -> None:
    """Paired by the link, a recipe chosen."""
    page.goto(f"{server.url}/#code={new_code(server)}")
    page.get_by_role("radio", name=recipe, exact=True).check()


def a_file(name: str, data: bytes, kind: str = "image/png") -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": data}


def card(page: Any, name: str) -> Any:
    return page.get_by_role("article", name=name)


def downloaded(page: Any, name: str) -> tuple[str, bytes]:
    with page.expect_download() as coming:
        card(page, name).get_by_role("button", name="Download", exact=False).first.click()
    return coming.value.suggested_filename, Path(coming.value.path()).read_bytes()


def token_of(page: Any) -> str | None:
    found: str | None = page.evaluate("localStorage.getItem('anti-i2v-token')")
    return found


@pytest.fixture(scope="module")
def large() -> bytes:
    """A photo on which steps take a while."""
    return (DATA / "chelsea.jpg").read_bytes()


# Pairing


def test_the_link_of_the_terminal_pairs_and_its_code_leaves_the_address_bar(page: Any, process: Any) -> None:
    page.goto(f"{process.url}/#code={new_code(process)}")
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()
    assert page.url == f"{process.url}/"
    assert page.evaluate("history.length") <= 2
    page.reload()
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()


def test_a_typed_code_pairs_and_a_wrong_one_says_how_many_tries_are_left(page: Any, process: Any) -> None:
    code = new_code(process)
    page.goto(process.url)
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_hidden()
    page.get_by_label("Pairing code").fill("AAAA-AAAA")
    page.get_by_role("button", name="Pair", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="4 tries are left")).to_be_visible()
    page.get_by_label("Pairing code").fill(code.lower().replace("-", " "))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()


def test_a_code_in_the_link_is_not_spent_where_the_browser_is_paired_already(page: Any, process: Any) -> None:
    enter(page, process)
    code = new_code(process)
    page.goto("about:blank")
    page.goto(f"{process.url}/#code={code}")
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()
    with process.client() as client:
        assert client.post("/v1/pair", json={"code": code}, headers={"origin": EXTENSION}).status_code == 201


def test_the_token_of_the_command_line_opens_the_page_and_stays_in_its_tab(
    page: Any, process: Any, bearer: dict[str, str]
) -> None:
    page.goto(process.url)
    page.get_by_text("started with a token").click()
    page.get_by_label("Token").fill(bearer["authorization"].split()[1])
    page.get_by_role("button", name="Use the token").click()
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()
    assert token_of(page) is None


def test_a_revoked_token_leads_back_to_pairing_with_a_reason(page: Any, process: Any, photo: bytes) -> None:
    enter(page, process)
    tokens = TokenStore(process.home / "server" / "tokens.json")
    for entry in tokens.entries():
        tokens.revoke(entry.id)
    page.get_by_label("Choose photos").set_input_files([a_file("cat.png", photo)])
    expect(page.get_by_role("alert").filter(has_text="was revoked: pair again")).to_be_visible()
    expect(page.get_by_label("Pairing code")).to_be_focused()
    assert token_of(page) is None


def test_a_code_for_the_extension_pairs_it_and_escape_closes_the_dialog(page: Any, process: Any) -> None:
    enter(page, process)
    page.get_by_role("button", name="Pair the extension").click()
    dialog = page.get_by_role("dialog", name="Pair the extension")
    expect(dialog.locator("output")).to_have_text(re.compile(r"\w{4}-\w{4}"))
    expect(dialog.get_by_role("timer")).to_contain_text("Works for")
    expect(dialog).to_contain_text(process.url)
    code = dialog.locator("output").inner_text()
    with process.client() as client:
        reply = client.post("/v1/pair", json={"code": code}, headers={"origin": EXTENSION})
    assert reply.status_code == 201, reply.text
    assert reply.json()["origin"] == EXTENSION
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Pair the extension")).to_be_focused()


# Photos


def test_a_chosen_photo_is_protected_told_in_words_and_saved_under_another_name(
    page: Any, process: Any, photo: bytes, pixels_of: Callable[[bytes], Any]
) -> None:
    enter(page, process)
    page.get_by_label("Where the photo goes").select_option("Instagram")
    with page.expect_response(lambda reply: reply.url.endswith("/receipt")) as told:
        page.get_by_label("Choose photos").set_input_files([a_file("my cat.v2.png", photo)])
    mine = card(page, "my cat.v2.png")
    expect(mine.get_by_role("button", name="Download my")).to_be_visible()
    receipt = told.value.json()
    words = mine.inner_text()
    assert receipt["preset"] == "instagram"
    assert (receipt["beatsRandom"], receipt["checks"]) == (1, 1)
    assert "The one check beat a random change of the same size." in words
    assert f"PSNR {receipt['imperceptibility']['psnr']:.1f} dB" in words
    assert "An estimate: no real encoder was at hand" in words
    assert "Instagram: a shift of" in words
    assert "adds friction" in words
    assert "prevent" not in page.locator("body").inner_text().lower()
    name, file = downloaded(page, "my cat.v2.png")
    assert name == "my cat.v2.protected.png"
    with process.client() as client:
        query, kind = "recipe=draft&preset=instagram", {"content-type": "image/png"}
        assert file == client.post(f"/v1/protect?{query}", content=photo, headers=kind).content
    difference = abs(pixels_of(file) - pixels_of(photo)).max()
    assert 0 < difference <= receipt["budgetAsked"]


def test_the_result_does_not_stay_on_the_server(page: Any, process: Any, photo: bytes) -> None:
    enter(page, process)
    with page.expect_request(lambda asked: asked.method == "DELETE") as dropped:
        page.get_by_label("Choose photos").set_input_files([a_file("cat.png", photo)])
    assert dropped.value.response().status == 204


def test_dropped_and_pasted_photos_come_to_the_same_end(page: Any, process: Any, photo: bytes) -> None:
    enter(page, process)
    for event, name in (("drop", "dropped.png"), ("paste", "pasted.png")):
        page.evaluate(
            """([kind, name, data]) => {
              const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
              const carried = new DataTransfer();
              carried.items.add(new File([bytes], name, { type: "image/png" }));
              const more = { bubbles: true, cancelable: true };
              document.getElementById("drop").dispatchEvent(kind === "drop"
                ? new DragEvent("drop", { dataTransfer: carried, ...more })
                : new ClipboardEvent("paste", { clipboardData: carried, ...more }));
            }""",
            [event, name, base64.b64encode(photo).decode()],
        )
    for name in ("dropped.png", "pasted.png"):
        expect(card(page, name).get_by_role("button", name="Download", exact=False).first).to_be_visible()


def test_everything_can_be_done_with_the_keyboard(page: Any, process: Any, photo: bytes) -> None:
    code = new_code(process)
    page.goto(process.url)
    expect(page.get_by_label("Pairing code")).to_be_visible()
    tab_to(page, "code")
    page.keyboard.type(code)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()
    tab_to(page, "files")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files([a_file("cat.png", photo)])
    slider = card(page, "cat.png").get_by_role("slider")
    expect(slider).to_have_value("50")
    tab_to(page, lambda focused: focused["type"] == "range")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("52")
    expect(slider).to_have_attribute("aria-valuetext", "52 % before, 48 % after")
    page.keyboard.press("Home")
    expect(slider).to_have_value("0")
    assert card(page, "cat.png").locator("img.after").evaluate("it => it.style.clipPath") == "inset(0px)"
    tab_to(page, lambda focused: focused["text"].startswith("Difference"))
    page.keyboard.press("Space")
    expect(card(page, "cat.png").get_by_role("img", name="Difference of before and after")).to_be_visible()


def tab_to(page: Any, wanted: str | Callable[[dict[str, str]], bool]) -> None:
    """Tab until an id, or what `wanted` finds, has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(({ id, type, textContent }) => ({ id, type: type ?? '', text: textContent }))(document.activeElement)"
        )
        if focused["id"] == wanted or (callable(wanted) and wanted(focused)):
            return
    raise AssertionError("the focus never came there")


def test_the_difference_view_shows_ten_times_the_change(
    page: Any, process: Any, photo: bytes, pixels_of: Callable[[bytes], Any]
) -> None:
    enter(page, process)
    page.get_by_label("Choose photos").set_input_files([a_file("cat.png", photo)])
    card(page, "cat.png").get_by_role("button", name="Difference").click()
    shown = page.evaluate("document.querySelector('canvas').toDataURL('image/png')")
    _, file = downloaded(page, "cat.png")
    wanted = (128 + 10 * (pixels_of(file) - pixels_of(photo))).clip(0, 255)
    assert (pixels_of(base64.b64decode(shown.partition(",")[2])) == wanted).all()


def test_steps_are_told_while_they_are_taken_and_a_job_can_be_cancelled(page: Any, process: Any, large: bytes) -> None:
    enter(page, process, "balanced")
    page.get_by_label("Choose photos").set_input_files([a_file("cat.jpg", large, "image/jpeg")])
    mine = card(page, "cat.jpg")
    expect(mine).to_contain_text(f"of at most {STEPS}")
    assert 0 < float(mine.get_by_role("progressbar").get_attribute("value")) < 1
    with page.expect_response(lambda reply: reply.request.method == "DELETE") as reply:
        mine.get_by_role("button", name="Cancel cat.jpg").click()
    assert reply.value.status == 204
    expect(mine).to_contain_text("Cancelled")
    expect(mine.get_by_role("button", name="Try again cat.jpg")).to_be_focused()
    mine.get_by_role("button", name="Remove cat.jpg").click()
    expect(mine).to_be_hidden()


def test_two_photos_wait_for_each_other_and_both_come(page: Any, process: Any, photo: bytes, large: bytes) -> None:
    enter(page, process)
    page.get_by_label("Choose photos").set_input_files(
        [a_file("first.jpg", large, "image/jpeg"), a_file("second.png", photo)]
    )
    expect(card(page, "second.png")).to_contain_text("Waiting")
    for name, saved in (("first.jpg", "first.protected.jpg"), ("second.png", "second.protected.png")):
        assert downloaded(page, name)[0] == saved


def test_a_cut_stream_goes_on_where_it_ended(page: Any, process: Any, photo: bytes) -> None:
    seen: list[str | None] = []

    def cut_once(route: Any) -> None:
        seen.append(route.request.headers.get("last-event-id"))
        if len(seen) > 1:
            route.continue_()
            return
        body = 'retry: 1000\n\nid: 1\nevent: queued\ndata: {"position":0}\n\nid: 2\nevent: sta'
        route.fulfill(status=200, body=body, headers={"content-type": "text/event-stream"})

    enter(page, process)
    page.route("**/events", cut_once)
    page.get_by_label("Choose photos").set_input_files([a_file("cat.png", photo)])
    expect(card(page, "cat.png").get_by_role("button", name="Download", exact=False).first).to_be_visible()
    assert seen[:2] == ["0", "1"]


@pytest.mark.parametrize(
    ("name", "kind", "data", "words"),
    [
        pytest.param("notes.txt", "text/plain", b"hello", "choose a JPEG, PNG", id="not a photo's type"),
        pytest.param("fake.png", "image/png", b"hello", "is not an image", id="not a photo inside"),
        pytest.param("big.png", "image/png", bytes(2_100_000), "larger than 2 MB", id="too large"),
    ],
)
def test_what_cannot_be_protected_says_why_and_can_be_removed(
    page: Any, process: Any, name: str, kind: str, data: bytes, words: str
) -> None:
    enter(page, process)
    page.get_by_label("Choose photos").set_input_files([a_file(name, data, kind)])
    expect(card(page, name).get_by_role("alert")).to_contain_text(words)
    expect(card(page, name).get_by_role("button", name=f"Try again {name}")).to_be_visible()
    card(page, name).get_by_role("button", name=f"Remove {name}").click()
    expect(card(page, name)).to_be_hidden()


def test_a_server_that_dies_is_missed_and_its_job_can_be_tried_again(
    browser: Any, run_server: Callable[..., Any], tmp_path: Path, large: bytes
) -> None:
    with run_server(tmp_path / "home") as server, opened(browser, server.url) as page:
        enter(page, server, "balanced")
        page.get_by_label("Choose photos").set_input_files([a_file("cat.jpg", large, "image/jpeg")])
        expect(card(page, "cat.jpg")).to_contain_text(f"of at most {STEPS}")
        server.stop(signal.SIGKILL)
        expect(page.get_by_role("alert").filter(has_text="The server does not answer")).to_be_visible()
        expect(card(page, "cat.jpg").get_by_role("alert")).to_contain_text("try again")
        expect(card(page, "cat.jpg").get_by_role("button", name="Try again")).to_be_visible()


# Words


def test_the_page_says_what_the_terminal_says(page: Any, process: Any) -> None:
    page.goto(process.url)
    said = page.evaluate(
        """async () => {
          const words = await import("/static/receipt-text.js");
          const ends = (table) => table.map(([end, text]) => [end === Infinity ? null : end, text]);
          return { ...words, RELIEF: ends(words.RELIEF), DELTA_E: ends(words.DELTA_E),
                   MEASURES: words.MEASURES.map((each) => each.slice(0, 3)) };
        }"""
    )
    assert said["RELIEF"] == [[None if end == float("inf") else end, text] for end, text in report._RELIEF]
    assert said["DELTA_E"] == [[None if end == float("inf") else end, text] for end, text in report._DELTA_E]
    assert said["MARGINS"] == {camel(name): margin for name, margin in receipts.MARGINS.items()}
    assert said["MEASURES"] == [[camel(field), title, decimals] for title, field, decimals in report._MEASURES]
    assert said["NOTHING_SMOOTH"] == report._NOTHING_SMOOTH
    for name in ("SAME_PERSON", "MEASURED_ON", "VIDEO_MODELS", "PLATFORMS"):
        assert said[name] == getattr(report, name)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


COUNTS = [
    pytest.param(12, 14, "12 of the 14 checks beat a random change of the same size", id="most"),
    pytest.param(1, 1, "The one check beat a random change of the same size", id="one won"),
    pytest.param(0, 1, "The one check did not beat a random change of the same size", id="one lost"),
]


@pytest.mark.parametrize(("won", "checks", "words"), COUNTS)
def test_the_headline_counts(page: Any, process: Any, won: int, checks: int, words: str) -> None:
    page.goto(process.url)
    found = page.evaluate(
        "async (receipt) => (await import('/static/receipt-text.js')).headline(receipt).join(' ')",
        {"beatsRandom": won, "checks": checks},
    )
    assert found == words


# Everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    browser: Any, process: Any, photo: bytes, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with this package").Axe()
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "reduced_motion": "reduce"}
    with opened(browser, process.url, **look) as page:

        def check(state: str) -> None:
            found = axe.run(page).response["violations"]
            told = [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]
            assert told == [], state
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state

        page.goto(process.url)
        expect(page.get_by_label("Pairing code")).to_be_visible()
        check("not paired")
        enter(page, process)
        check("empty")
        page.get_by_label("Choose photos").set_input_files([a_file("a.txt", b"a", "text/plain")])
        expect(card(page, "a.txt").get_by_role("alert")).to_be_visible()
        page.get_by_label("Choose photos").set_input_files([a_file("cat.png", photo)])
        card(page, "cat.png").get_by_text("All numbers").click()
        check("done, and an error")
        page.get_by_role("button", name="Pair the extension").click()
        expect(page.get_by_role("timer")).to_contain_text("Works for")
        check("a code for the extension")
        picture = page.screenshot()
        assert picture.startswith(b"\x89PNG")


def test_progress_and_ends_are_announced(page: Any, process: Any, photo: bytes) -> None:
    enter(page, process)
    page.get_by_label("Choose photos").set_input_files([a_file("cat.png", photo)])
    expect(page.get_by_role("status")).to_contain_text("cat.png is protected")


def test_the_receipt_can_be_saved_as_the_server_gave_it(page: Any, process: Any, photo: bytes) -> None:
    enter(page, process)
    with page.expect_response(lambda reply: reply.url.endswith("/receipt")) as told:
        page.get_by_label("Choose photos").set_input_files([a_file("cat.png", photo)])
    card(page, "cat.png").get_by_text("All numbers").click()
    with page.expect_download() as coming:
        card(page, "cat.png").get_by_role("button", name="Download the receipt").click()
    assert coming.value.suggested_filename == "cat.protected.json"
    assert json.loads(Path(coming.value.path()).read_bytes()) == told.value.json()
