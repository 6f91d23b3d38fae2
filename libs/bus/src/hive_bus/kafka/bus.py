"""The Kafka bus: finds the topic and leaves the rest to the delivery's own module."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from aiokafka.errors import KafkaError
from google.protobuf.message import Message

from hive_bus.kafka.address import address_of
from hive_bus.kafka.client import Client
from hive_bus.kafka.events import MOST_RECORDS, KafkaEvents, batched, single
from hive_bus.kafka.hooks import Hooks
from hive_bus.kafka.library import quieten
from hive_bus.kafka.provision import administering, create
from hive_bus.kafka.publisher import Publisher
from hive_bus.kafka.reach import Reach
from hive_bus.kafka.requests import KafkaRequests
from hive_bus.kafka.state import KafkaState
from hive_bus.kafka.subscribed import KafkaSubscription
from hive_bus.kafka.topics import topic_for
from hive_bus.port import Batch, Handler, M, Options, StateChange, Subscription
from hive_bus.topics import Route, route_of
from hive_runtime.clock import Clock
from hive_runtime.tasks import OnFailure, Tasks
from modelhive.options.v1.options_pb2 import DELIVERY_EVENT, DELIVERY_REQUEST, DELIVERY_STATE, Delivery

S = TypeVar("S", bound=KafkaSubscription)

REQUEST_PATIENCE = 1.0
PATIENCE = 5.0
DRAIN_PAUSE = 0.02
# In tests, where topics are made as they are met.
TEST_PARTITIONS = 3


class KafkaBus:
    """url: see `hive_bus.kafka.address`; raises BadAddress. instance: this process's name among the clients.

    on_failure: hears of REQUEST handlers that raised, of dead letters, of STATE changes that were passed
        over and of subscriptions that stopped. A broker that is away is no failure: see `trouble`.
    create_topics: makes topics as they are met, for tests; elsewhere `modelhive topics` makes them.
    subscribe_seconds: how long a `subscribe_…` and `start` wait for the broker. Where it is away they return
        all the same, and go on in the background: from then on the subscription hears what is published after it
        was found (REQUEST), or whatever its group has not heard (EVENT, STATE).
    hooks: how a trace travels along.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        on_failure: OnFailure,
        *,
        instance: str = "modelhive",
        create_topics: bool = False,
        subscribe_seconds: float = 10.0,
        hooks: Hooks = Hooks(),
    ) -> None:
        quieten()
        self._clock = clock
        self._hooks = hooks
        self._patience = subscribe_seconds
        self._tasks = Tasks(on_failure)
        address = address_of(url)
        address.connection(instance)  # certificates that cannot be read fail here
        self._reach = Reach(address, instance, clock)
        self._client = Client(
            address,
            instance,
            self._reach,
            clock,
            on_failure,
            hooks,
            self._tasks,
            self._create if create_topics else None,
        )
        self._requests, self._durable = (
            Publisher(name, self._client, patience)
            for name, patience in (("requests", REQUEST_PATIENCE), ("records", PATIENCE))
        )
        self._routes: dict[str, Route] = {}
        self._subscriptions: list[KafkaSubscription] = []
        self._started = self._closed = False

    async def start(self) -> None:
        """Look for the broker, at most `subscribe_seconds` long. To be called before anything else."""
        self._require_open()
        if self._started:
            return
        self._started = True
        self._tasks.spawn(self._reach.watch(), "broker")
        self._requests.start()
        self._durable.start()
        await self._while_reachable(self._both_opened())

    @property
    def trouble(self) -> str | None:
        """Words for health checks about what does not work at the moment; None while all is well."""
        if self._reach.trouble is not None:
            return self._reach.trouble
        for subscription in self._subscriptions:
            if subscription.trouble is not None and not subscription.stopped:
                return f"{_name(subscription)}: {subscription.trouble}"
        return None

    @property
    def is_away(self) -> bool:
        """Whether no broker answers at the moment, as far as this process knows."""
        return not self._reach.there.is_set()

    def lags(self) -> dict[tuple[str, str], int]:
        """By topic and group: how many records this process's share still holds; the group is empty for STATE."""
        found: dict[tuple[str, str], int] = {}
        for each in self._subscriptions:
            place = each.topic, each.group
            found[place] = found.get(place, 0) + each.lag
        return found

    async def publish(self, message: Message) -> None:
        route = route_of(type(message))
        record = self._record(message)
        if route.delivery == DELIVERY_REQUEST:
            await self._requests.publish(*record, ordered=False)
        else:
            await self._durable.publish(*record, ordered=True)

    async def publish_all(self, messages: Sequence[Message]) -> int:
        return await self._durable.publish_all(map(self._record, messages))

    def _record(self, message: Message) -> tuple[str, bytes, bytes, list[tuple[str, bytes]]]:
        """Topic, key, value and headers."""
        self._require_open()
        route = route_of(type(message))
        topic = self._known(route.topic_of(message), route)
        return topic, route.key_of(message).encode(), message.SerializeToString(), self._headers(message)

    def beside(self, kind: type[Message], fields: Mapping[str, str]) -> Callable[[object], bool]:
        return _nobody

    def _headers(self, message: Message) -> list[tuple[str, bytes]]:
        """Of a message that says itself which trace it belongs to, that one: whoever publishes may be in none."""
        if traceparent := getattr(message, "traceparent", ""):
            return [("traceparent", traceparent.encode())]
        return self._hooks.headers()

    async def retire(self, kind: type[Message], key: str, fields: Mapping[str, str] | None = None) -> None:
        topic = self._topic(kind, fields or {}, DELIVERY_STATE)
        await self._durable.publish(topic, key.encode(), None, self._hooks.headers(), ordered=True)

    async def subscribe_requests(
        self, kind: type[M], group: str, handler: Handler[M], options: Options = Options()
    ) -> Subscription:
        topic = self._topic(kind, options.fields, DELIVERY_REQUEST)
        return await self._own(KafkaRequests(self._client, topic, group, kind, handler, options))

    async def subscribe_events(
        self, kind: type[M], group: str, handler: Callable[[M], Awaitable[None]], options: Options = Options()
    ) -> Subscription:
        topic = self._topic(kind, options.fields, DELIVERY_EVENT)
        worker = single(self._client, self.publish, handler, options)
        return await self._own(KafkaEvents(self._client, topic, group, kind, worker))

    async def subscribe_batches(
        self,
        kind: type[M],
        group: str,
        handler: Callable[[Sequence[M]], Awaitable[None]],
        batch: Batch,
        options: Options = Options(),
    ) -> Subscription:
        topic = self._topic(kind, options.fields, DELIVERY_EVENT)
        worker = batched(self._client, self.publish, handler, batch, options)
        most = max(MOST_RECORDS, 2 * batch.size)
        return await self._own(KafkaEvents(self._client, topic, group, kind, worker, most))

    async def subscribe_state(
        self,
        kind: type[M],
        handler: Callable[[StateChange[M]], Awaitable[None]],
        options: Options = Options(),
    ) -> Subscription:
        topic = self._topic(kind, options.fields, DELIVERY_STATE)
        return await self._own(KafkaState(self._client, topic, kind, handler, options))

    async def drain(self, seconds: float) -> bool:
        """Of the records that this process's shares hold; false where the broker cannot be asked."""
        try:
            async with asyncio.timeout(seconds):
                while not await self._is_idle():
                    await self._clock.sleep(DRAIN_PAUSE)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        while self._subscriptions:
            ending, self._subscriptions = self._subscriptions, []
            await asyncio.gather(*(subscription.close() for subscription in ending))
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(self._requests.close(), self._durable.close())
        await self._tasks.close()

    async def _is_idle(self) -> bool:
        for subscription in self._subscriptions:
            try:
                if not subscription.stopped and not await subscription.is_idle():
                    return False
            except KafkaError:
                return False
        return True

    async def _own(self, subscription: S) -> S:
        self._subscriptions = [other for other in self._subscriptions if not other.stopped]
        self._subscriptions.append(subscription)
        await self._while_reachable(subscription.entered())
        return subscription

    async def _while_reachable(self, wait: Awaitable[object]) -> None:
        """Wait, as long as it is worth it: not where the broker has been found away already."""
        patience = self._patience
        waiting = asyncio.ensure_future(wait)
        try:
            if self._reach.known.is_set() and self._reach.trouble is not None:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), patience)
        finally:
            waiting.cancel()

    async def _both_opened(self) -> None:
        await asyncio.gather(self._requests.opened(), self._durable.opened())

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("the bus is closed")

    def _topic(self, kind: type[Message], fields: Mapping[str, str], delivery: Delivery.ValueType) -> str:
        self._require_open()
        if not self._started:
            raise RuntimeError("the bus was not started")
        route = route_of(kind)
        route.require(delivery)
        return self._known(route.topic_with(fields), route)

    def _known(self, topic: str, route: Route) -> str:
        if self._client.create is not None:
            self._routes[topic] = route
        return topic

    async def _create(self, topic: str) -> None:
        wanted = topic_for(topic, self._routes[topic], TEST_PARTITIONS)
        async with asyncio.timeout(PATIENCE), administering(self._client.address) as admin:
            await create(admin, wanted, 1)


def _name(subscription: KafkaSubscription) -> str:
    return f"{subscription.topic} in group {subscription.group}" if subscription.group else subscription.topic


def _nobody(stand_in: object) -> bool:
    """Whoever handles a request is found by the broker alone."""
    return False
