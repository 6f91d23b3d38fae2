"""What a test may ask of the simulator: one `Behaviour` per call, chosen by the `Script`."""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

MODEL_PREFIX = "sim/"
MAX_QUEUED = 1000

Positive = Annotated[int, msgspec.Meta(ge=1)]


class ScriptedTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function call that the model makes, whatever the request offers."""

    name: str
    arguments: str = "{}"


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one call is answered, in whatever dialect it comes; an unset field is what a healthy provider does.

    Times are seconds. Positions in a stream count its events from the start; the one with the role is the first
    of a chat stream. Where a fault of streams has a meaning for a plain answer, it says so.
    """

    # What the model says.
    content: str | None = None  # with `tool_calls`, what it says before it calls
    thinking: str | None = (
        None  # signed where the dialect signs it, and shown as far as the request asks for it
    )
    thinking_unasked: bool = False  # shown whatever the request says
    redacted_thinking: bool = False  # Anthropic and Amazon: a block that nobody can read comes first
    reasoning_content: str | None = None  # `thinking`, by chat's own word
    tool_calls: list[ScriptedTool] | None = None
    call_ids: bool = True  # Gemini: calls have ids
    refusal: str | None = None  # its words for not answering; instead of everything else that it says
    finish_reason: str | None = None  # a word of chat's, or one of the dialect's own
    chunks: Positive | None = (
        None  # pieces of the text in a stream; the text is repeated if it has fewer letters
    )
    chunk_bytes: Positive | None = None  # letters per piece: the text is repeated to `chunks` times so many
    extra: dict[str, Any] | None = None  # laid over the top level of the answer and of every stream chunk
    cached_tokens: int = 0  # of the prompt, beside what is counted; each dialect says it in its own way
    cache_write_tokens: int = 0  # the same, written to a cache that lives five minutes
    cache_write_1h_tokens: int = 0
    usage: dict[str, Any] | None = (
        None  # laid over the counted usage, in chat's words or the dialect's own; chat's go to the bill
    )
    no_usage: bool = False
    usage_chunk: Literal["asked", "always", "in_finish"] = "asked"  # in_finish: on the chunk that finishes

    # When it says it.
    latency: float = 0.0  # before the head of any answer
    first_chunk_delay: float = 0.0  # between the head and what follows, plain answers too
    chunk_delay: float = 0.0

    # What is sent instead.
    status: int = 200  # another status answers with the usual error of that status in the dialect
    error: dict[str, Any] | None = (
        None  # laid over the usual error, in the dialect's words; OpenAI: instead of it
    )
    retry_after: float | None = None
    headers: dict[str, str] | None = None
    content_type: str | None = None
    body: str | None = None  # sent as it is

    # How the connection fails.
    hang_up: bool = False  # close without an answer
    silent: bool = False  # never answer
    cut_after: int | None = None  # events, then the connection closes; a plain answer: after half of the body
    stall_after: int | None = None  # the same, but the connection stays open and nothing comes
    reset: bool = False  # `cut_after` and `hang_up` reset the connection (RST), they do not close it

    # How the stream is malformed or unusual.
    malformed_chunk: int | None = None  # this event, counted from 0, holds half of its JSON
    bad_checksum: int | None = None  # this event of a binary stream has a wrong one
    error_event_after: int | None = (
        None  # events, then an error as the dialect sends it in streams, then the end
    )
    error_event_status: int = 500  # which error that is, where `error` does not say it
    no_done: bool = False
    no_finish: bool = False
    crlf: bool = False
    keep_alives: bool = False  # before every event what the dialect sends to keep a connection open
    rechunk: Positive | None = (
        None  # bytes of every write, and of every HTTP chunk of a stream; also plain answers
    )
    split_utf8: bool = False  # every character of several bytes is split between two writes

    strict: bool = False  # OpenAI's chat and embeddings: refuse what OpenAI refuses; other dialects always do

    # How often, when it is not `once`: after so many calls the behaviour is forgotten.
    fail_times: Positive | None = None

    @property
    def thoughts(self) -> str:
        """What the model thinks; empty where it does not."""
        return self.thinking or self.reasoning_content or ""


NORMAL = Behaviour()


@lru_cache(maxsize=256)
def from_model_name(model: str) -> Behaviour:
    """The behaviour written in a model's name: `sim/cut_after=3,chunk_delay=0.01`."""
    pairs = [pair.partition("=") for pair in model.removeprefix(MODEL_PREFIX).split(",")]
    return msgspec.convert({name: value or "true" for name, _, value in pairs}, Behaviour, strict=False)


class Script:
    """Chooses the behaviour of each call.

    In this order: what waits for the next call of the model, what waits for the next call of any, the
    model's own, what the model's name says, the default. They are not laid over each other.
    """

    def __init__(self) -> None:
        self._queues: dict[str | None, deque[Behaviour]] = {}
        self._standing: dict[str | None, tuple[Behaviour, int | None]] = {}

    def add(self, behaviour: Behaviour, model: str | None = None, once: bool = False) -> None:
        """Set the behaviour of a model, or of all (`None`); `once` queues it for the next call only."""
        if not once:
            self._standing[model] = (behaviour, behaviour.fail_times)
            return
        queue = self._queues.setdefault(model, deque())
        if len(queue) >= MAX_QUEUED:
            raise ValueError(
                f"{MAX_QUEUED} behaviours wait for a call already: make calls or reset the script"
            )
        queue.append(behaviour)

    def clear(self) -> None:
        """Forget everything that was asked for."""
        self._queues.clear()
        self._standing.clear()

    def take(self, model: str) -> Behaviour:
        """The behaviour of the next call of `model`; counts as that call."""
        if self._queues and (queued := self._queued(model) or self._queued(None)):
            return queued
        own = self._stand(model) if self._standing else None
        if own is None and model.startswith(MODEL_PREFIX) and "=" in model:
            own = from_model_name(model)
        return own or (self._stand(None) if self._standing else None) or NORMAL

    def _queued(self, model: str | None) -> Behaviour | None:
        queue = self._queues.get(model)
        return queue.popleft() if queue else None

    def _stand(self, model: str | None) -> Behaviour | None:
        behaviour, left = self._standing.get(model, (None, None))
        if behaviour is not None and left is not None:
            if left <= 1:
                del self._standing[model]
            else:
                self._standing[model] = (behaviour, left - 1)
        return behaviour
