"""The topics of this release: all that messages name, made once, and set right where they differ."""

from __future__ import annotations

import importlib
import json
import pkgutil

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from google.protobuf.descriptor import FileDescriptor
from typer.testing import CliRunner

import modelhive
from hive_bus.conformance.suite import unique
from hive_bus.kafka import TopicsFailed, make_topics
from hive_bus.kafka.topics import KINDS, SERVICES, Topic, declared
from hive_edge.routes import EXACT, FAMILIES
from hive_embedded.cli.app import app
from hive_testing.servers.kafka import Kafka
from modelhive.options.v1 import options_pb2

DAY = 24 * 3_600_000


def all_kinds() -> set[str]:
    """Every message that has a topic, but for those of the conformance suites."""
    found = set()
    for module in pkgutil.walk_packages(modelhive.__path__, "modelhive."):
        if module.name.endswith("_pb2"):
            file: FileDescriptor = importlib.import_module(module.name).DESCRIPTOR
            for name, message in file.message_types_by_name.items():
                if message.GetOptions().HasExtension(options_pb2.topic) and ".probe." not in file.package:
                    found.add(f"{file.package}.{name}")
    return found


def test_every_message_that_travels_has_its_topics_here() -> None:
    assert {kind.DESCRIPTOR.full_name for kind in KINDS} == all_kinds()


def test_every_service_with_queued_endpoints_has_a_topic_of_requests() -> None:
    routes = [*EXACT.values(), *FAMILIES.values()]
    assert {route.service for route in routes if route.queued and route.served} == {*SERVICES}


def test_what_each_delivery_needs() -> None:
    topics = {topic.name: topic for topic in declared()}
    requests, usage, control = topics["hive.requests.routing"], topics["hive.usage"], topics["hive.control"]
    assert (requests.partitions, requests.configs["retention.ms"]) == (12, "600000")
    assert (usage.partitions, usage.configs["retention.ms"]) == (12, str(7 * DAY))
    assert (control.partitions, control.configs["cleanup.policy"]) == (1, "compact")
    letters = topics["hive.usage.dlq"]
    assert (letters.partitions, letters.configs["retention.ms"]) == (1, str(30 * DAY))
    assert "hive.control.dlq" not in topics
    assert "hive.requests.routing.dlq" not in topics
    assert topics.keys() >= {"hive.prices", "hive.ledger", "hive.guard", "hive.requests_log"}


def test_more_partitions_are_for_what_is_shared_out() -> None:
    topics = {topic.name: topic.partitions for topic in declared(24)}
    assert (topics["hive.usage"], topics["hive.control"], topics["hive.usage.dlq"]) == (24, 1, 1)


async def test_topics_are_made_once_and_set_right_where_they_differ(kafka: Kafka) -> None:
    name = unique("topic")
    first = [Topic(name, 2, {"retention.ms": "600000", "cleanup.policy": "delete"})]
    assert [step.action for step in await make_topics(kafka.url, topics=first, dry_run=True)] == ["created"]
    assert [step.action for step in await make_topics(kafka.url, topics=first)] == ["created"]
    assert [step.action for step in await make_topics(kafka.url, topics=first)] == ["unchanged"]
    await configure(kafka, name, {"retention.ms": "600000", "max.message.bytes": "2000000"})
    second = [Topic(name, 3, {"retention.ms": "700000", "cleanup.policy": "delete"})]
    for dry_run in (True, False):
        steps = await make_topics(kafka.url, topics=second, dry_run=dry_run)
        assert [step.words for step in steps] == [
            f"extended: {name} (2 → 3 partitions)",
            f"configured: {name} (retention.ms 600000 → 700000)",
        ]
    assert [step.action for step in await make_topics(kafka.url, topics=second)] == ["unchanged"]
    assert [step.action for step in await make_topics(kafka.url, topics=[Topic(name, 1)])] == ["unchanged"]
    # What an operator has set beside it stays.
    assert (await configs(kafka, name))["max.message.bytes"] == "2000000"


async def test_all_topics_of_the_release_can_be_made(kafka: Kafka) -> None:
    await make_topics(kafka.url)
    steps = await make_topics(kafka.url)
    assert {step.topic for step in steps} == {topic.name for topic in declared()}
    assert {step.action for step in steps} == {"unchanged"}


async def test_a_broker_that_is_not_there_is_said() -> None:
    with pytest.raises(TopicsFailed, match=r"the topics of 127\.0\.0\.1:1 could not be made"):
        await make_topics("kafka://127.0.0.1:1")


def test_the_command_says_what_it_did(kafka: Kafka) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["topics", "--bootstrap", kafka.bootstrap])
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, len(declared()))
    again = runner.invoke(app, ["topics", "--bootstrap", kafka.url, "--json"])
    assert {(each["topic"], each["action"]) for each in json.loads(again.stdout)} == {
        (topic.name, "unchanged") for topic in declared()
    }
    more = runner.invoke(app, ["topics", "--bootstrap", kafka.url, "--partitions", "13", "--dry-run"])
    assert "would be extended: hive.usage (12 → 13 partitions)" in more.stdout


def test_the_command_says_what_is_wrong() -> None:
    for arguments, words in (([], "has no topics"), (["--bootstrap", "amqp://host"], "is no broker")):
        failed = CliRunner().invoke(app, ["topics", *arguments])
        assert failed.exit_code == 1
        assert words in failed.stderr


async def configure(kafka: Kafka, name: str, values: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, values)])
    await admin.close()


async def configs(kafka: Kafka, name: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    await admin.close()
    return {key: value for key, value, *_ in answer.resources[0][4]}
