"""The server's page, in Chromium, with a real server."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anti_i2v.images.formats import FORMATS
from anti_i2v.recipes import load_recipe
from anti_i2v_server.media_types import PHOTO_TYPE_ALIASES, PHOTO_TYPES
from anti_i2v_server.tokens import TokenStore

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
# Shortens the pauses between retries.
FAST_TIMERS = "const real = setTimeout; setTimeout = (run, ms, ...more) => real(run, Math.min(ms, 20), ...more);"
EXTENSION = "chrome-extension://abcdefghijklmnopabcdefghijklmnop"
STEPS = load_recipe("balanced").steps
TIMEOUT = 60_000.0
"""Milliseconds after which a test that still waits has failed."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the page is tested in Chromium, which is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    expect.set_options(timeout=TIMEOUT)
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield launched
        launched.close()


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """Open a page in its own profile. Script errors, policy violations and foreign requests fail the test."""
    context = browser.new_context(**options)
    context.set_default_timeout(TIMEOUT)
    faults: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    # Failed requests are logged too, and some tests cause them.
    page.on("console", lambda line: line.text.startswith("Failed to load") or faults.append(line.text))
    context.on(
        "request",
        lambda sent: sent.url.startswith((f"{url}/", "blob:", "data:")) or faults.append(f"requested {sent.url}"),
    )
    yield page
    context.close()
    assert faults == []


@pytest.fixture
def page(browser: Any, running_server: Any) -> Iterator[Any]:
    """A page that is not paired yet."""
    with opened(browser, running_server.url) as found:
        yield found


def new_code(server: Any) -> str:
    with server.client() as client:
        return str(client.post("/v1/pair/code").json()["code"])


def pair_page(page: Any, server: Any, recipe: str = "draft") -> None:
    """Pair by the link and choose a recipe."""
    page.goto(f"{server.url}/#code={new_code(server)}")
    page.get_by_role("radio", name=recipe, exact=True).check()


def upload(name: str, data: bytes, kind: str = "image/png") -> dict[str, Any]:
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


def protect(page: Any, name: str, photo: bytes) -> Any:
    """Choose a photo, wait for its result and return its card."""
    page.get_by_label("Choose photos").set_input_files([upload(name, photo)])
    expect(card(page, name).get_by_role("button", name="Download", exact=False).first).to_be_visible()
    return card(page, name)


@pytest.fixture(scope="module")
def finished(browser: Any, running_server: Any, photo: bytes) -> Iterator[dict[str, Any]]:
    """A page with one protected photo, "cat.png", for tests that only look at it."""
    with opened(browser, running_server.url) as page:
        pair_page(page, running_server)
        with (
            page.expect_response(lambda reply: reply.url.endswith("/receipt")) as receipt,
            page.expect_request(lambda sent: sent.method == "DELETE") as deletion,
        ):
            protect(page, "cat.png", photo)
        yield {"page": page, "receipt": receipt.value.json(), "deletion": deletion.value.response().status}


@contextmanager
def busy_worker(server: Any, photo: bytes) -> Iterator[None]:
    """Keep the server's worker busy with a job, and cancel the job afterwards."""
    with server.client() as client:
        reply = client.post("/v1/jobs?recipe=balanced", content=photo, headers={"content-type": "image/jpeg"})
        job = reply.headers["location"]
        try:
            with client.stream("GET", f"{job}/events") as events:
                next(line for line in events.iter_lines() if line == "event: started")
            yield
        finally:
            client.delete(job)


# Pairing


def test_the_terminals_link_pairs_and_its_code_leaves_the_address_bar(page: Any, running_server: Any) -> None:
    page.goto(f"{running_server.url}/#code={new_code(running_server)}")
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()
    assert page.url == f"{running_server.url}/"
    assert page.evaluate("history.length") <= 2
    page.reload()
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()


def test_a_typed_code_pairs_and_a_wrong_one_says_how_many_tries_are_left(page: Any, running_server: Any) -> None:
    code = new_code(running_server)
    page.goto(running_server.url)
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_hidden()
    page.get_by_label("Pairing code").fill("AAAA-AAAA")
    page.get_by_role("button", name="Pair", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="4 tries are left")).to_be_visible()
    page.get_by_label("Pairing code").fill(code.lower().replace("-", " "))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()


def test_a_paired_browser_does_not_use_up_the_code_of_a_link(page: Any, running_server: Any) -> None:
    pair_page(page, running_server)
    code = new_code(running_server)
    page.goto("about:blank")
    page.goto(f"{running_server.url}/#code={code}")
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()
    with running_server.client() as client:
        assert client.post("/v1/pair", json={"code": code}, headers={"origin": EXTENSION}).status_code == 201


def test_the_command_lines_token_opens_the_page_and_stays_in_its_tab(
    page: Any, running_server: Any, bearer: dict[str, str]
) -> None:
    page.goto(running_server.url)
    page.get_by_text("started with a token").click()
    page.get_by_label("Token").fill(bearer["authorization"].split()[1])
    page.get_by_role("button", name="Use the token").click()
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()
    assert token_of(page) is None


def test_a_revoked_token_leads_back_to_pairing_and_says_why(page: Any, running_server: Any, photo: bytes) -> None:
    pair_page(page, running_server)
    tokens = TokenStore(running_server.home / "server" / "tokens.json")
    for entry in tokens.entries():
        tokens.revoke(entry.id)
    page.get_by_label("Choose photos").set_input_files([upload("cat.png", photo)])
    expect(page.get_by_role("alert").filter(has_text="was revoked: pair again")).to_be_visible()
    expect(page.get_by_label("Pairing code")).to_be_focused()
    assert token_of(page) is None


def test_a_code_for_the_extension_pairs_it_and_escape_closes_the_dialog(page: Any, running_server: Any) -> None:
    pair_page(page, running_server)
    page.get_by_role("button", name="Pair the extension").click()
    dialog = page.get_by_role("dialog", name="Pair the extension")
    expect(dialog.locator("output")).to_have_text(re.compile(r"\w{4}-\w{4}"))
    expect(dialog.get_by_role("timer")).to_contain_text("Expires in")
    expect(dialog).to_contain_text(running_server.url)
    code = dialog.locator("output").inner_text()
    with running_server.client() as client:
        reply = client.post("/v1/pair", json={"code": code}, headers={"origin": EXTENSION})
    assert reply.status_code == 201, reply.text
    assert reply.json()["origin"] == EXTENSION
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Pair the extension")).to_be_focused()


# Photos


def test_a_chosen_photo_is_protected_explained_and_saved_under_another_name(
    page: Any, running_server: Any, photo: bytes, pixels_of: Callable[[bytes], Any]
) -> None:
    pair_page(page, running_server)
    page.get_by_label("Where the photo will be posted").select_option("Instagram")
    with page.expect_response(lambda reply: reply.url.endswith("/receipt")) as receipt_response:
        page.get_by_label("Choose photos").set_input_files([upload("my cat.v2.png", photo)])
    mine = card(page, "my cat.v2.png")
    expect(mine.get_by_role("button", name="Download my")).to_be_visible()
    receipt = receipt_response.value.json()
    text = mine.inner_text()
    assert receipt["preset"] == "instagram"
    assert (receipt["beatsRandom"], receipt["checks"]) == (1, 1)
    assert "The one check beat a random change of the same size." in text
    assert f"PSNR {receipt['imperceptibility']['psnr']:.1f} dB" in text
    assert "This is an estimate by the small embedded network" in text
    assert "Instagram: a shift of" in text
    assert "adds friction" in text
    assert "prevent" not in page.locator("body").inner_text().lower()
    name, file = downloaded(page, "my cat.v2.png")
    assert name == "my cat.v2.protected.png"
    with running_server.client() as client:
        query, kind = "recipe=draft&preset=instagram", {"content-type": "image/png"}
        assert file == client.post(f"/v1/protect?{query}", content=photo, headers=kind).content
    difference = abs(pixels_of(file) - pixels_of(photo)).max()
    assert 0 < difference <= receipt["budgetAsked"]


def test_the_result_is_deleted_from_the_server(finished: dict[str, Any]) -> None:
    assert finished["deletion"] == 204


def test_dropped_and_pasted_photos_are_protected(page: Any, running_server: Any, photo: bytes) -> None:
    pair_page(page, running_server)
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


def test_everything_can_be_done_with_the_keyboard(page: Any, running_server: Any, photo: bytes) -> None:
    code = new_code(running_server)
    # Playwright enables interception asynchronously, so it must be requested well before the key opens the chooser.
    with page.expect_file_chooser() as chooser:
        page.goto(running_server.url)
        expect(page.get_by_label("Pairing code")).to_be_visible()
        tab_to(page, "#code")
        page.keyboard.type(code)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()
        tab_to(page, "#files")
        page.keyboard.press("Space")
    chooser.value.set_files([upload("cat.png", photo)])
    mine = card(page, "cat.png")
    slider = mine.get_by_role("slider")
    expect(slider).to_have_value("50")
    tab_to(page, "#photos input[type=range]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("52")
    expect(slider).to_have_attribute("aria-valuetext", "52 % before, 48 % after")
    page.keyboard.press("Home")
    expect(slider).to_have_value("0")
    expect(mine.locator("img.after")).to_have_css("clip-path", "inset(0px)")
    tab_to(page, "#photos figure button:last-child")
    page.keyboard.press("Space")
    expect(mine.get_by_role("img", name="Difference of before and after")).to_be_visible()


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until the element has the focus."""
    wanted = page.locator(selector)
    for _ in range(40):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab never reached {selector}")


def test_the_difference_view_shows_ten_times_the_change(
    finished: dict[str, Any], photo: bytes, pixels_of: Callable[[bytes], Any]
) -> None:
    page = finished["page"]
    card(page, "cat.png").get_by_role("button", name="Difference").click()
    shown = page.evaluate("document.querySelector('canvas').toDataURL('image/png')")
    _, file = downloaded(page, "cat.png")
    wanted = (128 + 10 * (pixels_of(file) - pixels_of(photo))).clip(0, 255)
    assert (pixels_of(base64.b64decode(shown.partition(",")[2])) == wanted).all()


def test_steps_are_shown_and_a_job_can_be_cancelled(page: Any, running_server: Any, slow_photo: bytes) -> None:
    pair_page(page, running_server, "balanced")
    page.get_by_label("Choose photos").set_input_files([upload("cat.png", slow_photo)])
    mine = card(page, "cat.png")
    expect(mine).to_contain_text(f"of at most {STEPS}")
    assert 0 < float(mine.get_by_role("progressbar").get_attribute("value")) < 1
    with page.expect_response(lambda reply: reply.request.method == "DELETE") as reply:
        mine.get_by_role("button", name="Cancel cat.png").click()
    assert reply.value.status == 204
    expect(mine).to_contain_text("Cancelled")
    expect(mine.get_by_role("button", name="Try again cat.png")).to_be_focused()
    mine.get_by_role("button", name="Remove cat.png").click()
    expect(mine).to_be_hidden()


def test_two_photos_wait_for_their_turn(page: Any, running_server: Any, photo: bytes, large_photo: bytes) -> None:
    pair_page(page, running_server)
    with busy_worker(running_server, large_photo):
        page.get_by_label("Choose photos").set_input_files([upload("first.png", photo), upload("second.png", photo)])
        expect(card(page, "first.png")).to_contain_text("Waiting: next")
        expect(card(page, "second.png")).to_contain_text("Waiting: 1 ahead")
    for name, saved in (("first.png", "first.protected.png"), ("second.png", "second.protected.png")):
        assert downloaded(page, name)[0] == saved


def test_a_cut_stream_resumes_where_it_ended(page: Any, running_server: Any, photo: bytes) -> None:
    seen: list[str | None] = []

    def cut_once(route: Any) -> None:
        seen.append(route.request.headers.get("last-event-id"))
        if len(seen) > 1:
            route.continue_()
            return
        body = 'retry: 1000\n\nid: 1\nevent: queued\ndata: {"position":0}\n\nid: 2\nevent: sta'
        route.fulfill(status=200, body=body, headers={"content-type": "text/event-stream"})

    page.add_init_script(FAST_TIMERS)
    pair_page(page, running_server)
    page.route("**/events", cut_once)
    page.get_by_label("Choose photos").set_input_files([upload("cat.png", photo)])
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
    page: Any, running_server: Any, name: str, kind: str, data: bytes, words: str
) -> None:
    pair_page(page, running_server)
    page.get_by_label("Choose photos").set_input_files([upload(name, data, kind)])
    expect(card(page, name).get_by_role("alert")).to_contain_text(words)
    expect(card(page, name).get_by_role("button", name=f"Try again {name}")).to_be_visible()
    card(page, name).get_by_role("button", name=f"Remove {name}").click()
    expect(card(page, name)).to_be_hidden()


def test_a_lost_server_is_reported_and_its_job_can_be_tried_again(page: Any, running_server: Any, photo: bytes) -> None:
    lost = False

    def lose(route: Any) -> None:
        nonlocal lost
        if lost:
            route.abort("connectionrefused")
        elif route.request.url.endswith("/events"):
            lost = True
            body = 'id: 1\nevent: started\ndata: {"attempt":1}\n\n'
            route.fulfill(status=200, body=body, headers={"content-type": "text/event-stream"})
        else:
            route.continue_()

    page.add_init_script(FAST_TIMERS)
    pair_page(page, running_server)
    page.route(re.compile("/v1/|/health"), lose)
    page.get_by_label("Choose photos").set_input_files([upload("cat.png", photo)])
    expect(page.get_by_role("alert").filter(has_text="The server does not answer")).to_be_visible()
    mine = card(page, "cat.png")
    expect(mine.get_by_role("alert")).to_contain_text("try again")
    lost = False
    page.unroute(re.compile("/v1/|/health"))
    expect(page.get_by_role("alert").filter(has_text="The server does not answer")).to_be_hidden()
    mine.get_by_role("button", name="Try again").click()
    expect(mine.get_by_role("button", name="Download", exact=False).first).to_be_visible()


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ({"protected": 0.5, "random": 0.1}, True),
        ({"protected": 0.11, "random": 0.1}, False),
        ({"protected": 0.11, "random": 0.1, "clearlyMore": True}, True),
    ],
    ids=["more, by the margin", "within the margin", "the receipt's verdict"],
)
def test_the_receipts_verdict_counts_before_the_margin(
    finished: dict[str, Any], pair: dict[str, Any], expected: bool
) -> None:
    script = "async (pair) => (await import('/static/receipt-text.js')).beatsControl('shift', pair)"
    assert finished["page"].evaluate(script, pair) is expected


def test_the_page_accepts_the_types_that_the_server_reads(finished: dict[str, Any]) -> None:
    assert set(finished["page"].get_by_label("Choose photos").get_attribute("accept").split(",")) == set(PHOTO_TYPES)


def test_the_server_reads_the_types_of_every_format() -> None:
    assert {*PHOTO_TYPES, *PHOTO_TYPE_ALIASES} == {kind for format in FORMATS.values() for kind in format.media_types}


COUNTS = [
    pytest.param(12, 14, "12 of the 14 checks beat a random change of the same size", id="most"),
    pytest.param(1, 1, "The one check beat a random change of the same size", id="one won"),
    pytest.param(0, 1, "The one check did not beat a random change of the same size", id="one lost"),
]


@pytest.mark.parametrize(("won", "checks", "words"), COUNTS)
def test_the_headline_counts(finished: dict[str, Any], won: int, checks: int, words: str) -> None:
    found = finished["page"].evaluate(
        "async (receipt) => (await import('/static/receipt-text.js')).headline(receipt).join(' ')",
        {"beatsRandom": won, "checks": checks},
    )
    assert found == words


# Accessibility

AXE = "options => axe.run(options).then(({ violations }) => violations)"
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (320, 1280)]
RULES = {"light": {}, "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}}
"""axe's options: only the rules about colours can depend on the scheme."""


def test_axe_finds_no_violation_and_nothing_is_wider_than_the_window(
    browser: Any, running_server: Any, photo: bytes
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with this package").Axe()
    with opened(browser, running_server.url, reduced_motion="reduce") as page:

        def check(state: str) -> None:
            for scheme, width in LOOKS:
                page.emulate_media(color_scheme=scheme)
                page.set_viewport_size({"width": width, "height": 800})
                violations = page.evaluate(AXE, RULES[scheme])
                found = [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in violations]
                assert found == [], (state, scheme, width)
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (state, scheme, width)

        page.goto(running_server.url)
        expect(page.get_by_label("Pairing code")).to_be_visible()
        page.evaluate(axe.axe_script)
        check("not paired")
        pair_page(page, running_server)
        check("empty")
        page.get_by_label("Choose photos").set_input_files([upload("a.txt", b"a", "text/plain")])
        expect(card(page, "a.txt").get_by_role("alert")).to_be_visible()
        protect(page, "cat.png", photo).get_by_text("All numbers").click()
        check("done, and an error")
        page.get_by_role("button", name="Pair the extension").click()
        expect(page.get_by_role("timer")).to_contain_text("Expires in")
        check("a code for the extension")


def test_the_end_is_announced(finished: dict[str, Any]) -> None:
    expect(finished["page"].get_by_role("status")).to_contain_text("cat.png is protected")


def test_the_receipt_can_be_saved(finished: dict[str, Any]) -> None:
    page = finished["page"]
    card(page, "cat.png").get_by_text("All numbers").click()
    with page.expect_download() as coming:
        card(page, "cat.png").get_by_role("button", name="Download the receipt").click()
    assert coming.value.suggested_filename == "cat.protected.json"
    assert json.loads(Path(coming.value.path()).read_bytes()) == finished["receipt"]
