"""The audit finds what does not fit, and says what; on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from hive_billing.accounts import Caps

DOLLAR = 1_000_000_000

TAMPERED = {
    "a balance that is none of its entries": (
        "UPDATE balances SET amount = amount + 1, funded = funded + 1 WHERE account = 'wallet:t'",
        "wallet:t is 9.999999952, its entries say 9.999999951",
    ),
    "used that is not what was paid": (
        "UPDATE balances SET used = used + 1 WHERE account = 'wallet:t'",
        "wallet:t has used 0.000000051, its entries say 0.00000005",
    ),
    "an entry that was changed": (
        'UPDATE postings SET entries = \'[["wallet:t",-49],["revenue",50]]\' WHERE sequence = 2',
        "the entries of usage:req_1:1.1 sum to 1, not to zero",
    ),
    "a posting that is gone": (
        "DELETE FROM postings WHERE sequence = 2",
        "posting 3 follows 1: the sequence has a gap",
    ),
    "a day that was changed": ("UPDATE days SET spent = 51", "2026-11-25 of key 'k' of 't'"),
    "a lease that nobody gave": (
        "UPDATE leases SET amount = amount + 7 WHERE scope = 'wallet:t'",
        "h leases 9.999999957 of wallet:t, its changes say 9.99999995",
    ),
    "a lease of more than there is": (
        "UPDATE lease_changes SET change = change + 7 WHERE scope = 'wallet:t'",
        "after posting 1 the lease of h exceeds wallet:t by 0.000000007",
    ),
    "a cap that was exceeded": (
        "UPDATE lease_changes SET cap = 40 WHERE scope LIKE 'cap:%'",
        "the lease of h exceeds cap:key/k:day:2026-11-25 by 0.00000006",
    ),
    "money spent that was not there": (
        'UPDATE postings SET entries = \'[["wallet:t",-60000000000],["revenue",60000000000]]\','
        " spent = 60000000000, cost = 60000000000 WHERE sequence = 2",
        "posting 2 (usage:req_1:1.1) exceeds wallet:t by 59.99999995",
    ),
}


@pytest.fixture
async def used(open_house: Any) -> AsyncIterator[Any]:
    async with open_house() as house:
        house.tenant()
        house.key(caps=Caps(day=100))
        await house.bookkeeper.credit("t", 10 * DOLLAR, "first", "manual")
        await house.lent()
        scopes = ("wallet:t", "cap:key/k:day:2026-11-25")
        await house.settle(house.usage(50, carried=50, scopes=scopes))
        await house.bookkeeper.fund("t", "b", 0, "none", empty=False)
        await house.bookkeeper.credit("t", 1, "second", "manual")
        yield house


@pytest.mark.parametrize("case", TAMPERED)
async def test_what_does_not_fit_is_found(used: Any, case: str) -> None:
    assert (await used.audit()).problems == []
    change, words = TAMPERED[case]
    async with used.database.transaction() as connection:
        kept = {
            name: (await connection.execute(text(f"SELECT * FROM {name}"))).mappings().all()
            for name in TABLES
        }
        await connection.execute(text(change.replace(":1.1", r"\:1.1")))
    problems = (await used.audit()).problems
    assert any(words in problem for problem in problems), problems
    async with used.database.transaction() as connection:
        for name, rows in kept.items():
            await connection.execute(text(f"DELETE FROM {name}"))
            for row in rows:
                names = ", ".join(f'"{column}"' for column in row)
                values = ", ".join(f":{column}" for column in row)
                await connection.execute(text(f"INSERT INTO {name} ({names}) VALUES ({values})"), dict(row))


TABLES = ("postings", "balances", "days", "leases", "lease_changes")
