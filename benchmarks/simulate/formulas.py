"""Waiting times of queues in closed form. Times in seconds, rates per second.

M/G/1 is exact (Pollaczek and Khinchine), M/M/k too (Erlang C); M/G/k is M/M/k corrected by the variability of its
services (Lee and Longton), which is exact for one server and for exponential services.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """Jobs that come to one station. variation: squared coefficient of variation of a job's time (1: exponential)."""

    rate: float
    seconds: float
    variation: float = 1.0


@dataclass(frozen=True, slots=True)
class Station:
    """One queue with `servers` that serve it together: a process of ours has one, a database its processors."""

    servers: int
    rate: float
    seconds: float
    variation: float

    @classmethod
    def of(cls, servers: int, work: Iterable[Work]) -> Station:
        """Different jobs in one queue: their mixture."""
        jobs = [each for each in work if each.rate > 0]
        rate = sum(each.rate for each in jobs)
        if not rate:
            return cls(servers, 0.0, 0.0, 1.0)
        mean = sum(each.rate * each.seconds for each in jobs) / rate
        square = sum(each.rate * each.seconds**2 * (1 + each.variation) for each in jobs) / rate
        return cls(servers, rate, mean, square / mean**2 - 1)

    @property
    def use(self) -> float:
        """Share of the servers' time that is taken; from 1 on the queue grows without end."""
        return self.rate * self.seconds / self.servers

    @property
    def waits(self) -> float:
        """Probability that a job has to wait."""
        return erlang_c(self.servers, self.rate * self.seconds)

    @property
    def mean_wait(self) -> float:
        if self.use >= 1:
            return math.inf
        if not self.rate:
            return 0.0
        free = self.servers * (1 - self.use)
        return self.waits * self.seconds / free * (1 + self.variation) / 2

    def wait_quantile(self, share: float) -> float:
        """The wait that `share` of the jobs do not exceed; its tail is taken for exponential, as M/M/k's is."""
        if self.use >= 1:
            return math.inf
        if not self.rate or self.waits <= 1 - share:
            return 0.0
        return self.mean_wait / self.waits * math.log(self.waits / (1 - share))


def erlang_c(servers: int, load: float) -> float:
    """Probability that all servers are busy. load: servers that are busy on average."""
    if load >= servers:
        return 1.0
    blocked = 1.0
    for each in range(1, servers + 1):
        blocked = load * blocked / (each + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))
