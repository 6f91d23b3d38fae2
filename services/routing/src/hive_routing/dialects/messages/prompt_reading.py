"""The body of a request in Anthropic's messages, read as a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw

from hive_routing.dialects.form import (
    Call,
    Format,
    Opaque,
    Part,
    Prompt,
    Reasoning,
    Result,
    Sampling,
    Turn,
)
from hive_routing.dialects.messages.parts import NAME, Block, part_of, parts_of, says_nothing
from hive_routing.dialects.messages.thinking import is_effort, read_thinking
from hive_routing.dialects.messages.tools import read_choice, read_tool
from hive_runtime.errors import HiveError, Kind

T = TypeVar("T")

_SHOWN_CHARS = 80


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class _Field:
    """A member of the body: how its JSON is read, and what it must be. null is absence."""

    def __init__(self, type: Any, words: str) -> None:
        self._decode = msgspec.json.Decoder(type | None).decode
        self._words = words

    def read(self, name: str, raw: Raw) -> Any:
        try:
            return self._decode(raw)
        except (msgspec.DecodeError, RecursionError):
            got = _shown(bytes(raw))
            raise _invalid(name, f"`{name}` must be {self._words}; got {got}.") from None


_Fraction = Annotated[float, Meta(ge=0, le=1)]
_Natural = Annotated[int, Meta(ge=0)]

_FIELDS: Mapping[str, _Field] = {
    "model": _Field(str, "a string"),
    "max_tokens": _Field(_Natural, "an integer of at least 0"),
    "messages": _Field(Annotated[list[Raw], Meta(min_length=1)], "an array of at least one message"),
    "system": _Field(str | list[Block], "a string or an array of text blocks"),
    "temperature": _Field(_Fraction, "a number from 0 to 1"),
    "top_p": _Field(_Fraction, "a number from 0 to 1"),
    "top_k": _Field(_Natural, "an integer of at least 0"),
    "stop_sequences": _Field(list[str], "an array of strings"),
    "stream": _Field(bool, "true or false"),
    "tools": _Field(list[Block], "an array of objects"),
    "tool_choice": _Field(Block, "an object"),
    "thinking": _Field(Block, "an object"),
    "output_config": _Field(Block, "an object"),
    "metadata": _Field(Block, "an object"),
    "service_tier": _Field(str, "a string"),
}


def read_prompt(fields: Mapping[str, Raw]) -> Prompt:
    """Raises HiveError `invalid` that names the field."""
    said = _Said(fields)
    for name in ("max_tokens", "messages"):
        if said.values.get(name) is None:
            raise _invalid(name, f"`{name}` is missing: it must be {_MISSING[name]}.")
    prompt = Prompt(NAME, said.get("model", ""), max_output=said.get("max_tokens", 0), rest=said.rest)
    prompt.turns = [*_system(said), *_turns(said.get("messages", []))]
    tools: list[Block] = said.get("tools", [])
    prompt.tools = [_checked(f"tools[{place}]", read_tool, tool) for place, tool in enumerate(tools)]
    if (choice := said.values.get("tool_choice")) is not None:
        prompt.choice = _checked("tool_choice", read_choice, choice)
    prompt.sampling = Sampling(
        said.values.get("temperature"), said.values.get("top_p"), said.values.get("top_k")
    )
    prompt.stop = said.get("stop_sequences", [])
    prompt.stream = said.get("stream", False)
    prompt.tier = said.values.get("service_tier")
    prompt.reasoning = _reasoning(said)
    prompt.format = _format(said)
    prompt.user = said.part_of("metadata", "user_id", lambda value: isinstance(value, str))
    said.keep_rest()
    return prompt


_MISSING = {
    "max_tokens": "the most tokens that the answer may have",
    "messages": "an array of at least one message",
}


class _Said:
    """The members of a body, read; and what of them the form has no place for."""

    def __init__(self, fields: Mapping[str, Raw]) -> None:
        self.values: dict[str, Any] = {}
        self.rest: dict[str, Any] = {}
        self._left: dict[str, Block] = {}
        for name, raw in fields.items():
            if (field := _FIELDS.get(name)) is not None:
                self.values[name] = field.read(name, raw)
            elif (value := _checked(name, msgspec.json.decode, raw)) is not None:
                self.rest[name] = value

    def get(self, name: str, default: T) -> T:
        value: T | None = self.values.get(name)
        return default if value is None else value

    def part_of(self, name: str, member: str, is_known: Callable[[Any], bool]) -> Any:
        """A member of a member, where the form knows it; what is left goes to the rest in the end."""
        if (left := self._left.get(name)) is None:
            members: Block = self.get(name, {})
            left = self._left[name] = {each: value for each, value in members.items() if value is not None}
        value = left.get(member)
        if value is not None and not is_known(value):
            return None
        return left.pop(member, None)

    def keep_rest(self) -> None:
        for name, left in self._left.items():
            if left:
                self.rest[name] = left


def _reasoning(said: _Said) -> Reasoning:
    effort = said.part_of("output_config", "effort", is_effort)
    config = said.values.get("thinking")
    reasoning = None if config is None else _checked("thinking", read_thinking, config)
    if reasoning is None:
        reasoning = Reasoning()
        if config is not None:
            said.rest["thinking"] = config
    reasoning.effort = effort
    return reasoning


def _format(said: _Said) -> Format:
    asked = said.part_of(
        "output_config",
        "format",
        lambda value: (
            isinstance(value, dict)
            and value.keys() == {"type", "schema"}
            and value["type"] == "json_schema"
            and isinstance(value["schema"], dict)
        ),
    )
    return Format() if asked is None else Format("schema", schema=asked["schema"])


def _system(said: _Said) -> Iterator[Turn]:
    system = said.values.get("system")
    if system is not None and (parts := _checked("system", parts_of, system)):
        yield Turn("system", parts)


def _turns(messages: list[Raw]) -> Iterator[Turn]:
    """A user's message is cut where results of tools begin and end; results that follow each other share a turn."""
    names: dict[str, str] = {}
    results: Turn | None = None
    for place, raw in enumerate(messages):
        for turn in _turns_of(raw, f"messages[{place}]"):
            _name_results(turn, names)
            if turn.role == "tool" and results is not None:
                results.parts += turn.parts
                continue
            results = turn if turn.role == "tool" else None
            yield turn


def _turns_of(raw: Raw, path: str) -> Iterator[Turn]:
    message = _checked(path, _decode_message, raw)
    role = message.role
    if isinstance(message.content, str):
        if message.content:
            yield Turn(role, parts_of(message.content))
        return
    turn: Turn | None = None
    for place, block in enumerate(message.content):
        part = _checked(f"{path}.content[{place}]", part_of, block)
        if says_nothing(part):
            continue
        speaker = "tool" if _is_result(part) else role
        if turn is None or turn.role != speaker:
            if turn is not None:
                yield turn
            turn = Turn(speaker)
        turn.parts.append(part)
    if turn is not None:
        yield turn


def _is_result(part: Part) -> bool:
    return isinstance(part, Result) or (isinstance(part, Opaque) and part.kind == "tool_result")


def _name_results(turn: Turn, names: dict[str, str]) -> None:
    for part in turn.parts:
        if isinstance(part, Call):
            names[part.id] = part.name
        elif isinstance(part, Result):
            part.name = names.get(part.call_id)


_decode_message = msgspec.json.Decoder(_Message).decode


def _checked(path: str, read: Callable[[Any], T], value: Any) -> T:
    """What `read` makes of it; its complaint names the place."""
    try:
        return read(value)
    except (msgspec.DecodeError, RecursionError) as error:
        problem, _, at = str(error).partition(" - at `$")
        path += at.rstrip("`")
        raise _invalid(path, f"`{path}` is wrong: {problem.rstrip('.')}.") from None


def _invalid(param: str, message: str) -> HiveError:
    return HiveError(Kind.INVALID, message, param)


def _shown(raw: bytes) -> str:
    text = raw[: _SHOWN_CHARS * 4].decode("utf-8", "replace")
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
