"""The body of a request, read as a prompt.

`top_logprobs` above 0 asks for logprobs, as `include` does. That reasoning comes back sealed need not be asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw

from hive_routing.dialects.form import (
    Effort,
    Format,
    Prompt,
    Reasoning,
    Sampling,
    Text,
    ToolChoice,
    Turn,
)
from hive_routing.dialects.responses.fields import invalid, refused
from hive_routing.dialects.responses.items import read_input
from hive_routing.dialects.responses.parts import NAME
from hive_routing.dialects.responses.tools import read_choice, read_tools

LOGPROBS = "message.output_text.logprobs"
SEALED = "reasoning.encrypted_content"

_OTHER_CONTEXT = ("previous_response_id", "conversation", "prompt")
"""Members that stand for what is said elsewhere."""


class _Format(msgspec.Struct):
    type: str
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class _Text(msgspec.Struct):
    format: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class _Reasoning(msgspec.Struct):
    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: str | None = None
    mode: str | None = None


class _Body(msgspec.Struct):
    """The members that have a place in the form."""

    model: str | None = None
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    include: list[str] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    stream: bool | None = None
    user: str | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=16),
        ]
        | None
    ) = None
    service_tier: str | None = None


_KNOWN = frozenset(_Body.__struct_fields__)
_decode = msgspec.json.Decoder(_Body).decode


def read_prompt(fields: Mapping[str, Raw]) -> Prompt:
    """Raises HiveError `invalid`."""
    try:
        body = _decode(msgspec.json.encode(fields))
        rest = {name: msgspec.json.decode(raw) for name, raw in fields.items() if name not in _KNOWN}
        prompt = _prompt(body, {name: value for name, value in rest.items() if value is not None})
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise refused(error) from None
    prompt.turns = _turns(body, is_whole=not any(name in prompt.rest for name in _OTHER_CONTEXT))
    return prompt


def _prompt(body: _Body, rest: dict[str, Any]) -> Prompt:
    include = body.include or []
    logprobs = LOGPROBS in include or bool(body.top_logprobs)
    if others := [name for name in include if name not in (LOGPROBS, SEALED)]:
        rest["include"] = others
    return Prompt(
        NAME,
        body.model or "",
        tools=read_tools(body.tools or []),
        choice=_choice(body, rest),
        format=_format(body, rest),
        reasoning=_reasoning(body, rest),
        sampling=Sampling(
            temperature=body.temperature,
            top_p=body.top_p,
            logprobs=logprobs or None,
            top_logprobs=body.top_logprobs or None,
        ),
        max_output=body.max_output_tokens,
        stream=bool(body.stream),
        user=body.user,
        metadata=body.metadata,
        tier=body.service_tier,
        verbosity=body.text.verbosity if body.text is not None else None,
        rest=rest,
    )


def _turns(body: _Body, *, is_whole: bool) -> list[Turn]:
    turns = [Turn("system", [Text(body.instructions)])] if body.instructions else []
    if body.input is None:
        if is_whole:
            raise invalid("input", "`input` is missing: it must be a string or an array of items.")
        return turns
    if isinstance(body.input, str):
        said = Turn("user", [Text(body.input)] if body.input else [])
        return [*turns, said]
    return turns + read_input(body.input, is_whole=is_whole)


def _choice(body: _Body, rest: dict[str, Any]) -> ToolChoice:
    try:
        choice = read_choice(body.tool_choice)
    except msgspec.ValidationError as error:
        raise refused(error, "tool_choice") from None
    if choice is None:
        rest["tool_choice"] = body.tool_choice
        choice = ToolChoice()
    choice.parallel = body.parallel_tool_calls
    return choice


def _format(body: _Body, rest: dict[str, Any]) -> Format:
    given = body.text.format if body.text is not None else None
    if given is None:
        return Format()
    try:
        format = msgspec.convert(given, _Format)
    except msgspec.ValidationError as error:
        raise refused(error, "text.format") from None
    match format.type:
        case "text":
            return Format()
        case "json_object":
            return Format("json")
        case "json_schema":
            return Format("schema", format.name, format.schema, format.strict, format.description)
        case _:
            rest["text"] = {"format": given}
            return Format()


def _reasoning(body: _Body, rest: dict[str, Any]) -> Reasoning:
    given = body.reasoning or _Reasoning()
    more = {}
    if given.context not in (None, "auto"):
        more["context"] = given.context
    if given.mode not in (None, "standard"):
        more["mode"] = given.mode
    if more:
        rest["reasoning"] = more
    return Reasoning(
        effort=given.effort,
        is_off=given.effort == "none",
        summary=given.summary or given.generate_summary,
    )
