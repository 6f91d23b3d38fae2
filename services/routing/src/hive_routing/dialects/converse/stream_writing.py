"""Streams of Converse, written for a client as server-sent events of one object each, named by its only member."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.dialects.converse.answers import ending, media_block
from hive_routing.dialects.converse.blocks import call_id
from hive_routing.dialects.converse.parts import NAME, Block
from hive_routing.dialects.converse.stream_reading import GATHERED
from hive_routing.dialects.converse.usages import figures_of
from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Event,
    Media,
    Opaque,
    Opened,
    Part,
    Refusal,
    Said,
    Seal,
    Sealed,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.dialects.seals import own, packed
from hive_routing.usage import Usage


class StreamWriter:
    """Only calls and images are announced; other blocks begin with their first delta."""

    def __init__(self) -> None:
        self._open: dict[int, Part] = {}
        self._seals: dict[int, Seal] = {}
        self._told: set[int] = set()

    def write(self, event: Event) -> bytes:
        match event:
            case Began():
                return _event("messageStart", {"role": "assistant"})
            case Opened(number=number, part=part):
                return self._begin(number, part)
            case Said(number=number, text=text):
                return self._say(number, text)
            case Sealed(number=number, seal=seal):
                if isinstance(self._open.get(number), Thinking):
                    self._seals[number] = seal
            case Closed(number=number):
                return self._close(number)
            case Stopped(stop=stop, sequence=sequence):
                return _event("messageStop", ending(stop, sequence))
        return b""

    def finish(self, usage: Usage | None) -> bytes:
        return _event("metadata", {"usage": figures_of(usage), "metrics": {"latencyMs": 0}})

    def _begin(self, number: int, part: Part) -> bytes:
        self._open[number] = part
        match part:
            case Call(id, name, arguments):
                start = {"toolUse": {"toolUseId": call_id(id), "name": name}}
                return self._start(number, start) + self._say(number, arguments)
            case Text(text) | Refusal(text):
                return self._say(number, text)
            case Thinking(text, seal):
                if seal is not None:
                    self._seals[number] = seal
                return self._say(number, text)
            case Media():
                return self._media(number, part)
            case Opaque(dialect, kind, value) if dialect == NAME:
                return self._opaque(number, kind, value)
        return b""

    def _say(self, number: int, text: str) -> bytes:
        if not text:
            return b""
        match self._open.get(number):
            case Call():
                return self._delta(number, {"toolUse": {"input": text}})
            case Thinking():
                return self._delta(number, {"reasoningContent": {"text": text}})
        return self._delta(number, {"text": text})

    def _close(self, number: int) -> bytes:
        self._open.pop(number, None)
        out = b""
        if (seal := self._seals.pop(number, None)) is not None:
            redacted = own(seal, NAME, "redacted")
            said = {"signature": packed(seal, NAME)} if redacted is None else {"redactedContent": redacted}
            out = self._delta(number, {"reasoningContent": said})
        if number not in self._told:
            return out
        return out + _event("contentBlockStop", {"contentBlockIndex": number})

    def _media(self, number: int, media: Media) -> bytes:
        block = media_block(media)
        if "image" not in block:
            return self._delta(number, block)
        start = self._start(number, {"image": {"format": block["image"]["format"]}})
        return start + self._delta(number, {"image": {"source": block["image"]["source"]}})

    def _opaque(self, number: int, kind: str, value: Any) -> bytes:
        if kind != GATHERED:
            return self._delta(number, {kind: value})
        start = self._start(number, value["start"]) if value["start"] is not None else b""
        return start + b"".join([self._delta(number, delta) for delta in value["deltas"]])

    def _start(self, number: int, start: Block) -> bytes:
        self._told.add(number)
        return _event("contentBlockStart", {"start": start, "contentBlockIndex": number})

    def _delta(self, number: int, delta: Block) -> bytes:
        self._told.add(number)
        return _event("contentBlockDelta", {"delta": delta, "contentBlockIndex": number})


def _event(name: str, value: Block) -> bytes:
    return b"data: " + msgspec.json.encode({name: value}) + b"\n\n"
