"""A provider's stream of chunks, read as events."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.chat.flow import Flow
from hive_routing.dialects.chat.spoken import Spoken
from hive_routing.dialects.chat.stops import FAILURES
from hive_routing.dialects.form import Began, Ended, Event, Failed, Spent
from hive_routing.dialects.port import Frame
from hive_routing.usage import Usage

_ABSENT = Raw()
_NULL = b"null"


class _Choice(msgspec.Struct):
    index: int = 0
    delta: Spoken | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    error: Any = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[_Choice] | None = None
    usage: Raw = _ABSENT
    error: Any = None
    object: str | None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class ChatReader:
    """One stream."""

    def __init__(self) -> None:
        self._flows: dict[int, Flow] = {}
        self._begun = False
        self._over = False

    def feed(self, frame: Frame) -> list[Event]:
        if self._over or not frame.data:
            return []
        events: list[Event] = []
        if frame.data.startswith(b"[DONE]"):
            self._over = True
            self._begin(_Chunk(), events)
            events.append(Ended())
            return events
        chunk = _decode(frame.data)
        if chunk.error or chunk.object == "error":
            self._over = True
            return [Failed(chunk.error or msgspec.json.decode(frame.data))]
        usage = Usage.stated(chunk.usage) if chunk.usage and bytes(chunk.usage) != _NULL else None
        if chunk.choices or usage:
            self._begin(chunk, events)
        for choice in chunk.choices or ():
            self._read(choice, events)
        if usage is not None and not self._over:
            events.append(Spent(usage))
        return events

    def end(self) -> list[Event]:
        """Nothing: what is complete was said to be."""
        return []

    def _begin(self, chunk: _Chunk, events: list[Event]) -> None:
        if not self._begun:
            self._begun = True
            events.append(Began(chunk.id or "", chunk.model or "", int(chunk.created or 0)))

    def _read(self, choice: _Choice, events: list[Event]) -> None:
        flow = self._flows.get(choice.index)
        if flow is None:
            flow = self._flows[choice.index] = Flow(choice.index)
        if choice.delta is not None:
            flow.read(choice.delta, choice.logprobs, events)
        if choice.finish_reason in FAILURES:
            self._over = True
            events.append(Failed(choice.error or {"message": f"It ended with `{choice.finish_reason}`."}))
        elif choice.finish_reason:
            flow.stop(choice.finish_reason, events)
