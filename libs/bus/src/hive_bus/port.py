"""The bus port: what services may ask of a bus, and what every adapter promises per delivery mode.

Which topic a message travels on, its key and its delivery are options of the proto message
(`modelhive.options.v1.topic`), so nobody repeats them. A `{field}` in a topic's name is filled from
the message when publishing, and from `fields` when subscribing.

REQUEST  at most once: a record is committed when fetched (but see `Options.again`). A handler's failure is
         reported, never retried.
         Each group gets a record once; handlers run concurrently up to the bound. A new group starts at the
         end, and what is published while a group has no subscription may be lost, or refused. A handler that
         needs no task, since it returns at once, is a plain function: it may run while `publish` does.
EVENT    at least once, in order per key within a group. A handler that raises is retried with backoff;
         after the last try the record goes to `<topic>.dlq` as a `DeadLetter` and the next one is taken.
         Above the dead-letter ratio the subscription stops and `failure` says why. A group that subscribes
         for the first time starts with the oldest record that the adapter still keeps (a broker by its
         retention, memory a bounded number of the newest); from then on it misses nothing, not even while
         it has no subscription.
STATE    compacted: a new subscriber first gets the last record of every key in the order of their changes,
         and nothing of keys that are retired; then each change in order, where one that is behind may get
         the newest change of a key alone. A retired key is delivered as a change without message. A handler
         that raises is retried with backoff; after the last try the change is reported and passed over, and
         above the dead-letter ratio the subscription stops. Every subscriber gets everything: groups mean
         nothing here, and a slow one delays nobody else.

A message belongs to the bus once it is published: neither the publisher nor a handler may change it, since
others may hold the same object. Once a `subscribe_…` has returned, whatever is published reaches the
subscription. A handler runs in a copy of the context (`contextvars`) in which it was subscribed, never in
the publisher's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

Handler = Callable[[M], Awaitable[None] | None]
"""Of REQUEST: what it returns is awaited in a task of its own; with None the record is handled."""


@dataclass(frozen=True, slots=True)
class StateChange(Generic[M]):
    """One change of a compacted topic; `message` is None where the key was retired.

    order: grows with each change of the topic, as a broker counts them; 0 where the adapter does not count.
    """

    key: str
    message: M | None
    order: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a handler is tried; the pause doubles from `first_pause` to `longest_pause` seconds.

    outwaits_absence: a HiveError `unavailable` is no try: what the handler needs is away, however long that takes.
    """

    tries: int = 5
    first_pause: float = 0.1
    longest_pause: float = 10.0
    outwaits_absence: bool = False

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError(f"Retry.tries is {self.tries}: a handler is tried at least once")

    def pauses(self) -> Iterator[float]:
        """The seconds to wait after each try but the last."""
        return map(self.pause_after, range(self.tries - 1))

    def pause_after(self, failures: int) -> float:
        """The seconds to wait where so many pauses were taken before."""
        # Capped before the power is taken: what retries for ever comes to large numbers.
        return min(self.first_pause * 2.0 ** min(failures, 60), self.longest_pause)


@dataclass(frozen=True, slots=True)
class DeadLetterLimit:
    """The subscription stops when more than `ratio * window` of its last `window` records failed for good."""

    ratio: float = 0.5
    window: int = 20


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch is handed over when it has `size` records or its first one is `seconds` old."""

    size: int
    seconds: float

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"Batch.size is {self.size}: a batch has at least one record")


@dataclass(frozen=True, slots=True)
class Options:
    """Bounds of one subscription.

    concurrency: handlers running at once (EVENT: of different keys). Batches and STATE changes are
        always handed over one after another.
    fields: values for the place holders in the topic's name.
    grace: seconds that `close` gives the handlers that run before it cancels them.
    takes_stand_ins: REQUEST: the handler also takes what a publisher in this process gives it in place of a message
        (`Bus.beside`).
    again: REQUEST: handles a record that another process may have begun with. Where it is given, a broker need not have
        noted a record that is surely new before its handler runs: both have to bear that one comes twice.
    """

    concurrency: int = 256
    fields: Mapping[str, str] = field(default_factory=dict)
    retry: Retry = Retry()
    dead_letters: DeadLetterLimit = DeadLetterLimit()
    grace: float = 10.0
    takes_stand_ins: bool = False
    again: Handler[Any] | None = None

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"Options.concurrency is {self.concurrency}: at least one handler must run")


class Subscription(Protocol):
    """A handler at work; it ends with `close` or with the bus."""

    @property
    def failure(self) -> Exception | None:
        """Why the subscription stopped by itself; None while it is healthy."""
        ...

    async def caught_up(self) -> None:
        """STATE: returns once all that stood on the topic at the time of subscribing was handled.

        Has no bound of its own. Raises `failure`, or RuntimeError after `close`, where that can no longer
        come true. Returns at once for the other deliveries.
        """
        ...

    async def close(self) -> None:
        """Take no more records and wait for the handlers that run; may be called twice.

        A handler that runs longer than `Options.grace` is cancelled. EVENT: what it had in hand, and what
        waits for another try, goes to the next subscription of the group. Not to be called by a handler of
        this subscription.
        """
        ...


class Bus(Protocol):
    """Publishing returns when the record is as safe as the adapter can make it.

    Raises HiveError `unavailable` where the record cannot be taken, and then no group has it: with
    `retry_after` where a queue is full, without where the bus cannot pass it on at all (broker away,
    nobody listens). RuntimeError after `close`. A message whose proto has no topic, or another delivery
    than the method is for, is a TypeError; a place holder without a usable value is a ValueError.
    """

    async def publish(self, message: Message) -> None: ...

    async def publish_all(self, messages: Sequence[Message]) -> int:
        """Publish them in this order, on a network many at a time: far cheaper than one after another.

        Returns how many of them, from the first on, were taken: fewer where one was refused. Of those behind it
        some may have been taken too. Raises what `publish` does where the first one is refused.
        """
        ...

    def beside(self, kind: type[Message], fields: Mapping[str, str]) -> Callable[[object], bool]:
        """REQUEST: a way to handlers in this process that needs no message.

        The callable gives an object that stands for a message of this kind to the handler whose turn it is, where
        that is free and `takes_stand_ins`, as `publish` would have given it the message, and says whether it did.
        Where it did not, `publish` the message. fields: for the place holders in the topic's name.
        """
        ...

    async def retire(self, kind: type[Message], key: str, fields: Mapping[str, str] | None = None) -> None:
        """STATE: the key has no value any more."""
        ...

    async def subscribe_requests(
        self, kind: type[M], group: str, handler: Handler[M], options: Options = Options()
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
