"""Reads a stream of the Interactions API: steps that begin, grow and stop, one after the other."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec

from hive_routing.dialects.form import (
    Began,
    Closed,
    Ended,
    Event,
    Failed,
    Opened,
    Seal,
    Spent,
    Stopped,
    Thinking,
)
from hive_routing.dialects.gemini.calls import CallIds, random_id
from hive_routing.dialects.gemini.fields import Object
from hive_routing.dialects.interactions.answers import Body, stop_of, unix_seconds
from hive_routing.dialects.interactions.steps import read_call
from hive_routing.dialects.interactions.streamed import (
    CallStep,
    OtherStep,
    OutputStep,
    StreamedStep,
    ThoughtStep,
)
from hive_routing.dialects.interactions.usages import read_usage
from hive_routing.dialects.port import Frame


class _Event(msgspec.Struct):
    event_type: str
    index: int = 0
    step: Object | None = None
    delta: Object | None = None
    interaction: Body | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class InteractionsReader:
    """Reads one stream."""

    def __init__(self) -> None:
        self._begun = False
        self._ids = CallIds(random_id)
        self._numbers = count()
        self._steps: dict[int, StreamedStep] = {}
        self._has_called = False
        self._signature: Seal | None = None
        """Of a thought without a summary: whose it is, the next step tells."""

    def feed(self, frame: Frame) -> list[Event]:
        if frame.data == b"[DONE]":
            return []
        event = _decode(frame.data)
        match event.event_type:
            case "interaction.created":
                return self._begin(event.interaction or Body())
            case "step.start":
                return self._start(event.index, event.step or {})
            case "step.delta":
                return self._step(event.index).grow(event.delta or {})
            case "step.stop":
                return self._stop(event.index)
            case "interaction.completed":
                return self._complete(event.interaction or Body())
            case "error":
                return [Failed(event.error)]
            case _:
                return []

    def end(self) -> list[Event]:
        return []

    def _begin(self, interaction: Body) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        created = unix_seconds(interaction.created)
        return [Began(interaction.id or "", interaction.model or "", created)]

    def _start(self, index: int, step: Object) -> list[Event]:
        begun = self._begin(Body())
        kind = step.get("type")
        if kind == "function_call":
            self._has_called = True
            call = read_call(
                {name: each for name, each in step.items() if name != "arguments"}, "step", self._ids
            )
            call.arguments = ""
            call.seal, self._signature = call.seal or self._signature, None
            started: StreamedStep = CallStep(step, self._numbers, call)
        else:
            begun += self._settle()
            known = {"model_output": OutputStep, "thought": ThoughtStep}
            started = known.get(str(kind), OtherStep)(step, self._numbers)
        self._steps[index] = started
        return begun + started.start()

    def _step(self, index: int) -> StreamedStep:
        step = self._steps.get(index)
        if step is None:
            raise msgspec.ValidationError(f"step {index} has not started")
        return step

    def _stop(self, index: int) -> list[Event]:
        step = self._step(index)
        del self._steps[index]
        events = step.stop()
        if isinstance(step, ThoughtStep):
            self._signature = step.signature
        return events

    def _settle(self) -> list[Event]:
        """A signature that belongs to nothing is a thought of its own."""
        if self._signature is None:
            return []
        seal, self._signature = self._signature, None
        number = next(self._numbers)
        return [Opened(0, number, Thinking("", seal, is_summary=True)), Closed(0, number)]

    def _complete(self, interaction: Body) -> list[Event]:
        if interaction.status == "failed":
            return [Failed(interaction.errors)]
        events = self._begin(interaction)
        for index in sorted(self._steps):
            events += self._stop(index)
        events += self._settle()
        events.append(Stopped(0, stop_of(interaction.status or "", self._has_called)))
        usage = read_usage(interaction.usage) if interaction.usage is not None else None
        if usage is not None:
            events.append(Spent(usage))
        return [*events, Ended()]
