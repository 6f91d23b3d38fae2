"""The queue of answers that are made in the background, in tables that all processes of routing share.

Whoever takes a job owns it until it ends. What belongs to a process that has died is given back where no provider
has heard of it, and ends with an error where one may have: it is never asked twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update

from hive_routing.stored.conversations import append
from hive_routing.stored.kept import Job, Kept, Run, State
from hive_routing.stored.store import insert_answer, insert_items
from hive_routing.stored.tables import answers, events, runs
from hive_runtime.errors import HiveError, Kind
from hive_sql import AsyncConnection, Database

MOST_QUEUED = 1000
"""Answers of one tenant that are still to be made."""

_encode = msgspec.msgpack.encode
_decode_job = msgspec.msgpack.Decoder(Job).decode
_decode_events = msgspec.msgpack.Decoder(list[bytes]).decode


@dataclass(slots=True)
class End:
    """How a run ends. said: what it adds to its conversation. event: the last one of its stream."""

    answer: bytes
    item_ids: list[str] = field(default_factory=list)
    said: Sequence[tuple[str, bytes]] = ()
    event: bytes | None = None


class Queue:
    """Every method raises HiveError `unavailable` where the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, kept: Kept, job: Job) -> None:
        """An answer that is still to be made. Raises HiveError `rate_limited` where too many are."""
        row = {"owner": "", "epoch": 0, "dispatched": False, "queued_ms": kept.created_ms}
        async with self._database.transaction() as connection:
            waiting = select(func.count()).select_from(runs.join(answers))
            own = waiting.where(answers.c.tenant_id == kept.tenant_id)
            if (await connection.execute(own)).scalar_one() >= MOST_QUEUED:
                message = (
                    f"{MOST_QUEUED} answers wait or are made in the background already. Try again later."
                )
                raise HiveError(Kind.RATE_LIMITED, message, "background", retry_after=10)
            await insert_answer(connection, kept)
            await connection.execute(insert(runs).values(answer_id=kept.id, job=_encode(job), **row))

    async def take(self, owner: str) -> Run | None:
        """The one that has waited longest; None where none waits."""
        waiting = select(runs.c.answer_id).where(runs.c.owner == "").order_by(runs.c.queued_ms).limit(1)
        async with self._database.read() as connection:
            if (await connection.execute(waiting)).first() is None:
                return None
        async with self._database.transaction() as connection:
            found = (await connection.execute(waiting.with_for_update(skip_locked=True))).first()
            if found is None:
                return None
            mine = runs.c.answer_id == found.answer_id
            epoch = runs.c.epoch + 1
            await connection.execute(update(runs).where(mine).values(owner=owner, epoch=epoch))
            begun = update(answers).where(answers.c.id == found.answer_id).values(state=State.RUNNING)
            await connection.execute(begun)
            row = (await connection.execute(select(runs).where(mine))).one()
        return _run(row)

    async def kept(self, run: Run) -> Kept | None:
        """What it is to be an answer to; None where it is not wanted any more."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(answers).where(answers.c.id == run.id))).one_or_none()
        if row is None:
            return None
        fields = {name: value for name, value in row._mapping.items() if name != "size"}
        return Kept(**fields | {"state": State(row.state)})

    async def dispatched(self, run: Run) -> bool:
        """A provider is about to be asked. False: it is not this run's any more."""
        async with self._database.transaction() as connection:
            changed = await connection.execute(update(runs).where(_is(run)).values(dispatched=True))
        return bool(changed.rowcount)

    async def give_back(self, run: Run) -> bool:
        """Let another process make it; false where a provider may have heard of it, or it is not this run's."""
        mine = and_(_is(run), runs.c.dispatched.is_(False))
        async with self._database.transaction() as connection:
            if not (await connection.execute(update(runs).where(mine).values(owner=""))).rowcount:
                return False
            queued = update(answers).where(answers.c.id == run.id).values(state=State.QUEUED)
            await connection.execute(queued)
        return True

    async def end(self, run: Run, end: End) -> bool:
        """The answer is made, or cannot be. False: it is not this run's any more, and nothing has changed."""
        async with self._database.transaction() as connection:
            if not (await connection.execute(delete(runs).where(_is(run)))).rowcount:
                return False
            if end.event is not None:
                number = await _next_number(connection, run.id)
                await _insert_events(connection, run.id, number, [end.event])
            values = {"state": State.ENDED, "answer": end.answer}
            size = func.length(answers.c.input) + len(end.answer)
            mine = answers.c.id == run.id
            await connection.execute(update(answers).where(mine).values(size=size, **values))
            await insert_items(connection, run.id, end.item_ids)
            if end.said:
                about = select(answers.c.conversation, answers.c.tenant_id).where(mine)
                conversation, tenant_id = (await connection.execute(about)).one()
                await append(connection, conversation, tenant_id, end.said)
        return True

    async def cancel(self, id: str, answer: bytes) -> bool:
        """It is not wanted any more. answer: as it is told from now on. False: it has ended already."""
        async with self._database.transaction() as connection:
            if not (await connection.execute(delete(runs).where(runs.c.answer_id == id))).rowcount:
                return False
            ended = update(answers).where(answers.c.id == id).values(state=State.ENDED, answer=answer)
            await connection.execute(ended)
        return True

    async def held(self, owner: str) -> set[str]:
        """The answers that it is still to make: what it makes beside these is not wanted any more."""
        async with self._database.read() as connection:
            found = await connection.execute(select(runs.c.answer_id).where(runs.c.owner == owner))
            return {row.answer_id for row in found}

    async def owners(self) -> list[str]:
        """Those who have taken something that has not ended."""
        async with self._database.read() as connection:
            found = await connection.execute(select(runs.c.owner).where(runs.c.owner != "").distinct())
            return [row.owner for row in found]

    async def runs_of(self, owner: str) -> list[Run]:
        """What it has taken and not ended."""
        async with self._database.read() as connection:
            found = await connection.execute(select(runs).where(runs.c.owner == owner))
            return [_run(row) for row in found.all()]

    async def note_events(self, run: Run, number: int, said: Sequence[bytes]) -> bool:
        """Keep events of a stream. number: of the first one. False: it is not this run's any more."""
        async with self._database.transaction() as connection:
            if (await connection.execute(select(runs.c.epoch).where(_is(run)))).first() is None:
                return False
            await _insert_events(connection, run.id, number, said)
        return True

    async def next_number(self, id: str) -> int:
        """Of the event that would be the next one."""
        async with self._database.read() as connection:
            return await _next_number(connection, id)

    async def events(self, id: str, after: int) -> list[tuple[int, bytes]]:
        """Those behind the event of this number, with theirs."""
        own = events.c.answer_id == id
        first = select(func.max(events.c.number)).where(own, events.c.number <= after + 1).scalar_subquery()
        rows = select(events).where(own, events.c.number >= func.coalesce(first, 0)).order_by(events.c.number)
        async with self._database.read() as connection:
            batches = (await connection.execute(rows)).all()
        numbered = [
            (batch.number + place, event)
            for batch in batches
            for place, event in enumerate(_decode_events(batch.events))
        ]
        return [(number, event) for number, event in numbered if number > after]


async def _next_number(connection: AsyncConnection, id: str) -> int:
    rows = select(events).where(events.c.answer_id == id).order_by(events.c.number.desc()).limit(1)
    last = (await connection.execute(rows)).one_or_none()
    return 0 if last is None else int(last.number) + len(_decode_events(last.events))


async def _insert_events(connection: AsyncConnection, id: str, number: int, said: Sequence[bytes]) -> None:
    row = {"answer_id": id, "number": number, "events": _encode(list(said))}
    await connection.execute(insert(events).values(row))


def _is(run: Run) -> ColumnElement[bool]:
    return and_(runs.c.answer_id == run.id, runs.c.owner == run.owner, runs.c.epoch == run.epoch)


def _run(row: Any) -> Run:
    return Run(row.answer_id, row.owner, row.epoch, _decode_job(row.job))
