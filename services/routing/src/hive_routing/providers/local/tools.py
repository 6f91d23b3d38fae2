"""Which tool a chat answer calls, if any.

A model of 135 million parameters cannot decide that: asked in six ways, it was hardly better than a coin.
So the embedding model does: a tool is called when the caller's last message is close enough to the tool's
name and description, and where one must be called, the closest is. The chat model then writes the arguments,
held to the tool's schema. An answer holds one call at most, and the answer to a tool's result is always text.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

from hive_routing.providers.local.frames import Embed
from hive_routing.providers.local.limits import EMBEDDING_SIZE
from hive_routing.providers.local.models import LocalModels, Patience
from hive_routing.providers.local.wire import ChatRequest, Function, Message, ToolChoice
from hive_runtime.errors import HiveError, Kind

# Cosine of the message and the tool. Found with 45 hand-written messages for 11 tools, of which 43 fall on
# the right side; of 33 others for 10 other tools, 28 do, and 12 of their 16 calls go to the right tool.
_CLOSE_ENOUGH = 0.21
_COMBINED = {"$ref", "allOf", "anyOf", "oneOf", "patternProperties"}


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that the answer has to call. `param`: where its schema stands in the request."""

    function: Function
    param: str


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools that an answer may call, or must call one of."""

    calls: Sequence[Call]
    must: bool


def offered(request: ChatRequest) -> Offer:
    """What `tools` and `tool_choice` come to. Raises HiveError where a name is unknown."""
    calls = [
        Call(tool.function, f"tools[{place}].function.parameters")
        for place, tool in enumerate(request.tools or ())
        if tool.function is not None
    ]
    choice = request.tool_choice
    if isinstance(choice, ToolChoice):
        return _chosen(calls, choice)
    if choice == "required" and not calls:
        raise HiveError(Kind.INVALID, "tool_choice: `required` needs `tools` to choose from", "tool_choice")
    return Offer([] if choice == "none" else calls, must=choice == "required")


def arguments(function: Function) -> dict[str, Any]:
    """The schema that a call's arguments follow: the caller's, but with no properties that it does not name."""
    schema = {"type": "object", **(function.parameters or {"properties": {}})}
    if "properties" in schema and not _COMBINED & schema.keys():
        schema.setdefault("additionalProperties", False)
    return schema


def _chosen(calls: Sequence[Call], choice: ToolChoice) -> Offer:
    if choice.type == "allowed_tools" and choice.allowed_tools is not None:
        names = [tool.function.name for tool in choice.allowed_tools.tools]
        return Offer(_named(calls, names), must=choice.allowed_tools.mode == "required")
    if choice.type == "function" and choice.function is not None:
        return Offer(_named(calls, [choice.function.name]), must=True)
    raise HiveError(Kind.INVALID, f"tool_choice.{choice.type}: is required for this type", "tool_choice")


def _named(calls: Sequence[Call], names: Sequence[str]) -> list[Call]:
    known = {call.function.name: call for call in calls}
    if not names or (unknown := [name for name in names if name not in known]):
        missing = ", ".join(unknown) if names else "nothing"
        raise HiveError(Kind.INVALID, f"tool_choice: {missing} is not among `tools`", "tool_choice")
    return [known[name] for name in names]


async def choose(
    offer: Offer, messages: Sequence[Message], models: LocalModels, patience: Patience
) -> Call | None:
    """The tool to call; None for an answer in words. Raises HiveError."""
    if not offer.calls or (not offer.must and messages[-1].role != "user"):
        return None
    if offer.must and len(offer.calls) == 1:
        return offer.calls[0]
    asked = next((message for message in reversed(messages) if message.role == "user"), messages[-1])
    words = [_words(call.function) for call in offer.calls]
    scores = await _similarities(asked.text or " ", words, models, patience)
    best = max(range(len(scores)), key=scores.__getitem__)
    return offer.calls[best] if offer.must or scores[best] >= _CLOSE_ENOUGH else None


def _words(function: Function) -> str:
    name = function.name.replace("_", " ").replace("-", " ")
    return f"{name}: {function.description}" if function.description else name


async def _similarities(text: str, others: list[str], models: LocalModels, patience: Patience) -> list[float]:
    data, _ = await models.embed(Embed(inputs=[text, *others], size=EMBEDDING_SIZE, cut=True), patience)
    numbers = array("f", data)
    vectors = [numbers[start : start + EMBEDDING_SIZE] for start in range(0, len(numbers), EMBEDDING_SIZE)]
    return [sum(map(mul, vectors[0], vector)) for vector in vectors[1:]]
