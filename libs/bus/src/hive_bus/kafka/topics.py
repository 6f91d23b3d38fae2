"""Every topic of this release, with its partitions, how long it keeps records, and whether it is compacted.

Names come from the messages' own topic options; the numbers follow from the delivery, and stand here once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from google.protobuf.message import Message

from hive_bus.topics import Route, route_of
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.events.v1.dead_letter_pb2 import DeadLetter
from modelhive.events.v1.guard_pb2 import GuardDecided
from modelhive.events.v1.ledger_pb2 import LedgerPosted, PriceListed
from modelhive.events.v1.usage_pb2 import RequestLogged, UsageRecorded
from modelhive.options.v1.options_pb2 import DELIVERY_REQUEST, DELIVERY_STATE
from modelhive.relay.v1.relay_pb2 import RequestEnvelope

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
PARTITIONS = 12
"""Of topics that are shared out: the most processes of one service that can work on them at once."""

KINDS: tuple[type[Message], ...] = (
    ControlChanged,
    DeadLetter,
    GuardDecided,
    LedgerPosted,
    PriceListed,
    RequestEnvelope,
    RequestLogged,
    UsageRecorded,
)
SERVICES = ("routing",)
"""Who owns queued endpoints: each has a topic of requests."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be; `configs` are the broker's own names."""

    name: str
    partitions: int
    configs: dict[str, str] = field(default_factory=dict)


def declared(partitions: int | None = None) -> list[Topic]:
    """The topics of this release by name. partitions: of those that are shared out, instead of the default."""
    names: dict[str, Route] = {}
    for kind in KINDS:
        route = route_of(kind)
        if kind is not DeadLetter:
            names |= dict.fromkeys(_names(route), route)
    topics = [topic_for(name, route, partitions) for name, route in names.items()]
    letters = route_of(DeadLetter)
    events = [
        name for name, route in names.items() if route.delivery not in (DELIVERY_REQUEST, DELIVERY_STATE)
    ]
    topics += [topic_for(letters.topic_with({"source_topic": name}), letters) for name in events]
    return sorted(topics, key=lambda topic: topic.name)


def topic_for(name: str, route: Route, partitions: int | None = None) -> Topic:
    """How the topic of this name should be."""
    if route.delivery == DELIVERY_STATE:
        # One partition: its order is the order of all changes.
        return Topic(
            name,
            1,
            {
                "cleanup.policy": "compact",
                "min.compaction.lag.ms": str(MINUTE_MS),
                "max.compaction.lag.ms": str(DAY_MS),
                "delete.retention.ms": str(7 * DAY_MS),
                "segment.ms": str(DAY_MS),
            },
        )
    if route.kind == DeadLetter.DESCRIPTOR.full_name:
        return Topic(name, 1, _kept_for(30 * DAY_MS, DAY_MS))
    if route.delivery == DELIVERY_REQUEST:
        # A segment is deleted whole, so it must not be older than what it holds is worth.
        return Topic(name, partitions or PARTITIONS, _kept_for(10 * MINUTE_MS, 5 * MINUTE_MS))
    return Topic(name, partitions or PARTITIONS, _kept_for(7 * DAY_MS, DAY_MS))


def _kept_for(milliseconds: int, segment: int) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(milliseconds),
        "segment.ms": str(segment),
    }


def _names(route: Route) -> Iterator[str]:
    """The topics of a kind: one for each service where its name asks for one."""
    values = {"service": SERVICES}
    for chosen in product(*(values[place] for place in route.places)):
        yield route.topic_with(dict(zip(route.places, chosen, strict=True)))
