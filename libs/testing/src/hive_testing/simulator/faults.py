"""Turns what an endpoint says into what is sent: where every delay, cut and malformation is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hive_testing.simulator import errors
from hive_testing.simulator.answer import EVENT_STREAM, JSON, Answer, Ending, Step, head
from hive_testing.simulator.behaviour import NORMAL, Behaviour
from hive_testing.simulator.bill import Meter
from hive_testing.simulator.calls import Call
from hive_testing.simulator.reply import Event, Reply

COMMENT = ": keep-alive"
AFTER_LEAD_BYTE = re.compile(rb"(?<=[\xc0-\xff])")


def answer(reply: Reply, behaviour: Behaviour, call: Call, meter: Meter) -> Answer:
    """What goes over the wire for a call."""
    if behaviour is NORMAL and reply.events is None:
        return Answer(
            head(200, JSON, len(reply.body), call.number, call.keep_alive),
            (Step(reply.body, reply.expected),),
            meter=meter,
        )
    if behaviour.hang_up:
        return Answer(b"", (), behaviour.latency, ending=Ending.RESET if behaviour.reset else Ending.CUT)
    if behaviour.silent:
        return Answer(b"", (), ending=Ending.STALL)
    if behaviour.body is not None or behaviour.status != 200:
        return _replaced(reply, behaviour, call)
    if reply.events is None:
        return _plain(reply.body, reply.expected, behaviour, call, meter)
    return _stream(_events(reply.events, behaviour), behaviour, call, meter)


def _replaced(reply: Reply, behaviour: Behaviour, call: Call) -> Answer:
    """The script's own body, or an error: nothing is generated, so nothing is billed."""
    if behaviour.body is None:
        body = errors.body(behaviour.error or errors.scripted(behaviour.status))
    else:
        body = behaviour.body.encode()
    if reply.events is not None and behaviour.status == 200:
        steps = [Step(body, wait=behaviour.first_chunk_delay or None)]
        return _assembled(steps, Ending.COMPLETE, None, EVENT_STREAM, behaviour, call, None)
    return _plain(body, None, behaviour, call, None)


def _plain(body: bytes, tokens: int | None, behaviour: Behaviour, call: Call, meter: Meter | None) -> Answer:
    ending = _broken_ending(behaviour)
    sent = body if ending is Ending.COMPLETE else body[: len(body) // 2]
    steps = [Step(sent, tokens, behaviour.first_chunk_delay or None)]
    return _assembled(steps, ending, len(body), JSON, behaviour, call, meter)


def _stream(events: list[Event], behaviour: Behaviour, call: Call, meter: Meter) -> Answer:
    limits = [each for each in (behaviour.cut_after, behaviour.stall_after) if each is not None]
    steps = list(_framed(events[: min(limits)] if limits else events, behaviour))
    return _assembled(steps, _broken_ending(behaviour), None, EVENT_STREAM, behaviour, call, meter)


def _assembled(
    steps: Sequence[Step],
    ending: Ending,
    length: int | None,
    content_type: str,
    behaviour: Behaviour,
    call: Call,
    meter: Meter | None,
) -> Answer:
    headers = dict(behaviour.headers or {})
    if behaviour.retry_after is not None:
        headers["retry-after"] = f"{behaviour.retry_after:g}"
    content_type = behaviour.content_type or content_type
    top = head(behaviour.status, content_type, length, call.number, call.keep_alive, headers)
    reshaped = _reshaped(steps, behaviour)
    return Answer(top, reshaped, behaviour.latency, length is None, ending, meter)


def _broken_ending(behaviour: Behaviour) -> Ending:
    """How a body ends that the script may want cut or stalled; the earlier of the two counts."""
    cut, stall = behaviour.cut_after, behaviour.stall_after
    if stall is not None and (cut is None or stall < cut):
        return Ending.STALL
    if cut is None:
        return Ending.COMPLETE
    return Ending.RESET if behaviour.reset else Ending.CUT


def _events(events: list[Event], behaviour: Behaviour) -> list[Event]:
    """The events with the one that is malformed and the one that is an error."""
    broken = behaviour.malformed_chunk
    if broken is not None and broken < len(events):
        data, tokens = events[broken]
        half = Event(data[: len(data) // 2], tokens)
        events = [*events[:broken], half, *events[broken + 1 :]]
    if behaviour.error_event_after is not None:
        inner = behaviour.error or errors.scripted(500)
        events = [*events[: behaviour.error_event_after], Event(errors.body(inner), None)]
    return events


def _framed(events: list[Event], behaviour: Behaviour) -> Iterator[Step]:
    """The lines of the stream, each with the wait before it."""
    end = b"\r\n\r\n" if behaviour.crlf else b"\n\n"
    comment = Step(COMMENT.encode() + end)
    wait = behaviour.first_chunk_delay or None
    for data, tokens in events:
        if behaviour.keep_alives:
            yield comment
        yield Step(b"data: " + data + end, tokens, wait)
        wait = behaviour.chunk_delay or None


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
            yield Step(piece, wait=0.0)
