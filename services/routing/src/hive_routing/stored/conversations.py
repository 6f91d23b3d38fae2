"""Conversations and their items, in tables that all processes of routing share; they belong to tenants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Raw
from sqlalchemy import delete, func, insert, select, update

from hive_routing.endpoints import invalid
from hive_routing.stored.kept import MAX_CHAIN_BYTES, is_id, not_found
from hive_routing.stored.pages import Page
from hive_routing.stored.tables import conversation_items as items
from hive_routing.stored.tables import conversations
from hive_runtime.errors import HiveError
from hive_sql import AsyncConnection, Database

MOST_ITEMS = 10_000
"""Of a conversation."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """metadata: JSON."""

    id: str
    created_ms: int
    metadata: bytes


class ConversationStore:
    """Methods that name a conversation raise HiveError `not_found` where the tenant has none of that id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, made: Conversation, tenant_id: str, said: Sequence[tuple[str, bytes]]) -> None:
        """said: id and JSON of each item that it begins with."""
        row = {"id": made.id, "created_ms": made.created_ms, "metadata": made.metadata}
        async with self._database.transaction() as connection:
            await connection.execute(insert(conversations).values(tenant_id=tenant_id, **row))
            await append(connection, made.id, tenant_id, said)

    async def get(self, id: str, tenant_id: str) -> Conversation:
        async with self._database.read() as connection:
            return await _get(connection, id, tenant_id)

    async def change(self, id: str, tenant_id: str, metadata: bytes) -> Conversation:
        async with self._database.transaction() as connection:
            changed = update(conversations).where(conversations.c.id == id).values(metadata=metadata)
            await connection.execute(changed.where(conversations.c.tenant_id == tenant_id))
            return await _get(connection, id, tenant_id)

    async def delete(self, id: str, tenant_id: str) -> None:
        async with self._database.transaction() as connection:
            await _get(connection, id, tenant_id)
            await connection.execute(delete(conversations).where(conversations.c.id == id))

    async def add(self, id: str, tenant_id: str, said: Sequence[tuple[str, bytes]]) -> None:
        """Items behind all others. Raises HiveError `invalid` where it gets too long."""
        async with self._database.transaction() as connection:
            await _get(connection, id, tenant_id)
            await append(connection, id, tenant_id, said)

    async def check_room(self, id: str, tenant_id: str, new: int) -> None:
        """Raises HiveError `invalid` where it gets too long with so many more, and an answer of at least one item."""
        counted = select(func.count()).where(items.c.conversation_id == id)
        async with self._database.read() as connection:
            await _get(connection, id, tenant_id)
            if (await connection.execute(counted)).scalar_one() + new >= MOST_ITEMS:
                raise _too_long()

    async def remove(self, id: str, tenant_id: str, item_id: str) -> Conversation:
        async with self._database.transaction() as connection:
            found = await _get(connection, id, tenant_id)
            where = (items.c.conversation_id == id, items.c.item_id == item_id)
            if not (await connection.execute(delete(items).where(*where))).rowcount:
                raise not_found("Item", item_id)
        return found

    async def page(self, id: str, tenant_id: str, page: Page) -> tuple[list[tuple[str, bytes]], bool]:
        """Id and JSON of each item on it, and whether more follow. HiveError `invalid` for an unknown `after`."""
        here = items.c.conversation_id == id
        order = items.c.position if page.ascending else items.c.position.desc()
        rows = select(items.c.item_id, items.c.item).where(here).order_by(order).limit(page.limit + 1)
        async with self._database.read() as connection:
            await _get(connection, id, tenant_id)
            if page.after is not None:
                if not is_id(page.after):
                    raise page.unknown()
                known = select(items.c.position).where(here, items.c.item_id == page.after)
                if (place := (await connection.execute(known)).scalar_one_or_none()) is None:
                    raise page.unknown()
                rows = rows.where(items.c.position > place if page.ascending else items.c.position < place)
            found = [(row.item_id, row.item) for row in await connection.execute(rows)]
        return found[: page.limit], len(found) > page.limit

    async def item(self, id: str, tenant_id: str, item_id: str) -> bytes:
        async with self._database.read() as connection:
            await _get(connection, id, tenant_id)
            where = (items.c.conversation_id == id, items.c.item_id == item_id)
            found = (await connection.execute(select(items.c.item).where(*where))).scalar_one_or_none()
        if found is None:
            raise not_found("Item", item_id)
        return bytes(found)

    async def whole(self, id: str, tenant_id: str) -> list[Raw]:
        """The items as they were said. Raises HiveError `invalid` where that is more than can be said again."""
        async with self._database.read() as connection:
            await _get(connection, id, tenant_id)
            size = select(func.coalesce(func.sum(func.length(items.c.item)), 0))
            if (
                await connection.execute(size.where(items.c.conversation_id == id))
            ).scalar_one() > MAX_CHAIN_BYTES:
                message = (
                    f"The conversation has more than {MAX_CHAIN_BYTES} bytes: delete items, or begin anew."
                )
                raise invalid("conversation", message)
            rows = select(items.c.item).where(items.c.conversation_id == id).order_by("position")
            return [Raw(row.item) for row in await connection.execute(rows)]


async def append(
    connection: AsyncConnection, id: str, tenant_id: str, said: Sequence[tuple[str, bytes]]
) -> bool:
    """Put items behind all others, but for those that it has already.

    False where the conversation is not there any more.
    """
    own = (conversations.c.id == id, conversations.c.tenant_id == tenant_id)
    # Whoever appends has the conversation alone until the end of the transaction: positions are given once.
    if (await connection.execute(select(conversations.c.id).where(*own).with_for_update())).first() is None:
        return False
    counted = select(func.coalesce(func.max(items.c.position), -1), func.count())
    last, count = (await connection.execute(counted.where(items.c.conversation_id == id))).one()
    if count + len(said) > MOST_ITEMS:
        raise _too_long()
    known = select(items.c.item_id).where(
        items.c.conversation_id == id, items.c.item_id.in_([item_id for item_id, _ in said])
    )
    there = {row.item_id for row in await connection.execute(known)}
    rows = [
        {"conversation_id": id, "position": last + 1 + place, "item_id": item_id, "item": item}
        for place, (item_id, item) in enumerate(said)
        if item_id not in there
    ]
    if rows:
        await connection.execute(insert(items), rows)
    return True


def _too_long() -> HiveError:
    message = f"A conversation has at most {MOST_ITEMS} items: delete some, or begin anew."
    return invalid("conversation", message)


async def _get(connection: AsyncConnection, id: str, tenant_id: str) -> Conversation:
    own = (conversations.c.id == id, conversations.c.tenant_id == tenant_id)
    row = (await connection.execute(select(conversations).where(*own))).one_or_none()
    if row is None:
        raise not_found("Conversation", id, "conversation")
    return Conversation(row.id, row.created_ms, row.metadata)
