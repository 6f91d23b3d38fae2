"""What the options of a message say about its way, and what they must not say."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from hive_bus.topics import route_of
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.events.v1.dead_letter_pb2 import DeadLetter
from modelhive.options.v1 import options_pb2
from modelhive.options.v1.options_pb2 import (
    DELIVERY_EVENT,
    DELIVERY_REQUEST,
    DELIVERY_STATE,
    DELIVERY_UNSPECIFIED,
    Delivery,
    Topic,
)
from modelhive.probe.v1.probe_pb2 import ProbeRequest, UnaryRequest

FIELD = descriptor_pb2.FieldDescriptorProto


def kind_with(name: str, topic: Topic) -> type[Message]:
    """A message type `sketch.<name>` with this topic option, a string `key` and a number `size`."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"sketch/{name}.proto",
        package="sketch",
        syntax="proto3",
        dependency=[options_pb2.DESCRIPTOR.name],
    )
    sketch = file.message_type.add(name=name)
    sketch.field.add(name="key", number=1, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
    sketch.field.add(name="size", number=2, type=FIELD.TYPE_INT64, label=FIELD.LABEL_OPTIONAL)
    sketch.field.add(name="tags", number=3, type=FIELD.TYPE_STRING, label=FIELD.LABEL_REPEATED)
    sketch.options.Extensions[options_pb2.topic].CopyFrom(topic)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"sketch.{name}"))


def test_topic_key_and_delivery_come_from_the_proto() -> None:
    route = route_of(ControlChanged)
    change = ControlChanged(key="model/m")
    assert route.topic_of(change) == route.topic_with({}) == "hive.control"
    assert route.key_of(change) == "model/m"
    assert route.delivery == DELIVERY_STATE
    assert route.kind == "modelhive.control.v1.ControlChanged"


def test_a_place_holder_is_filled_from_the_message_or_from_fields() -> None:
    route = route_of(ProbeRequest)
    assert route.topic_of(ProbeRequest(id="1", lane="fast.lane-1_a")) == "hive.probe.requests.fast.lane-1_a"
    assert route.topic_with({"lane": "slow"}) == "hive.probe.requests.slow"
    letter = DeadLetter(source_topic="hive.probe.events.x")
    assert route_of(DeadLetter).topic_of(letter) == "hive.probe.events.x.dlq"


@pytest.mark.parametrize("value", ["", "a b", "a/b", "ä", "{lane}", "x" * 250])
def test_a_value_that_makes_no_name_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"ProbeRequest\.lane is "):
        route_of(ProbeRequest).topic_of(ProbeRequest(lane=value))
    with pytest.raises(ValueError, match=r"ProbeRequest\.lane is "):
        route_of(ProbeRequest).topic_with({"lane": value})


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        route_of(ProbeRequest).topic_of(ProbeRequest(lane="x" * 249))


@pytest.mark.parametrize("fields", [{}, {"line": "a"}, {"lane": "a", "other": "b"}])
def test_fields_must_be_those_of_the_topic(fields: dict[str, str]) -> None:
    with pytest.raises(
        ValueError, match=r"modelhive\.probe\.v1\.ProbeRequest takes the fields: lane; given: "
    ):
        route_of(ProbeRequest).topic_with(fields)


def test_another_delivery_is_refused_by_name() -> None:
    route_of(ProbeRequest).require(DELIVERY_REQUEST)
    with pytest.raises(TypeError, match=r"ProbeRequest travels as REQUEST, not as EVENT"):
        route_of(ProbeRequest).require(DELIVERY_EVENT)


def test_a_message_without_topic_does_not_travel() -> None:
    with pytest.raises(TypeError, match=r"modelhive\.probe\.v1\.UnaryRequest has no topic option"):
        route_of(UnaryRequest)


@pytest.mark.parametrize(
    ("name", "template", "key", "delivery", "complaint"),
    [
        ("NoDelivery", "hive.sketch", "key", DELIVERY_UNSPECIFIED, "names no delivery"),
        ("NoKey", "hive.sketch", "", DELIVERY_EVENT, "names '', which is no string field"),
        ("NumberAsKey", "hive.sketch", "size", DELIVERY_EVENT, "names 'size', which is no string field"),
        ("ListAsKey", "hive.sketch", "tags", DELIVERY_EVENT, "names 'tags', which is no string field"),
        ("UnknownPlace", "hive.{place}", "key", DELIVERY_EVENT, "names 'place', which is no string field"),
    ],
)
def test_a_broken_option_is_refused(
    name: str, template: str, key: str, delivery: Delivery.ValueType, complaint: str
) -> None:
    kind = kind_with(name, Topic(name=template, key=key, delivery=delivery))
    with pytest.raises(TypeError, match=rf"sketch\.{name} {complaint}"):
        route_of(kind)
