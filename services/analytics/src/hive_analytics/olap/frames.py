"""The messages between a gateway and the store's process: msgpack, each with its length before it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

MAX_FRAME = 256 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class Insert(msgspec.Struct, tag=True):
    call: int
    family: str
    rows: list[bytes]


class Refresh(msgspec.Struct, tag=True):
    call: int
    hours: int


class Select(msgspec.Struct, tag=True):
    """alone: in turn with inserts, and not beside them."""

    call: int
    sql: str
    parameters: dict[str, Any]
    seconds: float
    alone: bool


class Leave(msgspec.Struct, tag=True):
    """Finish what was begun, close the store, end."""


class Opening(msgspec.Struct, tag=True):
    """The store is being opened, and so many hours are left to be rolled up."""

    left: int


class Ready(msgspec.Struct, tag=True):
    """The store is open."""


class Inserted(msgspec.Struct, tag=True):
    call: int
    sequences: dict[str, list[tuple[int, int]]]


class Refreshed(msgspec.Struct, tag=True):
    call: int
    left: int


class Selected(msgspec.Struct, tag=True):
    call: int
    rows: list[list[Any]]


class Failed(msgspec.Struct, tag=True):
    """kind: the label of a `hive_runtime.errors.Kind`. Call 0: the store cannot be opened."""

    call: int
    kind: str
    message: str


Work = Insert | Refresh | Select
ToWorker = Work | Leave
Answer = Inserted | Refreshed | Selected | Failed
FromWorker = Opening | Ready | Answer

_encoder = msgspec.msgpack.Encoder()
_from_worker = msgspec.msgpack.Decoder(FromWorker)
_to_worker = msgspec.msgpack.Decoder(ToWorker)


def pack(frame: ToWorker | FromWorker) -> bytes:
    """Raises ValueError where the frame is longer than `MAX_FRAME`."""
    body = _encoder.encode(frame)
    if len(body) > MAX_FRAME:
        raise ValueError(f"a frame of {len(body)} bytes is longer than {MAX_FRAME}")
    return _LENGTH.pack(len(body)) + body


def read(stream: BinaryIO) -> Iterator[ToWorker]:
    """The worker's side: blocks for each frame, ends with the stream."""
    while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(head)
        body = stream.read(length)
        if len(body) < length:
            return
        yield _to_worker.decode(body)


class Inbox:
    """The gateway's side: bytes in as they come, whole frames out."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def take(self) -> FromWorker | None:
        """The next frame; None while it is not complete."""
        if len(self._bytes) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._bytes)
        end = _LENGTH.size + length
        if len(self._bytes) < end:
            return None
        frame: FromWorker = _from_worker.decode(memoryview(self._bytes)[_LENGTH.size : end].tobytes())
        del self._bytes[:end]
        return frame
