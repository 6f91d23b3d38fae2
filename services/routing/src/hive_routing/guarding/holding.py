"""The events of a stream that are held back, and the texts in them: what is final can go, changed where it has to be.

A text is spread over the pieces of many events. It is edited by its own offsets, counted from its beginning, and an
event goes once everything in it and before it is final. No I/O happens here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hive_routing.providers.sse import EventSplitter, read_event
from hive_runtime.errors import HiveError, Kind

_SPOKEN = ("content", "reasoning_content", "reasoning", "refusal")

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Name = tuple[Any, ...]


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
    channel: Channel
    place: dict[str, Any]
    key: str
    start: int
    end: int


@dataclass(slots=True)
class _Event:
    raw: bytes
    chunk: Any
    pieces: list[_Piece]


class HeldEvents:
    """Push what comes, mark channels as final, take what can go. Raises HiveError for what cannot be read."""

    def __init__(self) -> None:
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
        except UNREADABLE:  # nobody could say what is in it
            raise HiveError(Kind.UPSTREAM_FAILED, "The provider sent a chunk that cannot be read.") from None
        return _Event(raw, chunk, [self._piece(*each) for each in _texts(chunk)])

    def _piece(self, name: Name, place: dict[str, Any], key: str, is_json: bool) -> _Piece:
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
            piece.channel.written(piece.end)
        if changed:  # they spell out what was taken out
            for choice in _objects(event.chunk["choices"]):
                choice.pop("logprobs", None)
        return b"data: " + msgspec.json.encode(event.chunk) + b"\n\n" if changed else event.raw


def _texts(chunk: Any) -> Iterator[tuple[Name, dict[str, Any], str, bool]]:
    """Channel, place, key and whether it is JSON, of each text in a chunk."""
    for choice in _objects(chunk.get("choices") if isinstance(chunk, dict) else None):
        index = choice.get("index", 0)
        if isinstance(choice.get("text"), str):
            yield (index, "text"), choice, "text", False
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            continue
        for key in _SPOKEN:
            if isinstance(delta.get(key), str):
                yield (index, key), delta, key, False
        for part in _objects(delta.get("content")):
            if isinstance(part.get("text"), str):
                yield (index, "content"), part, "text", False
        if isinstance(spoken := delta.get("audio"), dict) and isinstance(spoken.get("transcript"), str):
            yield (index, "transcript"), spoken, "transcript", False
        for number, call in enumerate(_objects(delta.get("tool_calls"))):
            place = call.get("index", number)
            yield from _arguments((index, "tool", place), call.get("function"))
            custom = call.get("custom")
            if isinstance(custom, dict) and isinstance(custom.get("input"), str):
                yield (index, "custom", place), custom, "input", False
        yield from _arguments((index, "function"), delta.get("function_call"))


def _arguments(name: Name, function: Any) -> Iterator[tuple[Name, dict[str, Any], str, bool]]:
    if isinstance(function, dict) and isinstance(function.get("arguments"), str):
        yield name, function, "arguments", True


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
