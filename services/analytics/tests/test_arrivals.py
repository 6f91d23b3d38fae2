"""Rows on their way into the tables of this machine's engine: what it reads of them, and what a stop leaves of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from hive_analytics.olap.chdb.arrivals import Arrivals
from hive_analytics.olap.columns import Decoded
from hive_analytics.olap.process import ProcessOlap
from hive_analytics.olap.tables import ROWS
from hive_runtime.clock import SystemClock
from hive_runtime.tasks import Tasks
from modelhive.events.v1 import guard_pb2, ledger_pb2, usage_pb2

# Numbers that no enum has a name for are what some of these are about.
UsageRecorded: Any = usage_pb2.UsageRecorded
RequestLogged: Any = usage_pb2.RequestLogged
LedgerPosted: Any = ledger_pb2.LedgerPosted
LedgerEntry = ledger_pb2.LedgerEntry
GuardDecided: Any = guard_pb2.GuardDecided
MOST, LEAST = 2**63 - 1, -(2**63)
TAGS = ["ß", "b", "a", "b", "", "𝄞", "\ufb00", "x" * 300]
ODD: dict[str, list[Message]] = {
    "usage": [
        UsageRecorded(request_id=f"outcome {number}", outcome=number) for number in (*range(9), 2**31 - 1, -1)
    ]
    + [
        UsageRecorded(started_unix_ms=LEAST, first_content_us=0, duration_us=LEAST, sequence=MOST, tags=TAGS),
        UsageRecorded(
            started_unix_ms=MOST, first_content_us=MOST, attempt=2**32 - 1, streamed=True, last=True
        ),
        UsageRecorded(
            units={"prompt": MOST, "": -1}, estimated=True, holder="h", tags=["b", "a"], guards=TAGS
        ),
        UsageRecorded(error="'\\\n\0\"", cache=2, guard_verdict=4, traceparent="00-1", scopes=["s"]),
        UsageRecorded(cache=77, guard_verdict=77, upstream_request_id="u"),
    ],
    "ledger": [
        LedgerPosted(
            sequence=1, kind=4, occurred_unix_ms=LEAST, posted_unix_ms=MOST, corrects="c", tags=TAGS
        ),
        LedgerPosted(
            sequence=2,
            kind=99,
            entries=[LedgerEntry(account="a", amount_nanos=LEAST), LedgerEntry(), LedgerEntry(account="ß")],
            spent_nanos=MOST,
            provider_cost_nanos=LEAST,
            estimated=True,
        ),
    ],
    "guard": [
        GuardDecided(request_id="r", stage=2, verdict=3, decided_unix_ms=MOST, categories=TAGS, scanned=MOST),
        GuardDecided(stage=9, verdict=9, decisions=LEAST, version="3"),
    ],
    "requests": [
        RequestLogged(request_id="1", status=2**32 - 1, error_message="no\n" * 9, first_byte_us=0, tags=TAGS),
        RequestLogged(request_id="2", client_gone=True, replayed=True, cache=3, guards=["g"], calls=7),
    ],
}


def store(folder: Path) -> ProcessOlap:
    return ProcessOlap(folder, 512, 2, SystemClock(), Tasks(lambda name, error: None))


def rows_of(events: list[Message]) -> list[bytes]:
    return [event.SerializeToString() for event in events]


async def test_the_engine_makes_of_an_event_what_a_server_is_told(tmp_path: Path) -> None:
    olap = store(tmp_path)
    try:
        for family, events in ODD.items():
            told = Decoded(family, rows_of(events)).columns()
            await olap.insert(family, rows_of(events))
            values = [
                f"toUnixTimestamp64Milli({name})" if type.startswith("DateTime64") else name
                for name, type in ROWS[family].items()
            ]
            read = await olap.select(f"SELECT {', '.join(values)} FROM {family}", {}, 30.0)
            expected = [list(row) for row in zip(*(told[name] for name in ROWS[family]), strict=True)]
            assert sorted(read, key=repr) == sorted(expected, key=repr), family
    finally:
        await olap.close()


async def test_rows_that_no_question_moved_outlast_the_process(tmp_path: Path) -> None:
    events = rows_of([LedgerPosted(sequence=number, cause=f"c{number}") for number in range(1, 4)])
    olap = store(tmp_path)
    arrived = await olap.insert("ledger", events[:2])
    assert arrived.sequences == {"": [(1, 2)]}
    assert olap.pid is not None
    os.kill(olap.pid, 9)
    waiting = tmp_path / "arrivals" / "ledger"
    before = waiting.read_bytes()
    await olap.close()
    for torn in (b"\x50half of an event", b"\x80", b"\0" * 512):
        waiting.write_bytes(before + torn)
        olap = store(tmp_path)
        try:
            await olap.insert("ledger", events[2:])
            found = await olap.select("SELECT sequence FROM ledger FINAL ORDER BY sequence", {}, 30.0)
            assert found == [[1], [2], [3]] and not waiting.read_bytes()
            assert not await olap.refresh(24)
            assert await olap.select("SELECT sum(postings) FROM ledger_day FINAL", {}, 30.0) == [[3]]
        finally:
            await olap.close()


def test_an_event_that_says_nothing_hides_none_behind_it(tmp_path: Path) -> None:
    arrivals = Arrivals("ledger", tmp_path / "ledger")
    arrivals.add([b"", *rows_of([LedgerPosted(sequence=1)])])
    assert Arrivals("ledger", arrivals.path).rows == 2


def test_a_batch_that_does_not_fit_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals = Arrivals("ledger", tmp_path / "ledger")
    arrivals.add(rows_of([LedgerPosted(sequence=1)]))
    before, write = arrivals.path.read_bytes(), os.write

    def full(file: int, data: Any) -> int:
        monkeypatch.setattr(os, "write", fails)
        return write(file, data[:3])

    def fails(file: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="no space"):
        arrivals.add(rows_of([LedgerPosted(sequence=2, cause="c" * 200)]))
    assert arrivals.path.read_bytes() == before
    monkeypatch.setattr(os, "write", write)
    arrivals.add(rows_of([LedgerPosted(sequence=3, cause="c" * 200)]))
    assert Arrivals("ledger", arrivals.path).rows == arrivals.rows == 2
