"""The body of `POST /v1/chat/completions`, read into the form.

Beside OpenAI's members those are known that compatible providers are asked with: `top_k`, and `thinking` (Anthropic's)
and `reasoning` (OpenRouter's) for how much is thought. Members of a message that nobody knows are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import msgspec
from msgspec import Raw

from hive_routing.dialects.chat.fields import decoded, invalid
from hive_routing.dialects.chat.parts_in import mark, read_content
from hive_routing.dialects.chat.spoken import NAME, VENDORS, Spoken, parts_of
from hive_routing.dialects.chat.tools import read_choice, read_tools
from hive_routing.dialects.form import (
    Call,
    Effort,
    Format,
    Media,
    Opaque,
    Part,
    Prompt,
    Result,
    Role,
    Sampling,
    Seal,
    Text,
    Turn,
)
from hive_routing.dialects.seals import unsealed_id

Fields = Mapping[str, Raw]

OLDER = "functions"
"""Stands in `rest`, with nothing in it, where the caller uses the older `functions` and wants answers of that kind."""

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_EFFORTS = frozenset(get_args(Effort))
_READ = frozenset(
    (
        "model",
        "messages",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "thinking",
        "reasoning",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "n",
        "stream",
        "stream_options",
        "user",
        "metadata",
        "service_tier",
        "verbosity",
    )
)


class _Message(Spoken):
    role: str = ""
    name: str | None = None
    tool_call_id: str | None = None
    cache_control: dict[str, Any] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Schema(msgspec.Struct):
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class _Format(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _Thinking(msgspec.Struct):
    """Anthropic's `thinking`, or OpenRouter's `reasoning`."""

    type: str | None = None
    budget_tokens: int | None = None
    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None
    exclude: bool | None = None


def read_prompt(fields: Fields) -> Prompt:
    """Raises HiveError `invalid`."""
    options = decoded(fields, "stream_options", _StreamOptions)
    most = decoded(fields, "max_completion_tokens", int)
    prompt = Prompt(
        NAME,
        model=decoded(fields, "model", str) or "",
        turns=_Turns().read(decoded(fields, "messages", list[_Message]) or []),
        tools=read_tools(fields),
        choice=read_choice(fields),
        sampling=_sampling(fields),
        max_output=most if most is not None else decoded(fields, "max_tokens", int),
        stop=_stop(fields),
        choices=decoded(fields, "n", int) or 1,
        stream=decoded(fields, "stream", bool) or False,
        usage_asked=bool(options and options.include_usage),
        user=decoded(fields, "user", str),
        metadata=decoded(fields, "metadata", dict[str, str]),
        tier=decoded(fields, "service_tier", str),
        rest=_rest(fields),
    )
    if (verbosity := decoded(fields, "verbosity", str)) != "medium":
        prompt.verbosity = verbosity
    _read_format(fields, prompt)
    _read_reasoning(fields, prompt)
    return prompt


def _rest(fields: Fields) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    for name in fields:
        if name not in _READ and (value := decoded(fields, name, object)) is not None:
            rest[name] = value
    if rest.get("modalities") == ["text"]:
        del rest["modalities"]
    if fields.get(OLDER) is not None:
        rest[OLDER] = None
    return rest


def _stop(fields: Fields) -> list[str]:
    said = decoded(fields, "stop", str | list[str])
    return [said] if isinstance(said, str) else said or []


def _sampling(fields: Fields) -> Sampling:
    return Sampling(
        temperature=decoded(fields, "temperature", float),
        top_p=decoded(fields, "top_p", float),
        top_k=decoded(fields, "top_k", int),
        seed=decoded(fields, "seed", int),
        presence_penalty=decoded(fields, "presence_penalty", float) or None,
        frequency_penalty=decoded(fields, "frequency_penalty", float) or None,
        logit_bias=decoded(fields, "logit_bias", dict[str, float]) or None,
        logprobs=decoded(fields, "logprobs", bool) or None,
        top_logprobs=decoded(fields, "top_logprobs", int),
    )


def _read_format(fields: Fields, prompt: Prompt) -> None:
    said = decoded(fields, "response_format", _Format)
    if said is None or said.type == "text":
        return
    if said.type == "json_object":
        prompt.format = Format("json")
    elif said.type == "json_schema":
        schema = said.json_schema
        if schema is None:
            raise invalid("response_format.json_schema", "it is missing")
        prompt.format = Format("schema", schema.name, schema.schema, schema.strict, schema.description)
    else:
        prompt.rest["response_format"] = decoded(fields, "response_format", object)


def _read_reasoning(fields: Fields, prompt: Prompt) -> None:
    effort = decoded(fields, "reasoning_effort", str)
    for name in ("thinking", "reasoning"):
        said = decoded(fields, name, _Thinking)
        if said is None:
            continue
        reasoning = prompt.reasoning
        reasoning.is_off = said.type == "disabled" or said.enabled is False
        reasoning.adaptive = said.type == "adaptive"
        reasoning.budget = said.budget_tokens if said.budget_tokens is not None else said.max_tokens
        reasoning.visible = None if said.exclude is None else not said.exclude
        effort = effort or said.effort
    if effort in _EFFORTS:
        prompt.reasoning.effort = msgspec.convert(effort, Effort)
        prompt.reasoning.is_off = prompt.reasoning.is_off or effort == "none"
    elif effort is not None:
        prompt.rest["reasoning_effort"] = effort


@dataclass(slots=True)
class _Turns:
    """Reads messages one by one. names: of the tools that were called, by the id of the call."""

    turns: list[Turn] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    made_up: int = 0

    def read(self, messages: list[_Message]) -> list[Turn]:
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            role = _ROLES.get(message.role)
            if role is None:
                raise invalid(f"{path}.role", "expected `system`, `developer`, `user`, `assistant` or `tool`")
            if role == "tool":
                self._add_result(self._result(message, path))
                continue
            if role == "assistant":
                parts = self._said(message, path)
            else:
                parts = read_content(message.content, f"{path}.content")
            if parts:
                _mark_last(parts, message)
                self.turns.append(Turn(role, parts, message.name))
        return self.turns

    def _said(self, message: _Message, path: str) -> list[Part]:
        for place, call in enumerate(message.tool_calls or ()):
            if not call.id:
                raise invalid(f"{path}.tool_calls[{place}].id", "it is missing")
        content = message.content
        blocks = read_content(content, f"{path}.content") if isinstance(content, list) else None
        parts = parts_of(message, blocks, self._new_id)
        for part in parts:
            if isinstance(part, Call):
                self.names[part.id] = part.name
                if part.seal is not None and part.seal.dialect == NAME and part.seal.kind in VENDORS:
                    part.seal = Seal("gemini", "signature", part.seal.value)
            elif isinstance(part, Opaque) and part.kind == "custom":
                self.names[part.value["id"]] = str(part.value["custom"].get("name", ""))
        return parts

    def _result(self, message: _Message, path: str) -> Result:
        if message.role == "function":
            id, where = self._id_of(message.name), "name"
        else:
            id, where = unsealed_id(message.tool_call_id or "")[0], "tool_call_id"
        if id not in self.names:
            raise invalid(f"{path}.{where}", "no call before it is the one that it answers")
        parts: list[Text | Media | Opaque] = []
        for part in read_content(message.content, f"{path}.content"):
            if not isinstance(part, Text | Media | Opaque):
                raise invalid(f"{path}.content", "expected text")
            parts.append(part)
        result = Result(id, parts, name=self.names[id])
        _mark_last([result], message)
        return result

    def _add_result(self, result: Result) -> None:
        if not self.turns or self.turns[-1].role != "tool":
            self.turns.append(Turn("tool"))
        self.turns[-1].parts.append(result)

    def _id_of(self, name: str | None) -> str | None:
        """Of the last call of that function."""
        return next((id for id, known in reversed(self.names.items()) if known == name), None)

    def _new_id(self) -> str:
        self.made_up += 1
        return f"call_{self.made_up}"


def _mark_last(parts: list[Part], message: _Message) -> None:
    """A mark of the whole message stands behind its last part."""
    if message.cache_control is not None:
        mark(parts[-1], {"cache_control": message.cache_control})
