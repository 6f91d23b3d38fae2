"""The texts of a request and of a whole answer: where they stand, whose words they are, and how they are replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Raw

from hive_routing.guarding.holding import UNREADABLE
from hive_routing.guarding.port import Origin
from hive_runtime.errors import HiveError, Kind

if TYPE_CHECKING:
    from hive_routing.endpoints import Endpoint

_ROLES = {
    "system": Origin.APPLICATION,
    "developer": Origin.APPLICATION,
    "tool": Origin.TOOL,
    "function": Origin.TOOL,
    "assistant": Origin.MODEL,
}
_SPOKEN = ("content", "reasoning_content", "reasoning", "refusal")
"""Members of messages and deltas that hold text."""


class Slot(NamedTuple):
    """A text, and the place where another one can be put. is_json: it is JSON source, and has to stay so."""

    place: Any
    key: Any
    origin: Origin
    is_json: bool = False

    @property
    def text(self) -> str:
        return str(self.place[self.key])

    def put(self, text: str) -> None:
        self.place[self.key] = text


class Document(NamedTuple):
    """A decoded part of a body, and the slots in it."""

    value: Any
    slots: list[Slot]

    def encoded(self) -> bytes:
        return msgspec.json.encode(self.value)


def request_texts(endpoint: Endpoint, fields: Mapping[str, Raw]) -> Mapping[str, Document]:
    """By the member of the body that holds them. What cannot be read is the provider's to refuse."""
    if not endpoint.fields and endpoint.dialect is not None:
        return endpoint.dialect.prompt_texts(fields)
    read = _READERS.get(endpoint.path, {})
    found = {}
    for name, slots in read.items():
        raw = fields.get(name)
        if raw is None:
            continue
        try:
            holder = {name: msgspec.json.decode(raw)}
        except UNREADABLE:
            continue
        found[name] = Document(holder, list(slots(holder, name)))
    return found


def answer_texts(endpoint: Endpoint, body: bytes) -> Document:
    """Of a whole answer. Raises HiveError `upstream_failed` where it cannot be read."""
    try:
        value = msgspec.json.decode(body)
    except UNREADABLE:
        raise HiveError(Kind.UPSTREAM_FAILED, "The provider's answer cannot be read.") from None
    if not endpoint.fields and endpoint.dialect is not None:
        return Document(value, list(endpoint.dialect.answer_texts(value)))
    choices = value.get("choices") if isinstance(value, dict) else None
    return Document(value, [slot for choice in _objects(choices) for slot in _choice(choice)])


def _choice(choice: dict[str, Any]) -> Iterator[Slot]:
    yield from _strings(choice, ("text",), Origin.MODEL)
    message = choice.get("message")
    if isinstance(message, dict):
        yield from spoken(message, Origin.MODEL)


def spoken(said: dict[str, Any], origin: Origin) -> Iterator[Slot]:
    """The texts of a message, or of a piece of one."""
    yield from _strings(said, _SPOKEN, origin)
    for part in _objects(said.get("content")):
        yield from _strings(part, ("text", "refusal"), origin)
    if isinstance(audio := said.get("audio"), dict):
        yield from _strings(audio, ("transcript",), origin)
    for call in _objects(said.get("tool_calls")):
        yield from _arguments(call.get("function"))
        if isinstance(custom := call.get("custom"), dict):
            yield from _strings(custom, ("input",), Origin.MODEL)
    yield from _arguments(said.get("function_call"))


def _messages(holder: dict[str, Any], name: str) -> Iterator[Slot]:
    for message in _objects(holder[name]):
        yield from spoken(message, _ROLES.get(str(message.get("role")), Origin.USER))


def _inputs(origin: Origin) -> Callable[[dict[str, Any], str], Iterator[Slot]]:
    def slots(holder: dict[str, Any], name: str) -> Iterator[Slot]:
        value = holder[name]
        if isinstance(value, str):
            yield Slot(holder, name, origin)
        elif isinstance(value, list):
            yield from (
                Slot(value, place, origin) for place, each in enumerate(value) if isinstance(each, str)
            )

    return slots


# What gets a vector is data: nobody follows instructions in it, so these are no words of a user to a model.
_READERS: Mapping[str, Mapping[str, Callable[[dict[str, Any], str], Iterator[Slot]]]] = {
    "chat/completions": {
        "messages": _messages,
        "prediction": lambda holder, name: _prediction(holder[name]),
        "tools": lambda holder, name: _descriptions(each.get("function") for each in _objects(holder[name])),
        "functions": lambda holder, name: _descriptions(_objects(holder[name])),
    },
    "completions": {"prompt": _inputs(Origin.USER), "suffix": _inputs(Origin.USER)},
    "embeddings": {"input": _inputs(Origin.APPLICATION)},
    "rerank": {
        "query": _inputs(Origin.APPLICATION),
        "documents": lambda holder, name: _all_strings(holder, name),
    },
}


def _all_strings(place: Any, key: Any) -> Iterator[Slot]:
    """Every text in a value, however deep."""
    value = place[key]
    if isinstance(value, str):
        yield Slot(place, key, Origin.APPLICATION)
    elif isinstance(value, list):
        for number in range(len(value)):
            yield from _all_strings(value, number)
    elif isinstance(value, dict):
        for name in value:
            yield from _all_strings(value, name)


def _prediction(value: Any) -> Iterator[Slot]:
    if isinstance(value, dict):
        yield from spoken(value, Origin.APPLICATION)


def _descriptions(functions: Iterable[Any]) -> Iterator[Slot]:
    for function in functions:
        if isinstance(function, dict):
            yield from _strings(function, ("description",), Origin.APPLICATION)


def _arguments(function: Any) -> Iterator[Slot]:
    if isinstance(function, dict) and isinstance(function.get("arguments"), str):
        yield Slot(function, "arguments", Origin.MODEL, is_json=True)


def _strings(place: dict[str, Any], names: Sequence[str], origin: Origin) -> Iterator[Slot]:
    yield from (Slot(place, name, origin) for name in names if isinstance(place.get(name), str))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
