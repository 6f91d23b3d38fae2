"""Usage is priced again by the prices of today: exact corrections, once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from hive_billing.accounts import Accounts, ApiKey, Tenant
from hive_billing.books import Books
from hive_billing.ledger import Posting, PostingKind, Usage, wallet
from hive_billing.rerate import Report, Repricing, Span, StoredUsage, rerate
from hive_billing.settlement import reprice, settle
from hive_billing.store import Store
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import Tariff
from hive_sql import open_database

MIGRATIONS = Path(__file__).parent.parent / "src/hive_billing/migrations"
DAY = 86_400_000
ALL = Span(0, 10 * DAY)


class Prices:
    """The newest of each subject's versions is today's price."""

    def __init__(self) -> None:
        self.versions: dict[str, dict[int, Tariff | None]] = {}

    def put(self, subject: str, version: int, *rates: tuple[str, int, int]) -> None:
        self.versions.setdefault(subject, {})[version] = Tariff.of(rates) if rates else None

    def current(self, subject: str) -> tuple[Tariff, int] | None:
        versions = self.versions.get(subject, {})
        if not versions or (tariff := versions[max(versions)]) is None:
            return None
        return tariff, max(versions)

    async def at(self, subject: str, version: int) -> Tariff:
        older = [each for each in self.versions.get(subject, {}) if each <= version]
        tariff = self.versions[subject][max(older)] if older else None
        if tariff is None:
            raise HiveError(Kind.NOT_FOUND, "no price")
        return tariff


def usage_of(request_id: str, cost: int, provider_cost: int = 0, **fields: Any) -> Usage:
    defaults: dict[str, Any] = {
        "attempt": 1,
        "call": 1,
        "tenant_id": "t",
        "key_id": "k",
        "occurred_ms": DAY,
        "model": "m",
        "provider": "p",
        "deployment": "p/m",
        "price_version": 1,
    }
    return Usage(request_id=request_id, cost=cost, provider_cost=provider_cost, **{**defaults, **fields})


class Ledger:
    """The real books and settlement, without tables."""

    def __init__(self, *, prepaid: int | None = None) -> None:
        tenant = Tenant("t", prepaid=prepaid is not None)
        self.books = Books(Accounts({"t": tenant}, {"k": ApiKey("k", "t"), "l": ApiKey("l", "t")}))
        self.scopes = () if prepaid is None else (wallet("t"),)
        self.postings: list[Posting] = []
        self.page = 2
        if prepaid:
            self.credit(prepaid)

    def credit(self, amount: int) -> None:
        entries = (("funding:manual", -amount), (wallet("t"), amount))
        cause = f"credit:{len(self.postings)}"
        self.postings.append(
            self.books.post(PostingKind.CREDIT, cause, entries, tenant_id="t", account=wallet("t"))
        )

    def use(self, request_id: str, cost: int, provider_cost: int = 0, call: int = 1, **fields: Any) -> None:
        usage = usage_of(request_id, cost, provider_cost, **{"call": call, "scopes": self.scopes, **fields})
        settle(self.books, usage, self._of(request_id))
        self._keep()

    async def usage(self, span: Span, after: int, limit: int) -> Sequence[Posting]:
        found = [
            each
            for each in self.postings
            if each.kind is PostingKind.USAGE
            and each.sequence > after
            and span.from_ms <= each.occurred_ms < span.to_ms
            and span.tenant_id in ("", each.tenant_id)
            and span.model in ("", each.model)
        ]
        return found[: min(limit, self.page)]

    async def of_requests(self, ids: Collection[str]) -> Sequence[Posting]:
        return [each for each in self.postings if each.request_id in ids]

    async def reprice(self, repricings: Sequence[Repricing]) -> Sequence[Posting | None]:
        return [self._reprice(each) for each in repricings]

    def _reprice(self, change: Repricing) -> Posting | None:
        if any(each.cause == change.cause for each in self.postings):
            return None
        known = self._of(change.posting.request_id)
        posting = reprice(
            self.books,
            change.posting,
            known,
            change.cost,
            change.provider_cost,
            change.cause,
            change.price_version,
        )
        self._keep()
        return posting

    def _of(self, request_id: str) -> list[Posting]:
        return [each for each in self.postings if each.request_id == request_id]

    def _keep(self) -> None:
        self.postings += self.books.take_draft().postings

    def balances(self) -> dict[str, int]:
        return {name: balance.amount for name, balance in self.books.balances.items() if balance.amount}


def told(report: Report) -> list[tuple[str, str, int, int, int]]:
    return [(each.key_id, each.model, each.postings, each.before, each.after) for each in report.changes]


def per_million(subject: str, prices: Prices, version: int, prompt: int, completion: int) -> None:
    """Dollars per million tokens."""
    prices.put(subject, version, ("prompt", prompt * 10**6, 0), ("completion", completion * 10**6, 0))


def old_prices() -> Prices:
    prices = Prices()
    per_million("model/m", prices, 1, 2, 8)
    per_million("deployment/p/m", prices, 1, 1, 4)
    return prices


UNITS = {"prompt": 1000, "completion": 100}
"""At the old prices: 2,800,000 nano-dollars for the tenant, and half of that at the provider's."""


async def test_a_dry_run_says_what_a_run_posts_and_a_second_run_posts_nothing() -> None:
    ledger, prices = Ledger(), old_prices()
    for number in range(3):
        ledger.use(f"r{number}", 2_800_000, 1_400_000, units=UNITS)
    ledger.use("other", 2_800_000, 1_400_000, units=UNITS, key_id="l")
    before = ledger.balances()
    per_million("model/m", prices, 2, 3, 8)
    dry = await rerate(ledger, prices, ALL, dry_run=True)
    assert (dry.examined, dry.changed, dry.difference) == (4, 4, 4_000_000)
    assert told(dry) == [("k", "m", 3, 8_400_000, 11_400_000), ("l", "m", 1, 2_800_000, 3_800_000)]
    assert ledger.balances() == before

    done = await rerate(ledger, prices, ALL, dry_run=False)
    assert (done.changes, done.difference) == (dry.changes, dry.difference)
    assert ledger.balances() == {
        "receivable:t": -15_200_000,
        "revenue": 15_200_000,
        "provider_cost:p": -5_600_000,
        "payable:p": 5_600_000,
    }
    correction = next(each for each in ledger.postings if each.kind is PostingKind.CORRECTION)
    assert (correction.cause, correction.corrects) == ("rerate:2:usage:r0:1.1", "usage:r0:1.1")
    assert correction.entries == (("receivable:t", -1_000_000), ("revenue", 1_000_000))
    assert (correction.spent, correction.price_version, correction.occurred_ms) == (1_000_000, 2, DAY)

    count = len(ledger.postings)
    again = await rerate(ledger, prices, ALL, dry_run=False)
    assert (again.examined, again.changed, again.difference, again.changes) == (4, 0, 0, [])
    assert len(ledger.postings) == count


async def test_what_was_rerated_is_compared_with_what_stands_now() -> None:
    ledger, prices = Ledger(), old_prices()
    ledger.use("r", 2_800_000, 1_400_000, units=UNITS)
    per_million("model/m", prices, 2, 3, 8)
    await rerate(ledger, prices, ALL, dry_run=False)
    per_million("model/m", prices, 3, 1, 8)
    report = await rerate(ledger, prices, ALL, dry_run=False)
    assert told(report) == [("k", "m", 1, 3_800_000, 1_800_000)]
    per_million("model/m", prices, 4, 2, 8)
    await rerate(ledger, prices, ALL, dry_run=False)
    assert ledger.balances()["receivable:t"] == -2_800_000
    assert [each.spent for each in ledger.postings] == [2_800_000, 1_000_000, -2_000_000, 1_000_000]


async def test_the_provider_is_priced_again_by_its_own_list() -> None:
    ledger, prices = Ledger(), old_prices()
    ledger.use("r", 2_800_000, 1_400_000, units=UNITS)
    per_million("deployment/p/m", prices, 2, 1, 5)
    report = await rerate(ledger, prices, ALL, dry_run=False)
    assert (report.changed, report.difference) == (1, 0)
    assert ledger.postings[-1].entries == (("provider_cost:p", -100_000), ("payable:p", 100_000))


async def test_a_tier_counts_for_the_whole_request() -> None:
    ledger, prices = Ledger(), old_prices()
    ledger.use("short", 400_000_000, units={"prompt": 200_000})
    ledger.use("long", 400_002_000, units={"prompt": 200_001})
    prices.put(
        "model/m", 2, ("prompt", 2_000_000, 0), ("prompt", 4_000_000, 200_001), ("completion", 8_000_000, 0)
    )
    report = await rerate(ledger, prices, ALL, dry_run=False)
    assert told(report) == [("k", "m", 1, 400_002_000, 800_004_000)]


async def test_only_the_attempt_that_the_tenant_pays_for_costs_it_more() -> None:
    ledger, prices = Ledger(), old_prices()
    ledger.use("r", 2_800_000, 1_400_000, call=1, units=UNITS)
    ledger.use("r", 2_800_000, 1_400_000, call=2, units=UNITS)
    assert ledger.balances()["overrun"] == -2_800_000
    per_million("model/m", prices, 2, 3, 8)
    per_million("deployment/p/m", prices, 3, 2, 4)
    report = await rerate(ledger, prices, ALL, dry_run=False)
    assert (report.examined, report.changed, report.difference) == (2, 2, 1_000_000)
    assert ledger.balances() == {
        "receivable:t": -3_800_000,
        "overrun": -2_800_000,
        "revenue": 6_600_000,
        "provider_cost:p": -4_800_000,
        "payable:p": 4_800_000,
    }


async def test_a_rise_takes_no_more_than_the_tenant_has() -> None:
    ledger, prices = Ledger(prepaid=3_000_000), old_prices()
    ledger.use("r", 2_800_000, units=UNITS)
    per_million("model/m", prices, 2, 3, 8)
    report = await rerate(ledger, prices, ALL, dry_run=False)
    assert told(report) == [("k", "m", 1, 2_800_000, 3_000_000)]
    assert ledger.balances() == {"funding:manual": -3_000_000, "overrun": -800_000, "revenue": 3_800_000}
    # Money that comes later does not pay for it, and a fall gives back the operator's part first.
    ledger.credit(5_000_000)
    assert (await rerate(ledger, prices, ALL, dry_run=False)).changed == 0
    per_million("model/m", prices, 3, 2, 8)
    report = await rerate(ledger, prices, ALL, dry_run=True)
    assert told(report) == [("k", "m", 1, 3_000_000, 2_800_000)]
    await rerate(ledger, prices, ALL, dry_run=False)
    assert ledger.balances() == {"funding:manual": -8_000_000, "wallet:t": 5_200_000, "revenue": 2_800_000}


async def test_what_was_not_priced_by_its_units_stays() -> None:
    ledger, prices = Ledger(), old_prices()
    ledger.use("blocked", 1_400_000, units=UNITS)
    ledger.use("cached", 0, 1, units=UNITS, deployment="q/m")
    ledger.use("elsewhere", 2_800_000, units=UNITS, model="gone")
    per_million("model/m", prices, 2, 3, 8)
    prices.put("model/gone", 3)
    report = await rerate(ledger, prices, ALL, dry_run=False)
    assert (report.examined, report.changed) == (3, 0)


async def test_the_span_the_tenant_and_the_model_limit_what_is_touched() -> None:
    ledger, prices = Ledger(), old_prices()
    per_million("model/n", prices, 1, 2, 8)
    for number, (moment, model) in enumerate([(DAY - 1, "m"), (DAY, "m"), (DAY, "n"), (2 * DAY, "m")]):
        ledger.use(f"r{number}", 2_800_000, units=UNITS, occurred_ms=moment, model=model)
    per_million("model/m", prices, 2, 3, 8)
    per_million("model/n", prices, 2, 3, 8)
    assert (await rerate(ledger, prices, Span(DAY, 2 * DAY), dry_run=True)).changed == 2
    assert (await rerate(ledger, prices, Span(DAY, 2 * DAY, model="m"), dry_run=True)).changed == 1
    assert (await rerate(ledger, prices, Span(DAY, 2 * DAY, tenant_id="u"), dry_run=True)).examined == 0
    assert (await rerate(ledger, prices, ALL, dry_run=True)).changed == 4


async def test_it_reads_the_tables_and_leaves_its_corrections_there(tmp_path: Path) -> None:
    prices, books = old_prices(), Books(Accounts({"t": Tenant("t")}, {"k": ApiKey("k", "t")}))
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/billing.db", MIGRATIONS) as database:

        async def keep() -> None:
            async with database.transaction() as connection:
                await Store(connection).write(books.take_draft(), books)

        async def post(repricings: Sequence[Repricing]) -> Sequence[Posting | None]:
            async with database.read() as connection:
                store = Store(connection)
                known = await store.of_causes([each.cause for each in repricings])
                of = await store.of_requests([each.posting.request_id for each in repricings])
            posted: list[Posting | None] = []
            for each in repricings:
                of_request = [p for p in of if p.request_id == each.posting.request_id]
                arguments = (each.cost, each.provider_cost, each.cause, each.price_version)
                posted.append(
                    None if each.cause in known else reprice(books, each.posting, of_request, *arguments)
                )
            await keep()
            return posted

        for number in range(5):
            settle(books, usage_of(f"r{number}", 2_800_000, 1_400_000, units=UNITS), [])
        await keep()
        per_million("model/m", prices, 2, 3, 8)
        stored = StoredUsage(database, post)
        report = await rerate(stored, prices, ALL, dry_run=False)
        assert (report.examined, report.changed, report.difference) == (5, 5, 5_000_000)
        assert (await rerate(stored, prices, ALL, dry_run=False)).changed == 0
        async with database.read() as connection:
            corrections = [each for each in await Store(connection).behind(0, 99) if each.corrects]
        assert [each.cause for each in corrections] == [f"rerate:2:usage:r{n}:1.1" for n in range(5)]
        assert books.balance("receivable:t") == -19_000_000
