"""A prompt of the form, written as a body for providers who speak chat completions.

Of another dialect's prompt what only hints is left out (`user`, `metadata`, the tier, cache marks), and texts that
stand side by side become one: many compatible providers know `content` as a string only. What a model thought goes
back to providers of chat who told it, by the member in which they did, and not to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from hive_routing.dialects.chat.parts_out import write_content, write_part
from hive_routing.dialects.chat.spoken import BLOCK, NAME, THOUGHT, VENDORS
from hive_routing.dialects.chat.tools import write_tools
from hive_routing.dialects.form import (
    Call,
    Media,
    Opaque,
    Part,
    Prompt,
    Result,
    Text,
    Thinking,
    Turn,
)
from hive_routing.dialects.port import refuse, refuse_rest

Message = dict[str, Any]

MOST_STOPS = 4
_THINKS = re.compile(r"\bo\d|gpt-(oss|5)|gemini|qwen3|grok|magistral", re.IGNORECASE)
"""Names of models that think unless they are told not to; others may refuse to be told so."""
_JOINTS = {"system": "\n\n", "user": "\n\n", "tool": "\n\n", "assistant": ""}
"""Between texts that become one; what a model said was one text all along."""


def write_prompt(prompt: Prompt) -> dict[str, Any]:
    """Raises Untranslatable."""
    refuse_rest(prompt, NAME)
    body: dict[str, Any] = {"model": prompt.model, "messages": list(_messages(prompt))}
    if prompt.tools:
        body |= write_tools(prompt)
    body |= _sampling(prompt)
    body |= _format(prompt)
    optional = {
        "max_completion_tokens": prompt.max_output,
        "reasoning_effort": _effort(prompt),
        "verbosity": None if prompt.verbosity == "medium" else prompt.verbosity,
        "n": prompt.choices if prompt.choices > 1 else None,
    }
    if prompt.stream:
        body["stream"] = True
        if prompt.usage_asked:
            body["stream_options"] = {"include_usage": True}
    if prompt.dialect == NAME:
        hints = {"user": prompt.user, "metadata": prompt.metadata, "service_tier": prompt.tier}
        optional |= hints | prompt.rest
    return body | {name: value for name, value in optional.items() if value is not None}


def _sampling(prompt: Prompt) -> dict[str, Any]:
    sampling = prompt.sampling
    if sampling.top_k is not None and prompt.dialect != NAME:
        refuse("top_k", "`top_k`", NAME)
    if len(prompt.stop) > MOST_STOPS:
        refuse("stop", f"More than {MOST_STOPS} stop sequences", NAME)
    body = {name: value for name, value in msgspec.structs.asdict(sampling).items() if value is not None}
    if sampling.logit_bias is not None:  # whole numbers, where they are
        biases = sampling.logit_bias.items()
        body["logit_bias"] = {token: int(bias) if bias == int(bias) else bias for token, bias in biases}
    if prompt.stop:
        body["stop"] = prompt.stop
    return body


def _format(prompt: Prompt) -> dict[str, Any]:
    format = prompt.format
    if format.kind == "text":
        return {}
    if format.kind == "json":
        return {"response_format": {"type": "json_object"}}
    schema = {
        "name": format.name or "answer",
        "description": format.description,
        "schema": format.schema,
        "strict": format.strict,
    }
    schema = {name: value for name, value in schema.items() if value is not None}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _effort(prompt: Prompt) -> str | None:
    reasoning = prompt.reasoning
    if reasoning.is_off or reasoning.effort == "none":
        return "none" if prompt.dialect == NAME or _THINKS.search(prompt.model) else None
    if reasoning.effort is None and reasoning.budget is not None:
        return "low" if reasoning.budget <= 1024 else "medium" if reasoning.budget <= 4096 else "high"
    return reasoning.effort


def _messages(prompt: Prompt) -> Iterator[Message]:
    joins = prompt.dialect != NAME
    for turn in prompt.turns:
        joint = _JOINTS[turn.role] if joins else None
        if turn.role == "assistant":
            message = _assistant(turn, joint)
        elif turn.role == "tool":
            yield from _results(turn, joint)
            continue
        else:
            message = {"role": turn.role, "content": write_content(turn.parts, joint)}
        if turn.name is not None:
            message["name"] = turn.name
        yield message


def _assistant(turn: Turn, joint: str | None) -> Message:
    message: Message = {"role": "assistant", "content": None}
    content: list[Part] = []
    calls = []
    for part in turn.parts:
        if isinstance(part, Thinking):
            _think(part, message, content)
        elif isinstance(part, Call):
            calls.append(_call(part))
        elif isinstance(part, Opaque) and part.dialect == NAME and part.kind == "custom":
            calls.append(part.value)
        elif isinstance(part, Opaque) and part.dialect == NAME and part.kind == "annotations":
            pass  # they say of an answer where it is from
        elif isinstance(part, Opaque) and part.dialect == NAME and part.kind == "audio":
            message["audio"] = {"id": part.value.get("id")}
        elif isinstance(part, Media):
            refuse("messages", f"Of the assistant, a part of type `{part.kind}`", NAME)
        else:
            content.append(part)
    if content or not calls:
        message["content"] = write_content(content, joint)
    if calls:
        message["tool_calls"] = calls
    return message


def _think(part: Thinking, message: Message, content: list[Part]) -> None:
    """Only who told it knows what to do with it, and only there is it no news."""
    seal = part.seal
    if seal is None or seal.dialect != NAME:
        return
    if seal.kind == BLOCK:
        content.append(part)
    elif seal.kind in THOUGHT:
        message[seal.kind] = message.get(seal.kind, "") + part.text


def _call(call: Call) -> Message:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    written: Message = {"id": call.id, "type": "function", "function": function}
    seal = call.seal
    if seal is not None and seal.dialect == NAME and seal.kind in VENDORS:
        written["extra_content"] = {seal.kind: {"thought_signature": seal.value}}
    return written


def _results(turn: Turn, joint: str | None) -> Iterator[Message]:
    """Tool messages hold texts only: what else there is follows as if the user showed it, told whose it is."""
    shown: list[Message] = []
    for result in turn.parts:
        if not isinstance(result, Result):
            refuse("messages", "Something beside the results of tools", NAME)
        texts: list[Part] = [part for part in result.parts if isinstance(part, Text)]
        others = [part for part in result.parts if not isinstance(part, Text)]
        if result.is_error:
            texts = _as_error(texts)
        if others:
            shown.append({"type": "text", "text": f"Result of `{result.name or result.call_id}`:"})
            shown += [block for part in others for block in write_part(part)]
        yield {"role": "tool", "tool_call_id": result.call_id, "content": write_content(texts, joint)}
    if shown:
        yield {"role": "user", "content": shown}


def _as_error(texts: Sequence[Part]) -> list[Part]:
    first = texts[0] if texts else Text()
    assert isinstance(first, Text)
    return [Text(f"Error: {first.text}"), *texts[1:]]
