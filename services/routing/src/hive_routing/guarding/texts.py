"""The texts of a request and of a whole answer: where they stand, whose words they are, and how they are replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.chat import texts as chat_texts
from hive_routing.dialects.places import UNREADABLE, Document, Slot
from hive_routing.guarding.port import Origin
from hive_runtime.errors import HiveError, Kind

if TYPE_CHECKING:
    from hive_routing.endpoints import Endpoint


def request_texts(
    endpoint: Endpoint, fields: Mapping[str, Raw], messages: list[Any] | None = None
) -> Mapping[str, Document]:
    """By the member of the body that holds them. What cannot be read is the provider's to refuse.

    messages: of a chat, where they are decoded already: they are what is changed then.
    """
    if messages is not None:
        return chat_texts.prompt_texts(fields, messages)
    if endpoint.dialect is not None:
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
    texts = _choices if endpoint.dialect is None else endpoint.dialect.answer_texts
    return Document(value, list(texts(value)))


def _choices(value: Any) -> Iterator[Slot]:
    """Of text completions."""
    choices = value.get("choices") if isinstance(value, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("text"), str):
            yield Slot.at(choice, "text", Origin.MODEL)


def _inputs(origin: Origin) -> Callable[[dict[str, Any], str], Iterator[Slot]]:
    def slots(holder: dict[str, Any], name: str) -> Iterator[Slot]:
        value = holder[name]
        if isinstance(value, str):
            yield Slot.at(holder, name, origin)
        elif isinstance(value, list):
            yield from (
                Slot.at(value, place, origin) for place, each in enumerate(value) if isinstance(each, str)
            )

    return slots


# What gets a vector is data: nobody follows instructions in it, so these are no words of a user to a model.
_READERS: Mapping[str, Mapping[str, Callable[[dict[str, Any], str], Iterator[Slot]]]] = {
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
        yield Slot.at(place, key, Origin.APPLICATION)
    elif isinstance(value, list):
        for number in range(len(value)):
            yield from _all_strings(value, number)
    elif isinstance(value, dict):
        for name in value:
            yield from _all_strings(value, name)
