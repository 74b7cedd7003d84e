"""If anything fails, the site gets nothing, unless the user confirms twice that the original is sent."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from .conftest import Visit, Visits
from .extension import Extension
from .overlay_driver import Overlay
from .received_checks import assert_protected, find_leaks
from .server_process import ServerProcess
from .surfaces_base import form
from .surfaces_transfers import FIELD, ON_DROP
from .switchable_proxy import SwitchableProxy
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
CONFIRM_DELAY = 750
"""Milliseconds after which a second click does not count as part of a double click; the extension uses 700."""

JOB = "/v1/jobs/{job_id}"


@pytest.fixture(scope="module")
def proxy() -> Iterator[SwitchableProxy]:
    """The extension reaches the second server through it, so that tests can make the server unreachable."""
    proxy = SwitchableProxy()
    yield proxy
    proxy.off()


@pytest.fixture(scope="module")
def second_server(tmp_path_factory: pytest.TempPathFactory, proxy: SwitchableProxy) -> Iterator[ServerProcess]:
    """A server with small limits, which tests may kill."""
    pytest.importorskip("onnxruntime", reason="needs the server: pip install 'anti-i2v-sdk[server,cpu]'")
    limits = ("--queue", "1", "--body-limit", "1")
    home = tmp_path_factory.mktemp("second_server") / "home"
    server = ServerProcess(home, *limits, "--allow-host", f"127.0.0.1:{proxy.port}")
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


@pytest.fixture
def killable_server(
    second_server: ServerProcess, proxy: SwitchableProxy, extension: Extension
) -> Iterator[ServerProcess]:
    """Running, reachable and paired, whatever the previous test did to it."""
    if second_server.process.poll() is not None:
        second_server.start()
    proxy.target = second_server.port
    proxy.on()
    state = extension.send_request("server", {})
    if state["address"] != proxy.address or state["problem"] is not None:
        extension.pair(proxy.address, second_server.code())
    yield second_server
    if second_server.process.poll() is None:
        second_server.freeze(False)


def deleted(server: ServerProcess) -> float:
    return server.counter("anti_i2v_requests_total", method="DELETE", route=JOB)


def running(server: ServerProcess) -> float:
    return server.counter("anti_i2v_jobs_running")


def wait_until(visit: Visit, condition: Callable[[], bool], seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the condition did not come true"
        visit.user.page.wait_for_timeout(40)


def assert_nothing_arrived(visit: Visit) -> None:
    visit.user.settle()
    assert visit.run.arrivals() == []
    assert [leak for each in visit.files for leak in find_leaks(visit.run, each)] == []


@pytest.mark.usefixtures("killable_server")
def test_nothing_arrives_while_the_server_is_down(with_extension: Visits, proxy: SwitchableProxy) -> None:
    proxy.off()
    with with_extension.open(POSTS, "down", PHOTO) as visit:
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait(DOWN)
        assert_nothing_arrived(visit)
        overlay.press(NOTHING)
        overlay.wait_gone()
        assert_nothing_arrived(visit)


@pytest.mark.usefixtures("killable_server")
def test_a_retry_after_the_server_is_back_protects_the_photo(with_extension: Visits, proxy: SwitchableProxy) -> None:
    proxy.off()
    with with_extension.open(POSTS, "retry", PHOTO) as visit:
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait(DOWN)
        proxy.on()
        overlay.press("Try again")
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)


@pytest.mark.slow  # the extension retries for 10 seconds
def test_a_server_that_dies_during_a_job_leaves_a_retry_and_nothing_arrives(
    with_extension: Visits, killable_server: ServerProcess
) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "killed", PHOTO) as visit:
        pick()(visit.user, visit.files)
        wait_until(visit, lambda: running(killable_server) == 1)
        killable_server.stop(signal.SIGKILL)
        overlay = Overlay(visit.user.page)
        overlay.wait(DOWN, 40)
        assert_nothing_arrived(visit)
        killable_server.start()
        overlay.press("Try again")
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)


def test_a_photo_is_submitted_again_if_the_server_restarts_during_its_job(
    with_extension: Visits, killable_server: ServerProcess
) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "restarted", PHOTO) as visit:
        pick()(visit.user, visit.files)
        wait_until(visit, lambda: running(killable_server) == 1)
        killable_server.stop(signal.SIGKILL)
        killable_server.start()
        overlay = Overlay(visit.user.page)
        wait_until(visit, lambda: bool(visit.run.arrivals()) or overlay.has("Try again"), 20)
        if overlay.has("Try again"):  # the restart took longer than the extension's retries
            overlay.press("Try again")
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)


def test_nothing_arrives_with_a_revoked_token(with_extension: Visits, killable_server: ServerProcess) -> None:
    for file in killable_server.home.rglob("tokens.json"):
        file.unlink()
    with with_extension.open(POSTS, "revoked", PHOTO) as visit:
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait("Your server no longer knows this browser")
        overlay.press(NOTHING)
        overlay.wait_gone()
        assert_nothing_arrived(visit)


@pytest.mark.usefixtures("killable_server")
def test_nothing_arrives_without_a_pairing(with_extension: Visits, extension: Extension) -> None:
    extension.send_request("pair", None)
    with with_extension.open(POSTS, "unpaired", PHOTO) as visit:
        pick()(visit.user, visit.files)
        Overlay(visit.user.page).wait("Not paired with your server yet")
        assert_nothing_arrived(visit)


def test_a_full_server_leaves_a_retry_and_nothing_arrives(
    with_extension: Visits, killable_server: ServerProcess
) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "full", PHOTO) as visit, killable_server.client() as others:
        jobs = []
        for _ in range(2):
            sent = others.post("/v1/jobs", content=visit.files[0].data, headers={"content-type": "image/png"})
            jobs.append(sent.raise_for_status().json()["id"])
            wait_until(visit, lambda: running(killable_server) == 1)
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait("Your server is busy", 40)
        assert_nothing_arrived(visit)
        for job in jobs:
            others.delete(f"/v1/jobs/{job}")
        killable_server.freeze(False)
        wait_until(visit, lambda: running(killable_server) == 0)
        overlay.press("Try again")
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)


@pytest.mark.usefixtures("killable_server")
def test_nothing_arrives_of_a_photo_above_the_servers_limit(with_extension: Visits) -> None:
    with with_extension.open(POSTS, "large", PHOTO) as visit:
        noise = np.random.default_rng(0).integers(0, 256, 1_200_000, np.uint8).tobytes()
        visit.files[0].place.write_bytes(visit.files[0].data + noise)
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait("This photo is too large")
        assert not overlay.has("Try again")
        overlay.press(NOTHING)
        overlay.wait_gone()
        assert_nothing_arrived(visit)


@pytest.mark.usefixtures("killable_server")
def test_nothing_arrives_of_a_photo_that_cannot_be_decoded(with_extension: Visits) -> None:
    with with_extension.open(POSTS, "broken", PHOTO) as visit:
        visit.files[0].place.write_bytes(visit.files[0].data[:1500])
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait(NOTHING)
        overlay.press(NOTHING)
        overlay.wait_gone()
        assert_nothing_arrived(visit)


@pytest.mark.usefixtures("killable_server")
def test_each_original_needs_two_deliberate_clicks(with_extension: Visits, proxy: SwitchableProxy) -> None:
    proxy.off()
    for _ in range(2):
        with with_extension.open(POSTS, "original", PHOTO) as visit:
            pick()(visit.user, visit.files)
            overlay = Overlay(visit.user.page)
            overlay.wait(ORIGINAL)
            overlay.press(ORIGINAL)
            overlay.wait(CONFIRM)
            overlay.press(CONFIRM)  # as part of a double click
            visit.user.page.wait_for_timeout(CONFIRM_DELAY)
            assert_nothing_arrived(visit)
            overlay.press(CONFIRM)
            overlay.wait_gone()
            assert [each.data for each in visit.run.wait(1)] == [visit.files[0].data]


@pytest.mark.usefixtures("killable_server")
def test_the_original_of_a_frame_is_released_in_the_top_frame(with_extension: Visits, proxy: SwitchableProxy) -> None:
    proxy.off()
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
        wait_until(visit, lambda: running(killable_server) == 1)
        overlay = Overlay(visit.user.page)
        overlay.wait(CANCEL)
        overlay.press(CANCEL)
        wait_until(visit, lambda: deleted(killable_server) > before)
        overlay.wait_gone()
        killable_server.freeze(False)
        wait_until(visit, lambda: running(killable_server) == 0)
        assert_nothing_arrived(visit)


def test_leaving_the_page_while_it_holds_cancels_the_job(
    with_extension: Visits, killable_server: ServerProcess
) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "left", PHOTO) as visit:
        before = deleted(killable_server)
        pick()(visit.user, visit.files)
        wait_until(visit, lambda: running(killable_server) == 1)
        visit.user.page.goto(with_extension.site.address(with_extension.site.open(Page())))
        wait_until(visit, lambda: deleted(killable_server) > before)
        killable_server.freeze(False)
        wait_until(visit, lambda: running(killable_server) == 0)
        assert_nothing_arrived(visit)


def test_closing_the_tab_while_it_holds_cancels_the_job(with_extension: Visits, killable_server: ServerProcess) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "watching", ()) as watching:
        before = deleted(killable_server)
        with with_extension.open(POSTS, "closed", PHOTO) as visit:
            pick()(visit.user, visit.files)
            wait_until(visit, lambda: running(killable_server) == 1)
            visit.user.page.close()
        wait_until(watching, lambda: deleted(killable_server) > before)


def stop_worker(extension: Extension) -> None:
    session = extension.context.new_cdp_session(extension.page)
    session.send("ServiceWorker.enable")
    session.send("ServiceWorker.stopAllWorkers")
    session.detach()


def test_no_job_is_lost_if_the_service_worker_stops(
    with_extension: Visits, killable_server: ServerProcess, extension: Extension
) -> None:
    killable_server.freeze()
    with with_extension.open(POSTS, "stopped-worker", PHOTO) as visit:
        stored, gone = killable_server.stored(), deleted(killable_server)
        pick()(visit.user, visit.files)
        wait_until(visit, lambda: running(killable_server) == 1)
        stop_worker(extension)
        killable_server.freeze(False)
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)
        wait_until(visit, lambda: deleted(killable_server) > gone)
        assert killable_server.stored() <= stored  # one job, even if the reply was lost and the photo submitted again


def test_the_same_job_is_submitted_again_if_the_service_worker_stops_meanwhile(
    with_extension: Visits, killable_server: ServerProcess, proxy: SwitchableProxy, extension: Extension
) -> None:
    with with_extension.open(POSTS, "stopped-submitting", PHOTO) as visit:
        stored, gone = killable_server.stored(), deleted(killable_server)
        killable_server.freeze_all()
        try:
            pick()(visit.user, visit.files)
            wait_until(visit, lambda: b"POST /v1/jobs" in proxy.received)  # on its way to the frozen server
            stop_worker(extension)
        finally:
            killable_server.freeze_all(False)
        visit.run.wait(1)
        assert_protected(visit.run, visit.files)
        wait_until(visit, lambda: deleted(killable_server) > gone)
        assert killable_server.stored() <= stored


@pytest.mark.usefixtures("killable_server")
def test_the_user_is_told_if_a_form_is_sent_without_its_photo(with_extension: Visits, proxy: SwitchableProxy) -> None:
    proxy.off()
    page = Page(form("target=hidden", "<button id=go></button>") + "<iframe name=hidden></iframe>")
    with with_extension.open(page, "form-without", PHOTO) as visit:
        pick()(visit.user, visit.files)
        overlay = Overlay(visit.user.page)
        overlay.wait(DOWN)
        overlay.press(NOTHING)
        overlay.wait_gone()
        visit.user.press("#go")
        overlay.wait("The form was sent without your photo")
        assert_nothing_arrived(visit)


READS = "onmessage = async ({data: [up, handle]}) => fetch(up, {method: 'POST', body: await handle.getFile()})"
TO_WORKER = Page(
    FIELD,
    # A worker of the page's own origin: others cannot receive handles.
    f"const worker = new Worker(URL.createObjectURL(new Blob([`{READS}`])));"
    + ON_DROP
    % "worker.postMessage([new URL(up, location).href, await e.dataTransfer.items[0].getAsFileSystemHandle()])",
)


@pytest.mark.usefixtures("killable_server")
def test_a_handle_is_not_posted_to_a_worker_and_the_user_is_told(
    with_extension: Visits, without_extension: Visits
) -> None:
    with without_extension.open(TO_WORKER, "handle-to-worker-bare", PHOTO) as visit:
        drop()(visit.user, visit.files)
        assert visit.run.wait(1)
        assert any(find_leaks(visit.run, each) for each in visit.files)
    with with_extension.open(TO_WORKER, "handle-to-worker", PHOTO) as visit:
        drop()(visit.user, visit.files)
        Overlay(visit.user.page).wait("Your photo was withheld from this site")
        assert_nothing_arrived(visit)
