"""Streams of Converse, read as events of the form: each event of Amazon's is an object of one member, its name."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from hive_routing.dialects.converse.answers import MALFORMED, sequence_of, stop_of
from hive_routing.dialects.converse.formats import TYPES
from hive_routing.dialects.converse.parts import NAME, Block, only_member
from hive_routing.dialects.converse.usages import TokenUsage
from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Ended,
    Event,
    Failed,
    Media,
    Opaque,
    Opened,
    Part,
    Said,
    Seal,
    Sealed,
    Spent,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.dialects.port import Frame
from hive_routing.dialects.seals import unpacked

GATHERED = "contentBlock"
"""The kind of what only Converse can say in a stream: a block's `start` and `deltas`, as they came."""


class _Start(msgspec.Struct):
    contentBlockIndex: int
    start: Block


class _Delta(msgspec.Struct):
    contentBlockIndex: int
    delta: Block


class _End(msgspec.Struct):
    contentBlockIndex: int


class _MessageStop(msgspec.Struct):
    stopReason: str
    additionalModelResponseFields: Any = None


class _Metadata(msgspec.Struct):
    usage: TokenUsage = TokenUsage()


class _Event(msgspec.Struct):
    contentBlockDelta: _Delta | None = None
    contentBlockStart: _Start | None = None
    contentBlockStop: _End | None = None
    messageStop: _MessageStop | None = None
    metadata: _Metadata | None = None
    error: Any = None


class _CallStart(msgspec.Struct):
    toolUseId: str
    name: str


_decode = msgspec.json.Decoder(_Event).decode


class _Open:
    """A block of which more may come. number: of its part, where one is open; kind: of the deltas that it is of."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.kind = ""
        self.signature: list[str] = []
        self.redacted: list[str] = []
        self.image: Block | None = None
        self.data: list[str] = []
        self.start: Block | None = None
        self.deltas: list[Block] = []


class StreamReader:
    """Most blocks begin with their first delta: only calls are announced."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._count = 0
        self._has_begun = False
        self._has_calls = False
        self._has_stopped = False
        self._has_ended = False

    def feed(self, frame: Frame) -> list[Event]:
        event = _decode(frame.data)
        events: list[Event] = [] if self._has_begun else [Began()]
        self._has_begun = True
        if event.contentBlockDelta is not None:
            self._delta(event.contentBlockDelta, events)
        elif event.contentBlockStart is not None:
            self._start(event.contentBlockStart, events)
        elif event.contentBlockStop is not None:
            self._close(event.contentBlockStop.contentBlockIndex, events)
        elif event.messageStop is not None:
            self._stop(event.messageStop, events)
        elif event.metadata is not None:
            if (usage := event.metadata.usage.usage()) is not None:
                events.append(Spent(usage))
            self._has_ended = True
            events.append(Ended())
        elif event.error is not None:
            events.append(Failed(event.error))
        return events

    def end(self) -> list[Event]:
        """Its figures are the last that comes, but nothing else depends on them."""
        return [Ended()] if self._has_stopped and not self._has_ended else []

    def _start(self, start: _Start, events: list[Event]) -> None:
        block = self._open.setdefault(start.contentBlockIndex, _Open())
        if not start.start:
            return
        kind, value = only_member(start.start)
        if kind == "toolUse" and isinstance(value, dict) and "type" not in value:
            call = msgspec.convert(value, _CallStart)
            self._has_calls = True
            self._begin(block, kind, Call(call.toolUseId, call.name), events)
        elif kind == "image":
            block.image = msgspec.convert(value, Block)
        else:
            block.start = start.start

    def _delta(self, delta: _Delta, events: list[Event]) -> None:
        block = self._open.setdefault(delta.contentBlockIndex, _Open())
        if not delta.delta:
            return
        if block.start is not None:
            block.deltas.append(delta.delta)
            return
        kind, value = only_member(delta.delta)
        match kind, value:
            case "text", str():
                if value:
                    self._say(block, kind, Text(), value, events)
            case "toolUse", {"input": str(text)} if block.kind == kind:
                self._say(block, kind, None, text, events)
            case "reasoningContent", {"text": str(text)}:
                self._say(block, kind, Thinking(), text, events)
            case "reasoningContent", {"signature": str(text)}:
                self._begin(block, kind, Thinking(), events)
                block.signature.append(text)
            case "reasoningContent", {"redactedContent": str(text)}:
                self._begin(block, kind, Thinking(), events)
                block.redacted.append(text)
            case "image", {"source": {"bytes": str(text)}} if block.image is not None:
                block.data.append(text)
            case "toolUse" | "text" | "image", _:
                raise msgspec.ValidationError(f"a delta of {kind} that belongs to nothing")
            case _:
                block.deltas.append(delta.delta)

    def _say(self, block: _Open, kind: str, part: Part | None, text: str, events: list[Event]) -> None:
        if part is not None:
            self._begin(block, kind, part, events)
        if text and block.number is not None:
            events.append(Said(0, block.number, text))

    def _begin(self, block: _Open, kind: str, part: Part, events: list[Event]) -> None:
        """Open the part, unless the block is of this kind already."""
        if block.kind == kind:
            return
        self._finish(block, events)
        block.kind, block.number = kind, self._count
        events.append(self._opened(part))

    def _opened(self, part: Part) -> Event:
        self._count += 1
        return Opened(0, self._count - 1, part)

    def _finish(self, block: _Open, events: list[Event]) -> None:
        """Close the part that is open in the block."""
        if block.number is None:
            return
        if block.signature:
            seal = unpacked("".join(block.signature), NAME, "signature")
            events.append(Sealed(0, block.number, seal))
        if block.redacted:
            events.append(Sealed(0, block.number, Seal(NAME, "redacted", _joined(block.redacted))))
        events.append(Closed(0, block.number))
        block.number = None

    def _close(self, index: int, events: list[Event]) -> None:
        block = self._open.pop(index, None)
        if block is None:
            return
        self._finish(block, events)
        parts: list[Part] = []
        if block.image is not None and block.data:
            parts.append(_image(block.image, block.data))
        if block.start is not None or block.deltas:
            parts.append(Opaque(NAME, GATHERED, {"start": block.start, "deltas": block.deltas}))
        for part in parts:
            events.append(self._opened(part))
            events.append(Closed(0, self._count - 1))

    def _stop(self, stop: _MessageStop, events: list[Event]) -> None:
        for index in list(self._open):
            self._close(index, events)
        if (problem := MALFORMED.get(stop.stopReason)) is not None:
            events.append(Failed({"message": problem, "type": stop.stopReason}))
            return
        self._has_stopped = True
        sequence = sequence_of(stop.additionalModelResponseFields)
        events.append(Stopped(0, stop_of(stop.stopReason, self._has_calls), sequence))


def _image(start: Block, data: list[str]) -> Media:
    return Media("image", TYPES["image"].get(str(start.get("format"))), _joined(data))


def _joined(pieces: list[str]) -> str:
    """Base64 of what all of them are of; each of them is whole. Raises msgspec.ValidationError."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return base64.b64encode(b"".join([base64.b64decode(piece) for piece in pieces])).decode()
    except binascii.Error:
        raise msgspec.ValidationError("a piece of data is no base64") from None
