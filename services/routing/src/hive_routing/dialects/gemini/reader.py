"""Reads a stream of Google's: each frame holds what is new of every candidate.

Frames do not say where a part ends: texts that follow each other are one part, until it has its signature.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Ended,
    Event,
    Failed,
    Opened,
    Said,
    Sealed,
    Spent,
    Stop,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.dialects.gemini.calls import CallIds, random_id
from hive_routing.dialects.gemini.logprobs import read_logprobs
from hive_routing.dialects.gemini.parts import read_part
from hive_routing.dialects.gemini.responses import Candidate, Response, decode
from hive_routing.dialects.gemini.stops import stop_of
from hive_routing.dialects.gemini.usages import read_usage
from hive_routing.dialects.port import Frame
from hive_routing.usage import Usage


class GeminiReader:
    """Reads one stream."""

    def __init__(self) -> None:
        self._begun = False
        self._candidates: dict[int, _CandidateReader] = {}
        self._usage: Usage | None = None
        self._blocked = False

    def feed(self, frame: Frame) -> list[Event]:
        response = decode(frame.data)
        if response.error is not None:
            return [Failed(response.error)]
        events: list[Event] = []
        if not self._begun:
            self._begun = True
            events.append(Began(response.response_id or "", response.model_version or ""))
        for candidate in response.candidates or ():
            events += self._reader_of(candidate.index or 0).read(candidate)
        if response.is_blocked and not self._candidates and not self._blocked:
            self._blocked = True
            events.append(Stopped(0, Stop.FILTERED))
        return events + self._spent(response)

    def end(self) -> list[Event]:
        readers = self._candidates.values()
        complete = self._blocked or (bool(readers) and all(each.is_stopped for each in readers))
        return [Ended()] if complete else []

    def _reader_of(self, index: int) -> _CandidateReader:
        reader = self._candidates.get(index)
        if reader is None:
            reader = self._candidates[index] = _CandidateReader(index)
        return reader

    def _spent(self, response: Response) -> list[Event]:
        if response.usage_metadata is None:
            return []
        usage = read_usage(response.usage_metadata)
        if usage is None or usage == self._usage:
            return []
        self._usage = usage
        return [Spent(usage)]


class _CandidateReader:
    """Reads what one candidate says."""

    def __init__(self, index: int) -> None:
        self.is_stopped = False
        self._index = index
        self._ids = CallIds(random_id)
        self._opened = 0
        self._growing: type[Text] | type[Thinking] | None = None
        self._has_called = False

    def read(self, candidate: Candidate) -> list[Event]:
        events: list[Event] = []
        result = candidate.logprobs_result
        logprobs = read_logprobs(result) if result is not None and result.chosen_candidates else None
        for place, value in enumerate(candidate.parts):
            part = read_part(value, f"content.parts[{place}]", self._ids)
            if part is None:
                continue
            if self.is_stopped:
                raise msgspec.ValidationError("a candidate goes on after its finishReason")
            if isinstance(part, Text | Thinking):
                events += self._grow(part, logprobs)
                logprobs = None if isinstance(part, Text) and part.text else logprobs
            else:
                events += [*self._close(), *self._whole(part)]
        stop = stop_of(candidate.finish_reason, ())
        if stop is not None and not self.is_stopped:
            self.is_stopped = True
            stop = Stop.TOOLS if stop is Stop.END and self._has_called else stop
            events += self._close()
            for refusal in candidate.refusal(stop):
                events += self._whole(refusal)
            events.append(Stopped(self._index, stop))
        return events

    def _grow(self, part: Text | Thinking, logprobs: Any) -> list[Event]:
        events: list[Event] = []
        kind = type(part)
        if self._growing is not kind:
            events += self._close()
            self._growing = kind
            opened = Thinking(is_summary=True) if isinstance(part, Thinking) else Text()
            events.append(Opened(self._index, self._opened, opened))
            self._opened += 1
        number = self._opened - 1
        if part.text:
            said = Said(self._index, number, part.text, logprobs if kind is Text else None)
            events.append(said)
        if part.seal is not None:
            events += [Sealed(self._index, number, part.seal), *self._close()]
        return events

    def _whole(self, part: Any) -> list[Event]:
        """A part that does not grow."""
        number = self._opened
        self._opened += 1
        closed = Closed(self._index, number)
        if not isinstance(part, Call):
            return [Opened(self._index, number, part), closed]
        self._has_called = True
        arguments, part.arguments = part.arguments, ""
        return [Opened(self._index, number, part), Said(self._index, number, arguments), closed]

    def _close(self) -> list[Event]:
        if self._growing is None:
            return []
        self._growing = None
        return [Closed(self._index, self._opened - 1)]
