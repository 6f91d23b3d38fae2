"""POST /v1/completions: the older text endpoint, where a prompt may be text or token numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from hive_testing.simulator import logprobs, text, tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.reply import (
    CREATED,
    DONE,
    Event,
    InvalidRequest,
    Reply,
    StreamOptions,
    Usage,
    count_usage,
    encode,
    finish_usage,
    sends_usage_chunk,
)

DEFAULT_LIMIT = 16


class CompletionRequest(msgspec.Struct):
    """The fields that change the answer; the others are recorded with the call and ignored."""

    model: str
    prompt: str | list[Any] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    echo: bool | None = None
    logprobs: int | None = None


class TextChoice(msgspec.Struct):
    text: str
    index: int
    logprobs: dict[str, Any] | None
    finish_reason: str | None


class TextCompletion(msgspec.Struct):
    id: str
    model: str
    choices: list[TextChoice]
    usage: Usage | UnsetType | None = UNSET
    object: str = "text_completion"
    created: int = CREATED
    system_fingerprint: None = None


@dataclass(slots=True)
class Sample:
    """One answer to one prompt; `shown` is the prompt where it is echoed."""

    index: int
    shown: str
    said: str
    finish: str


def answer(request: CompletionRequest, behaviour: Behaviour, number: int) -> Reply:
    """The answer; choices are ordered by prompt, then by sample. Raises `InvalidRequest`."""
    prompts = read_texts(request.prompt, "prompt")
    per_prompt = request.n or 1
    samples = [
        _sample(request, behaviour, prompt, place * per_prompt + each)
        for place, (prompt, _) in enumerate(prompts)
        for each in range(per_prompt)
    ]
    completion = sum(tokens.count(sample.said) for sample in samples)
    usage = count_usage(sum(count for _, count in prompts), completion, 0, behaviour)
    reply = Reply(usage.prompt_tokens, usage.completion_tokens, expected=completion)
    usage_chunk = sends_usage_chunk(request.stream_options, behaviour)
    rendering = Rendering(f"cmpl-sim{number}", request, behaviour, usage, usage_chunk)
    if request.stream:
        reply.events = rendering.events(samples)
    else:
        reply.body = rendering.body(samples)
    return reply


def read_texts(given: str | list[Any] | None, param: str) -> list[tuple[str, int]]:
    """Each text and its tokens, from a text, texts, one text's token numbers or several texts' numbers.

    Token numbers read as `<1><2>`. Raises `InvalidRequest` for an empty or mixed list.
    """
    if isinstance(given, str):
        return [(given, tokens.count(given))]
    kinds = {type(each) for each in given or ()}
    if given and kinds == {int}:
        return [_from_numbers(given)]
    if given and kinds == {str}:
        return [(each, tokens.count(each)) for each in given]
    if given and kinds == {list} and all(each and {type(it) for it in each} == {int} for each in given):
        return [_from_numbers(each) for each in given]
    raise InvalidRequest(f"{param} must be a text, texts, token numbers or lists of token numbers", param)


def _from_numbers(numbers: list[int]) -> tuple[str, int]:
    return "".join(f"<{number}>" for number in numbers), len(numbers)


def _sample(request: CompletionRequest, behaviour: Behaviour, prompt: str, index: int) -> Sample:
    said = f"Echo: {prompt}" if behaviour.content is None else behaviour.content
    said = text.sized(text.stopped(said, request.stop)[0], behaviour)
    limit = DEFAULT_LIMIT if request.max_tokens is None else request.max_tokens
    kept, finish = text.limited(said, limit)
    return Sample(index, prompt if request.echo else "", kept, behaviour.finish_reason or finish)


@dataclass(slots=True)
class Rendering:
    """How the samples of one answer are written."""

    id: str
    request: CompletionRequest
    behaviour: Behaviour
    usage: Usage
    usage_chunk: bool

    def body(self, samples: list[Sample]) -> bytes:
        """The plain answer."""
        choices = [
            TextChoice(each.shown + each.said, each.index, self._whole(each), each.finish) for each in samples
        ]
        usage = UNSET if self.behaviour.no_usage else self.usage
        return encode(TextCompletion(self.id, self.request.model, choices, usage), self.behaviour.extra)

    def events(self, samples: list[Sample]) -> list[Event]:
        """The stream: the samples' pieces in turn, their ends, the usage, [DONE]."""
        events: list[Event] = []
        for row in zip_longest(*(self._pieces(sample) for sample in samples)):
            events += [event for event in row if event]
        if not self.behaviour.no_finish:
            events += self._ends(samples)
        if self.usage_chunk:
            chunk = TextCompletion(self.id, self.request.model, [], self.usage)
            events.append(Event(encode(chunk, self.behaviour.extra)))
        return events if self.behaviour.no_done else [*events, DONE]

    def _ends(self, samples: list[Sample]) -> list[Event]:
        chunks = [self._chunk(TextChoice("", each.index, None, each.finish)) for each in samples]
        if usage := finish_usage(self.usage, self.behaviour):
            chunks[-1].usage = usage
        return [Event(encode(chunk, self.behaviour.extra)) for chunk in chunks]

    def _whole(self, sample: Sample) -> dict[str, Any] | None:
        if self.request.logprobs is None:
            return None
        said = tokens.split(sample.shown) + tokens.split(sample.said)
        return logprobs.of_text(said, self.request.logprobs, starts_prompt=bool(sample.shown))

    def _pieces(self, sample: Sample) -> Iterator[Event]:
        top = self.request.logprobs
        if sample.shown:
            shown = tokens.split(sample.shown)
            scores = None if top is None else logprobs.of_text(shown, top, starts_prompt=True)
            yield self._event(TextChoice(sample.shown, sample.index, scores, None))
        said = tokens.split(sample.said)
        offset = len(sample.shown)
        for piece, first, end in text.pieces(sample.said, self.behaviour):
            scores = None if top is None else logprobs.of_text(said[first:end], top, offset)
            offset += len(piece)
            yield self._event(TextChoice(piece, sample.index, scores, None), end - first)

    def _event(self, choice: TextChoice, count: int = 0) -> Event:
        return Event(encode(self._chunk(choice), self.behaviour.extra), count)

    def _chunk(self, choice: TextChoice) -> TextCompletion:
        usage = None if self.usage_chunk else UNSET
        return TextCompletion(self.id, self.request.model, [choice], usage)


DECODER = msgspec.json.Decoder(CompletionRequest)
