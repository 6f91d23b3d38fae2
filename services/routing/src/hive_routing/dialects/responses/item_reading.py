"""One output item of a provider's stream, told part by part.

A part opens with its first characters, so that one without any never does. What has come in pieces comes again as a
whole, three times: of that, only what is longer than the pieces were is told, for providers that send no pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hive_routing.dialects.form import (
    Call,
    Closed,
    Event,
    Opened,
    Part,
    Refusal,
    Said,
    Seal,
    Sealed,
    Text,
    Thinking,
)
from hive_routing.dialects.responses.items import BETWEEN, SEAL, kind_of, read_output
from hive_routing.dialects.responses.parts import NAME, Item

Key = tuple[str, int]
"""A text of an item: the list it stands in, and its place there."""

ARGUMENTS: Key = ("arguments", 0)
_SUMMARY: Key = ("summary", 0)
_WHOLE: Key = ("whole", 0)

_KINDS: Mapping[str, Callable[[str | None], Part]] = {
    "output_text": lambda id: Text(),
    "refusal": lambda id: Refusal(),
    "reasoning_text": lambda id: Thinking(id=id),
    "summary_text": lambda id: Thinking(is_summary=True, id=id),
}


class Place(NamedTuple):
    """Where a part of the form stands in the stream: in which item, and what the id of that is."""

    output_index: int
    id: str


class Telling:
    """The events that are told next, and the place of each part so far, by its number."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.places: list[Place] = []
        self.has_calls = False

    def open(self, place: Place, part: Part) -> int:
        """The number of the part."""
        number = len(self.places)
        self.places.append(place)
        self.has_calls = self.has_calls or isinstance(part, Call)
        self.events.append(Opened(0, number, part))
        return number


class ItemReading:
    """is_done: all of it has been told."""

    def __init__(self, telling: Telling, index: int) -> None:
        self.id = ""
        self.is_done = False
        self._telling = telling
        self._index = index
        self._open: dict[Key, int] = {}
        self._closed: set[Key] = set()
        self._said: dict[Key, int] = {}

    def begin(self, item: Item) -> None:
        """It has been added. What it holds already comes again."""
        self._name(item)
        if kind_of(item) == "function_call":
            part = read_output(item | {"arguments": ""})[0]
            if isinstance(part, Call):
                self._open_part(ARGUMENTS, part)

    def say(self, key: Key, kind: str, text: Any, logprobs: list[Any] | None = None) -> None:
        """A piece of a text. kind: the type of its content part."""
        slot = _slot(key)
        if not isinstance(text, str) or not text or slot in self._closed:
            return
        if slot not in self._open:
            if kind not in _KINDS:
                return
            self._open_part(slot, _KINDS[kind](self.id or None))
        elif slot == _SUMMARY and key not in self._said:
            self._tell(slot, BETWEEN)
        self._said[key] = self._said.get(key, 0) + len(text)
        self._tell(slot, text, {"content": logprobs, "refusal": None} if logprobs else None)

    def say_whole(self, key: Key, kind: str, text: Any, logprobs: list[Any] | None = None) -> None:
        """All of a text, of which the pieces may have come before."""
        if isinstance(text, str):
            said = self._said.get(key, 0)
            self.say(key, kind, text[said:], None if said else logprobs)

    def say_part(self, key: Key, part: Item) -> None:
        """A whole content part."""
        kind = str(part.get("type"))
        self.say_whole(key, kind, part.get("refusal" if kind == "refusal" else "text"), part.get("logprobs"))

    def finish_part(self, key: Key, part: Item) -> None:
        """A content part is complete; of a thought the seal is still to come."""
        self.say_part(key, part)
        if part.get("type") != "reasoning_text":
            self._close(key)

    def close_all(self) -> None:
        for key in list(self._open):
            self._close(key)

    def finish(self, item: Item) -> None:
        """It is complete: what has not been told of it. Raises msgspec.ValidationError."""
        if self.is_done:
            return
        self._name(item)
        match kind_of(item):
            case "message":
                self._finish_texts(item, "content")
            case "reasoning":
                self._finish_texts(item, "content")
                self._finish_texts(item, "summary")
                self._seal(item.get("encrypted_content"))
            case _:
                self._finish_whole(item)
        self.close_all()
        self.is_done = True

    def _close(self, key: Key) -> None:
        if (number := self._open.pop(_slot(key), None)) is not None:
            self._telling.events.append(Closed(0, number))
        self._closed.add(_slot(key))

    def _finish_texts(self, item: Item, name: str) -> None:
        parts = item.get(name)
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict):
                self.say_part((name, place), part)

    def _finish_whole(self, item: Item) -> None:
        for part in read_output(item):
            if not isinstance(part, Call):
                self._open_part(_WHOLE, part)
                continue
            if ARGUMENTS not in self._open:
                self._open_part(ARGUMENTS, Call(part.id, part.name))
            self.say_whole(ARGUMENTS, "", part.arguments)

    def _seal(self, sealed: Any) -> None:
        """It belongs to what opened last; where nothing was said, it is all there is."""
        if not isinstance(sealed, str):
            return
        seal = Seal(NAME, SEAL, sealed)
        if self._open:
            self._telling.events.append(Sealed(0, max(self._open.values()), seal))
        else:
            self._open_part(_SUMMARY, Thinking(seal=seal, id=self.id or None))

    def _tell(self, slot: Key, text: str, logprobs: Any = None) -> None:
        self._telling.events.append(Said(0, self._open[slot], text, logprobs))

    def _open_part(self, slot: Key, part: Part) -> None:
        self._open[slot] = self._telling.open(Place(self._index, self.id), part)

    def _name(self, item: Item) -> None:
        if isinstance(id := item.get("id"), str):
            self.id = self.id or id


def _slot(key: Key) -> Key:
    """What grows with a text: all summaries of an item are one part."""
    return _SUMMARY if key[0] == "summary" else key
