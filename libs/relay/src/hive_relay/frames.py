"""Builders for the frames of the reply protocol (`protos/modelhive/relay/v1/relay.proto`), and its bounds."""

from __future__ import annotations

from collections.abc import Iterable

from hive_relay.summary import Summary, message_of
from hive_rpc import failure_of
from hive_runtime.errors import HiveError
from modelhive.relay.v1.relay_pb2 import (
    Accepted,
    CallerFrame,
    Cancel,
    CancelReason,
    Credit,
    Go,
    Goodbye,
    Head,
    Header,
    ReplyFrame,
)

CREDIT_BYTES = 256 * 1024
"""What a service may send before the caller's client has taken any of it."""

CREDIT_STEP_BYTES = 64 * 1024
"""The caller gives credit back in steps of at least this size."""

CHUNK_BYTES = 64 * 1024
"""Largest `Chunk`."""

HANDED_BODY_BYTES = 64 * 1024
"""Largest body of a request that is handed over by a stream: what comes behind it would wait too long."""

INLINE_BODY_BYTES = 256 * 1024
"""Largest body inside an envelope; larger ones lie in blob storage (claim check)."""

HeaderPairs = list[tuple[bytes, bytes]]

_ACCEPTED = Accepted()
_GO = Go()
_GOODBYE = Goodbye()


def accepted(request_id: str, attempt: int) -> ReplyFrame:
    return ReplyFrame(request_id=request_id, attempt=attempt, accepted=_ACCEPTED)


def head(request_id: str, attempt: int, status: int, headers: Iterable[tuple[bytes, bytes]]) -> ReplyFrame:
    pairs = [Header(name=name.decode("latin-1"), value=value.decode("latin-1")) for name, value in headers]
    return ReplyFrame(request_id=request_id, attempt=attempt, head=Head(status=status, headers=pairs))


def chunk(request_id: str, attempt: int, data: bytes, content: bool) -> ReplyFrame:
    frame = ReplyFrame(request_id=request_id, attempt=attempt)
    part = frame.chunk  # written where it stays: a message copies what it is given
    part.data, part.content = data, content
    return frame


def end(
    request_id: str,
    attempt: int,
    error: HiveError | None,
    usage: Summary | None,
    given_back: bool = False,
) -> ReplyFrame:
    frame = ReplyFrame(request_id=request_id, attempt=attempt)
    ending = frame.end
    ending.SetInParent()
    if error is not None:
        ending.failure.CopyFrom(failure_of(error))
    if usage is not None:
        ending.usage.CopyFrom(message_of(usage))
    if given_back:
        ending.given_back = True
    return frame


def goodbye() -> ReplyFrame:
    return ReplyFrame(goodbye=_GOODBYE)


def go(request_id: str, attempt: int) -> CallerFrame:
    return CallerFrame(request_id=request_id, attempt=attempt, go=_GO)


def credit(request_id: str, attempt: int, size: int) -> CallerFrame:
    return CallerFrame(request_id=request_id, attempt=attempt, credit=Credit(bytes=size))


def cancel(request_id: str, attempt: int, reason: CancelReason.ValueType) -> CallerFrame:
    return CallerFrame(request_id=request_id, attempt=attempt, cancel=Cancel(reason=reason))


def header_pairs(headers: Iterable[Header]) -> HeaderPairs:
    return [(header.name.encode("latin-1"), header.value.encode("latin-1")) for header in headers]
