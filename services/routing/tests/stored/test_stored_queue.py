"""The queue and the stores below it, on SQLite and on Postgres, as several processes use them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete

from hive_routing.idempotency import MIGRATIONS
from hive_routing.stored import kept as rules
from hive_routing.stored import tables
from hive_routing.stored.conversations import Conversation, ConversationStore
from hive_routing.stored.kept import DAY_MS, Job, Kept, State
from hive_routing.stored.queue import End, Queue
from hive_routing.stored.store import AnswerStore
from hive_runtime.errors import HiveError, Kind
from hive_sql import Database, open_database

JOB = Job(b"{}", "t", "key_1", "req_1", 0, tags=("a",), models=("gpt-4o",), headers={"openai-beta": "x"})
WIRE = "responses"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/routing.db"
    database: str = request.getfixturevalue("postgres_database")
    return database


@pytest.fixture
async def shared(url: str) -> AsyncIterator[Database]:
    async with open_database(url, MIGRATIONS, busy_seconds=60) as database:
        yield database
        async with database.transaction() as connection:
            for table in (tables.answers, tables.conversations):
                await connection.execute(delete(table))


def answer(id: str, previous: str | None = None, **fields: object) -> Kept:
    kept = Kept(id, "t", WIRE, 1_000, b'"hi"', b'{"status":"queued"}', previous=previous)
    return replace(kept, **fields)  # type: ignore[arg-type]


def queued(id: str, ms: int = 1_000) -> Kept:
    return answer(id, state=State.QUEUED, background=True, streamed=True, created_ms=ms)


async def test_jobs_are_taken_in_their_order_and_each_once(shared: Database) -> None:
    queue = Queue(shared)
    for number in range(12):
        await queue.add(queued(f"r{number}", number), JOB)

    first = await queue.take("a")
    assert first is not None and (first.id, first.epoch, first.job) == ("r0", 1, JOB)
    taken = await asyncio.gather(*(queue.take(owner) for owner in "abcdefghijklmn"))
    assert sorted(run.id for run in taken if run is not None) == sorted(f"r{n}" for n in range(1, 12))
    kept = await AnswerStore(shared).get("r0", "t", WIRE)
    assert kept is not None and kept.state is State.RUNNING and kept.shown == b'{"status":"in_progress"}'


async def test_what_ends_ends_once(shared: Database) -> None:
    queue, answers = Queue(shared), AnswerStore(shared)
    await queue.add(queued("r"), JOB)
    run = await queue.take("a")
    assert run is not None
    assert await queue.note_events(run, 0, [b"one", b"two"]) and await queue.note_events(run, 2, [b"three"])

    ends = [
        queue.end(run, End(b'{"status":"completed"}', ["i1"], event=b"four")),
        queue.cancel("r", b'{"status":"cancelled"}'),
        queue.end(run, End(b'{"status":"failed"}', event=b"four")),
    ]
    assert sorted(await asyncio.gather(*ends)) == [False, False, True]
    assert await answers.is_ended("r") and not await queue.note_events(run, 3, [b"late"])
    assert await queue.take("a") is None and await queue.owners() == []


async def test_events_are_found_behind_any_of_them(shared: Database) -> None:
    queue = Queue(shared)
    await queue.add(queued("r"), JOB)
    run = await queue.take("a")
    assert run is not None
    said = [str(number).encode() for number in range(9)]
    for start, end in ((0, 4), (4, 5), (5, 8)):
        await queue.note_events(run, start, said[start:end])
    await queue.end(run, End(b"{}", event=said[8]))

    for after in range(-1, 10):
        expected = [(number, said[number]) for number in range(after + 1, 9)]
        assert await queue.events("r", after) == expected


async def test_what_the_dead_leave_is_given_back_or_ended(shared: Database) -> None:
    queue = Queue(shared)
    for id in ("new", "sent"):
        await queue.add(queued(id), JOB)
    runs = [await queue.take("a") for _ in range(2)]
    (sent,) = [run for run in runs if run is not None and run.id == "sent"]
    assert await queue.dispatched(sent) and not await queue.give_back(sent)

    given_back = {run.id: await queue.give_back(run) for run in await queue.runs_of("a")}

    assert given_back == {"new": True, "sent": False} and await queue.held("a") == {"sent"}
    again = await queue.take("b")
    assert again is not None and (again.id, again.epoch) == ("new", 2)
    assert [await queue.dispatched(run) for run in runs if run is not None and run.id == "new"] == [False]


async def test_what_is_deleted_is_not_held_any_more(shared: Database) -> None:
    queue, answers = Queue(shared), AnswerStore(shared)
    await queue.add(queued("r"), JOB)
    run = await queue.take("a")
    assert run is not None and await queue.held("a") == {"r"}

    assert await answers.delete("r", "t", WIRE) and not await answers.delete("r", "t", WIRE)

    assert await queue.held("a") == set() and await queue.kept(run) is None
    assert not await queue.end(run, End(b"{}"))


async def test_a_chain_is_read_from_its_end(shared: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = AnswerStore(shared)
    for number in range(5):
        await answers.put(answer(f"r{number}", f"r{number - 1}" if number else None))

    chain = await answers.chain("r4", "t", WIRE, "previous_response_id")
    assert [kept.id for kept in chain] == ["r0", "r1", "r2", "r3", "r4"]
    with pytest.raises(HiveError) as missing:
        await answers.chain("r4", "other", WIRE, "previous_response_id")
    assert missing.value.kind is Kind.NOT_FOUND
    await answers.delete("r1", "t", WIRE)
    with pytest.raises(HiveError) as gone:
        await answers.chain("r4", "t", WIRE, "previous_response_id")
    assert "`r1`" in gone.value.message


async def test_a_chain_has_bounds(shared: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = AnswerStore(shared)
    await answers.put(answer("r0"))
    await answers.put(answer("r1", "r0"))
    monkeypatch.setattr(rules, "MAX_CHAIN_BYTES", 30)

    with pytest.raises(HiveError) as refused:
        await answers.chain("r1", "t", WIRE, "previous_response_id")

    assert (refused.value.kind, refused.value.reason) == (Kind.INVALID, "context_too_long")


async def test_what_is_old_is_forgotten_and_what_is_being_made_is_not(shared: Database) -> None:
    queue, answers = Queue(shared), AnswerStore(shared)
    await answers.put(answer("old", item_ids=["i1"]))
    await answers.put(answer("new", created_ms=2_000))
    await queue.add(queued("waiting"), JOB)

    assert await answers.sweep(1_000 + 30 * DAY_MS, 30) == 1

    found = [await answers.get(id, "t", WIRE) for id in ("old", "new", "waiting")]
    assert [kept is not None for kept in found] == [False, True, True]
    assert await answers.with_items(["i1"], "t", WIRE) == []


async def test_items_are_found_by_their_ids(shared: Database) -> None:
    answers = AnswerStore(shared)
    await answers.put(answer("r0", item_ids=["i1", "i2", "i1"]))
    await answers.put(answer("r1", item_ids=["i1"], created_ms=2_000))

    assert [kept.id for kept in await answers.with_items(["i1", "i2"], "t", WIRE)] == ["r1", "r0"]
    assert await answers.with_items(["i1"], "other", WIRE) == []


async def test_many_append_to_one_conversation(shared: Database) -> None:
    conversations = ConversationStore(shared)
    await conversations.create(Conversation("c", 1_000, b"{}"), "t", [("i", b'"first"')])

    await asyncio.gather(
        *(conversations.add("c", "t", [(f"a{n}", b'"a"'), (f"b{n}", b'"b"')]) for n in range(8))
    )
    await conversations.add("c", "t", [("a0", b'"again"')])

    items = [bytes(item) for item in await conversations.whole("c", "t")]
    assert items == [b'"first"', *[b'"a"', b'"b"'] * 8]
