"""Azure's OpenAI: the same bodies at paths of deployments, keys in `api-key`, and what its filters say in streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from hive_testing.simulator import chat, completions, embeddings
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.calls import Call
from hive_testing.simulator.dialect import Dialect, bearer, decoded
from hive_testing.simulator.endpoint import Endpoint, Read
from hive_testing.simulator.model import Asked
from hive_testing.simulator.reply import Event, InvalidRequest, Reply, encode
from hive_testing.simulator.responses import answer as responses
from hive_testing.simulator.responses import request as responses_request
from hive_testing.simulator.responses.dialect import Responses
from hive_testing.simulator.strict import chat as strict

DEPLOYMENT = re.compile(
    r"/openai/deployments/(?P<deployment>[^/]+)/(?P<operation>chat/completions|completions|embeddings)"
)
NEXT = re.compile(r"/openai/(?:v1/)?(?P<operation>chat/completions|completions|embeddings|responses)")
SAFE = {"hate": {"filtered": False, "severity": "safe"}}
WRONG_KEY = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)


class Azure(Dialect):
    def check_key(self, call: Call, key: str) -> None:
        """A key of the resource, or an access token."""
        if key not in (call.header(b"api-key"), bearer(call)):
            raise InvalidRequest(WRONG_KEY, code="401", status=401)


class AzureResponses(Azure, Responses):
    """The same for responses."""


def find(path: str) -> tuple[Endpoint, dict[str, str]] | None:
    """The endpoint of a path and the names in it; None where it is none of Azure's."""
    if found := DEPLOYMENT.fullmatch(path):
        return DEPLOYED[found["operation"]], found.groupdict()
    found = NEXT.fullmatch(path)
    return (NAMED[found["operation"]], {"path": path}) if found else None


def _answer(request: Asked, behaviour: Behaviour, number: int) -> Reply:
    """A stream begins with what the filters found in the prompt, in a chunk without choices."""
    reply = chat.answer(request, behaviour, number)
    if reply.events is None:
        return reply
    filtered = [{"prompt_index": 0, "content_filter_results": SAFE}]
    first = {
        "id": "",
        "object": "",
        "created": 0,
        "model": "",
        "choices": [],
        "prompt_filter_results": filtered,
    }
    reply.events.insert(0, Event(encode(first, None), None))
    return reply


def _deployed(kind: Any) -> Read:
    """The model is the deployment, whatever the body says."""

    def read(call: Call, names: Mapping[str, str]) -> Any:
        if "api-version" not in parse_qs(call.query):
            raise InvalidRequest("Resource not found", code="404", status=404)
        return msgspec.convert({**decoded(call), "model": unquote(names["deployment"])}, kind)

    return read


def _named(read: Callable[[Call], Any]) -> Read:
    """The body names the deployment; without `/v1` the version of the API is asked for as well."""

    def checked(call: Call, names: Mapping[str, str]) -> Any:
        if "/v1/" not in names["path"] and "api-version" not in parse_qs(call.query):
            raise InvalidRequest("Resource not found", code="404", status=404)
        return read(call)

    return checked


AZURE = Azure()
DEPLOYED = {
    "chat/completions": Endpoint(_deployed(Asked), _answer, AZURE, strict.check_deployed),
    "completions": Endpoint(_deployed(completions.CompletionRequest), completions.answer, AZURE),
    "embeddings": Endpoint(_deployed(embeddings.EmbeddingRequest), embeddings.answer, AZURE),
}
NAMED = {
    "chat/completions": Endpoint(
        _named(lambda call: chat.DECODER.decode(call.body)), _answer, AZURE, strict.check
    ),
    "completions": Endpoint(
        _named(lambda call: completions.DECODER.decode(call.body)), completions.answer, AZURE
    ),
    "embeddings": Endpoint(
        _named(lambda call: embeddings.DECODER.decode(call.body)), embeddings.answer, AZURE
    ),
    "responses": Endpoint(
        _named(lambda call: responses_request.read(call, {})), responses.answer, AzureResponses()
    ),
}
