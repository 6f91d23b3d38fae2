"""The events of a stream that are held back, and the texts in them: what is final can go, changed where it has to be.

A text is spread over the pieces of many events. It is edited by its own offsets, counted from its beginning, and an
event goes once everything in it and before it is final. No I/O happens here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hive_routing.dialects.chat.texts import event_texts
from hive_routing.dialects.places import UNREADABLE, Place
from hive_routing.providers.sse import EventSplitter, read_event, read_named
from hive_runtime.errors import HiveError, Kind

Name = tuple[Any, ...]
Texts = Callable[[Any], Iterable[Place]]


@dataclass(slots=True)
class Edit:
    """Characters [start, end) of a channel are replaced."""

    start: int
    end: int
    text: str


@dataclass(slots=True, eq=False)
class Channel:
    """One text of a stream: what a choice says, or the arguments of one of its tool calls.

    text: what is kept of it, from `base` on. size: of all of it. final: up to there it will not be changed any more.
    is_json: it is JSON source.
    """

    name: Name
    is_json: bool = False
    text: str = ""
    base: int = 0
    final: int = 0
    edits: list[Edit] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.base + len(self.text)

    def since(self, start: int) -> str:
        """What is kept of it from there on."""
        return self.text[max(0, start - self.base) :]

    def edit(self, start: int, end: int, text: str) -> None:
        """Replace it; what was to be replaced there already, and overlaps, becomes one with it."""
        apart = []
        for each in self.edits:
            if each.start < end and start < each.end:
                start, end = min(start, each.start), max(end, each.end)
            else:
                apart.append(each)
        self.edits = sorted([*apart, Edit(start, end, text)], key=lambda each: each.start)

    def edited(self, start: int, text: str) -> str | None:
        """A piece that begins at `start`, as it goes out; None where nothing in it is changed."""
        end = start + len(text)
        touching = [each for each in self.edits if each.start < end and start < each.end]
        if not touching:
            return None
        out, at = [], start
        for each in touching:
            out.append(text[at - start : max(0, each.start - start)])
            if each.start >= start:
                out.append(each.text)
            at = min(end, each.end)
        out.append(text[at - start :])
        return "".join(out)

    def forget(self, before: int) -> None:
        """The text before it will not be looked at again; its edits stay until they are written."""
        if before > self.base:
            self.text = self.text[before - self.base :]
            self.base = before

    def written(self, end: int) -> None:
        """All up to there has gone out."""
        if self.edits:
            self.edits = [each for each in self.edits if each.end > end]


@dataclass(slots=True)
class _Piece:
    """is_again: not a piece of the channel, but all of it once more."""

    channel: Channel
    place: Any
    key: Any
    start: int
    end: int
    is_again: bool = False


@dataclass(slots=True)
class _Event:
    raw: bytes
    chunk: Any
    pieces: list[_Piece]


class HeldEvents:
    """Push what comes, mark channels as final, take what can go. Raises HiveError for what cannot be read.

    texts: finds those of a decoded event, in the dialect of the stream.
    """

    def __init__(self, texts: Texts | None = None) -> None:
        self._texts = texts or event_texts
        self._keeps_edits = texts is not None  # for texts that are told again as a whole
        self.channels: dict[Name, Channel] = {}
        self._splitter = EventSplitter()
        self._events: deque[_Event] = deque()

    @property
    def is_empty(self) -> bool:
        return not self._events

    def push(self, data: bytes) -> None:
        """Whole events, or parts of them."""
        for raw in self._splitter.feed(data):
            self._events.append(self._read(raw))

    def take(self) -> bytes:
        """The events at the front that are final, in their order."""
        out = []
        while self._events and all(piece.end <= piece.channel.final for piece in self._events[0].pieces):
            out.append(self._written(self._events.popleft()))
        return b"".join(out)

    def _read(self, raw: bytes) -> _Event:
        data, _ = read_event(raw)
        if data is None:
            return _Event(raw, None, [])
        try:
            chunk = msgspec.json.decode(data)
            found = list(self._texts(chunk))
            return _Event(raw, chunk, [self._piece(each) for each in found])
        except (*UNREADABLE, TypeError, AttributeError):  # nobody could say what is in it
            raise HiveError(Kind.UPSTREAM_FAILED, "The provider sent a chunk that cannot be read.") from None

    def _piece(self, found: Place) -> _Piece:
        name, place, key, is_json, is_again = found
        if is_again:
            known = self.channels.get(name)
            if known is not None and known.size == len(place[key]):
                return _Piece(known, place, key, 0, known.size, is_again=True)
            name = (name, len(self.channels))  # it was never told piece by piece, or otherwise
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name, is_json)
        start = channel.size
        channel.text += place[key]
        return _Piece(channel, place, key, start, channel.size)

    def _written(self, event: _Event) -> bytes:
        changed = False
        for piece in event.pieces:
            text = piece.channel.edited(piece.start, piece.place[piece.key])
            if text is not None:
                piece.place[piece.key] = text
                changed = True
            if not self._keeps_edits:
                piece.channel.written(piece.end)
        if not changed:
            return event.raw
        forget_logprobs(event.chunk)
        name, _ = read_named(event.raw)
        named = b"event: " + name.encode() + b"\n" if name else b""
        return named + b"data: " + msgspec.json.encode(event.chunk) + b"\n\n"


def forget_logprobs(value: Any) -> None:
    """Take out of an answer, or of an event of one, what spells out its texts once more."""
    for choice in _objects(value.get("choices")):
        choice.pop("logprobs", None)
    for candidate in _objects(value.get("candidates")):
        candidate.pop("logprobsResult", None)
    response = value.get("response")
    whole = response if isinstance(response, dict) else value
    items = [*_objects(whole.get("output")), value.get("item")]
    parts = [
        value,
        value.get("part"),
        *(part for item in _dicts(items) for part in _objects(item.get("content"))),
    ]
    for part in _dicts(parts):
        if part.get("logprobs"):
            part["logprobs"] = []


def _dicts(values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    return (each for each in values if isinstance(each, dict))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
