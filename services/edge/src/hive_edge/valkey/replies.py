"""What the scripts say of a key's buckets, in the words of the limiter's port."""

from __future__ import annotations

from typing import Any, NamedTuple

from hive_edge.limits import (
    Limits,
    Rate,
    Refused,
    Standing,
    too_large,
    too_many_at_once,
    too_many_requests,
    too_many_tokens,
)
from hive_edge.valkey.scripts import MOST

MICROSECOND = 1000
"""In nanoseconds."""
MINUTE = 60_000_000


class Bucket(NamedTuple):
    """What is in use of a limit at a moment: units and sixty-millionths of one. at: microseconds.

    limit: as the server counts it, at most `MOST`; said: as the key has it.
    """

    said: int
    limit: int
    at: int
    units: int
    parts: int
    born: int

    def wait(self, units: int) -> int:
        """Nanoseconds until so many (at most the limit) fit; 0 where they fit now."""
        over = (self.units + units - self.limit) * MINUTE + self.parts
        return _ceil(max(0, over), self.limit) * MICROSECOND

    @property
    def remaining(self) -> int:
        return max(0, self.said - self.units - (self.parts > 0))

    @property
    def rate(self) -> Rate:
        reset = _ceil(self.units * MINUTE + self.parts, self.limit) * MICROSECOND
        return Rate(self.said, self.remaining, reset)

    @property
    def claim(self) -> list[str]:
        """What was taken just now, as the scripts want to have it back."""
        return [str(part) for part in (self.at, self.units, self.parts, self.limit, self.born)]


class Reply(NamedTuple):
    """enters: the request was let in, and the buckets are those after it."""

    enters: bool
    requests: Bucket | None
    tokens: Bucket | None

    @classmethod
    def of(cls, reply: Any, limits: Limits) -> Reply:
        enters, now, requests, tokens = reply
        return cls(bool(enters), _bucket(limits.requests, now, requests), _bucket(limits.tokens, now, tokens))

    @property
    def standing(self) -> Standing:
        requests, tokens = self.requests, self.tokens
        return Standing(requests and requests.rate, tokens and tokens.rate)

    def refusal(self, limits: Limits, requests: int, tokens: int) -> Refused:
        """Why so many were not let in, by the first limit that they met."""
        refused = self._refusal(limits, requests, tokens)
        refused.standing = self.standing
        return refused

    def _refusal(self, limits: Limits, requests: int, tokens: int) -> Refused:
        if self.requests is not None and requests and (wait := self.requests.wait(requests)):
            return too_many_requests(self.requests.said, wait)
        if (bucket := self.tokens) is not None and tokens:
            if tokens > bucket.limit:
                return too_large(bucket.said, tokens)
            if wait := bucket.wait(tokens):
                return too_many_tokens(bucket.said, tokens, bucket.remaining, wait)
        return too_many_at_once(limits.concurrency or 0)


def counted(limit: int | None) -> str:
    """A limit as the scripts take it: 0 where there is none."""
    return str(min(limit or 0, MOST))


def _bucket(limit: int | None, now: int, told: list[int]) -> Bucket | None:
    if limit is None:
        return None
    units, parts, born = told
    return Bucket(limit, min(limit, MOST), now, units, parts, born)


def _ceil(amount: int, by: int) -> int:
    return -(-amount // by)
