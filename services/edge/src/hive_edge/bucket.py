"""GCRA, the rate limiter that needs one number: when nothing will be in use any more."""

from __future__ import annotations

from typing import NamedTuple

from hive_edge.durations import MINUTE


class Bucket:
    """`limit` units per minute, all of which may come at once. O(1), and exact: whole numbers only.

    In any span of time no more fits than `limit` and what flows back meanwhile. Moments (`now`) are
    nanoseconds of a monotonic clock.
    """

    __slots__ = ("_free_at", "limit")

    def __init__(self, limit: int, now: int) -> None:
        self.limit = limit
        # Nanoseconds times `limit`: on this scale a unit is worth exactly one minute, whatever the limit.
        self._free_at = now * limit

    def wait(self, units: int, now: int) -> int:
        """How long until so many units (at most `limit`) fit; 0 where they fit now."""
        return _ceil(max(0, self._in_use(now) + (units - self.limit) * MINUTE), self.limit)

    def take(self, units: int, now: int) -> Claim:
        """Count units, whether they fit or not."""
        self._free_at = max(self._free_at, now * self.limit) + units * MINUTE
        return Claim(self, units, self._free_at, self.limit)

    def give_back(self, claim: Claim, units: int, now: int) -> None:
        """Forget units of a claim that were not used.

        What has flowed back by itself stays: giving it twice would let others in beyond the limit.
        """
        if claim.limit == self.limit:
            left = claim.free_at - now * self.limit
        else:
            left = (claim.free_at // claim.limit - now) * self.limit
        self._free_at -= max(0, min(units * MINUTE, left))

    def remaining(self, now: int) -> int:
        return max(0, self.limit - _ceil(self._in_use(now), MINUTE))

    def reset(self, now: int) -> int:
        """How long until all of it is free."""
        return _ceil(self._in_use(now), self.limit)

    def change(self, limit: int, now: int) -> None:
        """Go on with another limit: what is in use stays in use.

        A lower limit makes nobody wait longer than a minute, or than before.
        """
        in_use, longest = self._in_use(now), max(MINUTE, self.reset(now))
        self.limit = limit
        self._free_at = now * limit + min(in_use, longest * limit)

    def _in_use(self, now: int) -> int:
        """In units times `MINUTE`."""
        return max(0, self._free_at - now * self.limit)


class Claim(NamedTuple):
    """Units that were taken in advance. free_at: when they will have flowed back, in nanoseconds times `limit`."""

    bucket: Bucket
    units: int
    free_at: int
    limit: int

    def settle(self, used: int, now: int) -> None:
        """Count what was used instead."""
        if used > self.units:
            self.bucket.take(used - self.units, now)
        elif used < self.units:
            self.bucket.give_back(self, self.units - used, now)


def _ceil(amount: int, by: int) -> int:
    return -(-amount // by)
