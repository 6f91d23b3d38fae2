"""What operators say of how a model's deployments are chosen, and what callers wish of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class RoutingPolicy(IntEnum):
    """How one of several deployments is chosen; numbers as in the contract (`modelhive.control.v1.RoutingPolicy`)."""

    WEIGHTED = 1
    LEAST_BUSY = 2
    LOWEST_LATENCY = 3
    CHEAPEST = 4
    STICKY = 5


@dataclass(frozen=True, slots=True)
class Region:
    """A wish: deployments there first, or, where it is required, no others.

    `eu` is also wherever the name goes on behind a dash (`eu-west-1`).
    """

    name: str
    required: bool = False

    def holds(self, region: str) -> bool:
        """Whether a deployment in this region is in this one."""
        return region == self.name or region.startswith(f"{self.name}-")


@dataclass(frozen=True, slots=True)
class Mirror:
    """The model that gets a copy of so many of a hundred requests."""

    to: str
    percent: float


@dataclass(frozen=True, slots=True)
class Routing:
    """Of one model. hedge_seconds: without content for so long, a second deployment is asked too; None: it is not.

    may_hedge: callers may ask for that.
    """

    policy: RoutingPolicy = RoutingPolicy.WEIGHTED
    region: Region | None = None
    hedge_seconds: float | None = None
    may_hedge: bool = True
    mirror: Mirror | None = None


PLAIN = Routing()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the headers of a request want. hedge_seconds: 0 is not at all; None: nothing was said."""

    region: Region | None = None
    hedge_seconds: float | None = None


NO_WISHES = Wishes()
