"""Where the texts of a body, an answer or an event stand: what guards read, and where they put other words."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from hive_routing.guarding.port import Origin, Text

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Slot(Text):
    """A text as guards read it, and the place where another one can be put: `place[key]`.

    is_json: it is JSON source, and has to stay so.
    """

    place: Any = None
    key: Any = None
    is_json: bool = False

    @classmethod
    def at(cls, place: Any, key: Any, origin: Origin, is_json: bool = False) -> Slot:
        """The text that stands there."""
        return cls(str(place[key]), origin, 0, place, key, is_json)

    def put(self, text: str) -> None:
        self.place[self.key] = self.text = text


class Document(NamedTuple):
    """A decoded part of a body, and the slots in it.

    is_plain: it is a conversation of messages that have a role and a text each, and nothing else: the slots are they.
    """

    value: Any
    slots: list[Slot]
    is_plain: bool = False

    def encoded(self) -> bytes:
        return msgspec.json.encode(self.value)


class Place(NamedTuple):
    """A text in a decoded event of a stream, and where it stands.

    channel: names the text that it is a piece of, hashable. is_json: of JSON source. is_again: not a piece, but the
    whole text of the channel up to here once more.
    """

    channel: tuple[Any, ...]
    place: Any
    key: Any
    is_json: bool = False
    is_again: bool = False
