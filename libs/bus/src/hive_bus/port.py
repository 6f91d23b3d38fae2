"""The bus port: what services may ask of a bus, and what every adapter promises per delivery mode.

Which topic a message travels on, its key and its delivery are options of the proto message
(`modelhive.options.v1.topic`), so nobody repeats them. A `{field}` in a topic's name is filled from
the message when publishing, and from `fields` when subscribing.

REQUEST  at most once: a record is committed when fetched. A handler's failure is reported, never retried.
         Each group gets a record once; handlers run concurrently up to the bound.
EVENT    at least once, in order per key within a group. A handler that raises is retried with backoff;
         after the last try the record goes to `<topic>.dlq` as a `DeadLetter` and the next one is taken.
         Above the dead-letter ratio the subscription stops and `failure` says why.
STATE    compacted: a new subscriber first gets the last record of every key, then each change in order.
         A retired key is delivered as a change without message. Every subscriber gets everything:
         groups mean nothing here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class StateChange(Generic[M]):
    """One change of a compacted topic; `message` is None where the key was retired."""

    key: str
    message: M | None


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an EVENT handler is tried; the pause doubles from `first_pause` to `longest_pause` seconds."""

    tries: int = 5
    first_pause: float = 0.1
    longest_pause: float = 10.0


@dataclass(frozen=True, slots=True)
class DeadLetterLimit:
    """The subscription stops when, of the last `window` records, more than `ratio` were dead-lettered."""

    ratio: float = 0.5
    window: int = 20


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch is handed over when it has `size` records or its first one is `seconds` old."""

    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Options:
    """Bounds of one subscription.

    concurrency: handlers running at once (EVENT: of different keys).
    fields: values for the place holders in the topic's name.
    """

    concurrency: int = 256
    fields: Mapping[str, str] = field(default_factory=dict)
    retry: Retry = Retry()
    dead_letters: DeadLetterLimit = DeadLetterLimit()


class Subscription(Protocol):
    """A handler at work; it ends with `close` or with the bus."""

    @property
    def failure(self) -> Exception | None:
        """Why the subscription stopped by itself; None while it is healthy."""
        ...

    async def caught_up(self) -> None:
        """STATE: returns once all that stood on the topic at the time of subscribing was handled."""
        ...

    async def close(self) -> None:
        """Take no more records and wait for the handlers that run; may be called twice."""
        ...


class Bus(Protocol):
    """Publishing returns when the record is as safe as the adapter can make it.

    Raises HiveError `unavailable` where the record cannot be taken (queue full, broker away), and
    RuntimeError after `close`.
    """

    async def publish(self, message: Message) -> None: ...

    async def retire(self, kind: type[Message], key: str, fields: Mapping[str, str] | None = None) -> None:
        """STATE: the key has no value any more."""
        ...

    async def subscribe_requests(
        self, kind: type[M], group: str, handler: Callable[[M], Awaitable[None]], options: Options = Options()
    ) -> Subscription: ...

    async def subscribe_events(
        self, kind: type[M], group: str, handler: Callable[[M], Awaitable[None]], options: Options = Options()
    ) -> Subscription: ...

    async def subscribe_batches(
        self,
        kind: type[M],
        group: str,
        handler: Callable[[Sequence[M]], Awaitable[None]],
        batch: Batch,
        options: Options = Options(),
    ) -> Subscription:
        """EVENT, several records at a time. A batch that fails is retried whole, then record by record."""
        ...

    async def subscribe_state(
        self,
        kind: type[M],
        handler: Callable[[StateChange[M]], Awaitable[None]],
        options: Options = Options(),
    ) -> Subscription: ...

    async def drain(self, seconds: float) -> bool:
        """Wait until everything published was handled, at most so long; true where nothing is left."""
        ...

    async def close(self) -> None:
        """End all subscriptions; what was not handled is lost in memory and stays on a broker."""
        ...
