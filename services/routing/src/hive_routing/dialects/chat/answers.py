"""Whole answers, both ways."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.chat.details import details_of
from hive_routing.dialects.chat.prompts_in import OLDER
from hive_routing.dialects.chat.spoken import NAME, Spoken, parts_of
from hive_routing.dialects.chat.stops import FAILURES, read_stop, write_stop
from hive_routing.dialects.chat.usages import write_usage
from hive_routing.dialects.form import (
    Answer,
    Call,
    Choice,
    Media,
    Opaque,
    Part,
    Prompt,
    Refusal,
    Text,
    Thinking,
)
from hive_routing.dialects.seals import packed, sealed_id
from hive_routing.usage import Usage

_ABSENT = Raw()


class _Choice(msgspec.Struct):
    message: Spoken
    index: int = 0
    finish_reason: str | None = None
    logprobs: Any = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    id: str | None = None
    model: str | None = None
    created: float | None = None
    usage: Raw = _ABSENT


_decode = msgspec.json.Decoder(_Answer).decode


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def answer_id(id: str) -> str:
    """In the form that chat's have; another provider's own is not shown."""
    return id if id.startswith("chatcmpl-") else f"chatcmpl-{secrets.token_hex(12)}"


def read_answer(body: bytes) -> Answer:
    """Raises msgspec.DecodeError."""
    said = _decode(body)
    return Answer(
        said.id or "",
        said.model or "",
        int(said.created or 0),
        [_read_choice(choice) for choice in sorted(said.choices, key=lambda choice: choice.index)],
        Usage.stated(said.usage) if said.usage else None,
    )


def _read_choice(choice: _Choice) -> Choice:
    if choice.finish_reason in FAILURES:
        raise msgspec.ValidationError(f"The answer ended with `{choice.finish_reason}`")
    parts = parts_of(choice.message, None, new_call_id)
    return Choice(parts, read_stop(choice.finish_reason, has_calls(parts)), logprobs=choice.logprobs)


def has_calls(parts: list[Part]) -> bool:
    return any(isinstance(part, Call) or is_custom(part) for part in parts)


def is_custom(part: Part) -> bool:
    """Whether it is a call of a tool that takes no JSON."""
    return isinstance(part, Opaque) and part.dialect == NAME and part.kind == "custom"


def write_answer(answer: Answer, prompt: Prompt, now: int) -> bytes:
    """now: Unix seconds, for an answer that does not say when it was."""
    written: dict[str, Any] = {
        "id": answer_id(answer.id),
        "object": "chat.completion",
        "created": answer.created or now,
        "model": answer.model or prompt.model,
        "choices": [
            _write_choice(index, choice, OLDER in prompt.rest, now)
            for index, choice in enumerate(answer.choices)
        ],
    }
    if answer.usage is not None:
        written["usage"] = write_usage(answer.usage)
    return msgspec.json.encode(written)


def _write_choice(index: int, choice: Choice, older: bool, now: int) -> dict[str, Any]:
    parts = choice.parts
    return {
        "index": index,
        "message": _message(parts, older, now),
        "logprobs": choice.logprobs,
        "finish_reason": write_stop(choice.stop, older=older),
    }


def _message(parts: list[Part], older: bool, now: int) -> dict[str, Any]:
    texts = [part.text for part in parts if isinstance(part, Text)]
    refusals = [part.text for part in parts if isinstance(part, Refusal)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts or not (has_calls(parts) or refusals) else None,
        "refusal": "".join(refusals) if refusals else None,
        "annotations": [],
    }
    _add_thoughts(message, parts)
    _add_media(message, parts, now)
    _add_calls(message, parts, older)
    return message


def _add_thoughts(message: dict[str, Any], parts: list[Part]) -> None:
    if thoughts := [part.text for part in parts if isinstance(part, Thinking)]:
        message["reasoning_content"] = "".join(thoughts)
    if details := details_of(parts):
        message["reasoning_details"] = details


def _add_media(message: dict[str, Any], parts: list[Part], now: int) -> None:
    images = []
    for part in parts:
        if isinstance(part, Opaque) and part.dialect == NAME and part.kind in ("audio", "annotations"):
            message[part.kind] = part.value
        elif isinstance(part, Media) and part.kind == "audio":
            message["audio"] = sound(part, now)
        elif isinstance(part, Media):
            images.append(image(part))
    if images:
        message["images"] = images


def _add_calls(message: dict[str, Any], parts: list[Part], older: bool) -> None:
    calls = [part for part in parts if isinstance(part, Call)]
    if older and calls:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
        calls = calls[1:]
    custom = [part.value for part in parts if isinstance(part, Opaque) and is_custom(part)]
    if calls or custom:
        message["tool_calls"] = [*map(_write_call, calls), *custom]


def image(media: Media) -> dict[str, Any]:
    """What a model drew, or made of another kind: as vendors of such models give it, in `images`."""
    url = media.url or f"data:{media.mime};base64,{media.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def sound(media: Media, now: int) -> dict[str, Any]:
    """What a model spoke; it is kept nowhere."""
    id = f"audio_{secrets.token_hex(12)}"
    return {"id": id, "data": media.data or "", "expires_at": now, "transcript": ""}


def _write_call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    written: dict[str, Any] = {"id": shown_id(call), "type": "function", "function": function}
    return written | shown_seal(call)


def shown_id(call: Call) -> str:
    """With the seal in it: many frameworks give back nothing else of a call."""
    id = call.id or new_call_id()
    return id if call.seal is None else sealed_id(id, call.seal)


def shown_seal(call: Call) -> dict[str, Any]:
    """In Google's place for it, and as Google's models made it, if they did."""
    if call.seal is None:
        return {}
    value = call.seal.value if call.seal.dialect in (NAME, "gemini") else packed(call.seal, NAME)
    return {"extra_content": {"google": {"thought_signature": value}}}
