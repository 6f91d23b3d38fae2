"""What an API of stored answers says in its own words: one mechanism keeps them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from msgspec import Raw

from hive_routing.dialects.form import Answer, Prompt
from hive_routing.endpoints import Endpoint
from hive_routing.stored.kept import Asked, Kept, Members
from hive_runtime.errors import HiveError


class Truth(NamedTuple):
    """What the gateway knows of an answer better than the provider that gave it."""

    id: str
    store: bool
    background: bool
    previous: str | None
    conversation: str | None


class Event(NamedTuple):
    """One event of a stream as the client gets it. answer: the whole answer, where the stream ends with it."""

    raw: bytes
    answer: bytes | None = None


class Wire(Protocol):
    """One API. It has no state."""

    name: str
    endpoint: Endpoint
    previous: str
    """How the field is called that names the answer before."""
    after: str
    """How a query says behind which event it wants to go on."""
    marks: tuple[bytes, ...]
    """Without any of these in it, an input that nothing comes before can be passed on as it is."""
    about: bytes
    """An event without this in it says nothing of the answer as a whole."""
    noun: str
    """What one answer is called, for errors."""
    is_whole: bool
    """The last event of a stream holds the whole answer."""

    def new_id(self) -> str: ...

    def read(self, fields: Members) -> Asked:
        """What a body says of keeping. Raises HiveError `invalid`."""
        ...

    def items(self, input: Raw | bytes | None) -> list[Raw]:
        """An input, item by item. Raises HiveError `invalid` where it is none."""
        ...

    def passed_on(self, items: Iterable[Raw]) -> list[Raw]:
        """Of all that was said what a provider gets, and as it gets it."""
        ...

    def referred(self, item: Raw) -> str | None:
        """The id of the item that this one only refers to."""
        ...

    def ids(self, items: Iterable[Raw]) -> dict[str, Raw]:
        """Those that can be referred to."""
        ...

    def said(self, kept: Kept) -> list[Raw]:
        """What an answer adds to the input of one that goes on from it: what was asked, and what was answered."""
        ...

    def put_out(self, answer: bytes) -> list[Raw]:
        """The items that it put out."""
        ...

    def plain(self, answer: bytes, truth: Truth) -> bytes:
        """A whole answer, put right. Raises msgspec.DecodeError where it is none."""
        ...

    def event(self, raw: bytes, truth: Truth, number: int | None) -> Event:
        """An event, put right. number: its own, where the client may ask to go on behind it."""
        ...

    def completed(self, answer: bytes, prompt: Prompt, gathered: Answer) -> bytes:
        """The whole answer, where the last event holds a part of it only. gathered: what the stream said."""
        ...

    def begun(self, prompt: Prompt, truth: Truth, created: float) -> bytes:
        """An answer that is still to be made, as it is told. created: Unix seconds."""
        ...

    def cancelled(self, answer: bytes) -> bytes:
        """It will not be made any more."""
        ...

    def failed(self, answer: bytes, error: HiveError) -> bytes:
        """It could not be made."""
        ...

    def failure(self, answer: bytes, error: HiveError, number: int) -> bytes:
        """The event that a stream ends with whose answer could not be made. answer: as `failed` says it."""
        ...

    def deleted(self, id: str) -> Mapping[str, Any]: ...
