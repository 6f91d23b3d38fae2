"""The door for answers that are kept, and for conversations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from hive_relay.asgi import Scope, Send
from hive_routing.answers import send_whole
from hive_routing.endpoints import invalid
from hive_routing.stored.answering import Answering
from hive_routing.stored.background import FROM_THE_START, Background
from hive_routing.stored.compacting import Compacting
from hive_routing.stored.conversing import Conversing
from hive_routing.stored.counting import Counting
from hive_routing.stored.interactions import InteractionsWire
from hive_routing.stored.kept import Kept, Members, decode_value, is_id, not_found, with_members
from hive_routing.stored.pages import Page, envelope, read_query
from hive_routing.stored.port import Wire
from hive_routing.stored.responses import ResponsesWire, named
from hive_routing.stored.store import AnswerStore
from hive_routing.visit import Caller
from hive_runtime.errors import HiveError, Kind

WIRES: Mapping[str, Wire] = {"responses": ResponsesWire(), "interactions": InteractionsWire()}
"""By the first part of their paths."""
_PREFIXES = ("/v1beta/", "/v1/", "/")
_CONVERSATIONS = "conversations"

_encode = msgspec.json.encode


class Place(NamedTuple):
    """What a path names. family: its first part. rest: all behind the id."""

    family: str
    id: str
    rest: tuple[str, ...]


_COMPACT = Place("responses", "compact", ())
_COUNT = Place("responses", "input_tokens", ())
_COMPACT_PATH = "responses/compact"


class StoredDoor:
    """Raises HiveError."""

    def __init__(
        self,
        answering: Answering,
        answers: AnswerStore,
        background: Background,
        conversing: Conversing,
        compacting: Compacting,
        counting: Counting,
    ) -> None:
        self._answering = answering
        self._answers = answers
        self._background = background
        self._conversing = conversing
        self._compacting = compacting
        self._counting = counting

    async def answer(self, wire: Wire, body: bytes, caller: Caller, send: Send) -> None:
        """A new answer."""
        await self._answering.answer(wire, body, caller, send)

    @staticmethod
    def find(path: str) -> Place | None:
        """None for a path that names nothing that is kept."""
        bare = next(path[len(prefix) :] for prefix in _PREFIXES if path.startswith(prefix))
        family, *parts = bare.rstrip("/").split("/")
        if not all(map(is_id, parts)):
            return None
        if family not in WIRES and family != _CONVERSATIONS:
            return None
        return Place(family, parts[0] if parts else "", tuple(parts[1:]))

    async def serve(self, place: Place, scope: Scope, body: bytes, caller: Caller, send: Send) -> None:
        if scope["method"] == "POST" and place == _COMPACT:
            async with self._answering.claimed(_COMPACT_PATH, body, caller, send) as claimed:
                if claimed is not None:
                    await send_json(claimed, await self._compacting.compact(body, caller))
        elif scope["method"] == "POST" and place == _COUNT:
            tokens = await self._counting.count(body, caller)
            await send_json(send, {"object": "response.input_tokens", "input_tokens": tokens})
        elif (wire := WIRES.get(place.family)) is not None:
            await self._serve_answer(wire, place, scope, body, caller, send)
        else:
            told = await self._serve_conversation(place, scope, body, caller.payer.tenant_id)
            await send_json(send, told)

    async def _serve_answer(
        self, wire: Wire, place: Place, scope: Scope, body: bytes, caller: Caller, send: Send
    ) -> None:
        tenant_id = caller.payer.tenant_id
        match scope["method"], place.rest:
            case "GET", ():
                kept = await self._found(wire, place.id, tenant_id)
                await self._give(wire, kept, read_query(scope["query_string"]), send)
            case "DELETE", ():
                if not await self._background.delete(wire, place.id, tenant_id):
                    raise not_found(wire.noun, place.id)
                await send_json(send, wire.deleted(place.id))
            case "POST", ("cancel",):
                kept = await self._found(wire, place.id, tenant_id)
                await send_whole(send, (await self._background.cancel(wire, kept)).shown, [])
            case "GET", ("input_items",) if wire.name == "responses":
                kept = await self._found(wire, place.id, tenant_id)
                items = [(_id(item), item) for item in named(wire.items(kept.input), kept.id)]
                await send_json(send, envelope(*Page.read(scope["query_string"]).of(items)))
            case _:
                raise _no_route(scope)

    async def _give(self, wire: Wire, kept: Kept, query: Mapping[str, str], send: Send) -> None:
        if query.get("stream") in ("true", "True", "1"):
            after = _number(wire.after, query.get(wire.after))
            await self._background.listen(kept, after, send)
        elif query.get("include_input") in ("true", "True", "1"):
            await send_whole(send, with_members(kept.shown, input=Raw(kept.input)), [])
        else:
            await send_whole(send, kept.shown, [])

    async def _serve_conversation(
        self, place: Place, scope: Scope, body: bytes, tenant_id: str
    ) -> Mapping[str, Any]:
        talk, id = self._conversing, place.id
        match scope["method"], bool(id), place.rest:
            case "POST", False, ():
                return await talk.create(body, tenant_id)
            case "GET", True, ():
                return await talk.get(id, tenant_id)
            case "POST", True, ():
                return await talk.change(id, body, tenant_id)
            case "DELETE", True, ():
                return await talk.delete(id, tenant_id)
            case "POST", True, ("items",):
                return await talk.add(id, body, tenant_id)
            case "GET", True, ("items",):
                return await talk.items(id, scope["query_string"], tenant_id)
            case "GET", True, ("items", item_id):
                return await talk.item(id, item_id, tenant_id)
            case "DELETE", True, ("items", item_id):
                return await talk.remove(id, item_id, tenant_id)
            case _:
                raise _no_route(scope)

    async def _found(self, wire: Wire, id: str, tenant_id: str) -> Kept:
        if (kept := await self._answers.get(id, tenant_id, wire.name)) is None:
            raise not_found(wire.noun, id)
        return kept


def _number(name: str, given: str | None) -> int:
    """Of the last event that the client has."""
    if not given:
        return FROM_THE_START
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        raise invalid(name, f"`{name}` must be the number of an event; got {given[:20]!r}.")
    return int(given)


def _id(item: Members) -> str:
    return str(decode_value(item["id"]))


def _no_route(scope: Scope) -> HiveError:
    path, method = scope["path"][:200], scope["method"]
    return HiveError(Kind.NOT_FOUND, f"{method} {path} is not enabled on this deployment.")


async def send_json(send: Send, value: Any) -> None:
    await send_whole(send, _encode(value), [])
