"""A bus whose STATE outlasts it: what was heard is kept on disk, and its owner is heard beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from hive_bus.memory.state import StateTopic
from hive_bus.port import Batch, Bus, Handler, M, Options, StateChange, Subscription
from hive_bus.snapshots.snapshot import Patience, Snapshot
from hive_bus.snapshots.source import Source
from hive_bus.snapshots.subscription import SnapshotSubscription
from hive_bus.topics import route_of
from hive_runtime.clock import Clock
from hive_runtime.tasks import OnFailure
from modelhive.options.v1.options_pb2 import DELIVERY_STATE


class SnapshotBus:
    """All but the hearing of STATE is `inner`'s own.

    A subscription is caught up when the owner told its whole state, or else the bus; where neither does within
    `patience.start` seconds, with what the last process found on disk: `notes` says so, and it is mended later.
    Subscriptions of one topic share what is heard, so a second one begins with what the first one knows.

    folder: one file per topic, of this process alone.
    sources: who owns which kind, and how its messages are ordered. A kind without one is in the bus's order.
    on_failure: hears besides what MemoryBus tells of files that cannot be read or written, and of an owner or a
        bus that ends a stream; of their being away once.
    """

    def __init__(
        self,
        inner: Bus,
        folder: Path,
        sources: Mapping[type[Message], Source[Any]],
        clock: Clock,
        on_failure: OnFailure,
        patience: Patience = Patience(),
    ) -> None:
        self._inner = inner
        self.publish = inner.publish
        self.publish_all = inner.publish_all
        self._folder = folder
        self._sources = sources
        self._clock = clock
        self._on_failure = on_failure
        self._patience = patience
        self._snapshots: dict[str, Snapshot[Any]] = {}
        self._members: dict[SnapshotSubscription, str] = {}
        self._opening = asyncio.Lock()
        self._progress = asyncio.Event()
        self._closed = False

    @property
    def inner(self) -> Bus:
        return self._inner

    @property
    def notes(self) -> dict[str, str]:
        """By topic, what an operator should know: no fault of this process."""
        ages = {name: snapshot.stale_since for name, snapshot in self._snapshots.items()}
        return {name: f"stale snapshot of {_words(age)}" for name, age in ages.items() if age is not None}

    def beside(self, kind: type[Message], fields: Mapping[str, str]) -> Callable[[object], bool]:
        return self._inner.beside(kind, fields)

    async def retire(self, kind: type[Message], key: str, fields: Mapping[str, str] | None = None) -> None:
        await self._inner.retire(kind, key, fields)

    async def subscribe_requests(
        self, kind: type[M], group: str, handler: Handler[M], options: Options = Options()
    ) -> Subscription:
        return await self._inner.subscribe_requests(kind, group, handler, options)

    async def subscribe_events(
        self, kind: type[M], group: str, handler: Callable[[M], Awaitable[None]], options: Options = Options()
    ) -> Subscription:
        return await self._inner.subscribe_events(kind, group, handler, options)

    async def subscribe_batches(
        self,
        kind: type[M],
        group: str,
        handler: Callable[[Sequence[M]], Awaitable[None]],
        batch: Batch,
        options: Options = Options(),
    ) -> Subscription:
        return await self._inner.subscribe_batches(kind, group, handler, batch, options)

    async def subscribe_state(
        self,
        kind: type[M],
        handler: Callable[[StateChange[M]], Awaitable[None]],
        options: Options = Options(),
    ) -> Subscription:
        """Returns when the replay begins, at the latest after `patience.start` seconds."""
        route = route_of(kind)
        route.require(DELIVERY_STATE)
        topic = route.topic_with(options.fields)
        async with self._opening:
            if self._closed:
                raise RuntimeError("the bus is closed")
            snapshot = self._snapshots.get(topic) or await self._open(topic, kind, options)
            member = SnapshotSubscription(
                snapshot, handler, options, self._clock, self._on_failure, self._release
            )
            self._members[member] = topic
        await member.joined(self._patience.start)
        return member

    async def drain(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while await self._inner.drain(seconds):
                    if not self._outstanding():
                        return True
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            pass
        return False

    async def close(self) -> None:
        while self._members:
            await asyncio.gather(*(member.close() for member in list(self._members)))
        self._closed = True
        await self._inner.close()

    def _outstanding(self) -> int:
        return sum(snapshot.topic.outstanding for snapshot in self._snapshots.values())

    async def _open(self, topic: str, kind: type[M], options: Options) -> Snapshot[M]:
        snapshot = Snapshot[M](
            StateTopic(topic, self._progress.set),
            kind,
            Options(fields=options.fields),
            self._inner,
            self._sources.get(kind),
            self._folder / f"{topic}.state",
            self._clock,
            self._on_failure,
            self._patience,
        )
        await snapshot.start()
        self._snapshots[topic] = snapshot
        return snapshot

    async def _release(self, member: SnapshotSubscription) -> None:
        """The last subscription of a topic ends what it was told from."""
        async with self._opening:
            topic = self._members.pop(member)
            if topic not in self._members.values():
                await self._snapshots.pop(topic).close()


def _words(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
