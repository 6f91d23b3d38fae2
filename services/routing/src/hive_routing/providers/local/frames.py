"""The messages between the gateway and a worker process: msgpack, each with its length before it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

MAX_FRAME = 64 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class Generate(msgspec.Struct, tag=True):
    """Continue one prompt.

    prompt: text, in which `<|im_start|>` and the like are control tokens, or the model's own token ids.
    max_tokens: None fills the context window; 0 counts the prompt and writes nothing.
    schema: JSON Schema as one line of JSON; the answer follows it.
    prompt_param, schema_param: the request fields that errors name.
    """

    prompt: str | list[int]
    prompt_param: str
    temperature: float
    top_p: float
    max_tokens: int | None = None
    stop: list[str] = []
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = {}
    schema: str | None = None
    schema_param: str | None = None
    call: int = 0


class Embed(msgspec.Struct, tag=True):
    """Turn texts, or arrays of cl100k token ids, into vectors of `size` floats.

    cut: use the beginning of a text that is too long, instead of refusing it.
    """

    inputs: list[str | list[int]]
    size: int
    cut: bool = False
    call: int = 0


class Cancel(msgspec.Struct, tag=True):
    """End the work on this call and on every one before it; the worker answers `Finished`."""

    call: int


class Piece(msgspec.Struct, tag=True):
    call: int
    text: str


class Vectors(msgspec.Struct, tag=True):
    """Some more vectors, in the order of the inputs: little-endian float32, one after another."""

    call: int
    data: bytes


class Finished(msgspec.Struct, tag=True):
    """reason: `stop`, `length` or `cancelled`."""

    call: int
    reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class Failed(msgspec.Struct, tag=True):
    """kind: the label of a `hive_runtime.errors.Kind`."""

    call: int
    kind: str
    message: str
    param: str | None = None
    reason: str | None = None


Work = Generate | Embed
ToWorker = Generate | Embed | Cancel
FromWorker = Piece | Vectors | Finished | Failed

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
        frame: FromWorker = _from_worker.decode(bytes(self._bytes[_LENGTH.size : end]))
        del self._bytes[:end]
        return frame
