"""The synchronous and the asynchronous client, on httpx."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from anti_i2v.client.protocol import (
    DEFAULT_URL,
    EventStream,
    Progress,
    RemoteProtection,
    ServerProblem,
    Unreachable,
    connection_errors,
    httpx_options,
    import_httpx,
    job_query,
    parse_protection,
    photo_headers,
    raise_for_problem,
    read_photo,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncClient", "Client"]


class Client:
    """A client of one server.

    Args:
        url: address of the server.
        token: from pairing.
        transport: httpx transport, for tests and proxies.

    Raises:
        AntiI2VError: httpx is not installed.
    """

    def __init__(
        self, url: str = DEFAULT_URL, token: str | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.token = token
        self._http = import_httpx().Client(transport=transport, **httpx_options(url, token))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @classmethod
    def pair(cls, code: str, url: str = DEFAULT_URL) -> Self:
        """Exchange the one-time code of the server's terminal for a token; keep the client's `token` for later."""
        with cls(url) as unpaired:
            reply = unpaired._send("POST", "/v1/pair", json={"code": code})
        return cls(url, reply.json()["token"])

    def protect(
        self,
        source: str | Path | bytes,
        *,
        recipe: str = "balanced",
        preset: str | None = None,
        deadline: float | None = None,
        seed: int = 0,
        format: str | None = None,
        keep_metadata: bool = False,
        priority: str = "interactive",
        on_progress: Callable[[Progress], None] | None = None,
    ) -> RemoteProtection:
        """Protect one photo. Any exception before the result, also in `on_progress`, cancels the job.

        Args:
            source: a path or a file's bytes.
            deadline: seconds for everything, including the wait in the server's queue.
            format: format of the result; None for the photo's.
            priority: "interactive" or "bulk".
            on_progress: called with each event.
            recipe, preset, seed, keep_metadata: as in `anti_i2v.protect`.

        Raises:
            PhotoError, RecipeError, OutputError, SurrogateError, Cancelled, BudgetError, ServerProblem, Unreachable.
        """
        query = job_query(recipe, preset, deadline, seed, format, keep_metadata, priority)
        photo = read_photo(source)
        reply = self._send("POST", "/v1/jobs", params=query, content=photo, headers=photo_headers(photo))
        job = reply.headers["location"]
        try:
            self._follow(job, on_progress or _ignore)
            return parse_protection(self._send("GET", f"{job}/result"), self._send("GET", f"{job}/receipt"))
        finally:
            self._delete(job)

    def _follow(self, job: str, on_progress: Callable[[Progress], None]) -> None:
        events = EventStream()
        with connection_errors():
            while not events.finished:  # the server ends a stream after some seconds; the next one continues it
                with self._http.stream("GET", f"{job}/events", headers=events.headers) as reply:
                    if reply.is_error:
                        reply.read()
                        raise_for_problem(reply)
                    for line in reply.iter_lines():
                        if (progress := events.feed(line)) is not None:
                            on_progress(progress)

    def _delete(self, job: str) -> None:
        try:
            self._send("DELETE", job)
        except (ServerProblem, Unreachable):
            return  # the server deletes it in minutes anyway, and an earlier error matters more

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with connection_errors():
            return raise_for_problem(self._http.request(method, path, **options))


class AsyncClient:
    """`Client` with awaitable methods."""

    def __init__(
        self, url: str = DEFAULT_URL, token: str | None = None, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.token = token
        self._http = import_httpx().AsyncClient(transport=transport, **httpx_options(url, token))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @classmethod
    async def pair(cls, code: str, url: str = DEFAULT_URL) -> Self:
        """See `Client.pair`."""
        async with cls(url) as unpaired:
            reply = await unpaired._send("POST", "/v1/pair", json={"code": code})
        return cls(url, reply.json()["token"])

    async def protect(
        self,
        source: str | Path | bytes,
        *,
        recipe: str = "balanced",
        preset: str | None = None,
        deadline: float | None = None,
        seed: int = 0,
        format: str | None = None,
        keep_metadata: bool = False,
        priority: str = "interactive",
        on_progress: Callable[[Progress], None] | None = None,
    ) -> RemoteProtection:
        """See `Client.protect`. Cancelling the awaiting task cancels the job."""
        query = job_query(recipe, preset, deadline, seed, format, keep_metadata, priority)
        photo = read_photo(source)
        reply = await self._send("POST", "/v1/jobs", params=query, content=photo, headers=photo_headers(photo))
        job = reply.headers["location"]
        try:
            await self._follow(job, on_progress or _ignore)
            return parse_protection(await self._send("GET", f"{job}/result"), await self._send("GET", f"{job}/receipt"))
        finally:
            await self._delete(job)

    async def _follow(self, job: str, on_progress: Callable[[Progress], None]) -> None:
        events = EventStream()
        with connection_errors():
            while not events.finished:
                async with self._http.stream("GET", f"{job}/events", headers=events.headers) as reply:
                    if reply.is_error:
                        await reply.aread()
                        raise_for_problem(reply)
                    async for line in reply.aiter_lines():
                        if (progress := events.feed(line)) is not None:
                            on_progress(progress)

    async def _delete(self, job: str) -> None:
        try:
            await self._send("DELETE", job)
        except (ServerProblem, Unreachable):
            return

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with connection_errors():
            return raise_for_problem(await self._http.request(method, path, **options))


def _ignore(_: Progress) -> None:
    pass
