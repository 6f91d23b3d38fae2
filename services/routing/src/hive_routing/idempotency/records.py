"""What becomes of a request whose `Idempotency-Key` was seen before; nothing is stored here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b

import msgspec

from hive_runtime.errors import HiveError, Kind

HEADER = "Idempotency-Key"
KEPT_MS = 24 * 3600 * 1000
MAX_BODY_BYTES = 1024 * 1024
"""Of an answer that can be given again."""
MAX_HEADER_BYTES = 32 * 1024
MAX_ERROR_CHARS = 4096
HASH_BYTES = 32

_PRINTABLE = re.compile(rb"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Scope:
    """Within which a value of the header means the same request. key: the header's value."""

    key_id: str
    method: str
    path: str
    key: str

    @property
    def hash(self) -> bytes:
        """Stands for it in the table, so that what callers sent is not in there."""
        parts = [part.encode() for part in (self.key_id, self.method, self.path, self.key)]
        framed = [each for part in parts for each in (len(part).to_bytes(4, "big"), part)]
        return blake2b(b"".join(framed), digest_size=HASH_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Record:
    """A request that holds its scope. claim: unique, so that nobody ends what another one has taken over."""

    scope: bytes
    claim: str
    owner: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """The request has to run, and its record to end: `done`, `done_error` or `release`."""

    record: Record


@dataclass(frozen=True, slots=True)
class Replay:
    """The request ran before; this is what it was answered. body: all of a stream's pieces in one."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    streamed: bool


Claim = Fresh | Replay


class State(IntEnum):
    """How far a request has come."""

    CLAIMED = 0
    DISPATCHED = 1
    DONE = 2


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """An answer as it is kept."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    streamed: bool


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """An error as it is kept."""

    kind: str
    status: int
    message: str
    param: str | None
    reason: str | None
    retry_after: float | None
    should_retry: bool | None


class TooLarge(msgspec.Struct, frozen=True, tag="too large"):
    """Instead of an answer that is too large to be kept."""


Outcome = Answered | Refused | TooLarge


@dataclass(frozen=True, slots=True)
class Found:
    """What is kept of a scope. changed_ms: when it was claimed or, once it is done, when that was."""

    record: Record
    body_hash: bytes
    state: State
    changed_ms: int
    outcome: Outcome | None


def read_key(value: bytes) -> str:
    """The header's value; raises HiveError `invalid` where it is not 1 to 255 printable ASCII characters."""
    if _PRINTABLE.fullmatch(value):
        return value.decode()
    raise HiveError(Kind.INVALID, f"`{HEADER}` must be 1 to 255 printable ASCII characters.", HEADER)


def hash_body(body: bytes) -> bytes:
    """32 bytes that tell one body from another."""
    return blake2b(body, digest_size=HASH_BYTES).digest()


def answered(
    status: int, headers: Iterable[tuple[bytes, bytes]], chunks: Iterable[bytes], streamed: bool
) -> Outcome:
    """What to keep of an answer."""
    kept = tuple(headers)
    if sum(len(name) + len(value) for name, value in kept) > MAX_HEADER_BYTES:
        return TooLarge()
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            return TooLarge()
    return Answered(status, kept, b"".join(parts), streamed)


def refused(error: HiveError) -> Outcome:
    """What to keep of an error."""
    return Refused(
        kind=error.kind.label,
        status=error.status,
        message=error.message[:MAX_ERROR_CHARS],
        param=error.param and error.param[:MAX_ERROR_CHARS],
        reason=error.reason and error.reason[:MAX_ERROR_CHARS],
        retry_after=error.retry_after,
        should_retry=error.should_retry,
    )


def is_expired(found: Found, now_ms: int) -> bool:
    """Whether the scope may be used for another request; none runs for so long."""
    return found.changed_ms + KEPT_MS <= now_ms


def replay(found: Found, body_hash: bytes) -> Replay | None:
    """The answer that a request got before; None where it is not done.

    Raises the HiveError that it got, `invalid` where the body is another one, `conflict` where its answer was not
    kept.
    """
    if found.body_hash != body_hash:
        message = f"This `{HEADER}` was used with another body. Use a new one for a new request."
        raise HiveError(Kind.INVALID, message, HEADER, reason="idempotency_key_reused")
    match found.outcome:
        case None:
            return None
        case Answered(status, headers, body, streamed):
            return Replay(status, headers, body, streamed)
        case Refused():
            raise _error(found.outcome)
        case TooLarge():
            message = (
                f"The request with this `{HEADER}` was answered, but the answer was too large to be kept "
                f"({MAX_BODY_BYTES} bytes at most). It was not run again."
            )
            raise HiveError(
                Kind.CONFLICT, message, HEADER, reason="idempotency_not_replayable", should_retry=False
            )


def take_over(found: Found, alive: bool) -> None:
    """Returns where a request that is not done can be run again: its owner died before it called a provider.

    Raises HiveError `conflict` while it runs, `internal` where nobody knows what became of it.
    """
    if alive:
        message = f"The request with this `{HEADER}` is still running."
        raise HiveError(Kind.CONFLICT, message, HEADER, reason="idempotency_in_progress", retry_after=1)
    if found.state is State.DISPATCHED:
        message = (
            f"The request with this `{HEADER}` was sent to a provider, and its answer was lost. It may have run, "
            "so it is not run again: use a new key to do so."
        )
        raise HiveError(Kind.INTERNAL, message, HEADER, reason="outcome_unknown", should_retry=False)


def _error(kept: Refused) -> HiveError:
    error = HiveError(
        Kind.of_label(kept.kind),
        kept.message,
        kept.param,
        reason=kept.reason,
        retry_after=kept.retry_after,
        should_retry=kept.should_retry,
    )
    error.status = kept.status
    return error
