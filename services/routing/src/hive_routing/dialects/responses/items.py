"""Items: those that a model put out, and those of an `input`, read as parts and turns of the form.

A reasoning item is one `Thinking`, whose summaries are joined by blank lines; one that has raw thoughts as well as a
summary is two, and the second has its seal. Items that the form does not have are `Opaque` parts of the assistant's
turn, or of the turn of tools where they are the output of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from hive_routing.dialects.form import (
    Call,
    Media,
    Opaque,
    Part,
    Refusal,
    Result,
    Role,
    Seal,
    Text,
    Thinking,
    Turn,
)
from hive_routing.dialects.responses.fields import invalid, misfit, refused
from hive_routing.dialects.responses.parts import NAME, Item, read_part
from hive_routing.dialects.seals import unpacked, unsealed_id

SEAL = "encrypted"
BETWEEN = "\n\n"
"""Between the parts of a summary."""

_ROLES: Mapping[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[dict[str, Any]]


class _Call(msgspec.Struct):
    call_id: str
    name: str
    arguments: str = ""
    namespace: str | None = None
    caller: dict[str, Any] | None = None


class _Output(msgspec.Struct):
    output: str | list[dict[str, Any]]
    call_id: str | None = None
    name: str | None = None


class _Words(msgspec.Struct):
    text: str = ""


class _Reasoning(msgspec.Struct):
    id: str | None = None
    summary: list[_Words] | None = None
    content: list[_Words] | None = None
    encrypted_content: str | None = None


class _Image(msgspec.Struct):
    result: str | None = None
    output_format: str | None = None


def read_output(item: Item) -> list[Part]:
    """What a provider's output item says. Raises msgspec.ValidationError."""
    match kind_of(item):
        case "message":
            return _spoken(msgspec.convert(item, _Message).content, item)
        case "function_call":
            return [_call(item)]
        case "reasoning":
            return _thinking(item)
        case "image_generation_call":
            return [_image(item)]
        case kind:
            return [Opaque(NAME, kind, item)]


def kind_of(item: Item) -> str:
    """The type of an item; messages and references need not say it. Raises msgspec.ValidationError."""
    kind = item.get("type")
    if kind is None and ("role" in item or "id" in item):
        return "message" if "role" in item else "item_reference"
    if not isinstance(kind, str):
        raise msgspec.ValidationError("Object missing required field `type`")
    return kind


def read_input(items: Iterable[Item], *, is_whole: bool) -> list[Turn]:
    """The turns of a client's `input`. is_whole: nothing that belongs to it is kept elsewhere.

    Raises HiveError `invalid` for an item that is wrong, and for an output whose call is not in it.
    """
    reading = _Reading()
    for place, item in enumerate(items):
        try:
            reading.add(item)
        except msgspec.ValidationError as error:
            raise refused(error, f"input[{place}]") from None
        if is_whole and (missing := reading.missing_call) is not None:
            where = f"input[{place}].call_id"
            message = f"No tool call found for function call output with call_id `{missing}`: put the call before it."
            raise invalid(where, message)
    return reading.turns


class _Reading:
    """Turns as far as items have been read. missing_call: the id of an output that answers none."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.missing_call: str | None = None
        self._names: dict[str, str] = {}
        self._is_traceable = True

    def add(self, item: Item) -> None:
        kind = kind_of(item)
        if kind == "message":
            self._add_message(item)
        elif kind == "function_call_output":
            self._turn("tool").parts.append(self._result(item))
        elif kind.endswith("_output"):
            self._turn("tool").parts.append(Opaque(NAME, kind, item))
        else:
            parts = [self._with_foreign_seal(part) for part in read_output(item)]
            self._is_traceable = self._is_traceable and not any(isinstance(part, Opaque) for part in parts)
            if parts:
                self._turn("assistant").parts += parts

    def _add_message(self, item: Item) -> None:
        message = msgspec.convert(item, _Message)
        role = _ROLES[message.role]
        if role == "assistant":
            parts = _spoken(message.content, item)
        elif isinstance(message.content, str):
            parts = [Text(message.content)] if message.content else []
        else:
            parts = _parts(message.content, "content")
        if parts:
            turn = self._turn(role) if role == "assistant" else self._new(role)
            turn.parts += parts

    def _turn(self, role: Role) -> Turn:
        """The last turn where it has this role, else a new one."""
        return self.turns[-1] if self.turns and self.turns[-1].role == role else self._new(role)

    def _new(self, role: Role) -> Turn:
        self.turns.append(Turn(role, []))
        return self.turns[-1]

    def _result(self, item: Item) -> Result:
        output = msgspec.convert(item, _Output)
        id, _ = unsealed_id(output.call_id or "")
        self.missing_call = id if id not in self._names and self._is_traceable else None
        if isinstance(output.output, str):
            parts: list[Any] = [Text(output.output)] if output.output else []
        else:
            parts = _parts(output.output, "output")
        return Result(id, parts, name=output.name or self._names.get(id))

    def _with_foreign_seal(self, part: Part) -> Part:
        """The seal of another dialect, where it travelled in the place of our own."""
        if isinstance(part, Call):
            part.id, part.seal = unsealed_id(part.id)
            self._names[part.id] = part.name
        elif isinstance(part, Thinking) and part.seal is not None:
            part.seal = unpacked(part.seal.value, NAME, SEAL)
        return part


def _spoken(content: str | list[Item], item: Item) -> list[Part]:
    """What the model said; a message with a part that is no text is carried along whole."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    parts = _parts(content, "content")
    if all(isinstance(part, Text | Refusal) for part in parts):
        return parts
    return [Opaque(NAME, "message", item)]


def _parts(content: list[Item], name: str) -> list[Part]:
    parts = []
    for place, part in enumerate(content):
        try:
            read = read_part(part)
        except msgspec.ValidationError as error:
            raise misfit(error, f"{name}[{place}]") from None
        if not isinstance(read, Text | Refusal) or read.text:
            parts.append(read)
    return parts


def _call(item: Item) -> Call | Opaque:
    """Who called and from where is OpenAI's own, so such a call is carried along whole."""
    call = msgspec.convert(item, _Call)
    if call.namespace or (call.caller or {}).get("type", "direct") != "direct":
        return Opaque(NAME, "function_call", item)
    return Call(call.call_id, call.name, call.arguments)


def _thinking(item: Item) -> list[Part]:
    """Empty where there is nothing but an id."""
    reasoning = msgspec.convert(item, _Reasoning)
    sealed = reasoning.encrypted_content
    thoughts = []
    if reasoning.content:
        thoughts.append(Thinking(BETWEEN.join(each.text for each in reasoning.content), id=reasoning.id))
    if reasoning.summary:
        text = BETWEEN.join(each.text for each in reasoning.summary)
        thoughts.append(Thinking(text, is_summary=True, id=reasoning.id))
    if sealed is not None:
        thoughts = thoughts or [Thinking(id=reasoning.id)]
        thoughts[-1].seal = Seal(NAME, SEAL, sealed)
    return [each for each in thoughts if each.text or each.seal is not None]


def _image(item: Item) -> Part:
    image = msgspec.convert(item, _Image)
    if image.result is None:
        return Opaque(NAME, "image_generation_call", item)
    return Media("image", f"image/{image.output_format or 'png'}", image.result)
