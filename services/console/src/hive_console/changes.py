"""One change of the control state: a transaction, a new revision, and what the other services hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from hive_bus.outbox import Outbox, OutboxRelay
from hive_console.control import Model, Provider, in_service
from hive_console.records import Entity, record_of
from hive_console.store import Store
from hive_runtime.clock import Clock
from hive_sql import Database
from modelhive.control.v1.control_pb2 import ControlChanged

TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """A change under way. now: Unix seconds. told: what it announces and retires, by key, in order; kept with it."""

    store: Store
    revision: int
    now: int
    told: dict[str, bytes | None] = field(default_factory=dict)

    async def announce(self, entity: Entity) -> None:
        record = record_of(entity, self.revision)
        self._note(record.key, record.SerializeToString())

    async def retire(self, key: str) -> None:
        self._note(key, None)

    def _note(self, key: str, record: bytes | None) -> None:
        self.told.pop(key, None)  # what is told again comes behind what was told since
        self.told[key] = record


class Changes:
    """Begins changes. They exclude each other, and each is on its way to the others once it is committed.

    on_commit: hears of each of them.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        relay: OutboxRelay,
        clock: Clock,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._relay = relay
        self._clock = clock
        self._on_commit = on_commit

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Store]:
        async with self._database.read() as connection:
            yield Store(connection)

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Change]:
        """The caller announces what it changes."""
        async with self._database.transaction() as connection:
            store = Store(connection)
            change = Change(store, await store.next_revision(), int(self._clock.now()))
            yield change
            await self._outbox.tell(connection, ControlChanged, change.told)
            await store.tell(change.told, change.revision)
        self._on_commit()
        await self._tell()

    @asynccontextmanager
    async def catalogue_change(self) -> AsyncIterator[Change]:
        """A change of providers and models; announces by itself whatever is different at its end.

        One provider's switch can put many models into service or out of it.
        """
        async with self.change() as change:
            before = await served(change.store)
            yield change
            after = await served(change.store)
            for key, entity in after.items():
                if before.get(key) != entity:
                    await change.announce(entity)
            for key in before.keys() - after.keys():
                await change.retire(key)

    async def _tell(self) -> None:
        """Where the bus takes the news at once, they are out before the caller is answered."""
        self._relay.wake()
        # A bus that is slow or away is the relay's own affair: it goes on, and reports.
        with suppress(Exception):
            async with asyncio.timeout(TELL_SECONDS):
                await self._relay.flush()


async def served(store: Store) -> dict[str, Provider | Model]:
    """The providers and models that callers can use, by control key."""
    return in_service((await store.providers()).items, (await store.models()).items)
