"""Google's interactions: bodies, the Interaction and its events, as far as keeping them goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.form import Answer, Prompt
from hive_routing.dialects.interactions.answers import interaction_of, new_id
from hive_routing.dialects.interactions.history import as_steps
from hive_routing.endpoints import INTERACTIONS, Field
from hive_routing.providers.sse import read_named
from hive_routing.stored.kept import Asked, Kept, Members, decode_members, decode_value, with_members
from hive_routing.stored.port import Event, Truth
from hive_runtime.errors import HiveError, Kind

_BOOLEAN = Field(bool, "true or false")
_ID = Field(str, "the id of an interaction")
_NULL = Raw(b"null")
_FALSE = Raw(b"false")
_OWN = frozenset({"background", "previous_interaction_id", "input"})
_RUNNING = frozenset({"queued", "in_progress"})
_encode = msgspec.json.encode


class _Steps(msgspec.Struct):
    steps: list[Raw] = []


_steps = msgspec.json.Decoder(_Steps).decode


class InteractionsWire:
    name = "interactions"
    endpoint = INTERACTIONS
    previous = "previous_interaction_id"
    after = "last_event_id"
    marks: tuple[bytes, ...] = ()
    about = b'"interaction'
    noun = "Interaction"
    is_whole = False

    def new_id(self) -> str:
        return new_id()

    def read(self, fields: Members) -> Asked:
        flags = {
            name: _BOOLEAN.read(name, fields.get(name, _NULL)) for name in ("store", "background", "stream")
        }
        asked = Asked(
            store=flags["store"] is not False,
            background=bool(flags["background"]),
            stream=bool(flags["stream"]),
            previous=_ID.read(self.previous, fields.get(self.previous, _NULL)),
            conversation=None,
            input=fields.get("input"),
            # The gateway keeps what is to be kept: the provider need not.
            fields={name: raw for name, raw in fields.items() if name not in _OWN} | {"store": _FALSE},
        )
        asked.check(self.previous)
        return asked

    def items(self, input: Raw | bytes | None) -> list[Raw]:
        steps = as_steps(None if input is None else decode_value(bytes(input)))
        return [Raw(_encode(step)) for step in steps]

    def passed_on(self, items: Iterable[Raw]) -> list[Raw]:
        return list(items)

    def referred(self, item: Raw) -> str | None:
        return None

    def ids(self, items: Iterable[Raw]) -> dict[str, Raw]:
        return {}

    def said(self, kept: Kept) -> list[Raw]:
        return [*self.items(kept.input), *self.put_out(kept.answer)]

    def put_out(self, answer: bytes) -> list[Raw]:
        return _steps(answer).steps

    def plain(self, answer: bytes, truth: Truth) -> bytes:
        return with_members(answer, **_told(truth))

    def event(self, raw: bytes, truth: Truth, number: int | None) -> Event:
        name, data = read_named(raw)
        if data is None or data.startswith(b"[DONE]"):
            return Event(raw)
        if number is None and self.about not in data:
            return Event(raw)
        event = decode_members(data)
        answer = None
        if "interaction" in event:
            interaction = self.plain(bytes(event["interaction"]), truth)
            event["interaction"] = Raw(interaction)
            answer = None if _status(interaction) in _RUNNING else interaction
        elif "interaction_id" in event:
            event["interaction_id"] = Raw(_encode(truth.id))
        if number is not None:
            event["event_id"] = Raw(b'"%d"' % number)
        return Event(_event(name, event), answer)

    def completed(self, answer: bytes, prompt: Prompt, gathered: Answer) -> bytes:
        whole = interaction_of(prompt, gathered, id="-")
        members = decode_members(answer)
        more = {name: whole[name] for name in ("steps", "outputs") if name in whole and name not in members}
        return with_members(answer, **more)

    def begun(self, prompt: Prompt, truth: Truth, created: float) -> bytes:
        told = interaction_of(
            prompt, id=truth.id, status="queued", created=created, updated=created, previous=truth.previous
        )
        return _encode(told)

    def cancelled(self, answer: bytes) -> bytes:
        return with_members(answer, status="cancelled")

    def failed(self, answer: bytes, error: HiveError) -> bytes:
        status = "budget_exceeded" if error.kind is Kind.BUDGET_EXCEEDED else "failed"
        return with_members(answer, status=status, errors=[_error(error)])

    def failure(self, answer: bytes, error: HiveError, number: int) -> bytes:
        return _event("error", {"error": _error(error), "event_type": "error", "event_id": str(number)})

    def deleted(self, id: str) -> Mapping[str, Any]:
        return {}


def _told(truth: Truth) -> dict[str, Any]:
    told: dict[str, Any] = {"id": truth.id}
    return told | ({"previous_interaction_id": truth.previous} if truth.previous is not None else {})


def _status(interaction: bytes) -> str:
    return str(decode_value(decode_members(interaction).get("status", Raw(b'"completed"'))))


def _error(error: HiveError) -> dict[str, Any]:
    return {"code": error.kind.label, "message": error.message}


def _event(name: str, members: Mapping[str, Any]) -> bytes:
    head = b"event: %b\n" % name.encode() if name else b""
    return b"%bdata: %b\n\n" % (head, _encode(members))
