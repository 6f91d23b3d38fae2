"""Whole answers in Anthropic's messages, both ways."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Raw

from hive_routing.dialects.form import (
    Answer,
    Call,
    Choice,
    Media,
    Opaque,
    Part,
    Prompt,
    Refusal,
    Seal,
    Stop,
    Text,
    Thinking,
)
from hive_routing.dialects.messages.blocks import input_of, thinking_block
from hive_routing.dialects.messages.parts import NAME, Block, parts_of
from hive_routing.dialects.messages.usages import SAYS_NOTHING, Figures, figures_of
from hive_routing.dialects.seals import sealed_id

_STOPS: Mapping[str, Stop] = {
    "end_turn": Stop.END,
    "max_tokens": Stop.LENGTH,
    "stop_sequence": Stop.SEQUENCE,
    "tool_use": Stop.TOOLS,
    "refusal": Stop.FILTERED,
    "pause_turn": Stop.PAUSED,
    "model_context_window_exceeded": Stop.CONTEXT,
}
_REASONS: Mapping[Stop, str] = {stop: reason for reason, stop in _STOPS.items()}


class StopDetails(msgspec.Struct):
    explanation: str | None = None


class _Message(msgspec.Struct):
    content: list[Block]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: Raw = SAYS_NOTHING


_decode = msgspec.json.Decoder(_Message).decode


def read_answer(body: bytes) -> Answer:
    """Raises msgspec.DecodeError."""
    message = _decode(body)
    parts = parts_of(message.content)
    if message.stop_details is not None and message.stop_details.explanation:
        parts.append(Refusal(message.stop_details.explanation))
    choice = Choice(parts, stop_of(message.stop_reason), message.stop_sequence)
    return Answer(message.id, message.model, 0, [choice], Figures.stated(message.usage).usage())


def write_answer(answer: Answer, prompt: Prompt) -> bytes:
    choice = answer.choices[0] if answer.choices else Choice()
    message = head_of(answer.id, answer.model or prompt.model)
    message["content"] = [block for part in choice.parts for block in answered(part)]
    has_refused = any(isinstance(part, Refusal) for part in choice.parts)
    message["stop_reason"] = reason_of(choice.stop, has_refused)
    message["stop_sequence"] = choice.sequence
    message["usage"] = figures_of(answer.usage)
    return msgspec.json.encode(message)


def stop_of(reason: str | None) -> Stop:
    return _STOPS.get(reason or "", Stop.END)


def reason_of(stop: Stop, has_refused: bool) -> str:
    """has_refused: the model said that it will not answer, in words that here are text like any other."""
    return _REASONS[Stop.FILTERED if has_refused and stop is Stop.END else stop]


def head_of(id: str, model: str) -> Block:
    """What a message says of itself before it says anything. Ids of another form are replaced."""
    return {
        "id": id if id.startswith("msg_") else f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def answered(part: Part) -> Iterator[Block]:
    """The blocks of a part of an answer, in a message that is complete.

    A part that only another dialect can say has none: nobody could ask for it in this one.
    """
    match part:
        case Text(text) | Refusal(text):
            if text:
                yield {"type": "text", "text": text}
        case Thinking(text, seal):
            if text or seal is not None:
                yield thinking_block(text, seal)
        case Call(id, name, arguments, _, seal):
            id = sealed_id(id, seal) if seal is not None else id
            yield {"type": "tool_use", "id": id, "name": name, "input": input_of(arguments)}
        case Media():
            yield {"type": "text", "text": _shown(part)}
        case Opaque(dialect, _, value):
            if dialect == NAME:
                yield value
    if isinstance(part, Text) and part.seal is not None:
        yield behind(part.seal)


def behind(seal: Seal) -> Block:
    """The seal of a part that has no place for one here: it follows the part, as thinking without words."""
    return thinking_block("", seal)


def _shown(media: Media) -> str:
    """An image or the like as text, as messages have no other place for it in an answer: Markdown shows it."""
    address = media.url or media.file_id or f"data:{media.mime};base64,{media.data}"
    return f"{'!' if media.kind == 'image' else ''}[{media.name or media.kind}]({address})"
