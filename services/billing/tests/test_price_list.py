"""The price list: versions for ever, told once each and all of them at a start, many changes as one."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from google.protobuf.message import Message
from sqlalchemy import create_engine, inspect

from hive_billing.price_list import PriceList
from hive_billing.price_store import PriceStore, metadata
from hive_billing.pricing import parse_ceiling
from hive_bus.memory import MemoryBus
from hive_bus.port import StateChange
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import Tariff
from hive_sql import Database
from modelhive.control.v1 import control_pb2 as control
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.events.v1.ledger_pb2 import PriceListed

MIGRATION = Path(__file__).parent.parent / "src/hive_billing/migrations/versions/0002_prices.py"
NOW = 1_790_000_000
LISTED = Tariff.of([("prompt", 2_000_000, 0), ("prompt", 4_000_000, 200_001), ("completion", 8_000_000, 0)])


class StillClock:
    """Moves when told to; sleepers wake at once."""

    time = float(NOW)

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class MoodyBus(MemoryBus):
    """Takes nothing while it is `away`."""

    away = False

    async def publish(self, message: Message) -> None:
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "the broker is away")
        await super().publish(message)


class Vendor:
    def find(self, kind: str, base_url: str, model: str) -> Tariff | None:
        return LISTED if base_url == "https://vendor.test" else None


class Desk:
    """A price list at work, and what another service hears of it."""

    def __init__(self, prices: PriceList, bus: MoodyBus, clock: StillClock, database: Database) -> None:
        self.prices = prices
        self.bus = bus
        self.clock = clock
        self.database = database
        self.now: dict[str, PriceListed] = {}
        self.story: list[tuple[str, int | None]] = []

    async def hear(self, change: StateChange[PriceListed]) -> None:
        self.story.append((change.key, change.message.version if change.message else None))
        if change.message is None:
            self.now.pop(change.key, None)
        else:
            self.now[change.key] = change.message

    async def provider(self, id: str, base_url: str = "https://vendor.test", **fields: object) -> None:
        message = control.Provider(id=id, kind="openai", base_url=base_url, **fields)  # type: ignore[arg-type]
        await self.change(f"provider/{id}", ControlChanged(key=f"provider/{id}", provider=message))

    async def model(self, id: str, *at: str, price: dict[str, str] | None = None) -> None:
        message = control.Model(
            id=id, deployments=[control.Deployment(provider_id=each, model="m") for each in at]
        )
        if price is not None:
            message.price.CopyFrom(control.Price(units=price, per=1_000_000))
        await self.change(f"model/{id}", ControlChanged(key=f"model/{id}", model=message))

    async def change(self, key: str, message: ControlChanged | None) -> None:
        await self.prices.apply(StateChange(key, message))

    async def settle(self) -> None:
        await self.prices.settle()
        await self.bus.drain(5)

    def rates(self, subject: str) -> list[tuple[str, int, int]]:
        return [(each.unit, each.pico_dollars, each.from_prompt_tokens) for each in self.now[subject].rates]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a price list over the database of this test; the bus is a new one each time."""

    @asynccontextmanager
    async def begin(ceiling: str = "") -> AsyncIterator[Desk]:
        clock = StillClock()
        database = Database(f"sqlite+aiosqlite:///{tmp_path}/billing.db")
        async with database.transaction() as connection:
            await connection.run_sync(metadata.create_all)
        bus = MoodyBus(clock, lambda name, error: None)
        prices = PriceList(database, bus, clock, parse_ceiling(ceiling), Vendor())
        desk = Desk(prices, bus, clock, database)
        await bus.subscribe_state(PriceListed, desk.hear)
        try:
            yield desk
        finally:
            await bus.close()
            await database.close()

    return begin


Start = Callable[..., AbstractAsyncContextManager[Desk]]


async def test_every_subject_is_told_with_its_exact_rates(start: Start) -> None:
    async with start() as desk:
        await desk.provider("vendor")
        await desk.provider("mine", "http://127.0.0.1:9999/v1")
        await desk.model("listed", "vendor")
        await desk.model("own", "vendor", price={"prompt": "0.0375", "completion": "10.00"})
        await desk.model("dark", "mine")
        await desk.settle()
        assert desk.now.keys() == {
            "model/listed",
            "model/own",
            "model/dark",
            "deployment/vendor/m",
            "deployment/mine/m",
        }
        assert desk.now["model/own"].source == "configured"
        assert desk.rates("model/own") == [("prompt", 37_500, 0), ("completion", 10_000_000, 0)]
        assert (
            desk.rates("model/listed")
            == desk.rates("deployment/vendor/m")
            == [
                ("prompt", 2_000_000, 0),
                ("completion", 8_000_000, 0),
                ("prompt", 4_000_000, 200_001),
            ]
        )
        assert (desk.now["model/dark"].source, desk.rates("model/dark")) == ("unpriced", [])
        assert desk.now["model/own"].valid_from_unix_ms == NOW * 1000
        assert {message.version for message in desk.now.values()} == {1}
        assert desk.prices.current("model/dark") is None
        assert desk.prices.current("model/listed") == (LISTED, 1)


async def test_a_new_price_is_a_new_version_and_moves_no_past(start: Start) -> None:
    async with start() as desk:
        await desk.provider("vendor")
        await desk.model("a", "vendor", price={"prompt": "1"})
        await desk.model("b", "vendor", price={"prompt": "1"})
        await desk.settle()
        desk.clock.time += 60
        await desk.model("a", "vendor", price={"prompt": "3"})
        await desk.settle()
        assert (desk.now["model/a"].version, desk.now["model/b"].version) == (2, 1)
        assert (await desk.prices.at("model/a", 1)).cost({"prompt": 1_000_000}) == 1_000_000_000
        assert (await desk.prices.at("model/a", 2)).cost({"prompt": 1_000_000}) == 3_000_000_000
        assert (await desk.prices.at("model/b", 2)).cost({"prompt": 1_000_000}) == 1_000_000_000
        past = await desk.prices.list("model/a", past=True)
        assert [(each.version, each.valid_from_unix_ms) for each in past] == [
            (1, NOW * 1000),
            (2, (NOW + 60) * 1000),
        ]
        assert [each.version for each in await desk.prices.list("model/a")] == [2]


async def test_a_tier_is_kept_and_read_back(start: Start) -> None:
    async with start() as desk:
        await desk.provider("vendor")
        await desk.model("a", "vendor")
        await desk.settle()
        tariff = await desk.prices.at("model/a", 1)
        assert tariff == LISTED
        assert tariff.cost({"prompt": 200_000, "completion": 1}) == 400_008_000
        assert tariff.cost({"prompt": 200_001, "completion": 1}) == 800_012_000


async def test_a_subject_without_a_price_has_none_at_any_version(start: Start) -> None:
    async with start() as desk:
        await desk.provider("mine", "http://127.0.0.1:9999/v1")
        await desk.model("dark", "mine")
        await desk.settle()
        for subject, version in (("model/dark", 1), ("model/dark", 9), ("model/none", 1), ("model/dark", 0)):
            with pytest.raises(HiveError) as caught:
                await desk.prices.at(subject, version)
            assert caught.value.kind is Kind.NOT_FOUND


async def test_a_restart_tells_the_same_versions_again(start: Start) -> None:
    async with start() as desk:
        await desk.provider("vendor")
        await desk.model("a", "vendor")
        await desk.settle()
        await desk.model("b", "vendor", price={"prompt": "1"})
        await desk.settle()
        before = dict(desk.now)
    async with start() as desk:
        desk.clock.time += 3600
        # Providers may come last.
        await desk.model("b", "vendor", price={"prompt": "1.000"})
        await desk.model("a", "vendor")
        await desk.settle()
        assert desk.now == {}
        await desk.provider("vendor")
        await desk.settle()
        assert desk.now == before
        assert {subject: message.version for subject, message in desk.now.items()} == {
            "model/a": 1,
            "deployment/vendor/m": 1,
            "model/b": 2,
        }
        assert len(desk.story) == 3


async def test_what_is_gone_is_retired_and_comes_back_as_it_was(start: Start) -> None:
    async with start() as desk:
        await desk.provider("vendor")
        await desk.model("a", "vendor")
        await desk.model("b", "vendor")
        await desk.settle()
        await desk.change("model/b", None)
        await desk.settle()
        assert desk.now.keys() == {"model/a", "deployment/vendor/m"}
        assert desk.prices.current("model/b") is None
        assert [each.subject for each in await desk.prices.list("model/b", past=True)] == ["model/b"]
        await desk.model("b", "vendor")
        await desk.settle()
        assert desk.now["model/b"].version == 1
        await desk.change("model/b", None)
    async with start() as desk:  # it went while nobody watched
        await desk.provider("vendor")
        await desk.model("a", "vendor")
        await desk.settle()
        assert desk.now.keys() == {"model/a", "deployment/vendor/m"}
        assert ("model/b", None) in desk.story


async def test_five_hundred_models_are_one_version_and_one_story(start: Start) -> None:
    async with start() as desk:
        await desk.provider("vendor")
        for number in range(500):
            await desk.model(f"m{number}", "vendor", price={"prompt": str(number)})
        await desk.settle()
        assert len(desk.now) == len(desk.story) == 501
        assert {message.version for message in desk.now.values()} == {1}
        await desk.settle()
        assert len(desk.story) == 501


async def test_a_ceiling_prices_what_has_none_and_a_free_provider_needs_none(start: Start) -> None:
    async with start("prompt=10,completion=30") as desk:
        await desk.provider("mine", "http://127.0.0.1:9999/v1")
        await desk.provider("ollama", "http://127.0.0.1:11434/v1", free=True)
        await desk.model("dark", "mine")
        await desk.model("free", "ollama")
        await desk.settle()
        assert desk.now["model/dark"].source == "ceiling"
        assert desk.rates("model/dark") == [("prompt", 10_000_000, 0), ("completion", 30_000_000, 0)]
        assert desk.now["model/free"].source == desk.now["deployment/ollama/m"].source == "local"
        assert desk.rates("model/free") == [("prompt", 0, 0), ("completion", 0, 0)]
    async with start() as desk:  # without a ceiling it is refused again
        await desk.provider("mine", "http://127.0.0.1:9999/v1")
        await desk.model("dark", "mine")
        await desk.settle()
        assert (desk.now["model/dark"].source, desk.now["model/dark"].version) == ("unpriced", 2)


async def test_what_a_bus_did_not_take_is_told_later(start: Start) -> None:
    async with start() as desk:
        await desk.provider("vendor")
        await desk.model("a", "vendor")
        desk.bus.away = True
        with pytest.raises(HiveError):
            await desk.settle()
        desk.bus.away = False
        run = asyncio.ensure_future(desk.prices.run())
        while len(desk.now) < 2:
            await asyncio.sleep(0)
        assert desk.now["model/a"].version == 1
        desk.bus.away = True
        await desk.model("a", "vendor", price={"prompt": "1"})
        while desk.prices.failure is None:
            await asyncio.sleep(0)
        desk.bus.away = False
        while desk.now["model/a"].version != 2:
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def test_a_price_that_cannot_be_read_is_an_error_and_changes_nothing(start: Start) -> None:
    async with start() as desk:
        await desk.provider("vendor")
        await desk.model("a", "vendor", price={"prompt": "1"})
        await desk.settle()
        with pytest.raises(ValueError, match="no unit 'tokens'"):
            await desk.model("a", "vendor", price={"tokens": "1"})
        await desk.settle()
        assert desk.rates("model/a") == [("prompt", 1_000_000, 0)]


async def test_subjects_are_found_by_their_exact_letters(start: Start) -> None:
    async with start() as desk:
        await desk.provider("vendor")
        for id in ("Big_one", "big_one", "bigXone"):
            await desk.model(id, "vendor")
        await desk.settle()
        for past in (False, True):
            assert [each.subject for each in await desk.prices.list("big_", past)] == ["model/big_one"]
        async with desk.database.read() as connection:
            assert len(await PriceStore(connection).all("")) == 4


def test_the_migration_makes_the_table_that_the_code_knows() -> None:
    spec = importlib.util.spec_from_file_location("migration", MIGRATION)
    assert spec is not None and spec.loader is not None
    migration = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(migration)

    def columns(make: Callable[..., object]) -> object:
        engine = create_engine("sqlite://")
        with engine.begin() as connection:
            make(connection)
            found = inspect(connection)
            described = {
                each["name"]: (str(each["type"]), each["nullable"]) for each in found.get_columns("prices")
            }
            keys = found.get_pk_constraint("prices")["constrained_columns"]
            indexes = [each["column_names"] for each in found.get_indexes("prices")]
        engine.dispose()
        return described, keys, indexes

    def migrate(connection: object) -> None:
        with Operations.context(MigrationContext.configure(connection)):  # type: ignore[arg-type]
            migration.upgrade()

    assert columns(migrate) == columns(metadata.create_all)
