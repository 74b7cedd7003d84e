"""What the server and a worker tell each other: frames of MessagePack on two pipes. No pickle, no files.

A frame is 8 bytes of length, big-endian, and a tagged struct. The server writes `ToWorker`, the worker `FromWorker`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import BinaryIO, Self, TypeAlias

import msgspec

__all__ = [
    "Cancel",
    "Channel",
    "Done",
    "FromWorker",
    "Heartbeat",
    "Progress",
    "Ready",
    "SdkError",
    "Setup",
    "Task",
    "ToWorker",
    "WorkerFault",
    "encode_frame",
    "read_frame",
]

HEADER_BYTES = 8
MAX_FRAME_BYTES = 2**31
"""Bytes of a frame: more than any photo, less than what a stray length would claim."""


class Setup(msgspec.Struct, frozen=True, tag=True):
    """First of all. See `Settings` for what its fields mean."""

    device: str
    surrogates: tuple[str, ...] | None
    memory_limit: int
    max_pixels: int


class Task(msgspec.Struct, frozen=True, tag=True):
    """One photo to protect."""

    id: str
    photo: bytes
    recipe: str
    preset: str | None
    deadline: float
    seed: int
    format: str | None
    keep_metadata: bool

    def __repr__(self) -> str:
        return f"Task({self.id!r})"  # a photo shows in no log by way of a repr


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Stop a task before its next step."""

    id: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The models are loaded; `provider` is what ONNX Runtime runs on, as a receipt says it."""

    provider: str
    notes: tuple[str, ...]


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """Twice a second, whatever else goes on. `resident` is the process's memory in bytes."""

    resident_bytes: int


class Progress(msgspec.Struct, frozen=True, tag=True):
    """After each step."""

    id: str
    step: int
    steps: int
    loss: float


class Done(msgspec.Struct, frozen=True, tag=True):
    """The protected file, one of `anti_i2v.photo.FORMATS`, and its receipt as JSON."""

    id: str
    file: bytes
    format: str
    receipt: bytes

    def __repr__(self) -> str:
        return f"Done({self.id!r})"


class SdkError(msgspec.Struct, frozen=True, tag=True):
    """An error of the SDK, by the name of its class."""

    id: str
    error: str
    message: str


class WorkerFault(msgspec.Struct, frozen=True, tag=True):
    """A fault of ours: only the class of the exception and where it was raised, for its words may quote the photo."""

    id: str
    error: str
    where: str


ToWorker: TypeAlias = Setup | Task | Cancel
FromWorker: TypeAlias = Ready | Heartbeat | Progress | Done | SdkError | WorkerFault


def encode_frame(message: ToWorker | FromWorker) -> bytes:
    """A message as it travels."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEADER_BYTES) + body


async def read_frame(stream: asyncio.StreamReader) -> FromWorker:
    """The worker's next message.

    Raises:
        asyncio.IncompleteReadError: the worker is gone.
        msgspec.MsgspecError, ValueError: what came is no message.
    """
    length = int.from_bytes(await stream.readexactly(HEADER_BYTES))
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes")
    message: FromWorker = msgspec.msgpack.decode(await stream.readexactly(length), type=FromWorker)
    return message


class Channel:
    """The worker's end of the pipes. Sending is safe from several threads."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source, self._target = source, target
        self._lock = threading.Lock()

    @classmethod
    def from_stdio(cls) -> Self:
        """Takes standard input and output for messages alone: what a library prints goes to standard error."""
        source, target = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return cls(os.fdopen(source, "rb"), os.fdopen(target, "wb"))

    def send(self, message: FromWorker) -> None:
        """Write a message. Raises OSError where the server is gone."""
        with self._lock:
            self._target.write(encode_frame(message))
            self._target.flush()

    def receive(self) -> ToWorker | None:
        """The server's next message; None when it is gone."""
        header = self._source.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            return None
        body = self._source.read(int.from_bytes(header))
        message: ToWorker = msgspec.msgpack.decode(body, type=ToWorker)
        return message
