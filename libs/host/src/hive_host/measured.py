"""What shows on `/metrics` of the bus and of internal apps: how much, how long it took, what failed, what waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

from google.protobuf.message import Message

from hive_bus import Batch, Bus, Options, Subscription
from hive_bus.port import Handler, M, StateChange
from hive_bus.topics import route_of
from hive_relay import asgi
from hive_runtime.clock import Clock
from hive_runtime.telemetry import Handled, Metrics, Requests

T = TypeVar("T")
Lags = Callable[[], Mapping[tuple[str, str], int]]
"""By topic and group: records that are published and not handled yet."""


@runtime_checkable
class Buries(Protocol):
    """A subscription that gives records up. dead_letters: so far."""

    @property
    def dead_letters(self) -> int: ...


class MeasuredBus:
    """A `Bus` that counts what handlers do; it changes nothing of what they are promised."""

    def __init__(self, bus: Bus, metrics: Metrics, clock: Clock, lags: Lags | None = None) -> None:
        self._bus = bus
        self.publish = bus.publish
        self.publish_all = bus.publish_all
        self.beside = bus.beside
        self._clock = clock
        self._handled = Handled(metrics)
        self._burying: list[tuple[tuple[str, str], Buries]] = []
        places = "topic", "group"
        metrics.readings("hive_dead_letters", "Records given up.", places, self._dead_letters, grows=True)
        if lags is not None:
            said = "Records that wait for their handler."
            metrics.readings("hive_bus_lag", said, places, lambda: lags().items())

    async def retire(self, kind: type[Message], key: str, fields: Mapping[str, str] | None = None) -> None:
        await self._bus.retire(kind, key, fields)

    async def subscribe_requests(
        self, kind: type[M], group: str, handler: Handler[M], options: Options = Options()
    ) -> Subscription:
        topic = _topic(kind, options)
        watched = self._watched(topic, group, _await)
        handled, monotonic = self._handled.handled, self._clock.monotonic

        def run(handler: Handler[M], message: M) -> Awaitable[None] | None:
            began = monotonic()
            try:
                rest = handler(message)
            except Exception:
                self._handled.failed(topic, group, 1)
                raise
            if rest is not None:
                return watched(rest)
            handled(topic, group, 1, monotonic() - began)
            return None

        if options.again is not None:
            options = replace(options, again=partial(run, options.again))
        return await self._bus.subscribe_requests(kind, group, partial(run, handler), options)

    async def subscribe_events(
        self, kind: type[M], group: str, handler: Callable[[M], Awaitable[None]], options: Options = Options()
    ) -> Subscription:
        topic = _topic(kind, options)
        watched = self._watched(topic, group, handler)
        return self._noted(topic, group, await self._bus.subscribe_events(kind, group, watched, options))

    async def subscribe_batches(
        self,
        kind: type[M],
        group: str,
        handler: Callable[[Sequence[M]], Awaitable[None]],
        batch: Batch,
        options: Options = Options(),
    ) -> Subscription:
        topic = _topic(kind, options)
        watched = self._watched(topic, group, handler, len)
        subscription = await self._bus.subscribe_batches(kind, group, watched, batch, options)
        return self._noted(topic, group, subscription)

    async def subscribe_state(
        self,
        kind: type[M],
        handler: Callable[[StateChange[M]], Awaitable[None]],
        options: Options = Options(),
    ) -> Subscription:
        return await self._bus.subscribe_state(kind, handler, options)

    async def drain(self, seconds: float) -> bool:
        return await self._bus.drain(seconds)

    async def close(self) -> None:
        await self._bus.close()

    def _watched(
        self,
        topic: str,
        group: str,
        handler: Callable[[T], Awaitable[None]],
        size: Callable[[Any], int] = lambda _: 1,
    ) -> Callable[[T], Awaitable[None]]:
        async def run(argument: T) -> None:
            began = self._clock.monotonic()
            try:
                await handler(argument)
            except Exception:
                self._handled.failed(topic, group, size(argument))
                raise
            self._handled.handled(topic, group, size(argument), self._clock.monotonic() - began)

        return run

    def _noted(self, topic: str, group: str, subscription: Subscription) -> Subscription:
        if isinstance(subscription, Buries):
            self._burying.append(((topic, group), subscription))
        return subscription

    def _dead_letters(self) -> Iterable[tuple[tuple[str, str], int]]:
        found: dict[tuple[str, str], int] = {}
        for place, subscription in self._burying:
            found[place] = found.get(place, 0) + subscription.dead_letters
        return found.items()


async def _await(rest: Awaitable[None]) -> None:
    await rest


def _topic(kind: type[Message], options: Options) -> str:
    """As the adapter will call it; it says itself what is wrong with one that cannot be."""
    route = route_of(kind)
    try:
        return route.topic_with(options.fields)
    except ValueError:
        return route.template


def measured_app(app: asgi.App, requests: Requests, method: str, clock: Clock) -> asgi.App:
    """Counts what the app answers, all of it as one `method`: the paths below hold names without bound."""

    async def run(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        began, code = clock.monotonic(), "500"

        async def note(message: asgi.Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = str(message["status"])
            await send(message)

        try:
            await app(scope, receive, note)
        finally:
            requests.note(method, code, clock.monotonic() - began)

    return run
