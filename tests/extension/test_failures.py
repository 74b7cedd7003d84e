"""What goes wrong ends with the site getting nothing, unless the person says otherwise, twice."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from .conftest import Visit, Visits
from .extension import FAST, Extension
from .overlay_driver import Overlay
from .received_checks import assert_protected, find_leaks
from .server_process import ServerProcess
from .surfaces import FIELD, ON_DROP, form
from .upload_receiver import Page
from .user_actions import drop, pick

POSTS = Page("<input id=pick type=file multiple>", "find('#pick').onchange = (e) => post(e.target.files)")
FORM = Page(form(inside="<button id=go></button>"))
PHOTO = ("face.png",)

DOWN = "Your server does not answer"
NOTHING = "Send nothing"
ORIGINAL = "Send the original…"
CONFIRM = "Yes, send unprotected"
CANCEL = "Cancel: send nothing"
CONFIRM_DELAY = 900
"""Milliseconds after which a second click is no double click."""

JOB = "/v1/jobs/{job_id}"


@pytest.fixture(scope="module")
def second_server(
    tmp_path_factory: pytest.TempPathFactory, server: ServerProcess, extension: Extension
) -> Iterator[ServerProcess]:
    """A server that may be killed; the extension goes back to the other one afterwards."""
    second = ServerProcess(tmp_path_factory.mktemp("spare") / "home", "--queue", "1", "--body-limit", "1")
    try:
        yield second
    finally:
        second.stop(signal.SIGKILL)
        extension.pair(server)


@pytest.fixture
def killable_server(second_server: ServerProcess, extension: Extension) -> Iterator[ServerProcess]:
    """Running and paired when a test begins, whatever the one before did to it."""
    if second_server.process.poll() is not None:
        second_server.start()
    extension.pair(second_server)
    extension.change(**FAST)
    yield second_server
    if second_server.process.poll() is None:
        second_server.freeze(False)


def deleted(server: ServerProcess) -> float:
    return server.counted("anti_i2v_requests_total", method="DELETE", route=JOB)


def until(visit: Visit, counted: Callable[[], float], wanted: float, seconds: float = 15.0) -> None:
    """Until a counter of a server reads that."""
    for _ in range(int(seconds * 10)):
        if counted() >= wanted:
            return
        visit.user.page.wait_for_timeout(100)
    raise AssertionError(f"{counted()} instead of {wanted}")


def nothing_arrives(visit: Visit, milliseconds: float = 300) -> None:
    visit.user.page.wait_for_timeout(milliseconds)
    assert visit.run.arrivals() == []
    assert [leak for each in visit.files for leak in find_leaks(visit.run, each)] == []


def test_with_the_server_down_nothing_arrives(with_extension: Visits, killable_server: ServerProcess) -> None:
    killable_server.stop()
    with with_extension.open(POSTS, "down", PHOTO) as visit:
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait(DOWN)
        nothing_arrives(visit)
        overlay.press(NOTHING)
        overlay.wait_gone()
        nothing_arrives(visit)


def test_a_retry_after_the_server_came_back_protects(with_extension: Visits, killable_server: ServerProcess) -> None:
    killable_server.stop()
    with with_extension.open(POSTS, "retry", PHOTO) as visit:
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait(DOWN)
        killable_server.start()
        overlay.press("Try again")
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)


def test_a_server_killed_in_mid_job_leaves_nothing_and_a_retry(
    with_extension: Visits, killable_server: ServerProcess
) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "killed", PHOTO) as visit:
        pick()(visit.user, visit.files)
        until(visit, lambda: killable_server.counted("anti_i2v_jobs_running"), 1)
        killable_server.stop(signal.SIGKILL)
        overlay = Overlay(visit.user.page)
        overlay.wait(DOWN, 40)
        nothing_arrives(visit)
        killable_server.start()
        overlay.press("Try again")
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)


def test_a_server_restarted_in_mid_job_is_asked_anew(with_extension: Visits, killable_server: ServerProcess) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "restarted", PHOTO) as visit:
        pick()(visit.user, visit.files)
        until(visit, lambda: killable_server.counted("anti_i2v_jobs_running"), 1)
        killable_server.stop(signal.SIGKILL)
        killable_server.start()
        overlay = Overlay(visit.user.page)
        for _ in range(200):
            if visit.run.arrivals() or overlay.has("Try again"):
                break
            visit.user.page.wait_for_timeout(100)
        if overlay.has("Try again"):  # it took longer to start than the extension waits
            overlay.press("Try again")
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)


def test_a_revoked_token_leaves_nothing(with_extension: Visits, killable_server: ServerProcess) -> None:
    killable_server.stop()
    for file in killable_server.home.rglob("tokens.json"):
        file.unlink()
    killable_server.start()
    with with_extension.open(POSTS, "revoked", PHOTO) as visit:
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait("Your server does not know this browser any more")
        overlay.press(NOTHING)
        overlay.wait_gone()
        nothing_arrives(visit)


def test_without_a_pairing_nothing_arrives(
    with_extension: Visits, killable_server: ServerProcess, extension: Extension
) -> None:
    extension.ask("pair", None)
    with with_extension.open(POSTS, "unpaired", PHOTO) as visit:
        pick()(visit.user, visit.files)
        Overlay(visit.user.page).wait("Not paired with your server yet")
        nothing_arrives(visit)


def test_a_full_server_leaves_nothing_and_a_retry(with_extension: Visits, killable_server: ServerProcess) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "full", PHOTO) as visit, killable_server.client() as others:
        jobs = []
        for _ in range(2):
            sent = others.post("/v1/jobs", content=visit.files[0].data, headers={"content-type": "image/png"})
            jobs.append(sent.raise_for_status().json()["id"])
            visit.user.page.wait_for_timeout(300)
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait("Your server is busy", 40)
        nothing_arrives(visit)
        for job in jobs:
            others.delete(f"/v1/jobs/{job}")
        killable_server.freeze(False)
        visit.user.page.wait_for_timeout(1000)
        overlay.press("Try again")
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)


def test_a_photo_above_the_servers_limit_leaves_nothing(with_extension: Visits, killable_server: ServerProcess) -> None:
    with with_extension.open(POSTS, "large", PHOTO) as visit:
        noise = np.random.default_rng(0).integers(0, 256, 1_200_000, np.uint8).tobytes()
        visit.files[0].place.write_bytes(visit.files[0].data + noise)
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait("This photo is too large")
        assert not overlay.has("Try again")
        overlay.press(NOTHING)
        overlay.wait_gone()
        nothing_arrives(visit)


def test_a_photo_that_cannot_be_decoded_leaves_nothing(with_extension: Visits, killable_server: ServerProcess) -> None:
    with with_extension.open(POSTS, "broken", PHOTO) as visit:
        visit.files[0].place.write_bytes(visit.files[0].data[:1500])
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait(NOTHING)
        overlay.press(NOTHING)
        overlay.wait_gone()
        nothing_arrives(visit)


def test_the_original_needs_two_deliberate_clicks_and_is_forgotten(
    with_extension: Visits, killable_server: ServerProcess
) -> None:
    killable_server.stop()
    for _ in range(2):
        with with_extension.open(POSTS, "original", PHOTO) as visit:
            pick()(visit.user, visit.files)
            overlay = Overlay(visit.user.page)
            overlay.wait(ORIGINAL)
            overlay.press(ORIGINAL)
            overlay.wait(CONFIRM)
            overlay.press(CONFIRM)  # as in a double click
            nothing_arrives(visit, CONFIRM_DELAY)
            overlay.press(CONFIRM)
            overlay.wait_gone()
            assert [each.data for each in visit.run.wait(1)] == [visit.files[0].data]


def test_the_original_of_a_frame_is_decided_in_the_top_frame(
    with_extension: Visits, killable_server: ServerProcess
) -> None:
    killable_server.stop()
    page = Page("<iframe src={{far}}/inner/{{run}} style='height:4em'></iframe>")
    with with_extension.open(page, "frames-original", PHOTO) as visit:
        pick("#pick", "iframe")(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait(DOWN)
        overlay.press(ORIGINAL)
        visit.user.page.wait_for_timeout(CONFIRM_DELAY)
        overlay.press(CONFIRM)
        overlay.wait_gone()
        assert [each.data for each in visit.run.wait(1)] == [visit.files[0].data]


def test_cancel_reaches_the_server_and_nothing_arrives(with_extension: Visits, killable_server: ServerProcess) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "cancel", PHOTO) as visit:
        before = deleted(killable_server)
        pick()(visit.user, visit.files)
        until(visit, lambda: killable_server.counted("anti_i2v_jobs_running"), 1)
        overlay = Overlay(visit.user.page)
        overlay.wait(CANCEL)
        overlay.press(CANCEL)
        until(visit, lambda: deleted(killable_server), before + 1)
        overlay.wait_gone()
        killable_server.freeze(False)
        nothing_arrives(visit, 1000)


def test_leaving_the_page_while_it_holds_cancels_the_job(
    with_extension: Visits, killable_server: ServerProcess
) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "left", PHOTO) as visit:
        before = deleted(killable_server)
        pick()(visit.user, visit.files)
        until(visit, lambda: killable_server.counted("anti_i2v_jobs_running"), 1)
        visit.user.page.goto(with_extension.site.address(with_extension.site.open(Page())))
        until(visit, lambda: deleted(killable_server), before + 1)
        killable_server.freeze(False)
        nothing_arrives(visit, 1000)


def test_closing_the_tab_while_it_holds_cancels_the_job(with_extension: Visits, killable_server: ServerProcess) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "watching", ()) as watching:
        before = deleted(killable_server)
        with with_extension.open(POSTS, "closed", PHOTO) as visit:
            pick()(visit.user, visit.files)
            until(visit, lambda: killable_server.counted("anti_i2v_jobs_running"), 1)
        until(watching, lambda: deleted(killable_server), before + 1)


def stop_worker(extension: Extension) -> None:
    session = extension.context.new_cdp_session(extension.page)
    session.send("ServiceWorker.enable")
    session.send("ServiceWorker.stopAllWorkers")
    session.detach()


def test_a_stopped_service_worker_loses_no_job(
    with_extension: Visits, killable_server: ServerProcess, extension: Extension
) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "stopped-worker", PHOTO) as visit:
        stored, gone = killable_server.stored(), deleted(killable_server)
        pick()(visit.user, visit.files)
        until(visit, lambda: killable_server.counted("anti_i2v_jobs_running"), 1)
        stop_worker(extension)
        visit.user.page.wait_for_timeout(500)
        killable_server.freeze(False)
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)
        until(visit, lambda: deleted(killable_server), gone + 1)
        assert (
            killable_server.stored() <= stored
        )  # it was one job, also where the answer was lost and it was submitted again


def test_a_service_worker_that_is_stopped_while_it_submits_submits_the_same_job_again(
    with_extension: Visits, killable_server: ServerProcess, extension: Extension
) -> None:
    with with_extension.open(POSTS, "stopped-submitting", PHOTO) as visit:
        stored, gone = killable_server.stored(), deleted(killable_server)
        killable_server.freeze_all()
        try:
            pick()(visit.user, visit.files)
            visit.user.page.wait_for_timeout(1500)  # the photo is on its way, or lies unread at the server
            stop_worker(extension)
        finally:
            killable_server.freeze_all(False)
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)
        until(visit, lambda: deleted(killable_server), gone + 1)
        assert killable_server.stored() <= stored


def test_two_tabs_at_once_get_their_own_photos(
    with_extension: Visits, extension: Extension, server: ServerProcess
) -> None:
    extension.pair(server)
    with (
        with_extension.open(POSTS, "tab-one", PHOTO) as one,
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


def test_a_form_that_goes_without_its_photo_says_so(with_extension: Visits, killable_server: ServerProcess) -> None:
    killable_server.stop()
    page = Page(form("target=hidden", "<button id=go></button>") + "<iframe name=hidden></iframe>")
    with with_extension.open(page, "form-without", PHOTO) as visit:
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait(DOWN)
        overlay.press(NOTHING)
        overlay.wait_gone()
        visit.user.press("#go")
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


@pytest.mark.usefixtures("killable_server")
def test_a_handle_that_a_worker_would_read_stays_and_the_person_is_told(
    with_extension: Visits, without_extension: Visits
) -> None:
    with without_extension.open(TO_WORKER, "handle-to-worker-bare", PHOTO) as visit:
        drop()(visit.user, visit.files)
        assert visit.run.wait(1)
        assert any(find_leaks(visit.run, each) for each in visit.files)
    with with_extension.open(TO_WORKER, "handle-to-worker", PHOTO) as visit:
        drop()(visit.user, visit.files)
        Overlay(visit.user.page).wait("Your photo was kept from this site")
        nothing_arrives(visit)
