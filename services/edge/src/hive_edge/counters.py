"""The limiter of one process: its keys' counters, in memory."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from hive_edge.bucket import Bucket, Claim
from hive_edge.durations import SECOND
from hive_edge.limits import (
    UNLIMITED,
    Limits,
    Rate,
    Refused,
    Standing,
    tokens_of,
    too_large,
    too_many_at_once,
    too_many_requests,
    too_many_tokens,
)
from hive_runtime.clock import Clock


class MemoryLimiter:
    """A `Limiter` that never waits. It holds counters of keys that were used and not dropped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counters: dict[str, Counters] = {}

    async def enter(self, key_id: str, limits: Limits, body_bytes: int | None) -> Admitted:
        counters = self._counters.get(key_id)
        if counters is None:
            counters = self._counters[key_id] = Counters(self._clock)
        if counters.limits is not limits:
            counters.change(limits)
        if counters.limits_nothing:
            return Admitted(counters)
        return counters.admit(0 if body_bytes is None else tokens_of(body_bytes))

    def drop(self, key_id: str) -> None:
        self._counters.pop(key_id, None)

    def __len__(self) -> int:
        return len(self._counters)


class Counters:
    """What one key does now, and did within the last minute."""

    __slots__ = ("_clock", "limits", "limits_nothing", "requests", "running", "tokens")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.limits = Limits()
        self.limits_nothing = True
        self.running = 0
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None

    def now(self) -> int:
        return int(self._clock.monotonic() * SECOND)

    def change(self, limits: Limits) -> None:
        now = self.now()
        self.limits = limits
        self.limits_nothing = limits == Limits()
        self.requests = _changed(self.requests, limits.requests, now)
        self.tokens = _changed(self.tokens, limits.tokens, now)

    def admit(self, tokens: int) -> Admitted:
        """Count a request that is within all limits, and nothing of any other; raises Refused."""
        now = self.now()
        refused = self._refuse_request(tokens, now)
        if refused is not None:
            refused.standing = self.standing(now)
            raise refused
        return Admitted.by_buckets(self, tokens, now)

    def refuse_tokens(self, tokens: int, now: int) -> Refused | None:
        """Why so many tokens may not come now; none at all may always."""
        bucket = self.tokens
        if bucket is None or not tokens:
            return None
        if tokens > bucket.limit:
            return too_large(bucket.limit, tokens)
        if wait := bucket.wait(tokens, now):
            return too_many_tokens(bucket.limit, tokens, bucket.remaining(now), wait)
        return None

    def standing(self, now: int) -> Standing:
        if self.requests is None and self.tokens is None:
            return UNLIMITED
        return Standing(_rate(self.requests, now), _rate(self.tokens, now))

    def _refuse_request(self, tokens: int, now: int) -> Refused | None:
        requests, most = self.requests, self.limits.concurrency
        if requests is not None and (wait := requests.wait(1, now)):
            return too_many_requests(requests.limit, wait)
        if refused := self.refuse_tokens(tokens, now):
            return refused
        if most is not None and self.running >= most:
            return too_many_at_once(most)
        return None


class Admitted:
    """An `Entry` of `Counters`, with what it has taken of them. It counts as running at once, whatever is limited."""

    used = 0
    standing = UNLIMITED
    _has_left = False
    _request: Claim | None = None
    _prompt: Claim | None = None

    def __init__(self, counters: Counters) -> None:
        counters.running += 1
        self._counters = counters

    @classmethod
    def by_buckets(cls, counters: Counters, tokens: int, now: int) -> Admitted:
        """One that has taken its share of what is limited."""
        entry = cls(counters)
        if counters.requests is not None:
            entry._request = counters.requests.take(1, now)
        if counters.tokens is not None:
            entry._prompt = counters.tokens.take(tokens, now)
        entry.standing = counters.standing(now)
        return entry

    @property
    def reserved(self) -> int:
        return 0 if self._prompt is None else self._prompt.units

    async def weigh(self, body_bytes: int) -> None:
        counters, now, tokens = self._counters, self._counters.now(), tokens_of(body_bytes)
        refused = counters.refuse_tokens(tokens, now)
        if refused is not None:
            if self._request is not None:
                self._request.settle(0, now)
            refused.standing = counters.standing(now)
            raise refused
        if counters.tokens is not None:
            self._prompt = counters.tokens.take(tokens, now)
            self.standing = counters.standing(now)

    def leave(self) -> None:
        if self._has_left:
            return
        self._has_left = True
        self._counters.running -= 1
        if self._prompt is not None:
            self._prompt.settle(self.used, self._counters.now())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


def _changed(bucket: Bucket | None, limit: int | None, now: int) -> Bucket | None:
    if limit is None:
        return None
    if bucket is None:
        return Bucket(limit, now)
    bucket.change(limit, now)
    return bucket


def _rate(bucket: Bucket | None, now: int) -> Rate | None:
    return None if bucket is None else Rate(bucket.limit, bucket.remaining(now), bucket.reset(now))
