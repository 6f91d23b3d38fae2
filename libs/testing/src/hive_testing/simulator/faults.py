"""Turns what an endpoint says into what is sent: where every delay, cut and malformation is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hive_testing.simulator.answer import JSON, Answer, Ending, Step, head
from hive_testing.simulator.behaviour import NORMAL, Behaviour
from hive_testing.simulator.bill import Meter
from hive_testing.simulator.calls import Call
from hive_testing.simulator.dialect import Dialect
from hive_testing.simulator.reply import Event, Reply

AFTER_LEAD_BYTE = re.compile(rb"(?<=[\xc0-\xff])")


def answer(reply: Reply, behaviour: Behaviour, call: Call, meter: Meter, dialect: Dialect) -> Answer:
    """What goes over the wire for a call."""
    if behaviour is NORMAL and reply.events is None:
        top = head(
            200, JSON, len(reply.body), call.number, call.keep_alive, dialect.headers(200, call.number)
        )
        return Answer(top, (Step(reply.body, reply.expected),), meter=meter)
    if behaviour.hang_up:
        return Answer(b"", (), behaviour.latency, ending=Ending.RESET if behaviour.reset else Ending.CUT)
    if behaviour.silent:
        return Answer(b"", (), ending=Ending.STALL)
    return Fault(behaviour, call, dialect).answer(reply, meter)


@dataclass(slots=True)
class Fault:
    """How the answer to one call is disturbed."""

    behaviour: Behaviour
    call: Call
    dialect: Dialect

    def answer(self, reply: Reply, meter: Meter) -> Answer:
        """The answer, or what is sent instead."""
        if self.behaviour.body is not None or self.behaviour.status != 200:
            return self._replaced(reply)
        if reply.events is None:
            return self._plain(reply.body, reply.expected, meter)
        limits = [each for each in (self.behaviour.cut_after, self.behaviour.stall_after) if each is not None]
        events = self._events(reply.events)
        steps = list(self._framed(events[: min(limits)] if limits else events))
        if self.behaviour.bad_checksum is not None:
            steps = _corrupted(steps, self.behaviour.bad_checksum)
        return self._assembled(steps, _broken_ending(self.behaviour), None, self.dialect.stream_type, meter)

    def _replaced(self, reply: Reply) -> Answer:
        """The script's own body, or an error: nothing is generated, so nothing is billed."""
        behaviour = self.behaviour
        if behaviour.body is None:
            error = self.dialect.scripted(behaviour.status, behaviour)
            body = self.dialect.error_body(error, self.call.number)
        else:
            body = behaviour.body.encode()
        if reply.events is not None and behaviour.status == 200:
            steps = [Step(body, wait=behaviour.first_chunk_delay or None)]
            return self._assembled(steps, Ending.COMPLETE, None, self.dialect.stream_type, None)
        return self._plain(body, None, None)

    def _plain(self, body: bytes, tokens: int | None, meter: Meter | None) -> Answer:
        ending = _broken_ending(self.behaviour)
        sent = body if ending is Ending.COMPLETE else body[: len(body) // 2]
        steps = [Step(sent, tokens, self.behaviour.first_chunk_delay or None)]
        return self._assembled(steps, ending, len(body), JSON, meter)

    def _assembled(
        self,
        steps: Sequence[Step],
        ending: Ending,
        length: int | None,
        content_type: str,
        meter: Meter | None,
    ) -> Answer:
        behaviour, call = self.behaviour, self.call
        headers = {**self.dialect.headers(behaviour.status, call.number), **(behaviour.headers or {})}
        if behaviour.retry_after is not None:
            headers["retry-after"] = f"{behaviour.retry_after:g}"
        content_type = behaviour.content_type or content_type
        top = head(behaviour.status, content_type, length, call.number, call.keep_alive, headers)
        reshaped = _reshaped(steps, behaviour)
        return Answer(top, reshaped, behaviour.latency, length is None, ending, meter)

    def _events(self, events: list[Event]) -> list[Event]:
        """The events with the one that is malformed and the one that is an error."""
        behaviour = self.behaviour
        broken, failing = behaviour.malformed_chunk, behaviour.error_event_after
        if broken is not None and broken < len(events):
            whole = events[broken]
            half = whole._replace(data=whole.data[: len(whole.data) // 2])
            events = [*events[:broken], half, *events[broken + 1 :]]
        if failing is not None:
            kept = events[:failing]
            status = behaviour.error_event_status
            error = self.dialect.scripted(status, behaviour)
            events = [*kept, self.dialect.error_event(status, error, len(kept))]
        return events

    def _framed(self, events: list[Event]) -> Iterator[Step]:
        """The events as they go over the wire, each with the wait before it."""
        behaviour, crlf = self.behaviour, self.behaviour.crlf
        frame, comment = self.dialect.frame, self.dialect.keep_alive(crlf) if behaviour.keep_alives else b""
        wait, later = behaviour.first_chunk_delay or None, behaviour.chunk_delay or None
        for event in events:
            if comment:
                yield Step(comment)
            yield Step(frame(event, crlf), event.tokens, wait)
            wait = later


def _corrupted(steps: list[Step], place: int) -> list[Step]:
    """The steps, of which one has another last byte."""
    return [
        step._replace(data=step.data[:-1] + bytes((step.data[-1] ^ 1,))) if index == place else step
        for index, step in enumerate(steps)
    ]


def _broken_ending(behaviour: Behaviour) -> Ending:
    """How a body ends that the script may want cut or stalled; the earlier of the two counts."""
    cut, stall = behaviour.cut_after, behaviour.stall_after
    if stall is not None and (cut is None or stall < cut):
        return Ending.STALL
    if cut is None:
        return Ending.COMPLETE
    return Ending.RESET if behaviour.reset else Ending.CUT


def _reshaped(steps: Sequence[Step], behaviour: Behaviour) -> Iterator[Step] | Sequence[Step]:
    if behaviour.rechunk:
        return _rechunked(steps, behaviour.rechunk)
    return _split_characters(steps) if behaviour.split_utf8 else steps


def _rechunked(steps: Sequence[Step], size: int) -> Iterator[Step]:
    """Pieces of `size` bytes whatever the steps were; only a wait between steps cuts one short."""
    held, tokens, wait = b"", None, 0.0
    for step in steps:
        if step.wait and held:
            yield Step(held, tokens, wait)
            held, tokens = b"", None
        wait = step.wait or wait
        held += step.data
        tokens = tokens if step.tokens is None else (tokens or 0) + step.tokens
        whole = len(held) - len(held) % size
        for start in range(0, whole, size):
            yield Step(held[start : start + size], tokens, wait)
            tokens, wait = None, 0.0
        held = held[whole:]
    if held:
        yield Step(held, tokens, wait)


def _split_characters(steps: Sequence[Step]) -> Iterator[Step]:
    """Every character of several bytes is cut after its first byte."""
    for step in steps:
        first, *rest = AFTER_LEAD_BYTE.split(step.data)
        yield Step(first, step.tokens, step.wait or 0.0)
        for piece in rest:
            if piece:  # an empty HTTP chunk would be the last one
                yield Step(piece, wait=0.0)
