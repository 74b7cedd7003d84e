"""A client of the protection server, `anti-i2v serve`.

    from anti_i2v.client import Client

    with Client("http://127.0.0.1:8765", token) as client:
        client.protect("photo.jpg", preset="instagram").save("protected.jpg")

Errors are those of the SDK: PhotoError, RecipeError and so on, whatever machine they were found on. Two come on top:
ServerProblem for what only a server can refuse, Unreachable where there is none. `AsyncClient` is the same with await.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from anti_i2v.remote import (
    URL,
    Progress,
    RemoteProtection,
    ServerProblem,
    Stream,
    Unreachable,
    bytes_of,
    check,
    connecting,
    httpx_module,
    kind_of,
    options,
    protection_of,
    query_of,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncClient", "Client", "Progress", "RemoteProtection", "ServerProblem", "Unreachable"]


class Client:
    """Speaks to one server. `transport` is httpx's, for tests and proxies. Raises AntiI2VError without httpx."""

    def __init__(
        self, url: str = URL, token: str | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.token = token
        self._http = httpx_module().Client(transport=transport, **options(url, token))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @classmethod
    def pair(cls, code: str, url: str = URL) -> Self:
        """A client with a token, for the one-time code in the server's terminal; keep its `token`."""
        with cls(url) as stranger:
            reply = stranger._send("POST", "/v1/pair", json={"code": code})
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
        """Protect one photo. Whatever ends this early, an exception in `on_progress` too, cancels the job.

        Args:
            source: a path or a file's bytes.
            deadline: seconds for everything, waiting for the server's turn included.
            format: of the result; None keeps the photo's.
            priority: "interactive" or "bulk".
            on_progress: called with each event.
            recipe, preset, seed, keep_metadata: as in `anti_i2v.protect`.

        Raises:
            PhotoError, RecipeError, OutputError, SurrogateError, Cancelled, BudgetError, ServerProblem, Unreachable.
        """
        query = query_of(recipe, preset, deadline, seed, format, keep_metadata, priority)
        photo = bytes_of(source)
        job = self._send("POST", "/v1/jobs", params=query, content=photo, headers=kind_of(photo)).headers["location"]
        try:
            self._follow(job, on_progress or _nothing)
            return protection_of(self._send("GET", f"{job}/result"), self._send("GET", f"{job}/receipt"))
        finally:
            self._forget(job)

    def _follow(self, job: str, on_progress: Callable[[Progress], None]) -> None:
        stream = Stream()
        with connecting():
            while not stream.over:  # a stream lasts some seconds: come back for the rest
                with self._http.stream("GET", f"{job}/events", headers=stream.headers) as reply:
                    if reply.is_error:
                        reply.read()
                        check(reply)
                    for line in reply.iter_lines():
                        if (progress := stream.take(line)) is not None:
                            on_progress(progress)

    def _forget(self, job: str) -> None:
        try:
            self._send("DELETE", job)
        except (ServerProblem, Unreachable):
            return  # it is gone, or will be in minutes: what went wrong before is what counts

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        with connecting():
            return check(self._http.request(method, path, **more))


class AsyncClient:
    """`Client` with await."""

    def __init__(
        self, url: str = URL, token: str | None = None, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.token = token
        self._http = httpx_module().AsyncClient(transport=transport, **options(url, token))

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
    async def pair(cls, code: str, url: str = URL) -> Self:
        """See `Client.pair`."""
        async with cls(url) as stranger:
            reply = await stranger._send("POST", "/v1/pair", json={"code": code})
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
        query = query_of(recipe, preset, deadline, seed, format, keep_metadata, priority)
        photo = bytes_of(source)
        reply = await self._send("POST", "/v1/jobs", params=query, content=photo, headers=kind_of(photo))
        job = reply.headers["location"]
        try:
            await self._follow(job, on_progress or _nothing)
            return protection_of(await self._send("GET", f"{job}/result"), await self._send("GET", f"{job}/receipt"))
        finally:
            await self._forget(job)

    async def _follow(self, job: str, on_progress: Callable[[Progress], None]) -> None:
        stream = Stream()
        with connecting():
            while not stream.over:
                async with self._http.stream("GET", f"{job}/events", headers=stream.headers) as reply:
                    if reply.is_error:
                        await reply.aread()
                        check(reply)
                    async for line in reply.aiter_lines():
                        if (progress := stream.take(line)) is not None:
                            on_progress(progress)

    async def _forget(self, job: str) -> None:
        try:
            await self._send("DELETE", job)
        except (ServerProblem, Unreachable):
            return

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        with connecting():
            return check(await self._http.request(method, path, **more))


def _nothing(_: Progress) -> None:
    pass
