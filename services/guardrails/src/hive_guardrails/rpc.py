"""The door: questions of routing, by call or by rpc, and the tests of administration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from operator import attrgetter
from typing import Any

import structlog

from hive_guardrails.checks import port
from hive_guardrails.checks.registry import DENIED_WORDS, NAMES, checks
from hive_guardrails.deciding import Memory, decide
from hive_guardrails.policies import Decided, Line, Policies
from hive_guardrails.telling import Teller
from hive_rpc import prompt
from hive_rpc.errors import UNEXPECTED, failure_of, status_of
from hive_runtime import tracing
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.guarding import OUTPUT, Asker, Decider, Question, Stage, Text
from hive_runtime.telemetry import Requests
from modelhive.events.v1.guard_pb2 import GuardDecided, GuardStage
from modelhive.guardrails.v1 import guard_pb2 as pb
from modelhive.guardrails.v1.guard_pb2_grpc import GuardServicer

log = structlog.get_logger(__name__)

INLINE_CHARS = 8_192
"""Longer texts are read in a thread: the loop has others to serve."""
MOST_TESTED_CHARS = 1_000_000

_ORIGINS = {origin.value: origin for origin in port.Origin} | {0: port.Origin.USER}
_words_of = attrgetter("text")
_METHODS = {stage: f"Check {stage.name.lower()}" for stage in Stage}


class GuardDoor(GuardServicer, Decider):
    def __init__(self, policies: Policies, teller: Teller, requests: Requests, clock: Clock) -> None:
        self._policies = policies
        self._requests = requests
        self._teller = teller
        self._monotonic = clock.monotonic
        self._memory = Memory()

    def decide(self, question: Question) -> Decided | Coroutine[Any, Any, Decided]:
        """Short texts in which nothing is found need no wait. What cannot be decided concerns nobody but who asked."""
        began = self._monotonic()
        span = _span(question) if question.traceparent else tracing.NOTHING
        asker, texts = question.asker, question.texts
        try:
            plan = self._policies.plan(asker.tenant_id, asker.key_id, asker.wanted)
            line = plan.output if question.stage is OUTPUT else plan.input
            if sum(map(len, map(_words_of, texts))) > INLINE_CHARS:
                return self._watched(question, span, began, self._decided_in_thread(question, line))
            outcome = decide(line, texts, self._monotonic, self._memory, more=question.more)
            if events := self._teller.note(question, line, outcome):
                return self._watched(question, span, began, self._told(events, outcome.decision))
        except Exception as error:
            raise self._failed(question, span, began, error) from None
        return self._answered(question, span, began, outcome.decision)

    async def CheckStream(
        self, requests: AsyncIterator[pb.CheckStreamRequest], context: Any
    ) -> AsyncIterator[pb.CheckStreamResponse]:
        async for request in requests:
            decisions = []
            for question in request.questions:
                answer = self._answer(question)
                decisions.append(answer if isinstance(answer, pb.Decision) else await answer)
            yield pb.CheckStreamResponse(decisions=decisions)

    @prompt
    def Check(
        self, request: pb.CheckRequest, context: Any
    ) -> pb.CheckResponse | Coroutine[Any, Any, pb.CheckResponse]:
        answer = self._answer(request.question)
        if isinstance(answer, pb.Decision):
            return pb.CheckResponse(decision=answer)
        return self._later(answer)

    async def Test(self, request: pb.TestRequest, context: Any) -> pb.TestResponse:
        if len(request.text) > MOST_TESTED_CHARS:
            raise HiveError(
                Kind.TOO_LARGE, f"A text of at most {MOST_TESTED_CHARS} characters can be tested.", "text"
            )
        for name in request.guards:
            if name not in NAMES:
                known = ", ".join(f"`{each}`" for each in NAMES)
                raise HiveError(Kind.INVALID, f"`{name}` is no guard: there are {known}.", "guards")
        known_checks = {**checks(), DENIED_WORDS: self._policies.denied(request.tenant_id, request.key_id)}
        chosen = [known_checks[name] for name in (request.guards or NAMES)]
        return pb.TestResponse(tested=await asyncio.to_thread(self._test, chosen, request.text))

    async def _later(self, answer: Awaitable[pb.Decision]) -> pb.CheckResponse:
        return pb.CheckResponse(decision=await answer)

    def _answer(self, asked: pb.Question) -> pb.Decision | Coroutine[Any, Any, pb.Decision]:
        """The same as a message: where it cannot be decided, that is the answer."""
        texts: list[Text] = []
        question = question_of(asked, texts)
        try:
            texts += [Text(each.text, _ORIGINS[each.origin], each.known) for each in asked.texts]
        except KeyError as error:  # of a release to come
            failed = self._failed(question, tracing.NOTHING, self._monotonic(), error)
            return pb.Decision(number=asked.number, failure=failure_of(failed))
        try:
            answer = self.decide(question)
        except HiveError as error:
            return pb.Decision(number=asked.number, failure=failure_of(error))
        return (
            message_of(asked.number, answer)
            if isinstance(answer, Decided)
            else self._answer_later(asked, answer)
        )

    async def _answer_later(self, asked: pb.Question, answer: Awaitable[Decided]) -> pb.Decision:
        try:
            return message_of(asked.number, await answer)
        except HiveError as error:
            return pb.Decision(number=asked.number, failure=failure_of(error))

    async def _watched(
        self, question: Question, span: tracing.Span, began: float, work: Awaitable[Decided]
    ) -> Decided:
        tracing.note_request(question.asker.request_id)
        try:
            with tracing.within(span):
                decision = await work
        except Exception as error:
            raise self._failed(question, span, began, error) from None
        except BaseException as error:
            tracing.fail_with(span, error)
            span.end()
            raise
        return self._answered(question, span, began, decision)

    async def _decided_in_thread(self, question: Question, line: Line) -> Decided:
        outcome = await asyncio.to_thread(
            decide, line, question.texts, self._monotonic, self._memory, more=question.more
        )
        return await self._told(self._teller.note(question, line, outcome), outcome.decision)

    async def _told(self, events: Sequence[GuardDecided], decision: Decided) -> Decided:
        await self._teller.tell(events)
        return decision

    def _answered(self, question: Question, span: tracing.Span, began: float, decision: Decided) -> Decided:
        if span is not tracing.NOTHING:
            span.set("hive.guard.ran", decision.ran)
            span.set("hive.guard.verdict", decision.verdict.name.lower())
            span.end()
        self._requests.note(_METHODS[question.stage], "OK", self._monotonic() - began)
        return decision

    def _failed(self, question: Question, span: tracing.Span, began: float, error: Exception) -> HiveError:
        """What the caller is told of it."""
        if not isinstance(error, HiveError):
            with tracing.within(span):
                request_id = question.asker.request_id
                log.error("a question could not be decided", request_id=request_id, exc_info=error)
        tracing.fail_with(span, error)
        span.end()
        code = status_of(error).code.name
        self._requests.note(_METHODS[question.stage], code, self._monotonic() - began)
        return error if isinstance(error, HiveError) else HiveError(Kind.INTERNAL, UNEXPECTED)

    def _test(self, chosen: Sequence[port.Check], text: str) -> list[pb.Tested]:
        return [self._tested(check, text) for check in chosen]

    def _tested(self, check: port.Check, text: str) -> pb.Tested:
        began = self._monotonic()
        found = check.find(text, check.threshold)
        took = int((self._monotonic() - began) * 1e6)
        return pb.Tested(
            guard=check.name,
            version=check.version,
            score=check.score(text),
            threshold=check.threshold,
            findings=[
                pb.Finding(guard=check.name, category=each.category, start=each.start, end=each.end)
                for each in found
            ],
            duration_us=took,
        )


def question_of(asked: pb.Question, texts: Sequence[Text]) -> Question:
    wanted = asked.wanted if asked.HasField("wanted") else None
    return Question(
        Asker(asked.request_id, asked.tenant_id, asked.key_id, asked.model, wanted),
        Stage.OUTPUT if asked.stage == GuardStage.GUARD_STAGE_OUTPUT else Stage.INPUT,
        texts,
        asked.more,
        asked.traceparent,
    )


def _span(question: Question) -> tracing.Span:
    """Below the span of who asks."""
    caller = tracing.parent(question.traceparent)
    name = question.stage.name.lower()
    attributes: dict[str, tracing.Value] = {
        "rpc.system.name": "grpc",
        "hive.request_id": question.asker.request_id,
        "hive.guard.stage": name,
    }
    return tracing.start(f"decide {name}", tracing.Role.SERVER, caller, attributes)


def message_of(number: int, decision: Decided) -> pb.Decision:
    message = pb.Decision(
        number=number,
        verdict=decision.verdict.value,  # type: ignore[arg-type]  # the same numbers, by its docstring
        blocked_by=decision.blocked_by,
        category=decision.category,
        ran=decision.ran,
        policy=decision.policy,
        open=decision.open,
        locked=decision.locked,
    )
    for cut in decision.found:
        message.findings.add(
            guard=cut.guard, category=cut.category, text=cut.text, start=cut.start, end=cut.end
        )
    for guard, overlap in zip(decision.output, decision.overlaps, strict=True):
        message.output.add(guard=guard, overlap=overlap)
    return message
