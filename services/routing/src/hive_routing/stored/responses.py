"""OpenAI's responses: bodies, response objects and their events, as far as keeping them goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.form import Answer, Prompt
from hive_routing.dialects.responses.ids import random_id
from hive_routing.dialects.responses.response import failure as failure_of
from hive_routing.dialects.responses.response import response_object
from hive_routing.endpoints import RESPONSES, Field, invalid, shown
from hive_routing.providers.sse import read_named
from hive_routing.stored.kept import (
    Asked,
    Kept,
    Members,
    check_id,
    decode_items,
    decode_members,
    is_id,
    with_members,
)
from hive_routing.stored.port import Event, Truth
from hive_runtime.errors import HiveError, Kind

_BOOLEAN = Field(bool, "true or false")
_ID = Field(str, "the id of a response")
_ANY = Field(str | dict[str, Any], "the id of a conversation, or an object that has it")

_OWN = frozenset({"store", "background", "previous_response_id", "conversation", "input"})
_NULL = b"null"
_REFERENCE = b"item_reference"
_REASONING = b'"reasoning"'
_ID_MEMBER = b'"id"'
_NAMED_HERE = frozenset({"user", "system", "developer"})
_ABOUT = frozenset(
    {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
    }
)
"""Events that hold the response object."""
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
_CODES = {Kind.RATE_LIMITED: "rate_limit_exceeded", Kind.INVALID: "invalid_prompt"}
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
    "compaction": "cmp",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}
_encode = msgspec.json.encode


class Item(msgspec.Struct):
    """What has to be known of an item."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    encrypted_content: str | None = None
    content: Any = None

    @property
    def kind(self) -> str:
        return self.type or ("message" if self.role else "item_reference")


decode_item = msgspec.json.Decoder(Item).decode


class Output(msgspec.Struct):
    output: list[Raw] = []


_output = msgspec.json.Decoder(Output).decode


class ResponsesWire:
    name = "responses"
    endpoint = RESPONSES
    previous = "previous_response_id"
    after = "starting_after"
    marks: tuple[bytes, ...] = (_REFERENCE, _REASONING, _ID_MEMBER, b"compaction")
    about = b'"response":'
    noun = "Response"
    is_whole = True

    def new_id(self) -> str:
        return random_id("resp")

    def read(self, fields: Members) -> Asked:
        flags = {
            name: _BOOLEAN.read(name, fields.get(name, Raw(_NULL)))
            for name in ("store", "background", "stream")
        }
        asked = Asked(
            store=flags["store"] is not False,
            background=bool(flags["background"]),
            stream=bool(flags["stream"]),
            previous=_ID.read(self.previous, fields.get(self.previous, Raw(_NULL))),
            conversation=_conversation(fields),
            input=fields.get("input"),
            fields={name: raw for name, raw in fields.items() if name not in _OWN},
        )
        asked.check(self.previous)
        return asked

    def items(self, input: Raw | bytes | None) -> list[Raw]:
        if input is None or bytes(input) == _NULL:
            return []
        if bytes(input).lstrip()[:1] == b'"':
            return [Raw(b'{"type":"message","role":"user","content":%b}' % bytes(input))]
        try:
            items = decode_items(input)
            ids = [decode_item(each).id for each in items]
        except (msgspec.DecodeError, RecursionError):
            message = f"`input` must be a string or an array of items; got {shown(Raw(bytes(input)))}."
            raise invalid("input", message) from None
        for place, id in enumerate(ids):
            check_id(f"input[{place}].id", id)
        return items

    def passed_on(self, items: Iterable[Raw]) -> list[Raw]:
        return [_without_our_id(item) for item in items if _can_be_said_again(item)]

    def referred(self, item: Raw) -> str | None:
        if _REFERENCE not in bytes(item):
            return None
        found = decode_item(item)
        return found.id if found.kind == "item_reference" else None

    def ids(self, items: Iterable[Raw]) -> dict[str, Raw]:
        return {id: item for item in items if (id := decode_item(item).id) is not None}

    def said(self, kept: Kept) -> list[Raw]:
        return [*self.items(kept.input), *self.put_out(kept.answer)]

    def put_out(self, answer: bytes) -> list[Raw]:
        return _output(answer).output

    def plain(self, answer: bytes, truth: Truth) -> bytes:
        return with_members(answer, **_told(truth))

    def event(self, raw: bytes, truth: Truth, number: int | None) -> Event:
        name, data = read_named(raw)
        if name not in _ABOUT or data is None:
            return Event(raw)
        event = decode_members(data)
        if (response := event.get("response")) is None:
            return Event(raw)
        answer = self.plain(bytes(response), truth)
        event["response"] = Raw(answer)
        return Event(_event(name, event), answer if name in _LAST else None)

    def completed(self, answer: bytes, prompt: Prompt, gathered: Answer) -> bytes:
        return answer

    def begun(self, prompt: Prompt, truth: Truth, created: float) -> bytes:
        told = _told(truth)
        id = told.pop("id")
        return _encode(response_object(prompt, id=id, created_at=int(created), status="queued", extra=told))

    def cancelled(self, answer: bytes) -> bytes:
        return with_members(answer, status="cancelled")

    def failed(self, answer: bytes, error: HiveError) -> bytes:
        said = failure_of(_CODES.get(error.kind), error.message)
        if error.kind is Kind.BUDGET_EXCEEDED:
            said["code"] = error.kind.type
        return with_members(answer, status="failed", error=said)

    def failure(self, answer: bytes, error: HiveError, number: int) -> bytes:
        said = {"type": "response.failed", "sequence_number": number, "response": Raw(answer)}
        return _event("response.failed", said)

    def deleted(self, id: str) -> Mapping[str, Any]:
        return {"id": id, "object": "response", "deleted": True}


def _can_be_said_again(item: Raw) -> bool:
    """Whether it says anything where it is not kept: a thought that is neither sealed nor spoken does not."""
    if _REASONING not in bytes(item):
        return True
    found = decode_item(item)
    return found.kind != "reasoning" or bool(found.encrypted_content or found.content)


def _without_our_id(item: Raw) -> Raw:
    """The item without an id that it can have from here only: providers give none to what they did not put out."""
    if _ID_MEMBER not in bytes(item) or decode_item(item).role not in _NAMED_HERE:
        return item
    members = decode_members(item)
    members.pop("id", None)
    return Raw(_encode(members))


def named(items: list[Raw], of: str) -> list[Members]:
    """Items as they are listed, each with an id. of: what they belong to; the same gives the same ids."""
    return [_named(item, of, place) for place, item in enumerate(items)]


def _named(item: Raw, of: str, place: int) -> Members:
    found, members = decode_item(item), decode_members(item)
    members["type"] = Raw(_encode(found.kind))
    if found.id is None or not is_id(found.id):  # no client can have said such a one, but a provider may
        mark = blake2b(f"{of}/{place}".encode(), digest_size=24).hexdigest()
        members["id"] = Raw(_encode(f"{_PREFIXES.get(found.kind, 'item')}_{mark}"))
    if found.kind == "message":
        content = bytes(members.get("content", b"[]"))
        if content.lstrip()[:1] == b'"':
            kind = b"output_text" if found.role == "assistant" else b"input_text"
            more = b',"annotations":[]' if found.role == "assistant" else b""
            members["content"] = Raw(b'[{"type":"%b","text":%b%b}]' % (kind, content, more))
        members.setdefault("status", Raw(b'"completed"'))
    return members


def _told(truth: Truth) -> dict[str, Any]:
    conversation = truth.conversation
    return {
        "id": truth.id,
        "store": truth.store,
        "background": truth.background,
        "previous_response_id": truth.previous,
        "conversation": None if conversation is None else {"id": conversation},
    }


def _conversation(fields: Members) -> str | None:
    given = _ANY.read("conversation", fields.get("conversation", Raw(_NULL)))
    id = given.get("id") if isinstance(given, dict) else given
    if given is not None and not isinstance(id, str):
        raise invalid("conversation", "`conversation` must be an id, or an object that has one as its `id`.")
    return id


def _event(name: str, members: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(members))
