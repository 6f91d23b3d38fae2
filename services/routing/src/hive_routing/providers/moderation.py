"""The provider that moderates with the guardrails' own classifier, where no provider's model is configured for it.

It reads text only, and knows four of OpenAI's categories: harassment, hate, threats (also as violence) and
self-harm. The others are always 0. docs/model-cards/toxicity.md says how good it is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final
from uuid import uuid4

import msgspec

from hive_routing.catalogue import Deployment, Model
from hive_routing.providers.port import ProviderAnswer, ProviderCall, Timeouts
from hive_rpc import Channel
from hive_runtime.errors import HiveError, Kind
from modelhive.guardrails.v1 import guard_pb2 as pb
from modelhive.guardrails.v1.guard_pb2_grpc import GuardStub

GUARD: Final = "toxicity"
SECONDS: Final = 60.0

CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_MEANS: Final[Mapping[str, tuple[str, ...]]] = {
    "insult": ("harassment",),
    "abuse": ("harassment",),
    "threat": ("harassment", "harassment/threatening", "violence"),
    "hate": ("harassment", "hate"),
    "self-harm": ("self-harm", "self-harm/instructions"),
}
"""What the guard finds, in OpenAI's categories."""


MODELS: Final = (
    "omni-moderation-latest",
    "omni-moderation-2024-09-26",
    "text-moderation-latest",
    "text-moderation-stable",
)
"""OpenAI's names, which its SDKs ask for; the answer says what it really was."""


def built_in_models(channel: Channel) -> list[Model]:
    """The models that are there without a provider. channel: to the guardrails."""
    served = Deployment(
        provider_id="guardrails",
        provider=ModerationProvider(channel),
        model=GUARD,
        weight=1,
        timeouts=Timeouts(),
        bound_field="",
    )
    return [
        Model(
            id=name,
            created=0,
            owned_by="modelhive",
            mode="moderation",
            context_window=None,
            deployments=(served,),
            fallbacks=(),
        )
        for name in MODELS
    ]


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class _Request(msgspec.Struct):
    input: str | list[str | _Part]


class ModerationProvider:
    """Implements the port `Provider`."""

    speaks = ("moderations",)

    def __init__(self, channel: Channel) -> None:
        """channel: to the guardrails."""
        self._guard = GuardStub(channel)

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        results, version = [], ""
        for text in _texts(msgspec.json.decode(call.body, type=_Request)):
            tested = await self._test(text)
            results.append(_result(tested))
            version = tested.version
        answer = {"id": f"modr-{uuid4().hex}", "model": f"modelhive-{GUARD}-{version}", "results": results}
        return ProviderAnswer(200, {"content-type": "application/json"}, _once(msgspec.json.encode(answer)))

    async def close(self) -> None:
        """It has nothing of its own."""

    async def _test(self, text: str) -> pb.Tested:
        response = await self._guard.Test(pb.TestRequest(text=text, guards=[GUARD]), timeout=SECONDS)
        return response.tested[0]


def _texts(request: _Request) -> list[str]:
    """One for each result: texts have one each, parts have one together."""
    given = request.input
    if isinstance(given, str):
        return [given]
    parts = [each for each in given if isinstance(each, _Part)]
    if not parts:
        return [each for each in given if isinstance(each, str)]
    if any(part.type != "text" for part in parts):
        message = "This model reads text only: configure a provider's moderation model for images."
        raise HiveError(Kind.INVALID, message, "input")
    return ["\n".join(part.text for part in parts)]


def _result(tested: pb.Tested) -> dict[str, Any]:
    flagged = tested.score >= tested.threshold
    means = {name for found in tested.findings for name in _MEANS.get(found.category, ())}
    if not means and tested.score:
        means = {"harassment"}  # what it scores by words alone has no category before it is a finding
    score = round(tested.score, 6)
    return {
        "flagged": flagged,
        "categories": {name: flagged and name in means for name in CATEGORIES},
        "category_scores": {name: score if name in means else 0.0 for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
