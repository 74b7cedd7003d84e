"""What passes: what is no photo, what the site made itself, what is protected already, and all where it is off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Visits
from .extension import FAST, Extension
from .judge import judge, leaks
from .overlay import Overlay
from .person import pick, press
from .receiving import Page
from .serving import Serving

POSTS = Page("<input id=pick type=file multiple>", "find('#pick').onchange = (e) => post(e.target.files)")
DRAWN = Page(
    "<button id=go></button>",
    """find('#go').onclick = () => {
        const canvas = Object.assign(document.createElement('canvas'), { width: 40, height: 30 });
        const brush = canvas.getContext('2d');
        brush.fillStyle = 'green';
        brush.fillRect(5, 5, 20, 20);
        canvas.toBlob((blob) => send(blob, 'image/png'));
    };""",
)
SERVED = Page("<button id=go></button>", "find('#go').onclick = async () => send(await served(), 'image/png')")
COUNTS = Page(
    "<input id=pick type=file>",
    """const seen = [];
    for (const name of ['input', 'change'])
        addEventListener(name, (e) => seen.push([e.type, e.isTrusted, e.bubbles, e.target.files.length]), true);
    find('#pick').onchange = async (e) => {
        await post(e.target.files);
        navigator.sendBeacon(up.replace('/up/', '/told/'), JSON.stringify(seen));
    };""",
)


@pytest.fixture(autouse=True)
def usual(extension: Extension) -> Iterator[None]:
    yield
    extension.change(**FAST, enabled=True, off=[], others="tell", presets={}, untrusted=[])


def submitted(server: Serving) -> float:
    return server.counted("anti_i2v_requests_total", method="POST", route="/v1/jobs")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        pytest.param("moving.gif", "A moving picture was sent as it is", id="gif"),
        pytest.param("drawing.svg", "A drawing (SVG) was sent as it is", id="svg"),
    ],
)
def test_what_is_no_photo_passes_and_it_is_said(guarded: Visits, file: str, words: str) -> None:
    with guarded.open(POSTS, f"passes-{file}", (file,)) as visit:
        pick()(visit.person, visit.brought)
        Overlay(visit.person.page).wait(words)
        visit.run.wait(1)
        judge(visit.run, visit.brought)


@pytest.mark.parametrize("file", ["moving.gif", "drawing.svg"])
def test_what_is_no_photo_can_be_refused(guarded: Visits, extension: Extension, file: str) -> None:
    extension.change(others="refuse")
    with guarded.open(POSTS, f"refused-{file}", (file,)) as visit:
        pick()(visit.person, visit.brought)
        visit.person.page.wait_for_timeout(1000)
        assert visit.run.arrivals() == []


def test_a_text_passes_untouched(guarded: Visits, server: Serving) -> None:
    before = submitted(server)
    with guarded.open(POSTS, "text", ("note.txt",)) as visit:
        pick()(visit.person, visit.brought)
        visit.run.wait(1)
        judge(visit.run, visit.brought)
    assert submitted(server) == before


def test_what_the_page_drew_passes(guarded: Visits, server: Serving) -> None:
    before = submitted(server)
    with guarded.open(DRAWN, "drawn", ()) as visit:
        press()(visit.person, [])
        assert len(visit.run.wait(1)) == 1
    assert submitted(server) == before


def test_a_photo_that_the_site_served_passes(guarded: Visits, server: Serving) -> None:
    before = submitted(server)
    with guarded.open(SERVED, "served", ("face.png",), given=True) as visit:
        press()(visit.person, [])
        assert [each.data for each in visit.run.wait(1)] == [visit.brought[0].data]
    assert submitted(server) == before


@pytest.mark.parametrize("how", [{"off": ["127.0.0.1"]}, {"enabled": False}], ids=["site", "all"])
def test_where_it_is_off_the_original_passes(guarded: Visits, extension: Extension, how: dict[str, object]) -> None:
    extension.change(**how)
    with guarded.open(POSTS, f"off-{len(how)}{how}"[:12].replace("/", ""), ("face.png",)) as visit:
        pick()(visit.person, visit.brought)
        assert [each.data for each in visit.run.wait(1)] == [visit.brought[0].data]


def test_turned_on_again_an_open_page_is_protected(guarded: Visits, extension: Extension) -> None:
    extension.change(enabled=False)
    with guarded.open(POSTS, "on-again", ("face.png",)) as visit:
        extension.change(enabled=True)
        pick()(visit.person, visit.brought)
        visit.run.wait(1)
        judge(visit.run, visit.brought)


def test_the_same_photo_is_protected_once(guarded: Visits, server: Serving) -> None:
    before = submitted(server)
    with guarded.open(POSTS, "same", ("face.png",)) as visit:
        for times in (1, 2):
            pick()(visit.person, visit.brought)
            visit.run.wait(times)
        one, other = visit.run.arrivals()
        assert one == other
        assert not leaks(visit.run, visit.brought[0])
    assert submitted(server) == before + 1


def test_a_protected_photo_that_is_picked_passes_as_it_is(guarded: Visits, server: Serving) -> None:
    before = submitted(server)
    with guarded.open(POSTS, "protected", ("face.png",)) as visit:
        pick()(visit.person, visit.brought)
        protected = visit.run.wait(1)[0].data
        visit.brought[0].place.write_bytes(protected)
        pick()(visit.person, visit.brought)
        assert [each.data for each in visit.run.wait(2)] == [protected, protected]
    assert submitted(server) == before + 1


@pytest.mark.parametrize("preset", ["any", "instagram"])
def test_it_is_the_servers_own_file_for_the_sites_preset(
    guarded: Visits, extension: Extension, server: Serving, preset: str
) -> None:
    if preset != "any":  # the default for sites that are not in the table
        extension.change(presets={"127.0.0.1": preset})
    with guarded.open(POSTS, f"preset-{preset}", ("face.png",)) as visit, server.client() as client:
        pick()(visit.person, visit.brought)
        arrived = visit.run.wait(1)[0].data
        asked = f"/v1/protect?recipe=draft&preset={preset}"
        own = client.post(asked, content=visit.brought[0].data, headers={"content-type": "image/png"})
        assert arrived == own.content


def test_a_page_sees_one_trusted_input_and_one_change(guarded: Visits) -> None:
    with guarded.open(COUNTS, "counts", ("face.png",)) as visit:
        pick()(visit.person, visit.brought)
        visit.run.wait(1)
        visit.person.page.wait_for_timeout(300)
        judge(visit.run, visit.brought)
        assert visit.run.told() == [[["input", True, True, 1], ["change", True, True, 1]]]


def test_events_can_be_left_untrusted_for_a_site(guarded: Visits, extension: Extension) -> None:
    extension.change(untrusted=["127.0.0.1"])
    with guarded.open(COUNTS, "untrusted", ("face.png",)) as visit:
        pick()(visit.person, visit.brought)
        visit.run.wait(1)
        visit.person.page.wait_for_timeout(300)
        judge(visit.run, visit.brought)
        assert [event[1] for event in visit.run.told()[0]] == [False, False]
