"""Makes a broker's topics what this release needs: creates, adds partitions, sets configs. Deletes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from hive_bus.kafka.address import Address, address_of
from hive_bus.kafka.library import knows_controller, quieten
from hive_bus.kafka.topics import Topic, declared

SECONDS = 30.0
MOST_REPLICAS = 3
CONTROLLER_TRIES, CONTROLLER_PAUSE = 100, 0.1
# What a config's value comes from, in the broker's answer: the topic itself.
_OF_THE_TOPIC = 1
_TOPIC_EXISTS = 36


class TopicsFailed(Exception):
    """The broker cannot be reached, or refuses; the words are for the operator."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was done to a topic, or would be: action is `created`, `extended`, `configured` or `unchanged`."""

    topic: str
    action: str
    detail: str = ""

    @property
    def words(self) -> str:
        return f"{self.action}: {self.topic}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the broker has it; `own` are the configs that were set on it, `all` the ones that hold."""

    partitions: int
    own: dict[str, str]
    all: dict[str, str]


async def make_topics(
    url: str,
    *,
    partitions: int | None = None,
    replication: int | None = None,
    dry_run: bool = False,
    topics: Sequence[Topic] | None = None,
) -> list[Step]:
    """Bring the broker's topics to what this release declares; may be called again, and by several at once.

    partitions: of the topics that are shared out (default 12); a topic that has more keeps them.
    replication: copies of each partition; default 3, or as many as there are brokers. Only for new topics.
    Raises TopicsFailed, BadAddress.
    """
    quieten()
    address = address_of(url)
    wanted = declared(partitions) if topics is None else topics
    try:
        async with asyncio.timeout(SECONDS), administering(address) as admin:
            copies = replication or min(MOST_REPLICAS, await _brokers(admin))
            found = await _found(admin, [topic.name for topic in wanted])
            return [
                step
                for topic in wanted
                for step in await _bring(admin, topic, found.get(topic.name), copies, dry_run)
            ]
    except (KafkaError, OSError) as error:
        raise TopicsFailed(f"the topics of {address.words} could not be made: {error}") from error
    except TimeoutError as error:
        raise TopicsFailed(f"{address.words} did not answer within {SECONDS:g} s") from error


@asynccontextmanager
async def administering(address: Address) -> AsyncIterator[Any]:
    """A client, as soon as the cluster has a controller. Raises KafkaError, OSError."""
    admin = AIOKafkaAdminClient(
        **address.connection("modelhive-topics"), request_timeout_ms=int(SECONDS * 1000)
    )
    try:
        await admin.start()
        for _ in range(CONTROLLER_TRIES):
            if await knows_controller(admin):
                break
            await asyncio.sleep(CONTROLLER_PAUSE)
        yield admin
    finally:
        await admin.close()


async def create(admin: Any, topic: Topic, copies: int) -> bool:
    """Create the topic; false where it exists. Raises KafkaError."""
    configs = dict(topic.configs)
    if copies >= MOST_REPLICAS:
        configs["min.insync.replicas"] = "2"
    answer = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions, copies, topic_configs=configs)]
    )
    for name, code, *words in answer.topic_errors:
        if code == _TOPIC_EXISTS:
            return False
        if code:
            raise for_code(code)(f"{name}: {' '.join(filter(None, words))}")
    return True


async def _brokers(admin: Any) -> int:
    cluster = await admin.describe_cluster()
    return len(cluster["brokers"])


async def _found(admin: Any, names: list[str]) -> dict[str, Found]:
    existing = {
        each["topic"]: len(each["partitions"])
        for each in await admin.describe_topics()
        if not each["error_code"] and each["topic"] in names
    }
    configs = await _configs(admin, existing)
    return {name: Found(count, *configs[name]) for name, count in existing.items()}


async def _configs(admin: Any, names: Iterable[str]) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    found = {}
    for answer in await admin.describe_configs(resources):
        for code, words, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(f"{name}: {words or ''}")
            own = {key: value for key, value, _, source, *_ in entries if source == _OF_THE_TOPIC}
            found[name] = own, {key: value for key, value, *_ in entries}
    return found


async def _bring(admin: Any, topic: Topic, found: Found | None, copies: int, dry_run: bool) -> list[Step]:
    if found is None:
        if not dry_run and not await create(admin, topic, copies):
            return [Step(topic.name, "unchanged", "another process created it just now")]
        return [Step(topic.name, "created", f"{topic.partitions} partitions, {copies} copies")]
    steps = []
    if found.partitions < topic.partitions:
        if not dry_run:
            await admin.create_partitions({topic.name: NewPartitions(topic.partitions)})
        steps.append(Step(topic.name, "extended", f"{found.partitions} → {topic.partitions} partitions"))
    differing = {name: value for name, value in topic.configs.items() if found.all.get(name) != value}
    if differing:
        if not dry_run:
            await _configure(admin, topic.name, found.own | differing)
        told = ", ".join(f"{name} {found.all.get(name)} → {value}" for name, value in differing.items())
        steps.append(Step(topic.name, "configured", told))
    return steps or [Step(topic.name, "unchanged")]


async def _configure(admin: Any, name: str, configs: dict[str, str]) -> None:
    """Set all of a topic's own configs: the request replaces them, so those that others set come along."""
    for answer in await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs)]):
        for code, words, *_ in answer.resources:
            if code:
                raise for_code(code)(f"{name}: {words or ''}")
