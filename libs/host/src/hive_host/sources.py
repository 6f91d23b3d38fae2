"""Who owns which STATE, and how its owner is heard beside the bus."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from hive_bus.port import M
from hive_bus.snapshots import Portion, Record, Source
from hive_rpc import Channel, Network
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.control.v1.state_pb2 import StateRecord, WatchRequest
from modelhive.control.v1.state_pb2_grpc import StateStub
from modelhive.events.v1.ledger_pb2 import PriceListed

OWNERS: Mapping[type[Message], str] = {ControlChanged: "console", PriceListed: "billing"}
"""The service that tells each kind."""


def sources(network: Network, but: str) -> Mapping[type[Message], Source[Any]]:
    """How a process hears of all STATE but what its own service tells."""
    return {kind: rpc_source(network.channel(owner), kind) for kind, owner in OWNERS.items() if owner != but}


def rpc_source(channel: Channel, kind: type[M]) -> Source[M]:
    """The owner behind the channel, by `State.Watch`."""

    async def watch() -> AsyncGenerator[Portion[M], None]:
        call = StateStub(channel).Watch(WatchRequest(kind=kind.DESCRIPTOR.full_name))
        try:
            async for answer in call:
                through = answer.through if answer.HasField("through") else None
                yield Portion(_records(answer.records, kind), through)
        finally:
            call.cancel()

    if kind is PriceListed:
        # A subject that comes back at its old price has its old version.
        return Source(lambda message: message.version, watch, reused=True)  # type: ignore[attr-defined]
    return Source(lambda message: message.revision, watch)  # type: ignore[attr-defined]


def _records(told: Sequence[StateRecord], kind: type[M]) -> list[Record[M]]:
    return [
        Record(each.key, each.revision, kind.FromString(each.message) if each.HasField("message") else None)
        for each in told
    ]
