"""A stream of Anthropic's messages, read as events of the form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Ended,
    Event,
    Failed,
    Opaque,
    Opened,
    Part,
    Refusal,
    Said,
    Sealed,
    Spent,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.dialects.messages.answers import StopDetails, stop_of
from hive_routing.dialects.messages.blocks import input_of
from hive_routing.dialects.messages.parts import NAME, Block, part_of
from hive_routing.dialects.messages.usages import SAYS_NOTHING, Figures
from hive_routing.dialects.port import Frame
from hive_routing.dialects.seals import unpacked


class _Delta(msgspec.Struct):
    """Of a block, or of the message."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    signature: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class _Start(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: Raw = SAYS_NOTHING


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Start | None = None
    content_block: Block | None = None
    delta: _Delta | None = None
    usage: Raw = SAYS_NOTHING
    error: Any = None


class _Block:
    """A block that has begun.

    number: of its part; None as long as there is no reason to open it: text of no characters is no part, and one
    that only Anthropic can say is opened when it is complete.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.number: int | None = None
        self.input: str = ""
        """Of a call, as it stood in the beginning: it counts where nothing follows."""
        self.pieces: list[str] = []
        """Of the input of one that only Anthropic can say."""


_decode = msgspec.json.Decoder(_Event).decode


class MessagesReader:
    """Reads one stream. What is said after its end, and kinds of events that it does not know, say nothing."""

    def __init__(self) -> None:
        self._has_begun = False
        self._is_over = False
        self._blocks: dict[int, _Block] = {}
        self._count = 0
        self._figures = Figures()

    def feed(self, frame: Frame) -> list[Event]:
        if self._is_over or frame.data.startswith(b"[DONE]"):
            return []
        event = _decode(frame.data)
        return list(self._events(event))

    def end(self) -> list[Event]:
        return []

    def _events(self, event: _Event) -> Iterator[Event]:
        kind = event.type
        if kind == "ping":
            return
        if kind == "error":
            self._is_over = True
            yield Failed(event.error)
            return
        if not self._has_begun:
            self._has_begun = True
            yield self._began(event.message or _Start())
        if kind == "content_block_delta":
            yield from self._grown(event)
        elif kind == "content_block_start":
            yield from self._started(event)
        elif kind == "content_block_stop":
            yield from self._closed(event.index)
        elif kind == "message_delta":
            yield from self._stopped(event)
        elif kind == "message_stop":
            self._is_over = True
            yield Ended()

    def _began(self, start: _Start) -> Event:
        self._figures = Figures.stated(start.usage)
        return Began(start.id, start.model, usage=self._figures.usage())

    def _started(self, event: _Event) -> Iterator[Event]:
        part = part_of(event.content_block or {})
        yield from self._closed(event.index)
        block = self._blocks[event.index] = _Block(part)
        if isinstance(part, Opaque):
            return
        text = ""
        if isinstance(part, Text):
            text, part.text = part.text, ""
        elif isinstance(part, Thinking):
            text, part.text = part.text, ""
            yield self._opened(block)
        elif isinstance(part, Call):
            block.input, part.arguments = part.arguments, ""
            yield self._opened(block)
        else:
            yield self._opened(block)
        yield from self._said(block, text)

    def _grown(self, event: _Event) -> Iterator[Event]:
        block, delta = self._blocks.get(event.index), event.delta
        if block is None or delta is None:
            raise msgspec.ValidationError("A block grows that did not begin")
        if delta.type == "text_delta":
            yield from self._said(block, delta.text)
        elif delta.type == "thinking_delta":
            yield from self._said(block, delta.thinking)
        elif delta.type == "input_json_delta":
            yield from self._said(block, delta.partial_json)
        elif delta.type == "signature_delta" and block.number is not None and delta.signature:
            yield Sealed(0, block.number, unpacked(delta.signature, NAME, "signature"))

    def _said(self, block: _Block, text: str) -> Iterator[Event]:
        if not text:
            return
        if isinstance(block.part, Opaque):
            block.pieces.append(text)
            return
        if block.number is None:
            yield self._opened(block)
        block.input = ""
        yield Said(0, self._number(block), text)

    def _closed(self, index: int) -> Iterator[Event]:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if isinstance(block.part, Opaque):
            if block.pieces:
                block.part.value["input"] = input_of("".join(block.pieces))
            yield self._opened(block)
        if block.number is not None:
            yield from self._said(block, block.input)
            yield Closed(0, block.number)

    def _stopped(self, event: _Event) -> Iterator[Event]:
        self._figures = self._figures.updated(Figures.stated(event.usage))
        if (usage := self._figures.usage()) is not None:
            yield Spent(usage)
        delta = event.delta
        if delta is None or delta.stop_reason is None:
            return
        for index in list(self._blocks):
            yield from self._closed(index)
        if delta.stop_details is not None and delta.stop_details.explanation:
            block = _Block(Refusal())
            yield self._opened(block)
            yield from self._said(block, delta.stop_details.explanation)
            yield Closed(0, self._number(block))
        yield Stopped(0, stop_of(delta.stop_reason), delta.stop_sequence)

    def _opened(self, block: _Block) -> Event:
        block.number, self._count = self._count, self._count + 1
        return Opened(0, block.number, block.part)

    def _number(self, block: _Block) -> int:
        assert block.number is not None, "it is open"
        return block.number
