"""Which endpoint answers a path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hive_testing.simulator import azure, chat, completions, embeddings, moderations
from hive_testing.simulator.calls import Call
from hive_testing.simulator.cohere.paths import ENDPOINTS as COHERE
from hive_testing.simulator.converse import paths as converse
from hive_testing.simulator.endpoint import Endpoint, reads
from hive_testing.simulator.gemini import paths as gemini
from hive_testing.simulator.messages import vertex
from hive_testing.simulator.messages.paths import ENDPOINTS as MESSAGES
from hive_testing.simulator.responses.paths import ENDPOINTS as RESPONSES
from hive_testing.simulator.strict import chat as strict

NO_NAMES: Mapping[str, str] = {}


class Route(NamedTuple):
    """names: those that stand in the path."""

    endpoint: Endpoint
    names: Mapping[str, str] = NO_NAMES


CHAT = Endpoint(reads(chat.DECODER), chat.answer, check=strict.check)
FIXED = {
    path: Route(endpoint)
    for path, endpoint in {
        "/v1/chat/completions": CHAT,
        "/compatibility/v1/chat/completions": CHAT,  # Cohere's, for clients of OpenAI
        "/v1/completions": Endpoint(reads(completions.DECODER), completions.answer),
        "/v1/embeddings": Endpoint(
            reads(embeddings.DECODER), embeddings.answer, check=strict.check_embeddings
        ),
        "/v1/moderations": Endpoint(moderations.read, moderations.answer),
        **MESSAGES,
        **RESPONSES,
        **COHERE,
    }.items()
}


def find(call: Call) -> Route | None:
    """The endpoint of a call's path, whatever its method; None where nobody has such a path."""
    if fixed := FIXED.get(call.path):
        return fixed
    found = (
        gemini.find(call.path, call.query)
        or converse.find(call.path)
        or azure.find(call.path)
        or vertex.find(call.path)
    )
    return Route(*found) if found else None
