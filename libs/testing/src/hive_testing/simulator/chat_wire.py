"""A chat answer as bytes: one completion, or the chunks of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from hive_testing.simulator import logprobs, text, tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.model import Choice
from hive_testing.simulator.reply import CREATED, DONE, Event, Usage, encode, finish_usage

FINGERPRINT = "fp_sim1"
Delta = dict[str, Any]


class WireMessage(msgspec.Struct):
    content: str | None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[Delta] | UnsetType = UNSET
    role: str = "assistant"
    refusal: str | None = None
    annotations: list[Delta] = []


class WireChoice(msgspec.Struct):
    index: int
    message: WireMessage
    finish_reason: str
    logprobs: Delta | None = None


class Completion(msgspec.Struct):
    id: str
    model: str
    choices: list[WireChoice]
    usage: Usage | UnsetType = UNSET
    object: str = "chat.completion"
    created: int = CREATED
    service_tier: str = "default"
    system_fingerprint: str = FINGERPRINT


class ChunkChoice(msgspec.Struct):
    index: int
    delta: Delta
    finish_reason: str | None = None
    logprobs: Delta | None = None


class Chunk(msgspec.Struct):
    id: str
    model: str
    choices: list[ChunkChoice]
    usage: Usage | UnsetType | None = UNSET
    object: str = "chat.completion.chunk"
    created: int = CREATED
    service_tier: str = "default"
    system_fingerprint: str = FINGERPRINT


@dataclass(slots=True)
class Rendering:
    """How the choices of one answer are written. `top_logprobs` is None where none are wanted."""

    id: str
    model: str
    usage: Usage
    behaviour: Behaviour
    top_logprobs: int | None
    usage_chunk: bool

    def body(self, choices: list[Choice]) -> bytes:
        """The plain answer."""
        usage = UNSET if self.behaviour.no_usage else self.usage
        wire = [self._whole(choice) for choice in choices]
        return encode(Completion(self.id, self.model, wire, usage), self.behaviour.extra)

    def events(self, choices: list[Choice]) -> list[Event]:
        """The stream: every choice's role, their pieces in turn, their ends, the usage, [DONE]."""
        events = [self._event(choice.index, _opening(choice)) for choice in choices]
        for row in zip_longest(*(self._pieces(choice) for choice in choices)):
            events += [event for event in row if event]
        if not self.behaviour.no_finish:
            events += self._ends(choices)
        if self.usage_chunk:
            events.append(self._encoded(Chunk(self.id, self.model, [], self.usage)))
        return events if self.behaviour.no_done else [*events, DONE]

    def _whole(self, choice: Choice) -> WireChoice:
        message = WireMessage(choice.content, refusal=choice.refusal or None)
        if choice.reasoning:
            message.reasoning_content = choice.reasoning
        if choice.calls:
            message.tool_calls = [call.wire() for call in choice.calls]
        return WireChoice(
            choice.index,
            message,
            choice.finish,
            self._logprobs(choice, 0, tokens.count(choice.content or "")),
        )

    def _pieces(self, choice: Choice) -> Iterator[Event]:
        for piece, first, end in text.pieces(choice.reasoning, self.behaviour):
            yield self._event(choice.index, {"reasoning_content": piece}, end - first)
        for piece, first, end in text.pieces(choice.content or "", self.behaviour):
            scores = self._logprobs(choice, first, end)
            yield self._event(choice.index, {"content": piece}, end - first, logprobs=scores)
        for piece, first, end in text.pieces(choice.refusal, self.behaviour):
            yield self._event(choice.index, {"refusal": piece}, end - first)
        for place, call in enumerate(choice.calls):
            for fragment, count in call.fragments(place):
                yield self._event(choice.index, {"tool_calls": [fragment]}, count)

    def _ends(self, choices: list[Choice]) -> list[Event]:
        usage = finish_usage(self.usage, self.behaviour)
        ends = [self._event(each.index, {}, finish=each.finish) for each in choices[:-1]]
        return [*ends, self._event(choices[-1].index, {}, finish=choices[-1].finish, usage=usage)]

    def _logprobs(self, choice: Choice, first: int, end: int) -> Delta | None:
        if self.top_logprobs is None or choice.content is None:
            return None
        return logprobs.of_chat(tokens.split(choice.content)[first:end], self.top_logprobs)

    def _event(
        self,
        index: int,
        delta: Delta,
        count: int = 0,
        *,
        finish: str | None = None,
        logprobs: Delta | None = None,
        usage: Usage | None = None,
    ) -> Event:
        chunk = Chunk(self.id, self.model, [ChunkChoice(index, delta, finish, logprobs)])
        if usage or self.usage_chunk:
            chunk.usage = usage
        return self._encoded(chunk, count)

    def _encoded(self, chunk: Chunk, count: int = 0) -> Event:
        return Event(encode(chunk, self.behaviour.extra), count)


def _opening(choice: Choice) -> Delta:
    return {"role": "assistant", "content": None if choice.content is None else ""}
