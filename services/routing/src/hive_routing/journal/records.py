"""What stands in a segment of the journal, byte by byte.

    segment = magic (8 bytes), record…
    record  = length of the body (u32 LE), crc32 of the body (u32 LE), body (msgpack: array of the tag and the fields)

The first record is a `Head`. A record that was cut off, or that something has changed, shows by length or checksum:
nothing behind it in its segment is believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct as Layout
from typing import BinaryIO
from zlib import crc32

import msgspec
from msgspec.structs import replace

from hive_routing.attempts import Attempt
from hive_routing.prices import PriceTag
from hive_runtime.money import Tariff

MAGIC = b"hivejrn1"
LONGEST = 16 * 1024 * 1024
"""Bytes of a body; what says that it is longer is damaged."""

_layout = Layout("<II")
HEADER_BYTES = _layout.size


class Head(msgspec.Struct, array_like=True, tag=0, gc=False, frozen=True):
    """Where the journal stood when the segment began: earlier segments may be gone.

    number, sequence: of the last attempt that was opened, of the last event that was written.
    """

    holder: str
    number: int
    sequence: int


class Price(msgspec.Struct, array_like=True, tag=1, gc=False, frozen=True):
    """A price, once per segment; `Opened` refers to it by its index. tiers: as `Tariff.tiers`; None: no price."""

    index: int
    subject: str
    version: int
    tiers: tuple[tuple[int, dict[str, int]], ...] | None

    @classmethod
    def of(cls, index: int, tag: PriceTag) -> Price:
        tiers = None if tag.tariff is None else tuple((start, dict(p)) for start, p in tag.tariff.tiers)
        return cls(index, tag.subject, tag.version, tiers)

    def tag(self) -> PriceTag:
        return PriceTag(self.subject, self.version, None if self.tiers is None else Tariff(self.tiers))


class Opened(msgspec.Struct, array_like=True, tag=2, gc=False, frozen=True):
    """An attempt is about to be sent: enough to settle it without any other source. Fields as of `Attempt`;
    price, provider_price: indexes of `Price`."""

    number: int
    request_id: str
    attempt: int
    call: int
    tenant_id: str
    key_id: str
    endpoint: str
    model: str
    provider: str
    deployment: str
    started_ms: int
    streamed: bool
    prompt: dict[str, int]
    price: int
    provider_price: int
    scopes: tuple[str, ...]
    held: int
    tags: tuple[str, ...]

    @classmethod
    def of(cls, number: int, attempt: Attempt, price: int, provider_price: int) -> Opened:
        return cls(
            number,
            attempt.request_id,
            attempt.attempt,
            attempt.call,
            attempt.tenant_id,
            attempt.key_id,
            attempt.endpoint,
            attempt.model,
            attempt.provider,
            attempt.deployment,
            attempt.started_ms,
            attempt.streamed,
            attempt.prompt,
            price,
            provider_price,
            attempt.scopes,
            attempt.held,
            attempt.tags,
        )

    def to_attempt(self, price: PriceTag, provider_price: PriceTag) -> Attempt:
        return Attempt(
            request_id=self.request_id,
            attempt=self.attempt,
            call=self.call,
            tenant_id=self.tenant_id,
            key_id=self.key_id,
            endpoint=self.endpoint,
            model=self.model,
            provider=self.provider,
            deployment=self.deployment,
            started_ms=self.started_ms,
            streamed=self.streamed,
            prompt=self.prompt,
            price=price,
            provider_price=provider_price,
            scopes=self.scopes,
            held=self.held,
            tags=self.tags,
            number=self.number,
        )


class Progress(msgspec.Struct, array_like=True, tag=3, gc=False, frozen=True):
    """How far an attempt's answer had come. delivered: output tokens; at_ms: Unix milliseconds."""

    number: int
    delivered: int
    at_ms: int
    first_content_us: int | None


class Closed(msgspec.Struct, array_like=True, tag=4, gc=False, frozen=True):
    """An attempt has ended. event: its serialized usage event; sequence: of the event, from 1 without gaps."""

    number: int
    sequence: int
    event: bytes


Record = Head | Price | Opened | Progress | Closed

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def framed(record: Record) -> bytes:
    """The record as it is written. UnicodeEncodeError where a text holds half of a surrogate pair."""
    body = _encode(record)
    return _layout.pack(len(body), crc32(body)) + body


class Scan(Iterator[tuple[int, Record]]):
    """Reads records one after another; gives each with the offset behind it.

    file: stands at `start`, the border of a record; what lies from `end` on is not read.
    damage: after the last one, what stopped it: empty (the end), `torn` (the last record was cut off, as happens
    when a process is killed) or `broken`.
    """

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self.offset = start
        self._end = end
        self.damage = ""
        self.unknown = 0
        """Records of a newer release, passed over."""

    def __next__(self) -> tuple[int, Record]:
        while True:
            body = self._body()
            if body is None:
                raise StopIteration
            self.offset += HEADER_BYTES + len(body)
            try:
                return self.offset, _decode(body)
            except msgspec.DecodeError:
                self.unknown += 1

    def _body(self) -> bytes | None:
        left = self._end - self.offset - HEADER_BYTES
        header = self._file.read(HEADER_BYTES)
        if left < 0 or len(header) < HEADER_BYTES:
            self.damage = "torn" if left > -HEADER_BYTES else ""
            return None
        length, checksum = _layout.unpack(header)
        if not 0 < length <= LONGEST:
            empty = not (length or checksum or self._file.read(left).strip(b"\0"))
            self.damage = "torn" if empty else "broken"
            return None
        body = self._file.read(length)
        if length > left or len(body) < length:
            self.damage = "torn"
            return None
        if crc32(body) != checksum:
            self.damage = "torn" if length == left else "broken"
            return None
        return body


def encodable(attempt: Attempt) -> Attempt:
    """The attempt without halves of surrogate pairs, which a client can send in JSON, in any of its texts."""
    names = (name for name in Attempt.__struct_fields__ if isinstance(getattr(attempt, name), str))
    texts = {name: _clean(getattr(attempt, name)) for name in names}
    return replace(
        attempt,
        **texts,
        tags=tuple(map(_clean, attempt.tags)),
        scopes=tuple(map(_clean, attempt.scopes)),
    )


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
