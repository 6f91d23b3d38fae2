"""How routing asks the guardrails: over one stream, or call by call where those cost less or texts are long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hive_routing.guard_calls import LONG_CHARS, GuardCalls
from hive_routing.guarding.port import Asker, Origin, Text, Verdict
from hive_rpc.local import LocalNetwork
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from modelhive.guardrails.v1 import guard_pb2 as pb
from modelhive.guardrails.v1.guard_pb2_grpc import GuardServicer, add_GuardServicer_to_server

ASKER = Asker("req_1", "t", "k", "m", None)


class Guard(GuardServicer):
    """Says back what it was asked. streamed, called: texts that came by either way; asked: questions per message."""

    def __init__(self) -> None:
        self.streamed: list[str] = []
        self.called: list[str] = []
        self.asked: list[int] = []

    async def CheckStream(self, requests: Any, context: Any) -> AsyncIterator[pb.CheckStreamResponse]:
        async for request in requests:
            self.asked.append(len(request.questions))
            self.streamed += [each.texts[0].text for each in request.questions]
            yield pb.CheckStreamResponse(decisions=[_decision(each) for each in request.questions])

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        self.called.append(request.question.texts[0].text)
        return pb.CheckResponse(decision=_decision(request.question))

    async def Test(self, request: pb.TestRequest, context: Any) -> pb.TestResponse:
        raise AssertionError("administration asks this")


def _decision(question: pb.Question) -> pb.Decision:
    return pb.Decision(number=question.number, verdict=1, category=question.texts[0].text)  # type: ignore[arg-type]


@pytest.fixture
async def network() -> AsyncIterator[LocalNetwork]:
    network = LocalNetwork(lambda name, error: None)
    yield network
    await network.close()


@pytest.fixture
async def guard(network: LocalNetwork) -> Guard:
    guard = Guard()
    server = network.server("guardrails", "one")
    server.add(add_GuardServicer_to_server, guard)
    await server.start()
    return guard


@pytest.fixture(params=[True, False], ids=["near", "far"])
async def guards(
    request: pytest.FixtureRequest, network: LocalNetwork, guard: Guard
) -> AsyncIterator[GuardCalls]:
    channel = network.channel("guardrails")
    channel.is_near = request.param
    tasks = Tasks(lambda name, error: None)
    yield GuardCalls(channel, tasks, SystemClock())
    await tasks.close()


async def ask(guards: GuardCalls, text: str) -> str:
    decision = await guards.on_input(ASKER, [Text(text, Origin.USER)])
    assert decision.verdict is Verdict.ALLOWED
    return decision.category


async def test_everybody_gets_the_answer_to_their_question(
    guards: GuardCalls, guard: Guard, request: pytest.FixtureRequest
) -> None:
    texts = [f"text {number}" for number in range(100)]
    assert await asyncio.gather(*(ask(guards, text) for text in texts)) == texts
    is_near = "near" in request.node.name
    assert (guard.called if is_near else guard.streamed) == texts
    assert (guard.streamed if is_near else guard.called) == []
    if not is_near:
        assert len(guard.asked) < len(texts)  # many in one message


async def test_a_long_text_keeps_nobody_waiting(guards: GuardCalls, guard: Guard) -> None:
    text = "a" * (LONG_CHARS + 1)
    assert await ask(guards, text) == text
    assert guard.called == [text]


async def test_nothing_passes_where_nobody_decides(network: LocalNetwork) -> None:
    tasks = Tasks(lambda name, error: None)
    guards = GuardCalls(network.channel("nobody"), tasks, Away())
    with pytest.raises(HiveError) as raised:
        await ask(guards, "text")
    assert raised.value.kind is Kind.UNAVAILABLE
    await tasks.close()


class Away(SystemClock):
    """Patience is over at once: time flies while somebody sleeps."""

    _slept = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._slept

    async def sleep(self, seconds: float) -> None:
        self._slept += 10
