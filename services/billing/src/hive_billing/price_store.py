"""The table of prices: each version of each subject's price, for ever."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    MetaData,
    Row,
    Select,
    String,
    Table,
    and_,
    func,
    insert,
    select,
)

from hive_billing.pricing import Price, rates_of
from hive_runtime.money import Tariff
from hive_sql import AsyncConnection

metadata = MetaData()

# One row per rate. A price without rates has one row with the unit "", which is no rate.
prices = Table(
    "prices",
    metadata,
    Column("subject", String(512), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("unit", String(32), primary_key=True),
    Column("from_prompt_tokens", BigInteger, primary_key=True, autoincrement=False),
    Column("pico_dollars", BigInteger, nullable=False),
    Column("valid_from_ms", BigInteger, nullable=False),
    Column("source", String(16), nullable=False),
    Index("ix_prices_version", "version"),
)
NO_UNIT = ""


@dataclass(frozen=True, slots=True)
class PriceFact:
    """What a subject costs from a moment on. valid_from_ms: Unix milliseconds."""

    subject: str
    version: int
    valid_from_ms: int
    price: Price


class PriceStore:
    """The table as one transaction sees it; rows are added and never changed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def last_version(self) -> int:
        """0 where there is none."""
        return int((await self._connection.execute(select(func.max(prices.c.version)))).scalar() or 0)

    async def add(self, facts: Iterable[PriceFact]) -> None:
        rows = [row for fact in facts for row in _rows(fact)]
        if rows:
            await self._connection.execute(insert(prices), rows)

    async def newest(self) -> dict[str, PriceFact]:
        """The newest price that each subject ever had."""
        last = select(prices.c.subject, func.max(prices.c.version).label("version")).group_by(
            prices.c.subject
        )
        newest = last.subquery()
        of_newest = and_(prices.c.subject == newest.c.subject, prices.c.version == newest.c.version)
        return {fact.subject: fact for fact in await self._facts(select(prices).join(newest, of_newest))}

    async def all(self, contains: str) -> list[PriceFact]:
        """Every version of the subjects that contain the text, by subject and version."""
        # LIKE may take capitals for small letters, depending on the database.
        found = await self._facts(select(prices).where(prices.c.subject.contains(contains, autoescape=True)))
        return [fact for fact in found if contains in fact.subject]

    async def at(self, subject: str, version: int) -> PriceFact | None:
        """The price at that version of the list: the newest one that is not newer."""
        ours = prices.c.subject == subject
        last = select(func.max(prices.c.version)).where(ours, prices.c.version <= version).scalar_subquery()
        found = await self._facts(select(prices).where(ours, prices.c.version == last))
        return found[0] if found else None

    async def _facts(self, query: Select[Any]) -> list[PriceFact]:
        query = query.order_by(prices.c.subject, prices.c.version)
        rows = (await self._connection.execute(query)).all()
        return [_fact(list(group)) for _, group in groupby(rows, lambda row: (row.subject, row.version))]


def _rows(fact: PriceFact) -> list[dict[str, Any]]:
    rates = rates_of(fact.price.tariff) or ((NO_UNIT, 0, 0),)
    return [
        {
            "subject": fact.subject,
            "version": fact.version,
            "unit": unit,
            "from_prompt_tokens": start,
            "pico_dollars": picos,
            "valid_from_ms": fact.valid_from_ms,
            "source": fact.price.source,
        }
        for unit, picos, start in rates
    ]


def _fact(rows: Sequence[Row[Any]]) -> PriceFact:
    first = rows[0]
    rates = [(row.unit, row.pico_dollars, row.from_prompt_tokens) for row in rows if row.unit != NO_UNIT]
    tariff = Tariff.of(rates) if rates else None
    return PriceFact(first.subject, first.version, first.valid_from_ms, Price(first.source, tariff))
