"""Keeps an answer once it is whole, before its client hears the end."""

from __future__ import annotations

import msgspec
import structlog
from msgspec import Raw
from sqlalchemy.exc import SQLAlchemyError

from hive_routing.stored.conversations import ConversationStore
from hive_routing.stored.kept import Asked, Kept, decode_value, is_id
from hive_routing.stored.port import Truth, Wire
from hive_routing.stored.responses import decode_item, named
from hive_routing.stored.store import AnswerStore
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError

log = structlog.get_logger(__name__)

Said = list[tuple[str, bytes]]
"""Id and JSON of items."""


class Keeper:
    """Where answers go that are made while their clients wait."""

    def __init__(self, answers: AnswerStore, conversations: ConversationStore, clock: Clock) -> None:
        self._answers = answers
        self._conversations = conversations
        self._clock = clock

    async def keep(self, wire: Wire, asked: Asked, truth: Truth, tenant_id: str, answer: bytes) -> bool:
        """Whether it is kept. One that belongs to no conversation is given even where the database is away.

        Raises HiveError `unavailable` where the database is away, and the conversation would not go on.
        """
        kept = self.kept(wire, asked, truth, tenant_id, answer)
        try:
            if asked.store:
                await self._answers.put(kept, said_in(wire, kept))
            elif asked.conversation is not None:
                await self._conversations.add(asked.conversation, tenant_id, said_in(wire, kept))
        except (HiveError, SQLAlchemyError) as error:
            if asked.conversation is not None:
                raise
            log.warning("an answer could not be kept", id=truth.id, error=str(error))
            return False
        return True

    def kept(self, wire: Wire, asked: Asked, truth: Truth, tenant_id: str, answer: bytes) -> Kept:
        return Kept(
            id=truth.id,
            tenant_id=tenant_id,
            wire=wire.name,
            created_ms=int(self._clock.now() * 1000),
            input=bytes(asked.input or b"null"),
            answer=answer,
            background=asked.background,
            streamed=asked.stream,
            previous=asked.previous,
            conversation=asked.conversation,
            item_ids=item_ids(wire, answer),
        )


def item_ids(wire: Wire, answer: bytes) -> list[str]:
    """Of what it put out, where a client may name it later."""
    return [id for item in wire.put_out(answer) if (id := _id(item)) is not None and is_id(id)]


def said_in(wire: Wire, kept: Kept) -> Said:
    """What an answer adds to its conversation."""
    if kept.conversation is None:
        return []
    return with_ids([*new_items(wire, kept.input), *wire.put_out(kept.answer)], kept.id)


def new_items(wire: Wire, input: Raw | bytes | None) -> list[Raw]:
    """What an input adds to its conversation. Raises HiveError `invalid` where it is none."""
    return [item for item in wire.items(input) if decode_item(item).kind != "item_reference"]


def with_ids(items: list[Raw], of: str) -> Said:
    """Items as they were said, each with the id by which it is listed; of several with one id the first."""
    ids = [str(decode_value(listed["id"])) for listed in named(items, of)]
    said: dict[str, bytes] = {}
    for id, item in zip(ids, items, strict=True):
        said.setdefault(id, bytes(item))
    return list(said.items())


class _Identified(msgspec.Struct):
    id: str | None = None


_identified = msgspec.json.Decoder(_Identified).decode


def _id(item: Raw) -> str | None:
    try:
        return _identified(item).id
    except msgspec.DecodeError:
        return None
