"""Conversations as OpenAI's API has them: made, changed, listed, and their items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.responses.ids import random_id
from hive_routing.endpoints import Field, invalid, shown
from hive_routing.request import parse_object
from hive_routing.stored.conversations import Conversation, ConversationStore
from hive_routing.stored.keeping import with_ids
from hive_routing.stored.pages import Page, envelope
from hive_routing.stored.responses import ResponsesWire, named
from hive_runtime.clock import Clock

MOST_NEW = 20
"""Items that come at a time."""
_METADATA = Field(dict[str, str], "an object with string values")
_NULL = Raw(b"null")
_encode = msgspec.json.encode


class Conversing:
    """Every method gives what the client gets. Raises HiveError `not_found`, `invalid`."""

    def __init__(self, conversations: ConversationStore, clock: Clock) -> None:
        self._conversations = conversations
        self._wire = ResponsesWire()
        self._clock = clock

    async def create(self, body: bytes, tenant_id: str) -> Mapping[str, Any]:
        fields = parse_object(body) if body.strip() else {}
        items = self._new(fields)
        metadata = _metadata(fields.get("metadata", _NULL))
        made = Conversation(random_id("conv"), int(self._clock.now() * 1000), metadata)
        await self._conversations.create(made, tenant_id, with_ids(items, made.id))
        return _shown(made)

    async def get(self, id: str, tenant_id: str) -> Mapping[str, Any]:
        return _shown(await self._conversations.get(id, tenant_id))

    async def change(self, id: str, body: bytes, tenant_id: str) -> Mapping[str, Any]:
        metadata = _metadata(parse_object(body).get("metadata", _NULL))
        return _shown(await self._conversations.change(id, tenant_id, metadata))

    async def delete(self, id: str, tenant_id: str) -> Mapping[str, Any]:
        await self._conversations.delete(id, tenant_id)
        return {"id": id, "object": "conversation.deleted", "deleted": True}

    async def add(self, id: str, body: bytes, tenant_id: str) -> Mapping[str, Any]:
        """Gives the new items as a list."""
        fields = parse_object(body)
        if "items" not in fields:
            raise invalid("items", "`items` is missing: it must be an array of items.")
        said = with_ids(self._new(fields), random_id("add"))
        await self._conversations.add(id, tenant_id, said)
        return envelope([(item_id, _listed(item_id, item)) for item_id, item in said], False)

    async def items(self, id: str, query: bytes, tenant_id: str) -> Mapping[str, Any]:
        found, has_more = await self._conversations.page(id, tenant_id, Page.read(query))
        return envelope([(item_id, _listed(item_id, item)) for item_id, item in found], has_more)

    async def item(self, id: str, item_id: str, tenant_id: str) -> Mapping[str, Any]:
        return _listed(item_id, await self._conversations.item(id, tenant_id, item_id))

    async def remove(self, id: str, item_id: str, tenant_id: str) -> Mapping[str, Any]:
        return _shown(await self._conversations.remove(id, tenant_id, item_id))

    def _new(self, fields: Mapping[str, Raw]) -> list[Raw]:
        given = fields.get("items", _NULL)
        if bytes(given).lstrip()[:1] == b'"':
            raise invalid("items", f"`items` must be an array of items; got {shown(given)}.")
        items = self._wire.items(given)
        if len(items) > MOST_NEW:
            raise invalid("items", f"`items` must have at most {MOST_NEW} items at a time; got {len(items)}.")
        return items


def _metadata(raw: Raw) -> bytes:
    return _encode(_METADATA.read("metadata", raw) or {})


def _shown(conversation: Conversation) -> Mapping[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": conversation.created_ms // 1000,
        "metadata": Raw(conversation.metadata),
    }


def _listed(id: str, item: bytes) -> Mapping[str, Any]:
    (listed,) = named([Raw(item)], "")
    return listed | {"id": Raw(_encode(id))}
