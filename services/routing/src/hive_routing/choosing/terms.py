"""What operators say of how a model's deployments are chosen, and what one request wants of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from hive_routing.catalogue import Model

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class Route(Generic[T]):
    """What the dispatcher may know of one request.

    key: the conversation that it belongs to. region: the caller's wish. is_streamed: its first content is the answer.
    prompt_tokens: about; 0: not known. longer: models for prompts that are too long for the first one.
    hedge_seconds: as in `Wishes`. attempts: bounds them further; 0: as for all. before: that were made already, so
    that numbers go on behind them.
    afford: makes sure of the money for a second call of the model beside the one under way; raises HiveError where
    there is none. discard: ends an answer that nobody needs, and notes what it cost. Without both nothing is hedged.
    """

    key: bytes = b""
    region: Region | None = None
    is_streamed: bool = False
    prompt_tokens: int = 0
    longer: Sequence[Model] = ()
    hedge_seconds: float | None = None
    attempts: int = 0
    before: int = 0
    afford: Callable[[Model], Awaitable[None]] | None = None
    discard: Callable[[T], Awaitable[None]] | None = None


ANY: Route[Any] = Route()
"""Of a request that nothing is known of."""
