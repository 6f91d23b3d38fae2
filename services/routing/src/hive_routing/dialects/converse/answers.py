"""Whole answers of Converse, both ways.

For a client, seals of other providers travel packed, as the signature of a block of reasoning. A call, or text, has
no place for one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hive_routing.dialects.converse.blocks import call_id
from hive_routing.dialects.converse.formats import FORMATS
from hive_routing.dialects.converse.parts import NAME, Block, parts_of
from hive_routing.dialects.converse.usages import TokenUsage, figures_of
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
from hive_routing.dialects.messages.blocks import input_of
from hive_routing.dialects.seals import own, packed

_STOPS: Mapping[str, Stop] = {
    "end_turn": Stop.END,
    "tool_use": Stop.TOOLS,
    "max_tokens": Stop.LENGTH,
    "stop_sequence": Stop.SEQUENCE,
    "guardrail_intervened": Stop.FILTERED,
    "content_filtered": Stop.FILTERED,
    "model_context_window_exceeded": Stop.CONTEXT,
}
_REASONS: Mapping[Stop, str] = {stop: reason for reason, stop in _STOPS.items()} | {Stop.PAUSED: "end_turn"}
MALFORMED: Mapping[str, str] = {
    "malformed_model_output": "the model's answer was malformed",
    "malformed_tool_use": "the model's call of a tool was malformed",
}
"""Reasons for which an answer ends that are none: what came of it is of no use."""


class _Message(msgspec.Struct):
    content: list[Block]


class _Output(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct):
    output: _Output
    stopReason: str
    usage: TokenUsage = TokenUsage()
    additionalModelResponseFields: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


def read_answer(body: bytes) -> Answer:
    """Raises msgspec.DecodeError."""
    read = _decode(body)
    if (problem := MALFORMED.get(read.stopReason)) is not None:
        raise msgspec.ValidationError(problem)
    parts = parts_of(read.output.message.content)
    has_calls = any(isinstance(part, Call) for part in parts)
    choice = Choice(
        parts, stop_of(read.stopReason, has_calls), sequence_of(read.additionalModelResponseFields)
    )
    return Answer(choices=[choice], usage=read.usage.usage())


def write_answer(answer: Answer, prompt: Prompt) -> bytes:
    choice = answer.choices[0] if answer.choices else Choice()
    content = [block for part in choice.parts for block in answered(part)]
    body: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": content}},
        **ending(choice.stop, choice.sequence),
        "usage": figures_of(answer.usage),
        "metrics": {"latencyMs": 0},
    }
    return msgspec.json.encode(body)


def stop_of(reason: str, has_calls: bool) -> Stop:
    """Some models end with calls as they end with words."""
    stop = _STOPS.get(reason, Stop.END)
    return Stop.TOOLS if has_calls and stop is Stop.END else stop


def sequence_of(fields: Any) -> str | None:
    sequence = fields.get("stop_sequence") if isinstance(fields, dict) else None
    return sequence if isinstance(sequence, str) else None


def ending(stop: Stop, sequence: str | None) -> Block:
    """What an answer says of its end."""
    said: Block = {"stopReason": _REASONS[stop]}
    if sequence is not None:
        said["additionalModelResponseFields"] = {"stop_sequence": sequence}
    return said


def answered(part: Part) -> Iterator[Block]:
    """The blocks of a part of an answer.

    A part that only another dialect can say has none: nobody could ask for it in this one.
    """
    match part:
        case Text(text) | Refusal(text):
            yield from [{"text": text}] if text else []
        case Thinking(text, seal):
            if text or seal is not None:
                yield {"reasoningContent": reasoning(text, seal)}
        case Call(id, name, arguments):
            yield {"toolUse": {"toolUseId": call_id(id), "name": name, "input": input_of(arguments)}}
        case Media():
            yield media_block(part)
        case Opaque(dialect, kind, value):
            yield from [{kind: value}] if dialect == NAME else []


def media_block(media: Media) -> Block:
    """An image as such; what else has no place in an answer here, as text: Markdown shows it."""
    format = FORMATS[media.kind].get(media.mime or "")
    if media.kind == "image" and media.data is not None and format is not None:
        return {"image": {"format": format, "source": {"bytes": media.data}}}
    address = media.url or media.file_id or f"data:{media.mime};base64,{media.data}"
    return {"text": f"{'!' if media.kind == 'image' else ''}[{media.name or media.kind}]({address})"}


def reasoning(text: str, seal: Seal | None) -> Block:
    if (redacted := own(seal, NAME, "redacted")) is not None:
        return {"redactedContent": redacted}
    said = {"text": text}
    if seal is not None:
        said["signature"] = packed(seal, NAME)
    return {"reasoningText": said}
