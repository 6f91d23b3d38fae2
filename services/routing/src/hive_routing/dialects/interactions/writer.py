"""Writes a stream for a client of the Interactions API: each part of the answer is a step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Event,
    Opaque,
    Opened,
    Part,
    Prompt,
    Refusal,
    Said,
    Seal,
    Sealed,
    Stop,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.dialects.gemini.fields import Object
from hive_routing.dialects.interactions.answers import identity, new_id, rfc3339, status_of
from hive_routing.dialects.interactions.contents import NAME, written_content
from hive_routing.dialects.interactions.usages import write_usage
from hive_routing.dialects.seals import packed
from hive_routing.usage import Usage


class InteractionsWriter:
    """Writes one stream. There is one answer only."""

    def __init__(self, prompt: Prompt) -> None:
        self._began = Began(model=prompt.model)
        self._model = prompt.model
        self._steps = 0
        self._open: dict[int, tuple[int, Part]] = {}
        self._stop = Stop.END

    def write(self, event: Event) -> bytes:
        return b"".join([_encoded(each) for each in self._written(event)])

    def finish(self, usage: Usage | None) -> bytes:
        interaction = self._interaction(status_of(self._stop))
        if usage is not None:
            interaction["usage"] = write_usage(usage)
        return _encoded({"interaction": interaction, "event_type": "interaction.completed"})

    def _written(self, event: Event) -> Iterator[Object]:
        match event:
            case Began():
                yield from self._begin(event)
            case Opened(number=number, part=part):
                yield from self._start(number, part)
            case Said(number=number, text=text):
                index, part = self._open[number]
                yield from self._say(index, part, text)
            case Sealed(number=number, seal=seal):
                yield self._delta(self._open[number][0], _signature(seal))
            case Closed(number=number):
                yield from self._end(number)
            case Stopped(stop=stop):
                self._stop = stop
            case _:
                pass

    def _begin(self, began: Began) -> Iterator[Object]:
        self._began = Began(began.id or new_id(), began.model or self._model, began.created)
        interaction = self._interaction("in_progress")
        yield {"interaction": interaction, "event_type": "interaction.created"}
        update = {"interaction_id": interaction["id"], "status": "in_progress"}
        yield update | {"event_type": "interaction.status_update"}

    def _interaction(self, status: str) -> Object:
        began = self._began
        created = rfc3339(began.created or None)
        return identity(began.id, began.model, status) | ({"created": created} if created else {})

    def _start(self, number: int, part: Part) -> Iterator[Object]:
        if isinstance(part, Call) and part.seal is not None:
            index = self._next()
            yield self._started(index, {"type": "thought"})
            yield self._delta(index, _signature(part.seal))
            yield self._stopped(index)
        step = _step(part)
        if step is None:
            return
        index = self._next()
        self._open[number] = index, part
        yield self._started(index, step)
        match part:
            case Text(text, seal=seal) | Thinking(text, seal):
                yield from self._say(index, part, text)
                if seal is not None:
                    yield self._delta(index, _signature(seal))
            case Refusal(text):
                yield from self._say(index, part, text)
            case Call(arguments=arguments):
                yield from self._say(index, part, arguments)
            case _:
                pass

    def _say(self, index: int, part: Part, text: str) -> Iterator[Object]:
        if not text:
            return
        match part:
            case Call():
                yield self._delta(index, {"type": "arguments_delta", "arguments": text})
            case Thinking():
                summary = {"type": "thought_summary", "content": {"type": "text", "text": text}}
                yield self._delta(index, summary)
            case _:
                yield self._delta(index, {"type": "text", "text": text})

    def _end(self, number: int) -> Iterator[Object]:
        if number not in self._open:  # it cannot be said here
            return
        index, part = self._open.pop(number)
        content = written_content(part)
        if content is not None and not isinstance(part, Text | Refusal):
            yield self._delta(index, content)
        yield self._stopped(index)

    def _next(self) -> int:
        self._steps += 1
        return self._steps - 1

    @staticmethod
    def _started(index: int, step: Any) -> Object:
        return {"index": index, "step": step, "event_type": "step.start"}

    @staticmethod
    def _delta(index: int, delta: Object) -> Object:
        return {"index": index, "delta": delta, "event_type": "step.delta"}

    @staticmethod
    def _stopped(index: int) -> Object:
        return {"index": index, "event_type": "step.stop"}


def _step(part: Part) -> Any:
    """How its step begins; None for what cannot be said."""
    match part:
        case Thinking():
            return {"type": "thought", "summary": []}
        case Call(id, name):
            return {"type": "function_call", "id": id, "name": name, "arguments": {}}
        case Opaque(dialect=dialect, value=value) if dialect == NAME and written_content(part) is None:
            return value
        case Text() | Refusal():
            return {"type": "model_output"}
        case _:
            return {"type": "model_output"} if written_content(part) is not None else None


def _signature(seal: Seal) -> Object:
    return {"type": "thought_signature", "signature": packed(seal, NAME)}


def _encoded(event: Object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["event_type"].encode(), msgspec.json.encode(event))
