"""Where a message travels: topic, key and delivery, read from the options of its proto type."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from modelhive.options.v1 import options_pb2
from modelhive.options.v1.options_pb2 import Delivery

_PLACE = re.compile(r"\{(\w+)\}")
# What brokers take as a topic's name.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """How one kind of message travels; `places` are the fields that the topic's name is filled from.

    key: the field that keys are read from, `key_of` reads it.
    """

    kind: str
    template: str
    places: tuple[str, ...]
    key: str
    delivery: Delivery.ValueType
    key_of: Callable[[Message], str]

    def topic_of(self, message: Message) -> str:
        """The topic of this message. ValueError where a field makes no name."""
        if not self.places:
            return self.template
        return _fill(self, tuple([getattr(message, place) for place in self.places]))

    def topic_with(self, fields: Mapping[str, str]) -> str:
        """The topic for these values. ValueError where one is missing, unknown or makes no name."""
        if set(fields) != set(self.places):
            wanted, given = ", ".join(self.places) or "none", ", ".join(sorted(fields)) or "none"
            raise ValueError(
                f"topic {self.template!r} of {self.kind} takes the fields: {wanted}; given: {given}"
            )
        return _fill(self, tuple([fields[place] for place in self.places]))

    def require(self, delivery: Delivery.ValueType) -> None:
        """TypeError where the message travels in another way."""
        if self.delivery != delivery:
            raise TypeError(f"{self.kind} travels as {_word(self.delivery)}, not as {_word(delivery)}")


_routes: dict[type[Message], Route] = {}


def route_of(kind: type[Message]) -> Route:
    """The route of a message type, read once. TypeError where its proto has no topic or a broken one."""
    route = _routes.get(kind)
    if route is None:
        route = _routes[kind] = _read(kind)
    return route


def _read(kind: type[Message]) -> Route:
    descriptor = kind.DESCRIPTOR
    options = descriptor.GetOptions()
    if not options.HasExtension(options_pb2.topic):
        raise TypeError(f"{descriptor.full_name} has no topic option: it does not travel on the bus")
    topic = options.Extensions[options_pb2.topic]
    if topic.delivery == Delivery.DELIVERY_UNSPECIFIED:
        raise TypeError(f"the topic option of {descriptor.full_name} names no delivery")
    places = tuple(_PLACE.findall(topic.name))
    for name in (topic.key, *places):
        _require_string(kind, name)
    return Route(descriptor.full_name, topic.name, places, topic.key, topic.delivery, attrgetter(topic.key))


def _require_string(kind: type[Message], name: str) -> None:
    field = kind.DESCRIPTOR.fields_by_name.get(name)
    if field is None or field.type != FieldDescriptor.TYPE_STRING or field.is_repeated:
        message = kind.DESCRIPTOR.full_name
        raise TypeError(f"the topic option of {message} names {name!r}, which is no string field of it")


# Bounded: values come from messages. Remembered: a request passes here on its way.
@lru_cache(maxsize=4096)
def _fill(route: Route, values: tuple[str, ...]) -> str:
    name = route.template
    for place, value in zip(route.places, values, strict=True):
        if not _NAME.fullmatch(value):
            raise ValueError(f"{route.kind}.{place} is {value!r}: it cannot be part of a topic's name")
        name = name.replace(f"{{{place}}}", value)
    if not _NAME.fullmatch(name):
        raise ValueError(f"{route.kind} makes the topic name {name!r}, which is too long")
    return name


def _word(delivery: Delivery.ValueType) -> str:
    return Delivery.Name(delivery).removeprefix("DELIVERY_")
