"""Answers that are kept, in a table that all processes of routing share; they belong to tenants."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, literal, select

from hive_routing.stored.conversations import append
from hive_routing.stored.kept import DAY_MS, MOST_EARLIER, Kept, State, not_found, refuse_too_long
from hive_routing.stored.tables import answers, items
from hive_sql import AsyncConnection, Database

_INSERT_ANSWER = insert(answers)
_INSERT_ITEMS = insert(items)


class AnswerStore:
    """Every method raises HiveError `unavailable` where the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, kept: Kept, said: Sequence[tuple[str, bytes]] = ()) -> None:
        """Keep an answer that is complete. said: id and JSON of what it adds to its conversation."""
        async with self._database.transaction() as connection:
            await insert_answer(connection, kept)
            if kept.conversation is not None:
                await append(connection, kept.conversation, kept.tenant_id, said)

    async def get(self, id: str, tenant_id: str, wire: str) -> Kept | None:
        same = (answers.c.id == id, answers.c.tenant_id == tenant_id, answers.c.wire == wire)
        async with self._database.read() as connection:
            row = (await connection.execute(select(answers).where(*same))).one_or_none()
        return None if row is None else _kept(row)

    async def is_ended(self, id: str) -> bool:
        """Whether nothing more comes of it: it is made, or deleted."""
        state = select(answers.c.state).where(answers.c.id == id)
        async with self._database.read() as connection:
            return (await connection.execute(state)).scalar_one_or_none() in (None, State.ENDED)

    async def delete(self, id: str, tenant_id: str, wire: str) -> bool:
        """Whether there was one. It is not made any more where it was still to be made."""
        same = (answers.c.id == id, answers.c.tenant_id == tenant_id, answers.c.wire == wire)
        async with self._database.transaction() as connection:
            return bool((await connection.execute(delete(answers).where(*same))).rowcount)

    async def chain(self, id: str, tenant_id: str, wire: str, param: str) -> list[Kept]:
        """The answer and all that it goes on from, the oldest first.

        Raises HiveError `not_found` where one of them is not there (any more), `invalid` where they are too long.
        """
        async with self._database.read() as connection:
            links = (await connection.execute(_links(id, tenant_id, wire))).all()
            missing = id if not links else links[-1].previous
            if missing is not None and len(links) <= MOST_EARLIER:
                raise not_found("An answer that is gone on from", missing, param)
            refuse_too_long(len(links), sum(link.size for link in links), param)
            named = select(answers).where(answers.c.id.in_([link.id for link in links]))
            found = {row.id: _kept(row) for row in (await connection.execute(named)).all()}
        return [found[link.id] for link in reversed(links)]

    async def with_items(self, ids: Collection[str], tenant_id: str, wire: str) -> list[Kept]:
        """The answers that have put out items with these ids, the newest first."""
        if not ids:
            return []
        where = (items.c.item_id.in_(ids), answers.c.tenant_id == tenant_id, answers.c.wire == wire)
        joined = select(answers).join(items).where(*where).order_by(answers.c.created_ms.desc()).distinct()
        async with self._database.read() as connection:
            return [_kept(row) for row in (await connection.execute(joined)).all()]

    async def sweep(self, now_ms: int, days: int) -> int:
        """Forget what is so old; returns how many answers that were. What is still being made stays."""
        old = (answers.c.created_ms <= now_ms - days * DAY_MS, answers.c.state == State.ENDED)
        async with self._database.transaction() as connection:
            return int((await connection.execute(delete(answers).where(*old))).rowcount)


async def insert_answer(connection: AsyncConnection, kept: Kept) -> None:
    row = {
        "id": kept.id,
        "tenant_id": kept.tenant_id,
        "wire": kept.wire,
        "state": kept.state,
        "background": kept.background,
        "streamed": kept.streamed,
        "previous": kept.previous,
        "conversation": kept.conversation,
        "created_ms": kept.created_ms,
        "size": kept.size,
        "input": kept.input,
        "answer": kept.answer,
    }
    await connection.execute(_INSERT_ANSWER, row)
    await insert_items(connection, kept.id, kept.item_ids)


async def insert_items(connection: AsyncConnection, id: str, item_ids: Sequence[str]) -> None:
    rows = [{"answer_id": id, "item_id": each} for each in dict.fromkeys(item_ids)]
    if rows:
        await connection.execute(_INSERT_ITEMS, rows)


def _links(id: str, tenant_id: str, wire: str) -> Any:
    """The ids of a chain, the newest first; one more than may be, where there are so many."""
    columns = (answers.c.id, answers.c.previous, answers.c.size)
    own = (answers.c.tenant_id == tenant_id, answers.c.wire == wire)
    first = select(*columns, literal(1).label("depth")).where(answers.c.id == id, *own)
    chain = first.cte("chain", recursive=True)
    before = (
        select(*columns, (chain.c.depth + 1).label("depth"))
        .join(chain, answers.c.id == chain.c.previous)
        .where(*own, chain.c.depth <= MOST_EARLIER)
    )
    chain = chain.union_all(before)
    return select(chain.c.id, chain.c.previous, chain.c.size).order_by(chain.c.depth)


def _kept(row: Row[Any]) -> Kept:
    return Kept(
        id=row.id,
        tenant_id=row.tenant_id,
        wire=row.wire,
        created_ms=row.created_ms,
        input=row.input,
        answer=row.answer,
        state=State(row.state),
        background=row.background,
        streamed=row.streamed,
        previous=row.previous,
        conversation=row.conversation,
    )
