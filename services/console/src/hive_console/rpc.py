"""The rpc door: what console tells, for those who ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from hive_console.control import Told
from hive_console.feed import Feed
from hive_runtime.errors import HiveError, Kind
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.control.v1.state_pb2 import (
    SnapshotRequest,
    SnapshotResponse,
    StateRecord,
    WatchRequest,
    WatchResponse,
)
from modelhive.control.v1.state_pb2_grpc import StateServicer, add_StateServicer_to_server

KIND = ControlChanged.DESCRIPTOR.full_name


class StateDoor(StateServicer):
    attach = staticmethod(add_StateServicer_to_server)

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def Snapshot(self, request: SnapshotRequest, context: object) -> AsyncIterator[SnapshotResponse]:
        _require(request.kind)
        async with aclosing(self._feed.snapshot()) as portions:
            async for portion in portions:
                yield SnapshotResponse(records=_records(portion.told), through=portion.through)

    async def Watch(self, request: WatchRequest, context: object) -> AsyncIterator[WatchResponse]:
        _require(request.kind)
        async with aclosing(self._feed.watch()) as portions:
            async for portion in portions:
                yield WatchResponse(records=_records(portion.told), through=portion.through)


def _records(told: Sequence[Told]) -> list[StateRecord]:
    return [StateRecord(key=each.key, revision=each.revision, message=each.record) for each in told]


def _require(kind: str) -> None:
    if kind != KIND:
        raise HiveError(Kind.NOT_FOUND, f"Console does not own {kind!r}: it tells {KIND}.", "kind")
