"""Anthropic's messages at Vertex AI: the path names the model, and the body the version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from hive_testing.simulator.calls import Call
from hive_testing.simulator.dialect import bearer, decoded
from hive_testing.simulator.endpoint import Conversation, Endpoint
from hive_testing.simulator.messages.answer import answer
from hive_testing.simulator.messages.dialect import Messages
from hive_testing.simulator.messages.request import conversation
from hive_testing.simulator.reply import InvalidRequest

PATH = re.compile(
    r"/v1/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/(?P<model>[^/]+):(?P<method>rawPredict|streamRawPredict)"
)


class VertexMessages(Messages):
    def check_key(self, call: Call, key: str) -> None:
        if bearer(call) != key:
            raise InvalidRequest("Request had invalid authentication credentials.", status=401)


def find(path: str) -> tuple[Endpoint, dict[str, str]] | None:
    """The endpoint of a path and the names in it; None where it is none of these."""
    found = PATH.fullmatch(path)
    return (ENDPOINT, found.groupdict()) if found else None


def read(call: Call, names: Mapping[str, str]) -> Conversation:
    """Raises `InvalidRequest` for what Anthropic refuses."""
    fields = decoded(call)
    if not isinstance(fields.pop("anthropic_version", None), str):
        raise InvalidRequest("anthropic_version: Field required", "anthropic_version")
    if "model" in fields:
        raise InvalidRequest("model: Extra inputs are not permitted", "model")
    streams = names["method"] == "streamRawPredict"
    return conversation({**fields, "model": unquote(names["model"]), "stream": streams})


ENDPOINT = Endpoint(read, answer, VertexMessages())
