"""What is sent unchanged: other files, the site's own pictures, protected photos, and all if protection is off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Visits
from .extension import FAST, Extension
from .overlay_driver import Overlay
from .received_checks import assert_protected, find_leaks
from .server_process import ServerProcess
from .upload_receiver import Page
from .user_actions import pick, press

POSTS = Page(
    "<input id=pick type=file multiple>",
    """find('#pick').onchange = (e) => post(e.target.files);
    find('#pick').oncancel = () => { document.title = 'cancelled'; };""",
)
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
        await fetch(up.replace('/up/', '/report/'), { method: 'POST', body: JSON.stringify(seen) });
        document.title = 'reported';
    };""",
)


@pytest.fixture(autouse=True)
def restore_settings(paired: Extension) -> Iterator[None]:
    yield
    paired.change(**FAST, enabled=True, off=[], others="tell", presets={}, untrusted=[])


def submitted(server: ServerProcess) -> float:
    return server.counter("anti_i2v_requests_total", method="POST", route="/v1/jobs")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        pytest.param("moving.gif", "An animation was sent unchanged", id="gif"),
        pytest.param("drawing.svg", "A drawing (SVG) was sent unchanged", id="svg"),
    ],
)
def test_animations_and_drawings_pass_and_the_user_is_told(with_extension: Visits, file: str, words: str) -> None:
    with with_extension.open(POSTS, f"passes-{file}", (file,)) as visit:
        pick()(visit.user, visit.files)
        Overlay(visit.user.page).wait(words)
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)


@pytest.mark.parametrize("file", ["moving.gif", "drawing.svg"])
def test_animations_and_drawings_can_be_refused(with_extension: Visits, extension: Extension, file: str) -> None:
    extension.change(others="refuse")
    with with_extension.open(POSTS, f"refused-{file}", (file,)) as visit:
        pick()(visit.user, visit.files)
        visit.user.wait_until("document.title === 'cancelled'")
        visit.user.settle()
        assert visit.run.arrivals() == []


def test_a_text_passes_unchanged(with_extension: Visits, server: ServerProcess) -> None:
    before = submitted(server)
    with with_extension.open(POSTS, "text", ("note.txt",)) as visit:
        pick()(visit.user, visit.files)
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)
    assert submitted(server) == before


def test_a_canvas_of_the_page_passes(with_extension: Visits, server: ServerProcess) -> None:
    before = submitted(server)
    with with_extension.open(DRAWN, "drawn", ()) as visit:
        press()(visit.user, [])
        assert len(visit.run.wait(1)) == 1
    assert submitted(server) == before


def test_a_photo_from_the_site_passes(with_extension: Visits, server: ServerProcess) -> None:
    before = submitted(server)
    with with_extension.open(SERVED, "served", ("face.png",), given=True) as visit:
        press()(visit.user, [])
        assert [each.data for each in visit.run.wait(1)] == [visit.files[0].data]
    assert submitted(server) == before


@pytest.mark.parametrize("how", [{"off": ["127.0.0.1"]}, {"enabled": False}], ids=["site", "all"])
def test_the_original_passes_if_protection_is_off(
    with_extension: Visits, extension: Extension, how: dict[str, object]
) -> None:
    extension.change(**how)
    with with_extension.open(POSTS, f"off-{len(how)}{how}"[:12].replace("/", ""), ("face.png",)) as visit:
        pick()(visit.user, visit.files)
        assert [each.data for each in visit.run.wait(1)] == [visit.files[0].data]


def test_an_open_page_is_protected_when_protection_is_turned_on_again(
    with_extension: Visits, extension: Extension
) -> None:
    extension.change(enabled=False)
    with with_extension.open(POSTS, "on-again", ("face.png",)) as visit:
        extension.change(enabled=True)
        pick()(visit.user, visit.files)
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)


def test_the_same_photo_is_protected_once(with_extension: Visits, server: ServerProcess) -> None:
    before = submitted(server)
    with with_extension.open(POSTS, "same", ("face.png",)) as visit:
        for times in (1, 2):
            pick()(visit.user, visit.files)
            visit.run.wait(times)
        one, other = visit.run.arrivals()
        assert one == other
        assert not find_leaks(visit.run, visit.files[0])
    assert submitted(server) == before + 1


def test_a_protected_photo_passes_unchanged(with_extension: Visits, server: ServerProcess) -> None:
    before = submitted(server)
    with with_extension.open(POSTS, "protected", ("face.png",)) as visit:
        pick()(visit.user, visit.files)
        protected = visit.run.wait(1)[0].data
        visit.files[0].place.write_bytes(protected)
        pick()(visit.user, visit.files)
        assert [each.data for each in visit.run.wait(2)] == [protected, protected]
    assert submitted(server) == before + 1


@pytest.mark.parametrize("preset", ["any", "instagram"])
def test_the_site_gets_the_servers_file_for_its_preset(
    with_extension: Visits, extension: Extension, server: ServerProcess, preset: str
) -> None:
    if preset != "any":  # "any" is the default for sites that are not in the table
        extension.change(presets={"127.0.0.1": preset})
    with with_extension.open(POSTS, f"preset-{preset}", ("face.png",)) as visit, server.client() as client:
        pick()(visit.user, visit.files)
        arrived = visit.run.wait(1)[0].data
        asked = f"/v1/protect?recipe=draft&preset={preset}"
        own = client.post(asked, content=visit.files[0].data, headers={"content-type": "image/png"})
        assert arrived == own.content


def test_a_page_sees_one_trusted_input_and_one_change(with_extension: Visits) -> None:
    with with_extension.open(COUNTS, "counts", ("face.png",)) as visit:
        pick()(visit.user, visit.files)
        visit.run.wait(1)
        visit.user.wait_until("document.title === 'reported'")
        assert_protected(visit.run, visit.files)
        assert visit.run.reports() == [[["input", True, True, 1], ["change", True, True, 1]]]


def test_events_can_be_left_untrusted_for_a_site(with_extension: Visits, extension: Extension) -> None:
    extension.change(untrusted=["127.0.0.1"])
    with with_extension.open(COUNTS, "untrusted", ("face.png",)) as visit:
        pick()(visit.user, visit.files)
        visit.run.wait(1)
        visit.user.wait_until("document.title === 'reported'")
        assert_protected(visit.run, visit.files)
        assert [event[1] for event in visit.run.reports()[0]] == [False, False]


def test_two_tabs_at_once_get_their_own_photos(with_extension: Visits) -> None:
    with (
        with_extension.open(POSTS, "tab-one", ("face.png",)) as one,
        with_extension.open(POSTS, "tab-two", ("a.png", "b.png")) as two,
    ):
        two.user.page.bring_to_front()
        pick()(two.user, two.files)
        one.user.page.bring_to_front()
        pick()(one.user, one.files)
        one.run.wait(1)
        assert_protected(one.run, one.files)
        two.run.wait(2)
        assert_protected(two.run, two.files)
