"""What goes wrong ends with the site getting nothing, unless the person says otherwise, twice."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from .conftest import Visit, Visits
from .extension import FAST, Extension
from .judge import judge, leaks
from .overlay import Overlay
from .person import pick
from .receiving import Page
from .serving import Serving
from .surfaces import FIELD, ON_DROP, drop, form

POSTS = Page("<input id=pick type=file multiple>", "find('#pick').onchange = (e) => post(e.target.files)")
FORM = Page(form(inside="<button id=go></button>"))
PHOTO = ("face.png",)

DOWN = "Your server does not answer"
NOTHING = "Send nothing"
ORIGINAL = "Send the original…"
SURE = "Yes, send unprotected"
CANCEL = "Cancel: send nothing"
HESITATION = 900
"""Milliseconds after which a second click is no double click."""

JOB = "/v1/jobs/{job_id}"


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory, server: Serving, extension: Extension) -> Iterator[Serving]:
    """A server that may be killed; the extension goes back to the other one afterwards."""
    serving = Serving(tmp_path_factory.mktemp("spare") / "home", "--queue", "1", "--body-limit", "1")
    try:
        yield serving
    finally:
        serving.stop(signal.SIGKILL)
        extension.pair(server)


@pytest.fixture
def fragile(spare: Serving, extension: Extension) -> Iterator[Serving]:
    """Running and paired when a test begins, whatever the one before did to it."""
    if spare.process.poll() is not None:
        spare.start()
    extension.pair(spare)
    extension.change(**FAST)
    yield spare
    if spare.process.poll() is None:
        spare.freeze(False)


def deleted(server: Serving) -> float:
    return server.counted("anti_i2v_requests_total", method="DELETE", route=JOB)


def until(visit: Visit, counted: Callable[[], float], wanted: float, seconds: float = 15.0) -> None:
    """Until a counter of a server reads that."""
    for _ in range(int(seconds * 10)):
        if counted() >= wanted:
            return
        visit.person.page.wait_for_timeout(100)
    raise AssertionError(f"{counted()} instead of {wanted}")


def nothing_arrives(visit: Visit, milliseconds: float = 300) -> None:
    visit.person.page.wait_for_timeout(milliseconds)
    assert visit.run.arrivals() == []
    assert [leak for each in visit.brought for leak in leaks(visit.run, each)] == []


def test_with_the_server_down_nothing_arrives(guarded: Visits, fragile: Serving) -> None:
    fragile.stop()
    with guarded.open(POSTS, "down", PHOTO) as visit:
        pick()(visit.person, visit.brought)
        overlay = Overlay(visit.person.page)
        overlay.wait(DOWN)
        nothing_arrives(visit)
        overlay.press(NOTHING)
        overlay.wait_gone()
        nothing_arrives(visit)


def test_a_retry_after_the_server_came_back_protects(guarded: Visits, fragile: Serving) -> None:
    fragile.stop()
    with guarded.open(POSTS, "retry", PHOTO) as visit:
        pick()(visit.person, visit.brought)
        overlay = Overlay(visit.person.page)
        overlay.wait(DOWN)
        fragile.start()
        overlay.press("Try again")
        visit.run.wait(1)
        judge(visit.run, visit.brought)


def test_a_server_killed_in_mid_job_leaves_nothing_and_a_retry(guarded: Visits, fragile: Serving) -> None:
    fragile.freeze()
    with guarded.open(POSTS, "killed", PHOTO) as visit:
        pick()(visit.person, visit.brought)
        until(visit, lambda: fragile.counted("anti_i2v_jobs_running"), 1)
        fragile.stop(signal.SIGKILL)
        overlay = Overlay(visit.person.page)
        overlay.wait(DOWN, 40)
        nothing_arrives(visit)
        fragile.start()
        overlay.press("Try again")
        visit.run.wait(1)
        judge(visit.run, visit.brought)


def test_a_server_restarted_in_mid_job_is_asked_anew(guarded: Visits, fragile: Serving) -> None:
    fragile.freeze()
    with guarded.open(POSTS, "restarted", PHOTO) as visit:
        pick()(visit.person, visit.brought)
        until(visit, lambda: fragile.counted("anti_i2v_jobs_running"), 1)
        fragile.stop(signal.SIGKILL)
        fragile.start()
        overlay = Overlay(visit.person.page)
        for _ in range(200):
            if visit.run.arrivals() or overlay.has("Try again"):
                break
            visit.person.page.wait_for_timeout(100)
        if overlay.has("Try again"):  # it took longer to start than the extension waits
            overlay.press("Try again")
        visit.run.wait(1)
        judge(visit.run, visit.brought)


def test_a_revoked_token_leaves_nothing(guarded: Visits, fragile: Serving) -> None:
    fragile.stop()
    for file in fragile.home.rglob("tokens.json"):
        file.unlink()
    fragile.start()
    with guarded.open(POSTS, "revoked", PHOTO) as visit:
        pick()(visit.person, visit.brought)
        overlay = Overlay(visit.person.page)
        overlay.wait("Your server does not know this browser any more")
        overlay.press(NOTHING)
        overlay.wait_gone()
        nothing_arrives(visit)


def test_without_a_pairing_nothing_arrives(guarded: Visits, fragile: Serving, extension: Extension) -> None:
    extension.ask("pair", None)
    with guarded.open(POSTS, "unpaired", PHOTO) as visit:
        pick()(visit.person, visit.brought)
        Overlay(visit.person.page).wait("Not paired with your server yet")
        nothing_arrives(visit)


def test_a_full_server_leaves_nothing_and_a_retry(guarded: Visits, fragile: Serving) -> None:
    fragile.freeze()
    with guarded.open(POSTS, "full", PHOTO) as visit, fragile.client() as others:
        jobs = []
        for _ in range(2):
            sent = others.post("/v1/jobs", content=visit.brought[0].data, headers={"content-type": "image/png"})
            jobs.append(sent.raise_for_status().json()["id"])
            visit.person.page.wait_for_timeout(300)
        pick()(visit.person, visit.brought)
        overlay = Overlay(visit.person.page)
        overlay.wait("Your server is busy", 40)
        nothing_arrives(visit)
        for job in jobs:
            others.delete(f"/v1/jobs/{job}")
        fragile.freeze(False)
        visit.person.page.wait_for_timeout(1000)
        overlay.press("Try again")
        visit.run.wait(1)
        judge(visit.run, visit.brought)


def test_a_photo_above_the_servers_limit_leaves_nothing(guarded: Visits, fragile: Serving) -> None:
    with guarded.open(POSTS, "large", PHOTO) as visit:
        noise = np.random.default_rng(0).integers(0, 256, 1_200_000, np.uint8).tobytes()
        visit.brought[0].place.write_bytes(visit.brought[0].data + noise)
        pick()(visit.person, visit.brought)
        overlay = Overlay(visit.person.page)
        overlay.wait("This photo is too large")
        assert not overlay.has("Try again")
        overlay.press(NOTHING)
        overlay.wait_gone()
        nothing_arrives(visit)


def test_a_photo_that_cannot_be_decoded_leaves_nothing(guarded: Visits, fragile: Serving) -> None:
    with guarded.open(POSTS, "broken", PHOTO) as visit:
        visit.brought[0].place.write_bytes(visit.brought[0].data[:1500])
        pick()(visit.person, visit.brought)
        overlay = Overlay(visit.person.page)
        overlay.wait(NOTHING)
        overlay.press(NOTHING)
        overlay.wait_gone()
        nothing_arrives(visit)


def test_the_original_needs_two_deliberate_clicks_and_is_forgotten(guarded: Visits, fragile: Serving) -> None:
    fragile.stop()
    for _ in range(2):
        with guarded.open(POSTS, "original", PHOTO) as visit:
            pick()(visit.person, visit.brought)
            overlay = Overlay(visit.person.page)
            overlay.wait(ORIGINAL)
            overlay.press(ORIGINAL)
            overlay.wait(SURE)
            overlay.press(SURE)  # as in a double click
            nothing_arrives(visit, HESITATION)
            overlay.press(SURE)
            overlay.wait_gone()
            assert [each.data for each in visit.run.wait(1)] == [visit.brought[0].data]


def test_the_original_of_a_frame_is_decided_in_the_top_frame(guarded: Visits, fragile: Serving) -> None:
    fragile.stop()
    page = Page("<iframe src={{far}}/inner/{{run}} style='height:4em'></iframe>")
    with guarded.open(page, "frames-original", PHOTO) as visit:
        pick("#pick", "iframe")(visit.person, visit.brought)
        overlay = Overlay(visit.person.page)
        overlay.wait(DOWN)
        overlay.press(ORIGINAL)
        visit.person.page.wait_for_timeout(HESITATION)
        overlay.press(SURE)
        overlay.wait_gone()
        assert [each.data for each in visit.run.wait(1)] == [visit.brought[0].data]


def test_cancel_reaches_the_server_and_nothing_arrives(guarded: Visits, fragile: Serving) -> None:
    fragile.freeze()
    with guarded.open(POSTS, "cancel", PHOTO) as visit:
        before = deleted(fragile)
        pick()(visit.person, visit.brought)
        until(visit, lambda: fragile.counted("anti_i2v_jobs_running"), 1)
        overlay = Overlay(visit.person.page)
        overlay.wait(CANCEL)
        overlay.press(CANCEL)
        until(visit, lambda: deleted(fragile), before + 1)
        overlay.wait_gone()
        fragile.freeze(False)
        nothing_arrives(visit, 1000)


def test_leaving_the_page_while_it_holds_cancels_the_job(guarded: Visits, fragile: Serving) -> None:
    fragile.freeze()
    with guarded.open(POSTS, "left", PHOTO) as visit:
        before = deleted(fragile)
        pick()(visit.person, visit.brought)
        until(visit, lambda: fragile.counted("anti_i2v_jobs_running"), 1)
        visit.person.page.goto(guarded.site.address(guarded.site.open(Page())))
        until(visit, lambda: deleted(fragile), before + 1)
        fragile.freeze(False)
        nothing_arrives(visit, 1000)


def test_closing_the_tab_while_it_holds_cancels_the_job(guarded: Visits, fragile: Serving) -> None:
    fragile.freeze()
    with guarded.open(POSTS, "watching", ()) as watching:
        before = deleted(fragile)
        with guarded.open(POSTS, "closed", PHOTO) as visit:
            pick()(visit.person, visit.brought)
            until(visit, lambda: fragile.counted("anti_i2v_jobs_running"), 1)
        until(watching, lambda: deleted(fragile), before + 1)


def stop_worker(extension: Extension) -> None:
    session = extension.context.new_cdp_session(extension.page)
    session.send("ServiceWorker.enable")
    session.send("ServiceWorker.stopAllWorkers")
    session.detach()


def test_a_stopped_service_worker_loses_no_job(guarded: Visits, fragile: Serving, extension: Extension) -> None:
    fragile.freeze()
    with guarded.open(POSTS, "stopped-worker", PHOTO) as visit:
        stored, gone = fragile.stored(), deleted(fragile)
        pick()(visit.person, visit.brought)
        until(visit, lambda: fragile.counted("anti_i2v_jobs_running"), 1)
        stop_worker(extension)
        visit.person.page.wait_for_timeout(500)
        fragile.freeze(False)
        visit.run.wait(1)
        judge(visit.run, visit.brought)
        until(visit, lambda: deleted(fragile), gone + 1)
        assert fragile.stored() <= stored  # it was one job, also where the answer was lost and it was submitted again


def test_a_service_worker_that_is_stopped_while_it_submits_submits_the_same_job_again(
    guarded: Visits, fragile: Serving, extension: Extension
) -> None:
    with guarded.open(POSTS, "stopped-submitting", PHOTO) as visit:
        stored, gone = fragile.stored(), deleted(fragile)
        fragile.freeze_all()
        try:
            pick()(visit.person, visit.brought)
            visit.person.page.wait_for_timeout(1500)  # the photo is on its way, or lies unread at the server
            stop_worker(extension)
        finally:
            fragile.freeze_all(False)
        visit.run.wait(1)
        judge(visit.run, visit.brought)
        until(visit, lambda: deleted(fragile), gone + 1)
        assert fragile.stored() <= stored


def test_two_tabs_at_once_get_their_own_photos(guarded: Visits, extension: Extension, server: Serving) -> None:
    extension.pair(server)
    with guarded.open(POSTS, "tab-one", PHOTO) as one, guarded.open(POSTS, "tab-two", ("a.png", "b.png")) as two:
        two.person.page.bring_to_front()
        pick()(two.person, two.brought)
        one.person.page.bring_to_front()
        pick()(one.person, one.brought)
        one.run.wait(1)
        judge(one.run, one.brought)
        two.run.wait(2)
        judge(two.run, two.brought)


def test_a_form_that_goes_without_its_photo_says_so(guarded: Visits, fragile: Serving) -> None:
    fragile.stop()
    page = Page(form("target=hidden", "<button id=go></button>") + "<iframe name=hidden></iframe>")
    with guarded.open(page, "form-without", PHOTO) as visit:
        pick()(visit.person, visit.brought)
        overlay = Overlay(visit.person.page)
        overlay.wait(DOWN)
        overlay.press(NOTHING)
        overlay.wait_gone()
        visit.person.press("#go")
        overlay.wait("The form was sent without your photo")
        nothing_arrives(visit)


READS = "onmessage = async ({data: [up, handle]}) => fetch(up, {method: 'POST', body: await handle.getFile()})"
TO_WORKER = Page(
    FIELD,
    # Of the page's own origin: another one gets no handles at all.
    f"const worker = new Worker(URL.createObjectURL(new Blob([`{READS}`])));"
    + ON_DROP
    % "worker.postMessage([new URL(up, location).href, await e.dataTransfer.items[0].getAsFileSystemHandle()])",
)


@pytest.mark.usefixtures("fragile")
def test_a_handle_that_a_worker_would_read_stays_and_the_person_is_told(guarded: Visits, bare: Visits) -> None:
    with bare.open(TO_WORKER, "handle-to-worker-bare", PHOTO) as visit:
        drop()(visit.person, visit.brought)
        assert visit.run.wait(1)
        assert any(leaks(visit.run, each) for each in visit.brought)
    with guarded.open(TO_WORKER, "handle-to-worker", PHOTO) as visit:
        drop()(visit.person, visit.brought)
        Overlay(visit.person.page).wait("Your photo was kept from this site")
        nothing_arrives(visit)
