"""Makes a long conversation short: what the user said stays, all the rest becomes a summary that a model writes.

The model sees calls and their results as text: that needs no tools to be declared, with any provider.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.responses.ids import random_id
from hive_routing.endpoints import RESPONSES, invalid
from hive_routing.pipeline import Pipeline
from hive_routing.request import model_name, parse_object
from hive_routing.stored.context import Contexts
from hive_routing.stored.responses import ResponsesWire, decode_item, named
from hive_routing.stored.summaries import Summaries
from hive_routing.visit import Caller
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

_TASK = (
    "Summarise the conversation so far, so that it can be gone on with from your summary alone. Keep every fact, "
    "name, number, decision and open task, what tools were called for and what they gave, and what the user "
    "wants. Write nothing but the summary."
)
_PASSED = ("model", "prompt_cache_key", "service_tier", "user", "safety_identifier", "metadata")
_encode = msgspec.json.encode


class _Part(msgspec.Struct):
    text: str = ""


class _Spoken(msgspec.Struct):
    type: str = ""
    content: list[_Part] = []


class _Response(msgspec.Struct):
    status: str = ""
    output: list[_Spoken] = []
    usage: Raw = Raw(b"null")


class _Call(msgspec.Struct):
    name: str = ""
    arguments: str = ""
    input: str = ""


class _Result(msgspec.Struct):
    output: Raw = Raw(b'""')


_response = msgspec.json.Decoder(_Response).decode
_call = msgspec.json.Decoder(_Call).decode
_result = msgspec.json.Decoder(_Result).decode


class Compacting:
    def __init__(self, pipeline: Pipeline, contexts: Contexts, summaries: Summaries, clock: Clock) -> None:
        self._pipeline = pipeline
        self._contexts = contexts
        self._summaries = summaries
        self._clock = clock
        self._wire = ResponsesWire()

    async def compact(self, body: bytes, caller: Caller) -> dict[str, Any]:
        """What the client gets, whose `output` stands for the conversation. Raises what the pipeline does."""
        fields = parse_object(body)
        model_name(fields)
        asked = self._wire.read(fields)
        whole = await self._contexts.body(self._wire, asked, caller.payer.tenant_id)
        items = self._wire.items(whole.get("input"))
        if not items:
            raise invalid(
                "input", "`input` or `previous_response_id` is missing: there is nothing to compact."
            )
        answer = await self._ask(fields, items, caller)
        id = random_id("resp")
        users = [item for item in items if decode_item(item).role == "user"]
        return {
            "id": id,
            "object": "response.compaction",
            "created_at": int(self._clock.now()),
            "output": [*named(users, id), self._summaries.sealed(_text(answer), caller.payer.tenant_id)],
            "usage": answer.usage,
        }

    async def _ask(self, fields: dict[str, Raw], items: list[Raw], caller: Caller) -> _Response:
        said = [_as_message(item) for item in items]
        task = {"type": "message", "role": "user", "content": _TASK}
        asks: dict[str, Any] = {name: fields[name] for name in _PASSED if name in fields}
        if "instructions" in fields:
            asks["instructions"] = fields["instructions"]
        asks |= {"input": [*said, task], "store": False}
        collected = _Collected()
        await self._pipeline.answer(RESPONSES, _encode(asks), caller, collected)
        return _response(b"".join(collected.parts))


class _Collected:
    """A way to send that leads nowhere."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.parts.append(message.get("body", b""))


def _as_message(item: Raw) -> Any:
    """The item, or what it says as a message where it is a call or a result."""
    kind = decode_item(item).kind
    if kind in ("function_call", "custom_tool_call"):
        call = _call(item)
        return _message("assistant", f"[Called the tool {call.name}: {call.arguments or call.input}]")
    if kind in ("function_call_output", "custom_tool_call_output"):
        return _message("user", f"[The tool gave: {bytes(_result(item).output).decode()}]")
    return item


def _message(role: str, text: str) -> dict[str, str]:
    return {"type": "message", "role": role, "content": text}


def _text(answer: _Response) -> str:
    """The summary. Raises HiveError `upstream_failed` where there is none, or it is not whole."""
    spoken = [part.text for item in answer.output if item.type == "message" for part in item.content]
    text = "".join(spoken)
    if not text or answer.status != "completed":
        raise HiveError(
            Kind.UPSTREAM_FAILED, "The model wrote no whole summary. Try again, or another model."
        )
    return text
