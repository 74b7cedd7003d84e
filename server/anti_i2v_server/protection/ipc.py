"""Messages between the server and a worker: MessagePack frames on two pipes. No pickle: decoding runs no code.

A frame is 8 bytes of length, big-endian, and a tagged struct. The server sends `ToWorker`, the worker `FromWorker`.
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
"""More than any photo, and less than a stray length would claim."""


class Setup(msgspec.Struct, frozen=True, tag=True):
    """The first message. See `Settings` for the fields."""

    device: str
    surrogates: tuple[str, ...] | None
    memory_limit: int
    max_pixels: int


class Task(msgspec.Struct, frozen=True, tag=True):
    """A photo to protect."""

    id: str
    photo: bytes
    recipe: str
    preset: str | None
    deadline: float
    seed: int
    format: str | None
    keep_metadata: bool

    def __repr__(self) -> str:
        return f"Task({self.id!r})"  # without the photo, which must reach no log


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Stop a task before its next step."""

    id: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The models are loaded. `provider` is ONNX Runtime's execution provider, as in a receipt."""

    provider: str
    notes: tuple[str, ...]


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """Sent twice a second. `resident_bytes` is the worker's memory."""

    resident_bytes: int


class Progress(msgspec.Struct, frozen=True, tag=True):
    """Sent after each step."""

    id: str
    step: int
    steps: int
    loss: float


class Done(msgspec.Struct, frozen=True, tag=True):
    """The protected file, its format (one of `anti_i2v.images.formats.FORMATS`) and its receipt as JSON."""

    id: str
    file: bytes
    format: str
    receipt: bytes

    def __repr__(self) -> str:
        return f"Done({self.id!r})"


class SdkError(msgspec.Struct, frozen=True, tag=True):
    """An error of the SDK: its class name and message."""

    id: str
    error: str
    message: str


class WorkerFault(msgspec.Struct, frozen=True, tag=True):
    """An unexpected exception: its class name and where it was raised. Its message may quote the photo."""

    id: str
    error: str
    where: str


ToWorker: TypeAlias = Setup | Task | Cancel
FromWorker: TypeAlias = Ready | Heartbeat | Progress | Done | SdkError | WorkerFault


def encode_frame(message: ToWorker | FromWorker) -> bytes:
    """Return a message as a frame."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEADER_BYTES) + body


async def read_frame(stream: asyncio.StreamReader) -> FromWorker:
    """Read the worker's next message.

    Raises:
        asyncio.IncompleteReadError: the worker ended.
        msgspec.MsgspecError, ValueError: the frame is not a valid message.
    """
    length = int.from_bytes(await stream.readexactly(HEADER_BYTES))
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes")
    message: FromWorker = msgspec.msgpack.decode(await stream.readexactly(length), type=FromWorker)
    return message


class Channel:
    """The worker's end of the pipes. Several threads may send."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source, self._target = source, target
        self._lock = threading.Lock()

    @classmethod
    def from_stdio(cls) -> Self:
        """Reserve standard input and output for messages: what libraries print goes to standard error."""
        source, target = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return cls(os.fdopen(source, "rb"), os.fdopen(target, "wb"))

    def send(self, message: FromWorker) -> None:
        """Send a message. Raises OSError if the server ended."""
        with self._lock:
            self._target.write(encode_frame(message))
            self._target.flush()

    def receive(self) -> ToWorker | None:
        """Return the server's next message, or None if the server ended."""
        header = self._source.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            return None
        body = self._source.read(int.from_bytes(header))
        message: ToWorker = msgspec.msgpack.decode(body, type=ToWorker)
        return message
