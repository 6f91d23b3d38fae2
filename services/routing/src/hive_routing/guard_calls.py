"""Guardrails: a call of their own where they run in this process, else over rpc.

Over rpc there is one long stream for short texts, and a call for each question with long ones. What nobody beside
answers goes by rpc too: it knows how long to wait for a service that is away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from typing import Any

from msgspec.structs import replace

from hive_rpc import Channel, beside, is_near
from hive_rpc.errors import error_of
from hive_rpc.patience import Patience
from hive_runtime import tracing
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.guarding import Asker, Decider, Decision, Found, Question, Stage, Text, Verdict
from hive_runtime.tasks import Tasks
from modelhive.guardrails.v1 import guard_pb2 as pb
from modelhive.guardrails.v1.guard_pb2_grpc import GuardStub

SECONDS = 10.0
LONG_SECONDS = 60.0
LONG_CHARS = 8_192
"""Longer texts do not keep those behind them waiting."""
MOST_TOGETHER = 64


class _Line:
    """One open stream: what waits to be asked, and who waits for answers."""

    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[pb.Decision]] = {}
        self._ready: deque[pb.Question] = deque()
        self._woken = asyncio.Event()
        self.listening: asyncio.Task[None] | None = None

    def put(self, question: pb.Question) -> asyncio.Future[pb.Decision]:
        answer: asyncio.Future[pb.Decision] = asyncio.get_running_loop().create_future()
        self.waiting[question.number] = answer
        self._ready.append(question)
        self._woken.set()
        return answer

    async def requests(self) -> AsyncIterator[pb.CheckStreamRequest]:
        while True:
            while not self._ready:
                self._woken.clear()
                await self._woken.wait()
            together = [self._ready.popleft() for _ in range(min(len(self._ready), MOST_TOGETHER))]
            if wanted := [question for question in together if question.number in self.waiting]:
                yield pb.CheckStreamRequest(questions=wanted)

    def answer(self, decision: pb.Decision) -> None:
        waiting = self.waiting.pop(decision.number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(decision)

    def end(self, error: HiveError) -> None:
        for waiting in self.waiting.values():
            if not waiting.done():
                waiting.set_exception(error)
        self.waiting.clear()


class GuardCalls:
    """`Guards`. The stream is opened by the first question that needs it, and anew after it broke."""

    def __init__(self, channel: Channel, tasks: Tasks, clock: Clock) -> None:
        self._stub = GuardStub(channel)
        self._is_near = is_near(channel)
        self._beside = beside(channel, Decider)
        self._tasks = tasks
        self._patience = Patience(clock)
        self._line: _Line | None = None
        self._number = 0

    def on_input(self, asker: Asker, texts: Sequence[Text]) -> Coroutine[Any, Any, Decision]:
        question = Question(asker, Stage.INPUT, texts)
        return self._traced(question) if tracing.is_on() else self._ask(question)

    def on_output(self, asker: Asker, texts: Sequence[Text], *, more: bool) -> Coroutine[Any, Any, Decision]:
        question = Question(asker, Stage.OUTPUT, texts, more)
        # A stream is asked about at every turn: of its questions only the last one is a step to be shown.
        return self._traced(question) if tracing.is_on() and not more else self._ask(question)

    async def _traced(self, question: Question) -> Decision:
        stage = question.stage.name.lower()
        attributes: dict[str, tracing.Value] = {"rpc.system.name": "grpc", "hive.guard.stage": stage}
        with tracing.span(f"guard {stage}", tracing.Role.CLIENT, attributes=attributes) as span:
            decision = await self._ask(replace(question, traceparent=span.traceparent))
            span.set("hive.guard.verdict", decision.verdict.name.lower())
            return decision

    async def _ask(self, question: Question) -> Decision:
        try:
            decider = self._beside()
            if decider is None:
                return await self._ask_by_rpc(question)
            self._patience.renew()
            answer = decider.decide(question)
            return answer if isinstance(answer, Decision) else await _soon(question, answer)
        except HiveError as error:
            if error.kind in (Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.INTERNAL):
                message = "The guardrails cannot be asked just now, so nothing passes. Try again in a moment."
                raise HiveError(Kind.UNAVAILABLE, message, retry_after=1) from error
            raise

    async def _ask_by_rpc(self, question: Question) -> Decision:
        self._number += 1
        request = _request(self._number, question)
        is_long = _is_long(question)
        return _decision(await self._patience.call(lambda: self._decide(request, is_long)))

    async def _decide(self, request: pb.CheckRequest, is_long: bool) -> pb.Decision:
        if not is_long and not self._is_near:
            return await self._ask_in_line(request.question)
        return (await self._stub.Check(request, timeout=LONG_SECONDS if is_long else SECONDS)).decision

    async def _ask_in_line(self, question: pb.Question) -> pb.Decision:
        line = self._line
        if line is None:
            line = self._line = _Line()
            with tracing.detached():  # the line is everybody's
                line.listening = self._tasks.spawn(self._listen(line), "guardrails")
        answer = line.put(question)
        try:
            async with asyncio.timeout(SECONDS):
                return await answer
        except TimeoutError:
            if line.listening is not None:  # it hangs: the next question opens another one
                line.listening.cancel()
            raise HiveError(Kind.TIMEOUT, "the guardrails do not answer") from None
        finally:
            line.waiting.pop(question.number, None)

    async def _listen(self, line: _Line) -> None:
        error = HiveError(Kind.UNAVAILABLE, "the guardrails ended the stream")
        try:
            async for response in self._stub.CheckStream(line.requests()):
                for decision in response.decisions:
                    line.answer(decision)
        except HiveError as broken:
            error = broken
        finally:
            if self._line is line:
                self._line = None
            line.end(error)


async def _soon(question: Question, answer: Awaitable[Decision]) -> Decision:
    """An answer from beside that has to be waited for: as long as one by rpc, and in no context of the request."""
    try:
        with tracing.detached():
            async with asyncio.timeout(LONG_SECONDS if _is_long(question) else SECONDS):
                return await answer
    except TimeoutError:
        raise HiveError(Kind.TIMEOUT, "the guardrails do not answer") from None


def _request(number: int, asked: Question) -> pb.CheckRequest:
    request = pb.CheckRequest()
    question = request.question  # written where it stays: it is large, and a message copies what it is given
    question.number = number
    asker = asked.asker
    question.request_id, question.tenant_id = asker.request_id, asker.tenant_id
    question.key_id, question.model = asker.key_id, asker.model
    question.stage, question.more = asked.stage.value, asked.more  # type: ignore[assignment]  # the same numbers
    question.traceparent = asked.traceparent
    if asker.wanted is not None:
        question.wanted = asker.wanted
    for each in asked.texts:
        question.texts.add(text=_sayable(each.text), origin=each.origin.value, known=each.known)
    return request


def _is_long(question: Question) -> bool:
    return sum([len(each.text) for each in question.texts]) > LONG_CHARS


def _decision(message: pb.Decision) -> Decision:
    if message.HasField("failure"):
        raise error_of(message.failure)
    return Decision(
        Verdict(message.verdict),
        message.blocked_by,
        message.category,
        [Found(each.category, each.text, each.start, each.end, each.guard) for each in message.findings],
        tuple(message.ran),
        tuple(each.guard for each in message.output),
        max((each.overlap for each in message.output), default=0),
        tuple(message.open),
        tuple(message.locked),
        message.policy,
    )


def _sayable(text: str) -> str:
    """Half of a surrogate pair has no place in a contract; its place keeps its length."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
