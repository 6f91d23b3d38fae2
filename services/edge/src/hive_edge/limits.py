"""What a key may do, the port that keeps count of it, and what a caller is told who is over a limit."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from hive_edge.durations import SECOND, go_duration
from hive_runtime.errors import HiveError, Kind


class Limits(NamedTuple):
    """requests, tokens: per minute. concurrency: requests at a time. None: as many as come."""

    requests: int | None = None
    tokens: int | None = None
    concurrency: int | None = None


class Rate(NamedTuple):
    """A limit per minute as a request met it. reset: nanoseconds until all of it is free again."""

    limit: int
    remaining: int
    reset: int


class Standing(NamedTuple):
    """A key's counters just after a request was let in or refused; None where there is no such limit."""

    requests: Rate | None = None
    tokens: Rate | None = None


UNLIMITED = Standing()


class Refused(HiveError):
    """A request over one of its key's limits; it used nothing of the others.

    wait: nanoseconds after which it may fit; None: it never does.
    """

    def __init__(self, message: str, wait: int | None) -> None:
        seconds = None if wait is None else float(math.ceil(wait / SECOND))
        never = False if wait is None else None
        super().__init__(Kind.RATE_LIMITED, message, retry_after=seconds, should_retry=never)
        self.wait = wait
        self.standing = UNLIMITED


class Entry(Protocol):
    """One request that was let in. It counts as running until its `with` block is left, on whatever way.

    used: the tokens it used in the end, 0 until somebody says so; the key's counter is put right by it.
    """

    used: int

    @property
    def standing(self) -> Standing: ...

    @property
    def reserved(self) -> int:
        """The tokens that were counted in advance."""
        ...

    async def weigh(self, body_bytes: int) -> None:
        """Reserve tokens for a body whose size was not known at `enter`; raises Refused."""
        ...

    def leave(self) -> Awaitable[object] | None:
        """It ends now, with `used`: before the caller hears of that, so that a next request finds its place free.

        Where a server counts, what comes back is awaited for that, no longer than one call of it may take. Leaving
        the block does nothing more then.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Limiter(Protocol):
    """Counts what keys do. Leaving an entry must not fail; entering may wait where counters are elsewhere."""

    async def enter(self, key_id: str, limits: Limits, body_bytes: int | None) -> Entry:
        """Let a request in, or raise Refused. It counts at once.

        limits: those of now; counters follow a change. body_bytes: None where not known yet.
        """
        ...

    def drop(self, key_id: str) -> None:
        """The key is gone, and its counters with it."""
        ...


def tokens_of(body_bytes: int) -> int:
    """What a body is taken for until the provider has counted: a token for each four bytes, rounded up."""
    return -(-body_bytes // 4)


def too_many_requests(limit: int, wait: int) -> Refused:
    return Refused(f"{_reached(limit, 'requests per minute')} Try again in {go_duration(wait)}.", wait)


def too_many_tokens(limit: int, needed: int, remaining: int, wait: int) -> Refused:
    need = f"This request needs about {needed}, and {remaining} are left."
    said = f"{_reached(limit, 'tokens per minute')} {need} Try again in {go_duration(wait)}."
    return Refused(said, wait)


def too_many_at_once(limit: int) -> Refused:
    return Refused(f"{_reached(limit, 'concurrent requests')} Try again when one of them has ended.", SECOND)


def too_large(limit: int, needed: int) -> Refused:
    said = (
        f"This request needs about {needed} tokens, and this API key may use {limit} tokens per minute: "
        "it can never fit. Send a shorter one, or have the limit raised."
    )
    return Refused(said, None)


def _reached(limit: int, what: str) -> str:
    return f"This API key has reached its limit of {limit} {what}."
