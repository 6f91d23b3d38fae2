"""What an endpoint answers before any fault touches it: a body or a stream's events, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from hive_testing.simulator.behaviour import NORMAL, Behaviour

ENCODER = msgspec.json.Encoder()
CREATED = 1_763_800_000  # every answer was created at the same second, so that answers can be compared


class Event(NamedTuple):
    """One event of a stream and the completion tokens generated with it; None where nothing is.

    data: JSON. name: of the event, in dialects that name them.
    """

    data: bytes
    tokens: int | None = 0
    name: str = ""


DONE = Event(b"[DONE]", None)


class PromptDetails(msgspec.Struct):
    cached_tokens: int = 0
    audio_tokens: int = 0
    cache_write_tokens: int | UnsetType = UNSET


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


class Counts(NamedTuple):
    """The tokens of one answer, in no dialect's words: both totals include what the others tell apart."""

    prompt: int
    completion: int
    reasoning: int = 0
    cached: int = 0
    written_5m: int = 0
    written_1h: int = 0

    @property
    def fresh(self) -> int:
        """Tokens of the prompt that no cache had or got."""
        return max(self.prompt - self.cached - self.written_5m - self.written_1h, 0)


@dataclass(slots=True)
class Reply:
    """`events` is None for a plain answer. Both token counts are the usage that is stated and billed.

    `expected` is the sum of the events' tokens; it differs from `completion_tokens` where the script
    states another usage, and is None where the answer costs nothing. `search_units` are Cohere's.
    """

    prompt_tokens: int
    completion_tokens: int
    expected: int | None
    body: bytes = b""
    events: list[Event] | None = None
    search_units: int = 0


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class InvalidRequest(Exception):
    """The request breaks the API's contract, or another `status` says what is wrong with it.

    `param` names the field, `code` is a word for the reason, both in the dialect's own way.
    """

    def __init__(
        self, message: str, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


def count_usage(prompt: int, completion: int, reasoning: int, behaviour: Behaviour) -> Usage:
    """The usage that the answer states: counted, with the script's fields laid over it."""
    usage = Usage(
        prompt,
        completion,
        prompt + completion,
        PromptDetails(),
        CompletionDetails(reasoning_tokens=reasoning),
    )
    if behaviour is NORMAL:
        return usage
    _add_cached(usage, behaviour)
    if not behaviour.usage:
        return usage
    stated = {**msgspec.to_builtins(usage), **behaviour.usage}
    if "total_tokens" not in behaviour.usage:
        stated["total_tokens"] = stated["prompt_tokens"] + stated["completion_tokens"]
    return msgspec.convert(stated, Usage)


def count(prompt: int, completion: int, reasoning: int, behaviour: Behaviour) -> Counts:
    """The same, for dialects that have words of their own."""
    usage = count_usage(prompt, completion, reasoning, behaviour)
    return Counts(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.completion_tokens_details.reasoning_tokens,
        usage.prompt_tokens_details.cached_tokens,
        behaviour.cache_write_tokens,
        behaviour.cache_write_1h_tokens,
    )


def own_usage(behaviour: Behaviour) -> dict[str, Any]:
    """What the script lays over the usage in the words of another dialect than chat."""
    common = Usage.__struct_fields__
    return {name: value for name, value in (behaviour.usage or {}).items() if name not in common}


def _add_cached(usage: Usage, behaviour: Behaviour) -> None:
    written = behaviour.cache_write_tokens + behaviour.cache_write_1h_tokens
    more = behaviour.cached_tokens + written
    if not more:
        return
    usage.prompt_tokens += more
    usage.total_tokens += more
    usage.prompt_tokens_details.cached_tokens = behaviour.cached_tokens
    usage.prompt_tokens_details.cache_write_tokens = written or UNSET


def sends_usage_chunk(options: StreamOptions | None, behaviour: Behaviour) -> bool:
    """Whether a stream ends with a chunk that holds nothing but the usage."""
    if behaviour.no_usage or behaviour.usage_chunk == "in_finish":
        return False
    return behaviour.usage_chunk == "always" or bool(options and options.include_usage)


def finish_usage(usage: Usage, behaviour: Behaviour) -> Usage | None:
    """The usage on the chunk that finishes, where the script wants it there."""
    return usage if behaviour.usage_chunk == "in_finish" and not behaviour.no_usage else None


def encode(answer: msgspec.Struct | dict[str, Any], extra: dict[str, Any] | None) -> bytes:
    """JSON of an answer, with the script's fields laid over its top level."""
    if not extra:
        return ENCODER.encode(answer)
    return ENCODER.encode({**msgspec.to_builtins(answer), **extra})
