"""Mistral: OpenAI's chats but for a closed list of members, call ids of nine characters, and content in chunks."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.providers.bodies.edits import Edits, Fields
from hive_routing.providers.bodies.events import EditedEvents
from hive_routing.providers.openai import OpenAIProvider
from hive_routing.providers.port import ProviderAnswer, ProviderCall

# What OpenAI's clients send and Mistral refuses, though it changes nothing in an answer. Usage comes unasked.
_HINTS = frozenset({
    "stream_options", "user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_retention",
    "prompt_cache_options",
})  # fmt: skip
_NAMES = {"seed": "random_seed", "max_completion_tokens": "max_tokens"}
_THOUGHTS = frozenset({"reasoning_content", "reasoning_details"})
_EMPTY = (b"null", b"[]")
_OWN_ID = re.compile(r"[a-zA-Z0-9]{9}")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHUNKS = re.compile(rb'"content"\s*:\s*\[')

_decode = msgspec.json.decode
_encode = msgspec.json.encode


class MistralProvider(OpenAIProvider):
    """base_url: `https://api.mistral.ai/v1`."""

    speaks = ("chat", "embeddings")

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        edits = _CHAT if call.operation == "chat" else _EMBEDDINGS
        answer = await self._post(self._path(call), call, edits.made(call.body))
        if call.operation != "chat" or answer.status != 200:
            return answer
        if not call.stream:
            return self._rewritten(answer, _in_openais_form)
        return ProviderAnswer(200, answer.headers, EditedEvents(answer.body, _event, self.name))


def _message(message: Fields) -> Fields:
    """A message without members that say nothing, and with call ids as Mistral wants them."""
    kept = {name: value for name, value in message.items() if name == "content" or bytes(value) not in _EMPTY}
    if bytes(kept.get("role", b"")) == b'"developer"':
        kept["role"] = Raw(b'"system"')
    if "tool_call_id" in kept:
        kept["tool_call_id"] = _with_id(kept["tool_call_id"])
    if "tool_calls" in kept:
        kept["tool_calls"] = _each_call(kept["tool_calls"])
    return kept


def _each_call(raw: Raw) -> Raw:
    try:
        calls = _decode(raw, type=list[dict[str, Raw]])
    except msgspec.ValidationError:
        return raw
    return Raw(_encode([call | {"id": _with_id(call["id"])} if "id" in call else call for call in calls]))


def _with_id(raw: Raw) -> Raw:
    value = _decode(raw)
    return Raw(_encode(own_id(value))) if isinstance(value, str) else raw


def own_id(id: str) -> str:
    """The id of a call as Mistral takes it: another provider's becomes one of its form, always the same."""
    if _OWN_ID.fullmatch(id):
        return id
    number = int.from_bytes(sha256(id.encode()).digest()[:8])
    digits = []
    for _ in range(9):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(digits)


_CHAT = Edits(_HINTS, _THOUGHTS, _NAMES, _message)
_EMBEDDINGS = Edits(frozenset({"user"}), renames={"dimensions": "output_dimension"})


def _in_openais_form(body: bytes) -> bytes:
    """A whole answer; content in chunks becomes a text, and what the model thought `reasoning_content`."""
    return _joined(body, "message") if _CHUNKS.search(body) else body


def _event(event: bytes) -> bytes:
    """An event of a stream."""
    if not _CHUNKS.search(event) or not event.startswith(b"data:"):
        return event
    return b"data: %b\n\n" % _joined(event[5:].strip(), "delta")


def _joined(body: bytes, member: str) -> bytes:
    answer = _decode(body)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        said = choice.get(member) if isinstance(choice, dict) else None
        if isinstance(said, dict) and isinstance(said.get("content"), list):
            chunks = [chunk for chunk in said["content"] if isinstance(chunk, dict)]
            said["content"] = _texts(chunks)
            if thought := "".join(_thoughts(chunk) for chunk in chunks if chunk.get("type") == "thinking"):
                said["reasoning_content"] = thought
    return _encode(answer)


def _thoughts(chunk: dict[str, Any]) -> str:
    thinking = chunk.get("thinking")
    if isinstance(thinking, str):
        return thinking
    return _texts([part for part in thinking or () if isinstance(part, dict)])


def _texts(parts: list[dict[str, Any]]) -> str:
    found = [part.get("text") for part in parts if part.get("type") == "text"]
    return "".join(each for each in found if isinstance(each, str))
