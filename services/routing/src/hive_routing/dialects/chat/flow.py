"""One choice of a provider's stream: its deltas become parts that open, grow and close.

A text is complete when something else of its choice begins; calls may grow side by side and are complete with the
choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hive_routing.dialects.chat.calls import Calls, Growing
from hive_routing.dialects.chat.details import Detail, Stretch, read_details, seal_of, unpacked_part
from hive_routing.dialects.chat.spoken import (
    BLOCK,
    NAME,
    THOUGHT,
    Spoken,
    ToolCall,
    blocks_of,
    image_of,
    thought,
)
from hive_routing.dialects.chat.stops import read_stop
from hive_routing.dialects.form import (
    Closed,
    Event,
    Opaque,
    Opened,
    Part,
    Refusal,
    Said,
    Sealed,
    Stopped,
    Text,
    Thinking,
)

_TEXT, _REFUSAL = "content", "refusal"
_DETAILED: Mapping[str, tuple[str, ...]] = {"text": (_TEXT,), "thinking": THOUGHT}
"""The members that a type of details speaks of."""


class Flow:
    def __init__(self, index: int) -> None:
        self._index = index
        self._count = 0
        self._member = ""
        """That the open text comes in; empty where none is open."""
        self._number = 0
        self._stretch = Stretch(0)
        self._said: dict[str, int] = {}
        self._calls = Calls()
        self._has_calls = self._stopped = False

    def read(self, delta: Spoken, logprobs: Any, events: list[Event]) -> None:
        """Adds what the delta says; behind the end of the choice there is nothing."""
        if self._stopped:
            return
        for member, text in zip(THOUGHT, (delta.reasoning_content, delta.reasoning), strict=True):
            if isinstance(text, str) and text:
                self._say(member, text, events)
                break  # some tell it twice
        content = delta.content
        if isinstance(content, list):
            self._read_blocks(blocks_of(content), events)
        elif content or (content is not None and logprobs is not None and self._member == _TEXT):
            self._say(_TEXT, content, events, logprobs)
        if delta.refusal:
            self._say(_REFUSAL, delta.refusal, events, logprobs)
        self._read_others(delta, events)

    def stop(self, reason: str, events: list[Event]) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._close(events)
        for call in self._calls:
            if call.number is None:
                self._open_call(call, events)
            if call.number is not None:
                events.append(Closed(self._index, call.number))
        events.append(Stopped(self._index, read_stop(reason, self._has_calls)))

    def _read_others(self, delta: Spoken, events: list[Event]) -> None:
        if delta.reasoning_details is not None:
            for detail in read_details(delta.reasoning_details):
                self._read_detail(detail, events)
        for image in delta.images or ():
            self._put(image_of(image), events)
        if delta.audio:
            self._put(Opaque(NAME, "audio", delta.audio), events)
        if delta.annotations:
            self._put(Opaque(NAME, "annotations", delta.annotations), events)
        for call in delta.tool_calls or ():
            self._grow(self._calls.find(call), call, events)
        if delta.function_call is not None:
            call = ToolCall(function=delta.function_call)
            self._grow(self._calls.older(call), call, events)

    def _say(self, member: str, text: str, events: list[Event], logprobs: Any = None) -> None:
        said = self._said.get(member, 0)
        if member != self._member:
            self._close(events)
            self._member, self._stretch = member, Stretch(said)
            self._number = self._opened(_begun(member), events)
        self._said[member] = said + len(text)
        self._stretch.grown(text)
        events.append(Said(self._index, self._number, text, logprobs))

    def _close(self, events: list[Event]) -> None:
        if self._member:
            events.append(Closed(self._index, self._number))
            self._member = ""

    def _opened(self, part: Part, events: list[Event]) -> int:
        events.append(Opened(self._index, self._count, part))
        self._count += 1
        return self._count - 1

    def _put(self, part: Part, events: list[Event]) -> None:
        """A part that comes as a whole."""
        self._close(events)
        events.append(Closed(self._index, self._opened(part, events)))

    def _read_blocks(self, parts: list[Part], events: list[Event]) -> None:
        for part in parts:
            match part:
                case Text(text):
                    self._say(_TEXT, text, events)
                case Refusal(text):
                    self._say(_REFUSAL, text, events)
                case Thinking(text):
                    self._say(BLOCK, text, events)
                case _:
                    self._put(part, events)

    def _read_detail(self, detail: Detail, events: list[Event]) -> None:
        """It comes behind the last words of its stretch."""
        if detail.type == "part":
            if (part := unpacked_part(detail)) is not None:
                self._put(part, events)
            return
        members = _DETAILED[detail.type]
        seal = seal_of(detail)
        if detail.length == 0 and detail.type == "thinking":
            self._put(Thinking("", seal, detail.is_summary, detail.id), events)
        elif self._member in members and self._stretch.is_of(detail):
            if seal is not None:
                events.append(Sealed(self._index, self._number, seal))
            self._close(events)

    def _grow(self, growing: Growing, call: ToolCall, events: list[Event]) -> None:
        self._has_calls = True
        piece, seal = growing.add(call)
        if growing.number is None:
            growing.seal = growing.seal or seal
            growing.held.append(piece)
            if growing.name and growing.inputs is None:
                self._open_call(growing, events)
            return
        if piece:
            events.append(Said(self._index, growing.number, piece))
        if seal is not None:
            events.append(Sealed(self._index, growing.number, seal))

    def _open_call(self, growing: Growing, events: list[Event]) -> None:
        self._close(events)
        growing.number = self._opened(growing.part(), events)
        if held := "".join(growing.held):
            events.append(Said(self._index, growing.number, held))


def _begun(member: str) -> Part:
    if member == _TEXT:
        return Text()
    return Refusal() if member == _REFUSAL else Thinking(seal=thought(member))
