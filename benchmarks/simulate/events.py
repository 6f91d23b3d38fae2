"""The same queues event by event: jobs come, wait for a free server, are served in their order."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator

from benchmarks.simulate.formulas import Station

WARM_UP = 0.1
"""Share of the jobs that come before the queue is as it stays; they are not told."""


def waits(station: Station, jobs: int, seed: int) -> list[float]:
    """The waits of `jobs` at a station in the order in which they come: Poisson arrivals, log-normal services.

    Services of variation 0 take all the same time, those of variation 1 are exponential.
    """
    chance = random.Random(seed)
    free = [0.0] * station.servers  # moments at which the servers are free, the earliest first
    found: list[float] = []
    now = 0.0
    services = _services(station, chance)
    for _ in range(jobs):
        now += chance.expovariate(station.rate)
        began = max(now, free[0])
        heapq.heapreplace(free, began + next(services))
        found.append(began - now)
    return found[int(jobs * WARM_UP) :]


def _services(station: Station, chance: random.Random) -> Iterator[float]:
    if station.variation == 0:
        while True:
            yield station.seconds
    elif station.variation == 1:
        while True:
            yield chance.expovariate(1 / station.seconds)
    else:
        spread = math.log(1 + station.variation)
        middle, width = math.log(station.seconds) - spread / 2, math.sqrt(spread)
        while True:
            yield chance.lognormvariate(middle, width)
