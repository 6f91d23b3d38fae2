"""The writer: memory never runs ahead of the tables, and one broken change breaks no other."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from hive_billing.accounts import Caps
from hive_billing.rooms import ThreadRoom
from hive_runtime.errors import HiveError, Kind

DOLLAR = 1_000_000_000
ALL = 10 * DOLLAR


async def test_a_batch_that_cannot_be_written_never_was(house: Any) -> None:
    house.room.trouble = "before"
    usage = house.usage(5, sequence=1)
    with pytest.raises(HiveError) as caught:
        await house.settle(usage)
    assert caught.value.kind is Kind.UNAVAILABLE and caught.value.retry_after
    assert house.writer.failure is not None
    assert await house.balance("wallet:t") == ALL
    assert house.writer.kept("h") == 0
    await house.settle(usage)
    assert house.writer.failure is None
    assert [posting.sequence for posting in await house.ledger()] == [1, 2]


async def test_a_batch_whose_commit_was_not_heard_of_counts_once(house: Any) -> None:
    house.room.trouble = "after"
    usage = house.usage(5, sequence=1)
    with pytest.raises(HiveError):
        await house.settle(usage)
    assert await house.balance("wallet:t") == ALL - 5
    await house.settle(usage)
    assert await house.balance("wallet:t") == ALL - 5


async def test_a_lease_that_was_not_written_was_not_given(house: Any) -> None:
    house.room.trouble = "before"
    with pytest.raises(HiveError):
        await house.lent()
    assert await house.leases() == {}


async def test_whoever_reads_sees_only_what_is_written(house: Any) -> None:
    async def balance_beside_a_settlement() -> Any:
        settling = asyncio.ensure_future(house.settle(house.usage(5)))
        found = await asyncio.gather(house.bookkeeper.wallet("t"), return_exceptions=True)
        await asyncio.gather(settling, return_exceptions=True)
        return found[0]

    assert (await balance_beside_a_settlement()).balance in (ALL, ALL - 5)
    house.room.trouble = "before"
    found = await balance_beside_a_settlement()
    assert isinstance(found, HiveError) or found.balance == ALL - 5


async def test_a_broken_change_is_blamed_alone(house: Any) -> None:
    def broken(books: Any, found: Any) -> None:
        books.sequence += 5
        raise ZeroDivisionError

    done = await asyncio.gather(
        house.settle(house.usage(5)),
        house.writer.ask(broken),
        house.settle(house.usage(6)),
        return_exceptions=True,
    )
    assert [type(each) for each in done] == [type(None), ZeroDivisionError, type(None)]
    assert await house.balance("wallet:t") == ALL - 11


@pytest.mark.parametrize("poison", [{"cost": 2**63}, {"cost": 1, "model": "half\ud800"}])
async def test_what_the_tables_cannot_hold_holds_up_nobody(house: Any, poison: dict[str, Any]) -> None:
    done = await asyncio.gather(
        house.settle(house.usage(5)),
        house.settle(house.usage(**poison)),
        house.settle(house.usage(6)),
        return_exceptions=True,
    )
    assert [done[0], done[2]] == [None, None]
    assert isinstance(done[1], Exception) and not isinstance(done[1], HiveError)
    assert await house.balance("wallet:t") == ALL - 11
    assert house.writer.failure is None


async def test_a_posting_that_does_not_sum_to_zero_is_none(house: Any) -> None:
    def unbalanced(books: Any, found: Any) -> None:
        books.post(1, "x", (("wallet:t", 5), ("revenue", -4)), tenant_id="t", account="wallet:t")

    with pytest.raises(ValueError, match="sum to 1"):
        await house.writer.ask(unbalanced)


async def test_who_gave_up_waiting_stops_nobody(house: Any) -> None:
    gone = asyncio.ensure_future(house.settle(house.usage(5)))
    await asyncio.sleep(0)
    gone.cancel()
    await house.settle(house.usage(6))
    await house.writer.drain()
    assert await house.balance("revenue") in (6, 11)


async def test_a_cap_counts_what_its_own_batch_spent_before_it_was_asked_for(house: Any) -> None:
    house.key(caps=Caps(day=100))
    await asyncio.gather(house.settle(house.usage(30)), house.acquire())
    assert (await house.leases())["h", "cap:key/k:day:2026-11-25"] == 70
    assert await house.free("cap:key/k:day:2026-11-25") == 0


async def test_the_thread_outlives_who_gave_up_and_what_raises(tmp_path: Path) -> None:
    room = ThreadRoom(f"sqlite+aiosqlite:///{tmp_path}/books.db")
    order: list[int] = []

    def broken(connection: Any) -> None:
        raise ZeroDivisionError

    gone = asyncio.ensure_future(room.write(lambda connection: order.append(1), durable=True))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(ZeroDivisionError):
        await room.read(broken)
    await room.read(lambda connection: order.append(2))
    await room.close()
    assert order == [1, 2]
    assert not [each for each in threading.enumerate() if each.name == "billing-writer"]
    with pytest.raises(RuntimeError, match="closed"):
        async with asyncio.timeout(5):  # else nobody would ever answer
            await room.read(lambda connection: order.append(3))
