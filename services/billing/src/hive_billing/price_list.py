"""The price list: kept as the control state and the rules say, told to all, and never forgotten.

The table is its own outbox: what is told is what stands there, and at the start all of it is told again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from hive_billing.catalogue import Catalogue
from hive_billing.listed import ListedPrices
from hive_billing.price_store import PriceFact, PriceStore
from hive_billing.pricing import Listing, Price, price_all, rates_of
from hive_bus.port import Bus, Retry, StateChange
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import Tariff
from hive_sql import Database
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.events.v1.ledger_pb2 import PriceListed, Rate

log = structlog.get_logger(__name__)

_SHOWN = 10


class PriceList:
    """What every model and every deployment costs.

        subscription = await bus.subscribe_state(ControlChanged, prices.apply)
        await subscription.caught_up()
        await prices.settle()
        host.tasks.spawn(prices.run(), "billing prices")

    Changes are only collected until `settle`, which `run` calls from then on: many changes are one transaction.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        ceiling: Tariff | None = None,
        listing: Listing | None = None,
        retry: Retry = Retry(),
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """check: HiveError where this process may not speak for the list."""
        self.failure: Exception | None = None
        self._database = database
        self._bus = bus
        self._clock = clock
        self._ceiling = ceiling
        self._listing = listing or ListedPrices.load()
        self._retry = retry
        self._check = check
        self._catalogue = Catalogue()
        self._newest: dict[str, PriceFact] | None = None
        self._valid: dict[str, PriceFact] = {}
        self._told: dict[str, int] = {}
        self._to_retire: set[str] = set()
        self._unpriced: frozenset[str] = frozenset()
        self._woken = asyncio.Event()
        self._news = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    async def apply(self, change: StateChange[ControlChanged]) -> None:
        """Take in a change of the control state. ValueError for a price that cannot be read."""
        if self._catalogue.apply(change):
            self._woken.set()

    async def settle(self) -> None:
        """Price all that is known now, write down what is different, tell whatever is not told yet.

        Raises what the database or the bus raised; what is written stays, and is told next time.
        """
        async with self._one_at_a_time:
            self._woken.clear()
            try:
                await self._write()
                await self._tell()
            except BaseException:
                self._woken.set()
                raise

    async def run(self) -> None:
        """Settle whenever something changed, until cancelled; after a failure with growing pauses."""
        failures = 0
        while True:
            await self._woken.wait()
            try:
                await self.settle()
            except Exception as error:
                self.failure = error
                log.warning("prices wait", error=repr(error))
                await self._clock.sleep(self._retry.pause_after(failures))
                failures += 1
            else:
                self.failure = None
                failures = 0

    def current(self, subject: str) -> tuple[Tariff, int] | None:
        """What the subject costs now, and since which version; None where it has no price."""
        fact = self._valid.get(subject)
        return None if fact is None or fact.price.tariff is None else (fact.price.tariff, fact.version)

    @property
    def news(self) -> asyncio.Event:
        """Set when the list is another one than now."""
        return self._news

    def may_speak(self) -> None:
        """HiveError `unavailable` where this process may not speak for the list now."""
        self._check()

    def listed(self) -> tuple[int, Mapping[str, PriceListed]]:
        """The version of the list, and what is valid by subject.

        HiveError `unavailable` where this process may not speak for it, or has not read it yet.
        """
        self.may_speak()
        if self._newest is None:
            raise HiveError(Kind.UNAVAILABLE, "The price list is not read yet. Try again.", retry_after=1)
        version = max((fact.version for fact in self._newest.values()), default=0)
        return version, {subject: _message(fact) for subject, fact in self._valid.items()}

    async def at(self, subject: str, version: int) -> Tariff:
        """What the subject cost at that version of the list. HiveError `not_found` where it had no price."""
        async with self._database.read() as connection:
            fact = await PriceStore(connection).at(subject, version)
        if fact is None or fact.price.tariff is None:
            raise HiveError(Kind.NOT_FOUND, f"{subject} had no price at version {version} of the price list.")
        return fact.price.tariff

    async def list(self, contains: str = "", past: bool = False) -> list[PriceListed]:
        """The prices of the subjects that contain the text, by subject and version.

        past: also those that are not valid any more, and those of subjects that are gone.
        """
        if not past:
            found = [self._valid[subject] for subject in sorted(self._valid) if contains in subject]
        else:
            async with self._database.read() as connection:
                found = await PriceStore(connection).all(contains)
        return [_message(fact) for fact in found]

    async def _write(self) -> None:
        priced = price_all(self._catalogue.providers, self._catalogue.models, self._listing, self._ceiling)
        newest = await self._read() if self._newest is None else self._newest
        before = newest.keys() if self._newest is None else self._valid.keys()
        changed = {
            subject: price
            for subject, price in priced.prices.items()
            if subject not in newest or not _same(newest[subject].price, price)
        }
        newest = {**newest, **await self._add(changed)}
        valid = {subject: newest[subject] for subject in priced.prices}
        valid |= {subject: self._valid[subject] for subject in priced.waiting if subject in self._valid}
        self._to_retire = (self._to_retire | before) - valid.keys() - priced.waiting
        self._newest, self._valid = newest, valid
        self._news.set()
        self._news = asyncio.Event()
        self._warn_of_unpriced()

    async def _read(self) -> dict[str, PriceFact]:
        async with self._database.read() as connection:
            return await PriceStore(connection).newest()

    async def _add(self, changed: dict[str, Price]) -> dict[str, PriceFact]:
        if not changed:
            return {}
        now_ms = int(self._clock.now() * 1000)
        async with self._database.transaction() as connection:
            store = PriceStore(connection)
            version = await store.last_version() + 1
            facts = {
                subject: PriceFact(subject, version, now_ms, price) for subject, price in changed.items()
            }
            await store.add(facts.values())
        return facts

    async def _tell(self) -> None:
        for subject, fact in self._valid.items():
            if self._told.get(subject) != fact.version:
                self._check()
                await self._bus.publish(_message(fact))
                self._told[subject] = fact.version
        for subject in sorted(self._to_retire):
            self._check()
            await self._bus.retire(PriceListed, subject)
            self._told.pop(subject, None)
            self._to_retire.discard(subject)

    def _warn_of_unpriced(self) -> None:
        models = (subject for subject in self._valid if subject.startswith("model/"))
        unpriced = frozenset(each.partition("/")[2] for each in models if self.current(each) is None)
        if unpriced - self._unpriced:
            log.warning(
                "models without a price cannot be used: set their `price`, or HIVE_CEILING_PRICE for all",
                models=_some(unpriced),
            )
        self._unpriced = unpriced


def _same(one: Price, other: Price) -> bool:
    return one.source == other.source and rates_of(one.tariff) == rates_of(other.tariff)


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more


def _message(fact: PriceFact) -> PriceListed:
    return PriceListed(
        subject=fact.subject,
        version=fact.version,
        valid_from_unix_ms=fact.valid_from_ms,
        rates=[
            Rate(unit=unit, pico_dollars=picos, from_prompt_tokens=start)
            for unit, picos, start in rates_of(fact.price.tariff)
        ],
        source=fact.price.source,
    )
