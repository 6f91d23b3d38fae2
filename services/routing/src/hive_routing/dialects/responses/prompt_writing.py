"""A prompt, written as the body of a request for a provider.

The gateway keeps what has to be kept, so the provider stores nothing, and what a model thought has to come back
sealed. Of thinking, only what OpenAI has sealed itself is written: what others sealed could not be verified there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from hive_routing.dialects.form import (
    Call,
    Effort,
    Opaque,
    Part,
    Prompt,
    Refusal,
    Result,
    Text,
    Thinking,
    Turn,
)
from hive_routing.dialects.port import refuse, refuse_rest, untranslatable
from hive_routing.dialects.responses.items import SEAL
from hive_routing.dialects.responses.parts import NAME, Item, write_parts
from hive_routing.dialects.responses.prompt_reading import LOGPROBS, SEALED
from hive_routing.dialects.responses.tools import write_choice, write_tools
from hive_routing.dialects.seals import own

LEAST_OUTPUT = 16
"""Tokens that the output can be bounded to."""
MOST_ID_CHARS = 64
"""Of a call's id."""

_SHARED = ("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier")
"""Members that mean the same in chat completions."""
_FOR_THE_GATEWAY = ("background", "conversation", "previous_response_id", "store")
_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
_OPENAI = (NAME, "chat")
_EFFORTS: Sequence[tuple[int, Effort]] = ((1024, "low"), (4096, "medium"))
_THINKS = re.compile(r"(.*/)?(o\d|gpt-oss|codex|gpt-5(?!.*-chat))", re.IGNORECASE)
"""Names of models that think; others refuse to be asked about it."""


def thinks(model: str) -> bool:
    """Whether a model of OpenAI's of this name thinks; others refuse to be asked for what they thought."""
    return _THINKS.match(model) is not None


def write_prompt(prompt: Prompt) -> dict[str, Any]:
    """Raises Untranslatable."""
    refuse_rest(prompt, NAME)
    _refuse_unsayable(prompt)
    is_own = prompt.dialect == NAME
    instructions, turns = parted(prompt.turns)
    body = {
        "model": prompt.model,
        "instructions": instructions,
        "input": write_input(turns, prompt.dialect),
        "tools": write_tools(prompt.tools, is_own=is_own),
        "tool_choice": write_choice(prompt.choice),
        "parallel_tool_calls": prompt.choice.parallel,
        "text": write_text(prompt),
        "reasoning": _reasoning(prompt),
        "include": _include(prompt),
        "temperature": prompt.sampling.temperature,
        "top_p": prompt.sampling.top_p,
        "top_logprobs": prompt.sampling.top_logprobs,
        "max_output_tokens": prompt.max_output,
        "user": prompt.user,
        "metadata": prompt.metadata,
        "service_tier": prompt.tier if prompt.tier in _TIERS else None,
        "stream": prompt.stream or None,
    }
    for name, value in prompt.rest.items():
        if name in _SHARED or (is_own and name not in _FOR_THE_GATEWAY):
            body[name] = _merged(body.get(name), value)
    said = {name: value for name, value in body.items() if name == "input" or value not in (None, [], {})}
    return said | {"store": False}


def parted(turns: list[Turn]) -> tuple[str | None, list[Turn]]:
    """`instructions`, which is what the application says first where it is one text, and all other turns."""
    match turns:
        case [Turn("system", [Text(text)], None), *others]:
            return text, others
        case _:
            return None, turns


def write_input(turns: list[Turn], dialect: str) -> list[Item]:
    """dialect: in which they were said. Raises Untranslatable."""
    return [item for number, turn in enumerate(turns) for item in _items(number, turn, dialect)]


def write_text(prompt: Prompt) -> Item:
    """`text`: what the answer has to be; empty where nothing is said of it. Raises Untranslatable."""
    if prompt.verbosity not in (None, "low", "medium", "high"):
        refuse("verbosity", f"`verbosity` `{prompt.verbosity}`", NAME)
    form = prompt.format
    text: Item = {}
    if form.kind == "json":
        text["format"] = {"type": "json_object"}
    elif form.kind == "schema":
        said = {"strict": form.strict, "description": form.description}
        named = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema or {}}
        text["format"] = named | {name: value for name, value in said.items() if value is not None}
    return text if prompt.verbosity is None else text | {"verbosity": prompt.verbosity}


def effort_of(prompt: Prompt) -> Effort | None:
    """What comes next to what was said in whatever way."""
    reasoning = prompt.reasoning
    if reasoning.is_off:
        return "none"
    if reasoning.effort is not None or reasoning.budget is None:
        return reasoning.effort
    return next((effort for most, effort in _EFFORTS if reasoning.budget <= most), "high")


def _refuse_unsayable(prompt: Prompt) -> None:
    sampling = prompt.sampling
    if prompt.choices > 1:
        refuse("n", f"A call for {prompt.choices} answers at once", NAME)
    if prompt.stop:
        refuse("stop", "A stop sequence", NAME)
    for name in ("top_k", "presence_penalty", "frequency_penalty", "logit_bias"):
        if getattr(sampling, name):
            refuse(name, f"`{name}`", NAME)
    if prompt.dialect != NAME and prompt.max_output is not None and prompt.max_output < LEAST_OUTPUT:
        refuse("max_tokens", f"A bound of {prompt.max_output} output tokens, below {LEAST_OUTPUT},", NAME)


def _reasoning(prompt: Prompt) -> Item:
    reasoning, effort = prompt.reasoning, effort_of(prompt)
    if effort == "none" and prompt.dialect != NAME and not thinks(prompt.model):
        return {}
    summary = reasoning.summary or ("auto" if prompt.wants_thoughts else None)
    said = {"effort": effort, "summary": summary}
    return {name: value for name, value in said.items() if value is not None}


def _include(prompt: Prompt) -> list[str]:
    return [LOGPROBS] * bool(prompt.sampling.logprobs) + [SEALED] * _wants_seals(prompt)


def _wants_seals(prompt: Prompt) -> bool:
    """Where a model thinks that does not know this, it refuses; one that is not asked gives nothing to go on with."""
    effort, reasoning = effort_of(prompt), prompt.reasoning
    if effort is not None:
        return effort != "none"
    if reasoning.adaptive or reasoning.summary or reasoning.visible or thinks(prompt.model):
        return True
    parts = (part for turn in prompt.turns for part in turn.parts)
    return any(isinstance(part, Thinking) and own(part.seal, NAME, SEAL) is not None for part in parts)


def _merged(said: Any, more: Any) -> Any:
    if isinstance(said, dict) and isinstance(more, dict):
        return said | more
    return said + more if isinstance(said, list) and isinstance(more, list) else more


def _items(number: int, turn: Turn, dialect: str) -> list[Item]:
    if turn.name is not None:
        refuse("messages", f"The name `{turn.name}` of who speaks", NAME)
    if turn.role in ("user", "system"):
        content = write_parts(turn.parts, is_openai=dialect in _OPENAI)
        return [{"type": "message", "role": turn.role, "content": content}]
    ids = (f"msg_{number}_{place}" for place in range(len(turn.parts)))
    written = [_item(id, part, dialect) for id, part in zip(ids, turn.parts, strict=True)]
    items = [item for item in written if item is not None]
    if dialect != NAME:
        while items and items[-1]["type"] == "reasoning":  # it has to lead to something
            items.pop()
    return items


def _item(id: str, part: Part, dialect: str) -> Item | None:
    match part:
        case Text(text):
            return {"type": "message", "role": "assistant", "content": text}
        case Refusal(text):
            # Only an output item can hold more than text, and has to have an id.
            content = [{"type": "refusal", "refusal": text}]
            head = {"type": "message", "id": id, "status": "completed", "role": "assistant"}
            return head | {"content": content}
        case Call(_, name, arguments):
            call = {"type": "function_call", "call_id": _call_id(part.id, dialect), "name": name}
            return call | {"arguments": arguments or "{}"}
        case Result(call_id):
            output = {"type": "function_call_output", "call_id": _call_id(call_id, dialect)}
            return output | {"output": _output(part, dialect)}
        case Thinking():
            return _thinking(part, dialect)
        case Opaque(origin, kind, value) if origin == NAME:
            own_item: Item = value
            return own_item
        case Opaque(kind=kind):
            what = f"A part of type `{kind}`"
        case _:
            what = "What a model put out beside text"
    raise untranslatable("messages", what, NAME)


def _call_id(id: str, dialect: str) -> str:
    """Those of other dialects can be longer than OpenAI takes them."""
    if len(id) <= MOST_ID_CHARS or dialect == NAME:
        return id
    return "call_" + hashlib.sha256(id.encode()).hexdigest()[:40]


def _output(result: Result, dialect: str) -> str | list[Item]:
    """There is no place for the news that a tool failed, so it stands before what the tool gave."""
    parts: list[Part] = [*result.parts]
    if result.is_error and parts and isinstance(first := parts[0], Text):
        parts[0] = Text("Error: " + first.text)
    elif result.is_error:
        parts.insert(0, Text("Error"))
    return write_parts(parts, is_openai=dialect in _OPENAI)


def _thinking(thinking: Thinking, dialect: str) -> Item | None:
    """Without an id that is not known: the seal is enough, and a wrong id would not fit to it.

    What comes back by way of another dialect was a summary: OpenAI shows nothing else of what it seals.
    """
    sealed = own(thinking.seal, NAME, SEAL)
    if sealed is None:
        return None
    item: Item = {"type": "reasoning", "summary": [], "encrypted_content": sealed}
    if thinking.id is not None:
        item["id"] = thinking.id
    if thinking.is_summary or (thinking.text and dialect != NAME):
        item["summary"] = [{"type": "summary_text", "text": thinking.text}]
    elif thinking.text:
        item["content"] = [{"type": "reasoning_text", "text": thinking.text}]
    return item
