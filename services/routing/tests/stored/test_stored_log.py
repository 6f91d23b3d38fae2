"""The log of a stream's events: all of them are written, in their order, whenever its end comes."""

from __future__ import annotations

import asyncio

import pytest

from hive_routing.stored import log
from hive_routing.stored.log import EventLog
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind


class Table:
    """What was written. open: writes go through. wanted: the answer still is."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, list[bytes]]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.wanted = True
        self.away = False

    async def write(self, number: int, said: list[bytes]) -> bool:
        self.asked.set()
        await self.open.wait()
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "The database is away.")
        self.rows.append((number, said))
        return self.wanted


async def test_the_end_waits_for_what_is_being_written() -> None:
    table = Table()
    events = EventLog(table.write, SystemClock())
    running = asyncio.ensure_future(events.run())
    table.open.clear()
    events.add(b"one")
    await table.asked.wait()
    events.add(b"two")

    ending = asyncio.ensure_future(events.flush())
    await asyncio.sleep(0)
    assert not ending.done()
    table.open.set()
    await ending
    running.cancel()

    assert table.rows == [(0, [b"one"]), (1, [b"two"])]


@pytest.mark.parametrize("trouble", ["away", "unwanted"])
async def test_where_it_cannot_be_written_the_answer_goes_on(trouble: str) -> None:
    table = Table()
    table.away, table.wanted = trouble == "away", trouble != "unwanted"
    events = EventLog(table.write, SystemClock())
    events.add(b"one")
    await events.flush()
    rows = list(table.rows)

    events.add(b"two")
    await events.flush()

    assert table.rows == rows


async def test_what_is_too_much_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_LOG_BYTES", 7)
    table = Table()
    events = EventLog(table.write, SystemClock())

    for event in (b"one", b"two", b"three", b"4"):
        events.add(event)
    await events.flush()

    assert table.rows == [(0, [b"one", b"two"])]
