"""The outbox on SQLite: what commits is told in order and at least once, what rolls back never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from sqlalchemy import MetaData, event, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hive_bus import Options, Retry, StateChange
from hive_bus.conformance.suite import Listener, eventually
from hive_bus.memory import MemoryBus
from hive_bus.outbox import Outbox, OutboxRelay, outbox_table
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.probe.v1.probe_pb2 import ProbeEvent, ProbeRequest, ProbeState

METADATA = MetaData()
TABLE = outbox_table(METADATA)
LANE = Options(fields={"lane": "lane"})
# Longer than any test: what comes, comes by being woken.
NEVER = 600.0
QUICK = Retry(first_pause=0.005, longest_pause=0.01)


class ShakyBus(MemoryBus):
    """Refuses what it is told to, each as often as it stands in `refused`; remembers what it took."""

    def __init__(self) -> None:
        super().__init__(SystemClock(), lambda name, error: None)
        self.refused: list[Message] = []
        self.taken: list[Message] = []

    async def publish(self, message: Message) -> None:
        if message in self.refused:
            self.refused.remove(message)
            raise HiveError(Kind.UNAVAILABLE, "the bus is away")
        await super().publish(message)
        self.taken.append(message)


class Rig:
    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.bus = ShakyBus()
        self.reports: list[BaseException] = []
        self.outbox = Outbox(TABLE, [ControlChanged, ProbeEvent, ProbeState], SystemClock())

    def relay(self, poll_seconds: float = NEVER) -> OutboxRelay:
        return OutboxRelay(
            self.outbox,
            self.engine,
            self.bus,
            SystemClock(),
            lambda name, error: self.reports.append(error),
            poll_seconds=poll_seconds,
            retry=QUICK,
        )

    async def add(self, *messages: Message) -> None:
        async with self.engine.begin() as connection:
            for message in messages:
                await self.outbox.add(connection, message)

    async def until_taken(self, count: int) -> None:
        await eventually(lambda: len(self.bus.taken) == count, f"{count} published")

    async def rows(self) -> int:
        async with self.engine.connect() as connection:
            return (await connection.execute(select(func.count()).select_from(TABLE))).scalar_one()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/owner.db")
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    rig = Rig(engine)
    yield rig
    await rig.bus.close()
    await engine.dispose()


@asynccontextmanager
async def running(relay: OutboxRelay) -> AsyncIterator[None]:
    broken: list[BaseException] = []
    tasks = Tasks(lambda name, error: broken.append(error))
    tasks.spawn(relay.run(), "relay")
    yield
    await tasks.close()
    assert broken == []


@contextmanager
def deletes_fail(engine: AsyncEngine) -> Iterator[None]:
    """What the relay published stays in the table, as after a crash."""

    def die(connection: Any, cursor: Any, statement: str, *rest: object) -> None:
        if statement.startswith("DELETE"):
            raise RuntimeError("the process died")

    event.listen(engine.sync_engine, "before_cursor_execute", die)
    yield
    event.remove(engine.sync_engine, "before_cursor_execute", die)


def told(number: int) -> ProbeEvent:
    return ProbeEvent(lane="lane", key=f"key-{number % 3}", sequence=number)


async def test_what_commits_is_published_in_order_and_deleted(rig: Rig) -> None:
    await rig.add(*map(told, range(150)))
    await rig.add(told(150))
    await rig.relay().flush()
    assert rig.bus.taken == [told(number) for number in range(151)]
    assert await rig.rows() == 0


async def test_what_rolls_back_is_never_published(rig: Rig) -> None:
    with pytest.raises(RuntimeError, match="the owner's change failed"):
        async with rig.engine.begin() as connection:
            await rig.outbox.add(connection, told(1))
            raise RuntimeError("the owner's change failed")
    await rig.add(told(2))
    await rig.relay().flush()
    assert rig.bus.taken == [told(2)]


async def test_nothing_is_published_before_the_commit(rig: Rig) -> None:
    relay = rig.relay()
    async with rig.engine.begin() as connection:
        await rig.outbox.add(connection, told(1))
        await relay.flush()
        assert rig.bus.taken == []
    await relay.flush()
    assert rig.bus.taken == [told(1)]


async def test_many_keys_are_told_in_one_statement_and_in_their_order(rig: Rig) -> None:
    listener = Listener[StateChange[ControlChanged]]()
    await rig.bus.subscribe_state(ControlChanged, listener)
    changes = {f"key/{number}": ControlChanged(key=f"key/{number}", revision=1) for number in range(1200)}
    records = {key: change.SerializeToString() for key, change in changes.items()}
    statements: list[str] = []
    event.listen(
        rig.engine.sync_engine, "before_cursor_execute", lambda *of: statements.append(of[2].split()[0])
    )
    async with rig.engine.begin() as connection:
        await rig.outbox.tell(connection, ControlChanged, {**records, "key/7": None})
        with pytest.raises(TypeError):
            await rig.outbox.tell(connection, ProbeEvent, {"a": b""})
    assert statements == ["INSERT"]
    await rig.relay().flush()
    await listener.until_done(1200)
    told = {**changes, "key/7": None}
    assert listener.got == [StateChange(key, change) for key, change in told.items()]


async def test_a_retired_key_is_retired_on_the_bus(rig: Rig) -> None:
    listener = Listener[StateChange[ControlChanged]]()
    await rig.bus.subscribe_state(ControlChanged, listener)
    change = ControlChanged(key="model/m", revision=1)
    relay = rig.relay()
    await rig.add(change)
    await relay.flush()
    await listener.until_done(1)
    async with rig.engine.begin() as connection:
        await rig.outbox.retire(connection, ControlChanged, "model/m")
    await relay.flush()
    await listener.until_done(2)
    assert listener.got == [StateChange("model/m", change), StateChange("model/m", None)]


async def test_a_crash_between_publishing_and_deleting_publishes_again(rig: Rig) -> None:
    await rig.add(told(1), told(2))
    with deletes_fail(rig.engine), pytest.raises(RuntimeError, match="the process died"):
        await rig.relay().flush()
    assert rig.bus.taken == [told(1), told(2)]
    await rig.add(told(3))
    await rig.relay().flush()
    assert rig.bus.taken == [told(1), told(2), told(1), told(2), told(3)]
    assert await rig.rows() == 0


async def test_a_failing_bus_leaves_the_rest_in_order(rig: Rig) -> None:
    await rig.add(told(1), told(2), told(3))
    rig.bus.refused = [told(2)]
    relay = rig.relay()
    with pytest.raises(HiveError, match="the bus is away"):
        await relay.flush()
    assert rig.bus.taken == [told(1)]
    assert await rig.rows() == 2
    await relay.flush()
    assert rig.bus.taken == [told(1), told(2), told(3)]
    assert await rig.rows() == 0


async def test_waking_publishes_at_once(rig: Rig) -> None:
    relay = rig.relay()
    async with running(relay):
        for number in range(3):
            await rig.add(told(number))
            relay.wake()
            await rig.until_taken(number + 1)
    assert rig.bus.taken == [told(0), told(1), told(2)]


async def test_what_is_there_at_the_start_needs_no_waking(rig: Rig) -> None:
    await rig.add(told(1))
    async with running(rig.relay()):
        await eventually(lambda: rig.bus.taken == [told(1)], "published")


async def test_a_missed_waking_is_made_good_by_the_poll(rig: Rig) -> None:
    async with running(rig.relay(poll_seconds=0.01)):
        await rig.add(told(1))
        await eventually(lambda: rig.bus.taken == [told(1)], "published")
        await rig.add(told(2))
        await eventually(lambda: rig.bus.taken == [told(1), told(2)], "published")


async def test_the_relay_outlasts_a_failing_bus(rig: Rig) -> None:
    rig.bus.refused = [told(1), told(2), told(2), told(2)]
    relay = rig.relay()
    async with running(relay):
        await rig.add(told(1), told(2))
        relay.wake()
        await eventually(lambda: relay.failure is not None, "the failure noticed")
        await eventually(lambda: relay.failure is None, "the failure over")
    assert rig.bus.taken == [told(1), told(2)]
    assert [str(report) for report in rig.reports] == ["the bus is away"] * 4


async def test_a_flush_beside_the_running_relay_publishes_nothing_twice(rig: Rig) -> None:
    relay = rig.relay()
    async with running(relay):
        await rig.add(*map(told, range(20)))
        relay.wake()
        await asyncio.gather(relay.flush(), relay.flush())
    assert rig.bus.taken == [told(number) for number in range(20)]


async def test_subscribers_hear_what_the_outbox_told(rig: Rig) -> None:
    listener = Listener[ProbeEvent]()
    await rig.bus.subscribe_events(ProbeEvent, "group", listener, LANE)
    await rig.add(told(1))
    await rig.relay().flush()
    await listener.until_done(1)
    assert listener.got == [told(1)]


async def test_a_message_that_could_not_travel_is_refused_in_the_transaction(rig: Rig) -> None:
    async with rig.engine.begin() as connection:
        with pytest.raises(TypeError, match=r"ProbeRequest is none of the kinds of the outbox 'outbox'"):
            await rig.outbox.add(connection, ProbeRequest(id="1", lane="lane"))
        with pytest.raises(ValueError, match=r"ProbeEvent\.lane is ''"):
            await rig.outbox.add(connection, ProbeEvent(key="key"))
        with pytest.raises(TypeError, match=r"ProbeEvent travels as EVENT, not as STATE"):
            await rig.outbox.retire(connection, ProbeEvent, "key")
        with pytest.raises(TypeError, match=r"ProbeState cannot be retired here"):
            await rig.outbox.retire(connection, ProbeState, "key")
    assert await rig.rows() == 0


async def test_a_row_of_an_unknown_kind_blocks_and_says_so(rig: Rig) -> None:
    async with rig.engine.begin() as connection:
        newer = {"kind": "modelhive.future.v1.Thing", "key": "key", "payload": b"", "created": 0.0}
        await connection.execute(insert(TABLE).values(newer))
    await rig.add(told(1))
    with pytest.raises(LookupError, match=r"holds a modelhive\.future\.v1\.Thing"):
        await rig.relay().flush()
    assert rig.bus.taken == []
    assert await rig.rows() == 2
