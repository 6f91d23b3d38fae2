"""What an endpoint answers before any fault touches it: a body or a stream's events, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from hive_testing.simulator.behaviour import Behaviour

CREATED = 1_763_800_000  # every answer was created at the same second, so that answers can be compared


class Event(NamedTuple):
    """One `data:` line of a stream and the completion tokens generated with it; None where nothing is."""

    data: bytes
    tokens: int | None = 0


DONE = Event(b"[DONE]", None)


class PromptDetails(msgspec.Struct):
    cached_tokens: int = 0
    audio_tokens: int = 0


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


@dataclass(slots=True)
class Reply:
    """`events` is None for a plain answer. Both token counts are the usage that is stated and billed.

    `expected` is the sum of the events' tokens; it differs from `completion_tokens` where the script
    states another usage.
    """

    prompt_tokens: int
    completion_tokens: int
    expected: int
    body: bytes = b""
    events: list[Event] | None = None


class Endpoint(NamedTuple):
    """How the requests of one path are read and answered; `answer` gets the call's number for ids."""

    decoder: msgspec.json.Decoder[Any]
    answer: Callable[[Any, Behaviour, int], Reply]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class InvalidRequest(Exception):
    """The request breaks the API's contract; `param` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def count_usage(prompt: int, completion: int, reasoning: int, behaviour: Behaviour) -> Usage:
    """The usage that the answer states: counted, with the script's fields laid over it."""
    usage = Usage(
        prompt,
        completion,
        prompt + completion,
        PromptDetails(),
        CompletionDetails(reasoning_tokens=reasoning),
    )
    if not behaviour.usage:
        return usage
    stated = {**msgspec.to_builtins(usage), **behaviour.usage}
    if "total_tokens" not in behaviour.usage:
        stated["total_tokens"] = stated["prompt_tokens"] + stated["completion_tokens"]
    return msgspec.convert(stated, Usage)


def sends_usage_chunk(options: StreamOptions | None, behaviour: Behaviour) -> bool:
    """Whether a stream ends with a chunk that holds nothing but the usage."""
    if behaviour.no_usage or behaviour.usage_chunk == "in_finish":
        return False
    return behaviour.usage_chunk == "always" or bool(options and options.include_usage)


def finish_usage(usage: Usage, behaviour: Behaviour) -> Usage | None:
    """The usage on the chunk that finishes, where the script wants it there."""
    return usage if behaviour.usage_chunk == "in_finish" and not behaviour.no_usage else None


def encode(answer: msgspec.Struct, extra: dict[str, Any] | None) -> bytes:
    """JSON of an answer, with the script's fields laid over its top level."""
    if not extra:
        return msgspec.json.encode(answer)
    return msgspec.json.encode({**msgspec.to_builtins(answer), **extra})
