"""The memory bus: finds the topic and leaves the rest to the delivery's own module."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from hive_bus.handling.room import Bounds
from hive_bus.handling.subscription import RunningSubscription
from hive_bus.handling.workers import BatchWorker, SingleWorker
from hive_bus.memory.events import EventTopic
from hive_bus.memory.requests import RequestSubscription, RequestTopic
from hive_bus.memory.state import StateSubscription, StateTopic
from hive_bus.port import Batch, Handler, M, Options, StateChange, Subscription
from hive_bus.topics import Route, route_of
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from hive_runtime.tasks import OnFailure
from modelhive.options.v1.options_pb2 import DELIVERY_EVENT, DELIVERY_REQUEST, DELIVERY_STATE, Delivery

S = TypeVar("S", bound=RunningSubscription)


class MemoryBus:
    """Messages travel by reference and nothing is encoded; what it holds ends with the process.

    on_failure: hears of REQUEST handlers that raised, of dead letters, of STATE changes that were passed
        over and of subscriptions that stopped, each with the name of the topic and group.
    queue_items, queue_bytes: how much may wait per consumer group (EVENT: what handlers have in hand
        included). REQUEST publishing raises `unavailable` at once where that is full.
    publish_wait: seconds that EVENT publishing waits for room before it does so too.
    kept_items, kept_bytes: how many of the newest records of an EVENT topic are kept for groups that
        subscribe later; no more than a queue takes.
    """

    def __init__(
        self,
        clock: Clock,
        on_failure: OnFailure,
        *,
        queue_items: int = 10_000,
        queue_bytes: int = 64 << 20,
        publish_wait: float = 1.0,
        kept_items: int = 1_000,
        kept_bytes: int = 1 << 20,
    ) -> None:
        self._clock = clock
        self._on_failure = on_failure
        self._queue = Bounds(queue_items, queue_bytes)
        self._kept = Bounds(min(kept_items, queue_items), min(kept_bytes, queue_bytes))
        self._publish_wait = publish_wait
        self._requests: dict[str, RequestTopic] = {}
        self._events: dict[str, EventTopic] = {}
        self._known: dict[type[Message], EventTopic] = {}
        """The only topic that messages of a kind go to, where there is one and the bus is open."""
        self._states: dict[str, StateTopic] = {}
        self._subscriptions: list[RunningSubscription] = []
        self._progress = asyncio.Event()
        self._closed = False

    def lags(self) -> dict[tuple[str, str], int]:
        """By topic and group of EVENTs: how many records are not finished."""
        return {place: lag for topic in self._events.values() for place, lag in topic.lags().items()}

    async def publish(self, message: Message) -> None:
        known = self._known.get(type(message))
        if known is None or not known.take([message]):
            await self._publish(message)

    async def publish_all(self, messages: Sequence[Message]) -> int:
        kinds = {*map(type, messages)}
        known = self._known.get(kinds.pop()) if len(kinds) == 1 else None
        if known is not None and known.take(messages):
            return len(messages)
        for taken, message in enumerate(messages):
            try:
                await self.publish(message)
            except HiveError:
                if not taken:
                    raise
                return taken
        return len(messages)

    async def _publish(self, message: Message) -> None:
        self._require_open()
        route = route_of(type(message))
        name = route.topic_of(message) if route.places else route.template
        if route.delivery == DELIVERY_REQUEST:
            self._request_topic(name).publish(message)
        elif route.delivery == DELIVERY_EVENT:
            topic = self._event_topic(name, route)
            if not route.places:
                self._known[type(message)] = topic
            await topic.publish(message)
        else:
            self._state_topic(name).change(route.key_of(message), message)

    def beside(self, kind: type[Message], fields: Mapping[str, str]) -> Callable[[object], bool]:
        return self._request_topic(self._topic_name(kind, fields, DELIVERY_REQUEST)).hand

    async def retire(self, kind: type[Message], key: str, fields: Mapping[str, str] | None = None) -> None:
        topic = self._topic_name(kind, fields or {}, DELIVERY_STATE)
        self._state_topic(topic).change(key, None)

    async def subscribe_requests(
        self, kind: type[M], group: str, handler: Handler[M], options: Options = Options()
    ) -> Subscription:
        topic = self._request_topic(self._topic_name(kind, options.fields, DELIVERY_REQUEST))
        return self._own(
            RequestSubscription(topic.group(group), handler, options, self._clock, self._on_failure)
        )

    async def subscribe_events(
        self, kind: type[M], group: str, handler: Callable[[M], Awaitable[None]], options: Options = Options()
    ) -> Subscription:
        topic = self._event_topic(self._topic_name(kind, options.fields, DELIVERY_EVENT), route_of(kind))
        return self._own(
            SingleWorker(topic.group(group), handler, self.publish, options, self._clock, self._on_failure)
        )

    async def subscribe_batches(
        self,
        kind: type[M],
        group: str,
        handler: Callable[[Sequence[M]], Awaitable[None]],
        batch: Batch,
        options: Options = Options(),
    ) -> Subscription:
        topic = self._event_topic(self._topic_name(kind, options.fields, DELIVERY_EVENT), route_of(kind))
        return self._own(
            BatchWorker(
                topic.group(group), handler, batch, self.publish, options, self._clock, self._on_failure
            )
        )

    async def subscribe_state(
        self,
        kind: type[M],
        handler: Callable[[StateChange[M]], Awaitable[None]],
        options: Options = Options(),
    ) -> Subscription:
        topic = self._state_topic(self._topic_name(kind, options.fields, DELIVERY_STATE))
        return self._own(StateSubscription(topic, handler, options, self._clock, self._on_failure))

    async def drain(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while self._outstanding():
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return not self._outstanding()
        return True

    async def close(self) -> None:
        while self._subscriptions:
            ending, self._subscriptions = self._subscriptions, []
            await asyncio.gather(*(subscription.close() for subscription in ending))
        self._closed = True
        self._known.clear()
        for topic in self._events.values():
            topic.close()

    def _outstanding(self) -> int:
        by_delivery = (self._requests.values(), self._events.values(), self._states.values())
        return sum(topic.outstanding for topics in by_delivery for topic in topics)

    def _own(self, subscription: S) -> S:
        self._subscriptions = [other for other in self._subscriptions if not other.stopped]
        self._subscriptions.append(subscription)
        return subscription

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("the bus is closed")

    def _topic_name(
        self, kind: type[Message], fields: Mapping[str, str], delivery: Delivery.ValueType
    ) -> str:
        self._require_open()
        route = route_of(kind)
        route.require(delivery)
        return route.topic_with(fields)

    def _request_topic(self, name: str) -> RequestTopic:
        topic = self._requests.get(name)
        if topic is None:
            topic = self._requests[name] = RequestTopic(name, self._queue, self._progress.set)
        return topic

    def _event_topic(self, name: str, route: Route) -> EventTopic:
        topic = self._events.get(name)
        if topic is None:
            topic = self._events[name] = EventTopic(
                name,
                route.key_of,
                self._clock,
                self._queue,
                self._kept,
                self._publish_wait,
                self._progress.set,
            )
        return topic

    def _state_topic(self, name: str) -> StateTopic:
        topic = self._states.get(name)
        if topic is None:
            topic = self._states[name] = StateTopic(name, self._progress.set)
        return topic
