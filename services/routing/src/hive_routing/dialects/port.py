"""What a dialect of conversations promises: to read and write prompts, answers and streams, and to show its texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Protocol, runtime_checkable

from msgspec import Raw

from hive_routing.dialects.form import Answer, Event, Prompt, Untranslatable
from hive_routing.dialects.places import Document, Place, Slot
from hive_routing.usage import Usage
from hive_runtime.errors import Kind


class Frame(NamedTuple):
    """One server-sent event: its name (empty: none) and its data lines."""

    name: str
    data: bytes


class Reader(Protocol):
    """Reads one stream of a provider. No method is called after one that raised."""

    def feed(self, frame: Frame) -> list[Event]:
        """What it says. Raises msgspec.DecodeError, UnicodeDecodeError or RecursionError where it cannot be read."""
        ...

    def end(self) -> list[Event]:
        """The provider has closed its stream: `Ended`, in dialects whose streams just end; else nothing."""
        ...


class Writer(Protocol):
    """Writes one stream for a client, in the exact order of events of its dialect."""

    def write(self, event: Event) -> bytes:
        """What can go out now; empty for what is told later. `Failed` and `Ended` write nothing."""
        ...

    def finish(self, usage: Usage | None) -> bytes:
        """How the stream ends, after all choices stopped: what says that it is complete, and the usage."""
        ...


@runtime_checkable
class GoesOn(Protocol):
    """A writer whose events number themselves: it has to know what the client has heard in another's words."""

    def go_on(self, reader: Any, events: Iterable[Event]) -> None:
        """The client has had these events already, as `reader` of the same dialect read them."""
        ...


class Dialect(Protocol):
    """One dialect; it has no state."""

    @property
    def name(self) -> str:
        """`chat`, `messages`, `responses`, `gemini`, `converse`, `interactions`."""
        ...

    def read_prompt(self, fields: Mapping[str, Raw]) -> Prompt:
        """The body of a request. Raises HiveError `invalid` that names the field (as a path) where it is wrong.

        What the form has no place for is kept: parts and tools as `Opaque`, members as `rest`.
        """
        ...

    def write_prompt(self, prompt: Prompt) -> dict[str, Any]:
        """The body for a provider, `model` and the sign for a stream included where the body holds them.

        Raises Untranslatable for what this dialect cannot say.
        """
        ...

    def read_answer(self, body: bytes) -> Answer:
        """A whole answer of a provider. Raises msgspec.DecodeError (or a subclass) where it is none."""
        ...

    def write_answer(self, answer: Answer, prompt: Prompt) -> bytes:
        """A whole answer for a client that asked `prompt`."""
        ...

    def reader(self) -> Reader: ...

    def writer(self, prompt: Prompt) -> Writer: ...

    def prompt_texts(self, fields: Mapping[str, Raw]) -> Mapping[str, Document]:
        """By member of the body: where guards find the caller's words."""
        ...

    def answer_texts(self, value: Any) -> Iterator[Slot]:
        """Of each text in a decoded answer."""
        ...

    def event_texts(self, value: Any) -> Iterator[Place]:
        """The texts in a decoded event of a stream."""
        ...


@dataclass(frozen=True, slots=True)
class Codec:
    """A `Dialect` of functions: one that needs nothing but its modules."""

    name: str
    read_prompt: Callable[[Mapping[str, Raw]], Prompt]
    write_prompt: Callable[[Prompt], dict[str, Any]]
    read_answer: Callable[[bytes], Answer]
    write_answer: Callable[[Answer, Prompt], bytes]
    reader: Callable[[], Reader]
    writer: Callable[[Prompt], Writer]
    prompt_texts: Callable[[Mapping[str, Raw]], Mapping[str, Document]]
    answer_texts: Callable[[Any], Iterator[Slot]]
    event_texts: Callable[[Any], Iterator[Place]]


def untranslatable(param: str, what: str, dialect: str) -> Untranslatable:
    """The error for something that a dialect cannot say. param: where the caller said it. what: in words."""
    message = f"{what} cannot be passed on: the provider of this model speaks {SPOKEN.get(dialect, dialect)}."
    return Untranslatable(Kind.INVALID, message, param, reason="not_translatable")


def refuse(param: str, what: str, dialect: str) -> NoReturn:
    raise untranslatable(param, what, dialect)


KEPT_HERE = frozenset(
    {"background", "conversation", "include", "max_tool_calls", "previous_response_id", "store", "truncation"}
)
"""Members of a body of OpenAI's responses that the gateway itself acts on, or that change nothing in what is said."""

HINTS = KEPT_HERE | {
    # For whom, at what price, how fast: nothing of it is a part of what is asked.
    *("labels", "metadata", "requestMetadata", "safety_identifier", "service_tier", "speed", "user"),
    # How a provider may come to the same answer with less work.
    *("cache_control", "context_management", "prediction"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    # How the answer is told.
    *("diagnostics", "stream_options"),
}
"""Members of a body that change nothing in an answer: left out where a dialect has no place for them."""


def refuse_rest(prompt: Prompt, dialect: str) -> None:
    """Raises Untranslatable for members of another dialect's body, but for those that change nothing in an answer."""
    if prompt.dialect == dialect:
        return
    for name, value in prompt.rest.items():
        if name not in HINTS and value is not None:
            refuse(name, f"`{name}`", dialect)


SPOKEN = {
    "chat": "OpenAI's chat completions",
    "messages": "Anthropic's messages",
    "responses": "OpenAI's responses",
    "gemini": "Google's generateContent",
    "converse": "Amazon's Converse",
    "interactions": "Google's interactions",
}
