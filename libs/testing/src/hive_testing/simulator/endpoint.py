"""How the requests of one path are read, checked and answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.calls import Call
from hive_testing.simulator.dialect import OPENAI, Dialect
from hive_testing.simulator.model import Asked
from hive_testing.simulator.reply import Reply

Read = Callable[[Call, Mapping[str, str]], Any]
Say = Callable[[Any, Behaviour, int], Reply]


class Endpoint(NamedTuple):
    """`read` gets the names that stand in the path, `answer` the call's number for ids; both may refuse.

    What `read` gives has a `model`. `check` does what costs time, and only where the simulator is strict.
    """

    read: Read
    answer: Say
    dialect: Dialect = OPENAI
    check: Callable[[Call], None] | None = None


class Conversation(NamedTuple):
    """A request in another dialect than chat. fields: the body as it came."""

    asked: Asked
    fields: dict[str, Any]

    @property
    def model(self) -> str:
        return self.asked.model


def reads(decoder: msgspec.json.Decoder[Any]) -> Read:
    """The `read` of an endpoint whose body a decoder knows."""
    return lambda call, names: decoder.decode(call.body)
