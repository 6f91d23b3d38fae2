"""How routing asks the guardrails: over one stream, call by call, or by a call of their own where they are beside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest

from hive_routing import guard_calls
from hive_routing.guard_calls import LONG_CHARS, GuardCalls
from hive_routing.guarding.port import Asker, Origin, Text, Verdict
from hive_rpc.local import LocalNetwork
from hive_runtime import tracing
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.guarding import Decider, Decision, Question, Stage
from hive_runtime.tasks import Tasks
from modelhive.guardrails.v1 import guard_pb2 as pb
from modelhive.guardrails.v1.guard_pb2_grpc import GuardServicer, add_GuardServicer_to_server

ASKER = Asker("req_1", "t", "k", "m", None)
Served = TypeVar("Served", bound=GuardServicer)


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


class GuardBeside(Guard, Decider):
    """answer: what it gives, or raises; None: what it was asked. asked_beside: that came by a call of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_beside: list[Question] = []
        self.answer: Decision | Coroutine[Any, Any, Decision] | HiveError | None = None

    def decide(self, question: Question) -> Decision | Coroutine[Any, Any, Decision]:
        self.asked_beside.append(question)
        if isinstance(self.answer, HiveError):
            raise self.answer
        return self.answer or Decision(Verdict.ALLOWED, category=question.texts[0].text)


def _decision(question: pb.Question) -> pb.Decision:
    return pb.Decision(number=question.number, verdict=1, category=question.texts[0].text)  # type: ignore[arg-type]


@pytest.fixture
async def network() -> AsyncIterator[LocalNetwork]:
    network = LocalNetwork(lambda name, error: None)
    yield network
    await network.close()


async def served(network: LocalNetwork, guard: Served) -> Served:
    server = network.server("guardrails", "one")
    server.add(add_GuardServicer_to_server, guard)
    await server.start()
    return guard


@pytest.fixture
async def guard(network: LocalNetwork) -> Guard:
    return await served(network, Guard())


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


@pytest.fixture
async def neighbour(network: LocalNetwork) -> GuardBeside:
    return await served(network, GuardBeside())


@pytest.fixture
async def guards_beside(network: LocalNetwork, neighbour: GuardBeside) -> AsyncIterator[GuardCalls]:
    tasks = Tasks(lambda name, error: None)
    yield GuardCalls(network.channel("guardrails"), tasks, Away())
    await tasks.close()


async def test_who_is_beside_is_asked_in_the_turn_of_the_question(
    guards_beside: GuardCalls, neighbour: GuardBeside
) -> None:
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)
    texts = ["text", "a" * (LONG_CHARS + 1)]
    assert [await ask(guards_beside, text) for text in texts] == texts
    assert not turned.is_set() and not neighbour.called and not neighbour.streamed
    said = await guards_beside.on_output(ASKER, [Text("more", Origin.MODEL, 2)], more=True)
    assert said.category == "more"
    assert neighbour.asked_beside[-1] == Question(ASKER, Stage.OUTPUT, [Text("more", Origin.MODEL, 2)], True)


async def test_an_answer_from_beside_may_take_its_time(
    guards_beside: GuardCalls, neighbour: GuardBeside
) -> None:
    seen: list[dict[str, str]] = []

    async def later() -> Decision:
        seen.append(tracing.identity())
        await asyncio.sleep(0.01)
        return Decision(Verdict.ALLOWED, category="later")

    with tracing.detached():
        tracing.note_request("another")
        neighbour.answer = later()
        assert await ask(guards_beside, "text") == "later"
        assert tracing.identity() == {"request_id": "another"}
    assert seen == [{}]


async def test_who_does_not_answer_beside_in_time_lets_nothing_pass(
    guards_beside: GuardCalls, neighbour: GuardBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_calls, "SECONDS", 0.01)
    cancelled = asyncio.Event()

    async def never() -> Decision:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    neighbour.answer = never()
    with pytest.raises(HiveError, match="cannot be asked just now") as raised:
        await ask(guards_beside, "text")
    assert (raised.value.kind, raised.value.retry_after) == (Kind.UNAVAILABLE, 1)
    assert cancelled.is_set()


@pytest.mark.parametrize(
    ("kind", "heard"),
    [(Kind.INVALID, Kind.INVALID), (Kind.INTERNAL, Kind.UNAVAILABLE), (Kind.UNAVAILABLE, Kind.UNAVAILABLE)],
)
async def test_what_cannot_be_decided_beside_does_not_pass(
    guards_beside: GuardCalls, neighbour: GuardBeside, kind: Kind, heard: Kind
) -> None:
    neighbour.answer = HiveError(kind, "no", "x-hive-guard")
    with pytest.raises(HiveError) as raised:
        await ask(guards_beside, "text")
    assert raised.value.kind is heard
    assert len(neighbour.asked_beside) == 1


async def test_the_absence_of_who_was_beside_is_waited_out_each_time(network: LocalNetwork) -> None:
    clock, tasks = Away(), Tasks(lambda name, error: None)
    guards = GuardCalls(network.channel("guardrails"), tasks, clock)
    for number in range(2):
        slept = clock.slept
        with pytest.raises(HiveError, match="cannot be asked just now"):
            await ask(guards, "text")
        assert clock.slept > slept
        server = network.server("guardrails", str(number))
        server.add(add_GuardServicer_to_server, GuardBeside())
        await server.start()
        assert await ask(guards, "text") == "text"
        await server.stop(0)
    await tasks.close()


class Away(SystemClock):
    """Patience is over at once: time flies while somebody sleeps."""

    slept = 0

    def monotonic(self) -> float:
        return super().monotonic() + 10 * self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += 1
