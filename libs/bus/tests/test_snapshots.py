"""STATE that outlasts its bus: over fakes of a broker and an owner that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from google.protobuf.message import Message

from hive_bus import Bus, Options, Retry, StateChange, Subscription
from hive_bus.conformance import (
    BatchConformance,
    BusConformance,
    EventConformance,
    OpenBus,
    RequestConformance,
    StateConformance,
)
from hive_bus.conformance.suite import PATIENCE, eventually
from hive_bus.memory import MemoryBus
from hive_bus.port import M
from hive_bus.snapshots import Portion, Record, SnapshotBus, Source
from hive_bus.snapshots.snapshot import Patience
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import OnFailure
from modelhive.control.v1.control_pb2 import ApiKey, ControlChanged

QUICK = Patience(start=0.1, silence=0.3, owner=Retry(first_pause=0.005, longest_pause=0.02))


class OnSnapshots(BusConformance):
    queue_bound = 100

    @pytest.fixture
    def open_bus(self, tmp_path: Path) -> OpenBus:
        async def open_bus(on_failure: OnFailure) -> Bus:
            inner = MemoryBus(SystemClock(), on_failure, queue_items=100, publish_wait=0.02)
            return SnapshotBus(inner, tmp_path, {}, SystemClock(), on_failure)

        return open_bus


class TestSnapshotsState(OnSnapshots, StateConformance):
    pass


class TestSnapshotsRequests(OnSnapshots, RequestConformance):
    pass


class TestSnapshotsEvents(OnSnapshots, EventConformance):
    pass


class TestSnapshotsBatches(OnSnapshots, BatchConformance):
    pass


def key(name: str, revision: int) -> ControlChanged:
    return ControlChanged(key=name, revision=revision, api_key=ApiKey(id=name))


class Broker(MemoryBus):
    """A broker that can be away: publishing fails, subscribing waits."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        super().__init__(SystemClock(), lambda name, error: self.failures.append(error))
        self.there = asyncio.Event()
        self.there.set()

    async def publish(self, message: Message) -> None:
        if not self.there.is_set():
            raise HiveError(Kind.UNAVAILABLE, "the broker is away")
        await super().publish(message)

    async def subscribe_state(
        self,
        kind: type[M],
        handler: Callable[[StateChange[M]], Awaitable[None]],
        options: Options = Options(),
    ) -> Subscription:
        await self.there.wait()
        return await super().subscribe_state(kind, handler, options)


class Owner:
    """What console is: it tells all, then each change, while it is there."""

    def __init__(self) -> None:
        self.there = True
        self.mute = False
        self.revision = 0
        self.records: dict[str, Record[ControlChanged]] = {}
        self.watchers = 0
        self._news = asyncio.Event()

    def put(self, *names: str) -> ControlChanged:
        self.revision += 1
        for name in names:
            message = key(name, self.revision)
            self.records[name] = Record(name, self.revision, message)
        self._wake()
        return key(names[0], self.revision)

    def retire(self, name: str) -> None:
        self.revision += 1
        self.records[name] = Record(name, self.revision, None)
        self._wake()

    def leave(self) -> None:
        self.there = False
        self._wake()

    async def watch(self) -> AsyncGenerator[Portion[ControlChanged], None]:
        told = 0
        self.watchers += 1
        try:
            while True:
                if not self.there:
                    raise HiveError(Kind.UNAVAILABLE, "the owner is away")
                news, through = self._news, self.revision
                fresh = [record for record in self.records.values() if record.revision > told]
                if told == 0:
                    fresh = [record for record in fresh if record.message is not None]
                if not self.mute:
                    for record in fresh:
                        yield Portion([record], None)
                    yield Portion([], through)
                    told = through
                try:
                    async with asyncio.timeout(0.05):
                        await news.wait()
                except TimeoutError:
                    pass
        finally:
            self.watchers -= 1

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Process:
    """What lives from the state: the keys that it believes in."""

    def __init__(self, bus: SnapshotBus) -> None:
        self.bus = bus
        self.keys: dict[str, int] = {}
        self.story: list[tuple[str, bool]] = []
        self.failures: list[tuple[str, BaseException]] = []

    async def take(self, change: StateChange[ControlChanged]) -> None:
        self.story.append((change.key, change.message is not None))
        if change.message is None:
            self.keys.pop(change.key, None)
        else:
            self.keys[change.key] = change.message.revision

    async def until(self, *names: str) -> None:
        await eventually(lambda: set(self.keys) == set(names), f"{names}, now {self.keys}")


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = Broker()
        self.owner = Owner()

    @property
    def file(self) -> Path:
        return self.folder / "hive.control.state"

    @asynccontextmanager
    async def process(self, *, catches_up: bool = True) -> AsyncIterator[Process]:
        failures: list[tuple[str, BaseException]] = []
        source = Source[ControlChanged](lambda message: message.revision, self.owner.watch)
        bus = SnapshotBus(
            self.broker,
            self.folder,
            {ControlChanged: source},
            SystemClock(),
            lambda name, error: failures.append((name, error)),
            QUICK,
        )
        process = Process(bus)
        process.failures = failures
        subscription = await bus.subscribe_state(ControlChanged, process.take)
        if catches_up:
            await asyncio.wait_for(subscription.caught_up(), PATIENCE)
        yield process
        await subscription.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    world.broker.there.set()
    await world.broker.close()
    assert world.owner.watchers == 0


async def tell(world: World, messages: Iterable[ControlChanged]) -> None:
    for message in messages:
        await world.broker.publish(message)


async def test_the_owner_alone_is_enough(world: World) -> None:
    world.broker.there.clear()
    world.owner.put("a", "b")
    async with world.process() as process:
        assert process.keys == {"a": 1, "b": 1}
        assert process.bus.notes == {}
        world.owner.retire("a")
        await process.until("b")


async def test_the_bus_alone_is_enough(world: World) -> None:
    world.owner.leave()
    await tell(world, [key("a", 1), key("b", 2)])
    async with world.process() as process:
        assert process.keys == {"a": 1, "b": 2}
        await world.broker.retire(ControlChanged, "a")
        await process.until("b")
        assert process.bus.notes == {}
        assert [str(error) for _, error in process.failures] == ["the owner is away"]


async def test_what_was_heard_is_there_when_nobody_answers(world: World) -> None:
    world.owner.put("a", "b")
    async with world.process():
        pass
    world.broker.there.clear()
    world.owner.leave()
    async with world.process() as process:
        assert process.keys == {"a": 1, "b": 1}
        (note,) = process.bus.notes.values()
        assert note.startswith("stale snapshot of 20") and note.endswith("Z")


async def test_a_first_start_without_anybody_waits_and_goes_on_by_itself(world: World) -> None:
    world.broker.there.clear()
    world.owner.leave()
    async with world.process(catches_up=False) as process:
        assert process.story == []
        await tell_later(world, key("a", 1))
        await process.until("a")


async def tell_later(world: World, message: ControlChanged) -> None:
    world.broker.there.set()
    await world.broker.publish(message)


async def test_a_stale_snapshot_is_mended_by_the_owner(world: World) -> None:
    world.owner.put("a", "b")
    async with world.process():
        pass
    world.broker.there.clear()
    world.owner.leave()
    world.owner.retire("a")
    world.owner.put("c")
    async with world.process() as process:
        assert set(process.keys) == {"a", "b"}
        world.owner.there = True
        await process.until("b", "c")
        assert process.bus.notes == {}


async def test_a_stale_snapshot_is_mended_by_the_bus(world: World) -> None:
    await tell(world, [key("a", 1), key("b", 2)])
    world.owner.leave()
    async with world.process():
        pass
    await world.broker.retire(ControlChanged, "a")
    await world.broker.publish(key("c", 4))
    world.broker.there.clear()
    async with world.process() as process:
        assert set(process.keys) == {"a", "b"}
        world.broker.there.set()
        await process.until("b", "c")
        assert process.bus.notes == {}


async def test_a_key_that_ended_between_two_lives_is_never_told(world: World) -> None:
    world.owner.put("a", "b")
    await tell(world, [key("a", 1), key("b", 1)])
    async with world.process():
        pass
    world.owner.retire("a")
    async with world.process() as process:
        assert process.story == [("b", True)]


async def test_a_revoked_key_stays_revoked_though_the_bus_has_not_heard_of_it(world: World) -> None:
    message = world.owner.put("a")
    await world.broker.publish(message)
    async with world.process() as process:
        world.owner.retire("a")
        await process.until()
    world.owner.leave()
    async with world.process() as process:
        await world.broker.publish(message)
        assert await process.bus.drain(5)
        assert process.story == []


async def test_an_owner_that_falls_silent_is_asked_anew(world: World) -> None:
    world.broker.there.clear()
    world.owner.put("a")
    async with world.process() as process:
        world.owner.mute = True
        await eventually(lambda: bool(process.failures), "the silence is noticed")
        silence = process.failures[0][1]
        assert isinstance(silence, HiveError) and silence.kind is Kind.UNAVAILABLE
        world.owner.retire("a")
        world.owner.mute = False
        await process.until()


async def test_an_owner_whose_history_was_set_back_is_believed(world: World) -> None:
    world.broker.there.clear()
    for name in ("a", "b", "c"):
        world.owner.put(name)
    async with world.process() as process:
        restored = Owner()
        restored.put("a")
        world.owner.records, world.owner.revision = restored.records, restored.revision
        world.owner.leave()
        await eventually(lambda: bool(process.failures), "the owner is gone")
        world.owner.there = True
        await process.until("a")
        world.owner.put("b")
        await process.until("a", "b")


async def test_two_subscriptions_share_what_is_heard(world: World) -> None:
    world.owner.put("a")
    async with world.process() as process:
        second = Process(process.bus)
        subscription = await process.bus.subscribe_state(ControlChanged, second.take)
        await subscription.caught_up()
        assert second.keys == {"a": 1}
        assert world.owner.watchers == 1
        world.owner.retire("a")
        await second.until()
        await process.until()
        await subscription.close()
        world.owner.put("b")
        await process.until("b")
        assert second.keys == {}


async def test_a_broken_file_is_reported_and_ignored(world: World) -> None:
    world.owner.put("a")
    async with world.process():
        pass
    world.file.write_bytes(world.file.read_bytes()[:-1])
    async with world.process() as process:
        assert process.keys == {"a": 1}
        assert "is cut or damaged" in str(process.failures[0][1])
    async with world.process() as process:
        assert process.failures == []


async def test_the_file_is_for_its_user_alone_and_written_while_changes_come(world: World) -> None:
    async with world.process() as process:
        world.owner.put("a")
        await eventually(world.file.exists, "the first state is kept")
        before = world.file.read_bytes()
        world.owner.put("b")
        await process.until("a", "b")
        await eventually(lambda: world.file.read_bytes() != before, "the second one too")
    assert world.file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in world.folder.iterdir()] == ["hive.control.state"]


async def test_a_folder_that_cannot_be_written_does_not_stop_the_state(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    world = World(tmp_path / "file")
    world.owner.put("a")
    async with world.process() as process:
        assert process.keys == {"a": 1}
        await eventually(lambda: any("to disk" in name for name, _ in process.failures), "it is reported")
    await world.broker.close()


async def test_the_bus_is_tried_again_where_it_refuses(world: World) -> None:
    world.owner.leave()
    refusals = 2

    class Refusing(Broker):
        async def subscribe_state(
            self,
            kind: type[M],
            handler: Callable[[StateChange[M]], Awaitable[None]],
            options: Options = Options(),
        ) -> Subscription:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise HiveError(Kind.UNAVAILABLE, "the broker is away")
            return await super().subscribe_state(kind, handler, options)

    world.broker = Refusing()
    await world.broker.publish(key("a", 1))
    async with world.process() as process:
        assert process.keys == {"a": 1}
    assert refusals == 0


async def test_a_closed_bus_takes_no_subscription_and_leaves_no_task(world: World) -> None:
    before = asyncio.all_tasks()
    async with world.process() as process:
        await process.bus.close()
        with pytest.raises(RuntimeError, match="closed"):
            await process.bus.subscribe_state(ControlChanged, process.take)
    assert asyncio.all_tasks() == before
