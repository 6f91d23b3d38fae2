"""The transactional outbox: what a service tells is written with what it changed, and published afterwards.

    outbox = Outbox(outbox_table(metadata), [ControlChanged], clock)
    relay = OutboxRelay(outbox, engine, bus, clock, on_failure)    # relay.run() in a task of the host

    async with engine.begin() as connection:
        await connection.execute(...)
        await outbox.add(connection, message)
    relay.wake()

At least once: a crash between publishing and deleting publishes the row again. Rows go out by id, so the
order of two messages is the order of their transactions where these exclude each other, as those that
change the same row do. One relay per table at a time: on a server, where several processes may have one, each holds
a lock while it publishes, and looks before every row whether it still has it. Who is stopped for long has lost it;
what it was publishing in that very moment may come late, behind what another one published since.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    delete,
    insert,
    select,
    text,
)

from hive_bus.port import Bus, Retry
from hive_bus.topics import Route, route_of
from hive_runtime.clock import Clock
from hive_runtime.tasks import OnFailure
from modelhive.options.v1.options_pb2 import DELIVERY_STATE

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

# How many rows are read, published and deleted together.
_PORTION = 500

_PATIENCE = text("SET LOCAL lock_timeout = '10s'")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.' || :table, 0))")
_HELD = text("SELECT 1")


def outbox_table(metadata: MetaData, name: str = "outbox") -> Table:
    """The table, to stand in the metadata (and migrations) of the service that owns the data.

    id: grows with each row and is never used again. kind: full name of the message type.
    payload: the encoded message, NULL where the key is retired. created: Unix seconds.
    """
    return Table(
        name,
        metadata,
        Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
        Column("kind", String, nullable=False),
        Column("key", String, nullable=False),
        Column("payload", LargeBinary),
        Column("created", Float, nullable=False),
        sqlite_autoincrement=True,
    )


class Outbox:
    """Writes into the table, in the owner's transaction. `kinds` are all message types it may hold."""

    def __init__(self, table: Table, kinds: Iterable[type[Message]], clock: Clock) -> None:
        self.table = table
        self._kinds = {route_of(kind).kind: kind for kind in kinds}
        self._clock = clock

    async def add(self, connection: AsyncConnection, message: Message) -> None:
        """Publish this message if the connection's transaction commits. TypeError for another kind."""
        route = self._route_of(type(message))
        route.topic_of(message)  # a message that cannot travel must fail here, not in the relay
        await self._insert(connection, route, {route.key_of(message): message.SerializeToString()})

    async def tell(
        self, connection: AsyncConnection, kind: type[Message], records: Mapping[str, bytes | None]
    ) -> None:
        """Publish the newest of each key, encoded, in this order, if the transaction commits; None retires a key.

        For STATE topics without place holders (TypeError). One statement, however many there are.
        """
        if records:
            await self._insert(connection, self._plain_state(kind), records)

    async def retire(self, connection: AsyncConnection, kind: type[Message], key: str) -> None:
        """Retire this key if the transaction commits; for STATE topics without place holders (TypeError)."""
        await self._insert(connection, self._plain_state(kind), {key: None})

    def kind_of(self, name: str) -> type[Message]:
        """The message type with this full name. LookupError where the outbox does not know it."""
        if name not in self._kinds:
            raise LookupError(f"the outbox {self.table.name!r} holds a {name}, which is none of its kinds")
        return self._kinds[name]

    def _route_of(self, kind: type[Message]) -> Route:
        route = route_of(kind)
        if route.kind not in self._kinds:
            raise TypeError(f"{route.kind} is none of the kinds of the outbox {self.table.name!r}")
        return route

    def _plain_state(self, kind: type[Message]) -> Route:
        route = self._route_of(kind)
        route.require(DELIVERY_STATE)
        if route.places:
            raise TypeError(
                f"{route.kind} cannot be retired here: its topic {route.template!r} has place holders"
            )
        return route

    async def _insert(
        self, connection: AsyncConnection, route: Route, records: Mapping[str, bytes | None]
    ) -> None:
        kind, created = route.kind, self._clock.now()
        rows = [
            {"kind": kind, "key": key, "payload": payload, "created": created}
            for key, payload in records.items()
        ]
        await connection.execute(insert(self.table), rows)


class OutboxRelay:
    """Takes rows from the table to the bus, one after another.

    `failure` is what the last attempt ended with, None while all is well. A row of a kind that the outbox
    does not know blocks the ones behind it: order comes first, and a newer release can read it.
    """

    def __init__(
        self,
        outbox: Outbox,
        engine: AsyncEngine,
        bus: Bus,
        clock: Clock,
        on_failure: OnFailure,
        *,
        poll_seconds: float = 5.0,
        retry: Retry = Retry(),
    ) -> None:
        self.failure: Exception | None = None
        self._outbox = outbox
        self._engine = engine
        self._bus = bus
        self._clock = clock
        self._on_failure = on_failure
        self._poll_seconds = poll_seconds
        self._retry = retry
        self._woken = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    def wake(self) -> None:
        """Something was committed. Costs nothing, may be called from anywhere in the loop's thread."""
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled: when woken and at each poll, after a failure with growing pauses."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll(), name=f"{self._outbox.table.name} poll")
            group.create_task(self._publish_when_woken(), name=f"{self._outbox.table.name} relay")

    async def flush(self) -> None:
        """Publish all that is committed now. Raises what bus or database raised; the rest stays."""
        async with self._one_at_a_time:
            while await self._next_rows(1):
                async with self._alone() as check:
                    await self._publish(await self._next_rows(_PORTION), check)

    async def _poll(self) -> None:
        while True:
            self.wake()
            await self._clock.sleep(self._poll_seconds)

    async def _publish_when_woken(self) -> None:
        failures = 0
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.flush()
            except Exception as error:
                self._note_failure(error)
                await self._clock.sleep(self._retry.pause_after(failures))
                failures += 1
                self.wake()
            else:
                self.failure = None
                failures = 0

    def _note_failure(self, error: Exception) -> None:
        self.failure = error
        self._on_failure(f"{self._outbox.table.name} relay", error)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Callable[[], Awaitable[object]]]:
        """No relay of another process publishes meanwhile; what it gives raises where that is not so any more."""
        if self._engine.dialect.name != "postgresql":
            yield _nothing
            return
        # The lock is the transaction's: the server ends one that lies still, and all of a process that is gone.
        async with self._engine.begin() as connection:
            await connection.execute(_PATIENCE)
            await connection.execute(_LOCK, {"table": self._outbox.table.name})
            yield lambda: connection.execute(_HELD)

    async def _next_rows(self, limit: int) -> Sequence[Row[Any]]:
        table = self._outbox.table
        async with self._engine.connect() as connection:
            result = await connection.execute(select(table).order_by(table.c.id).limit(limit))
            return result.all()

    async def _publish(self, rows: Sequence[Row[Any]], check: Callable[[], Awaitable[object]]) -> None:
        published: list[int] = []
        try:
            for row in rows:
                await check()
                await self._publish_row(row)
                published.append(row.id)
        finally:
            await self._delete(published)

    async def _publish_row(self, row: Row[Any]) -> None:
        kind = self._outbox.kind_of(row.kind)
        if row.payload is None:
            await self._bus.retire(kind, row.key)
        else:
            await self._bus.publish(kind.FromString(row.payload))

    async def _delete(self, ids: list[int]) -> None:
        # By id and not up to an id: a transaction with a lower one may have committed meanwhile.
        if ids:
            table = self._outbox.table
            async with self._engine.begin() as connection:
                await connection.execute(delete(table).where(table.c.id.in_(ids)))


async def _nothing() -> None:
    """Nobody else can be there."""
