"""The rpc door: questions of routing, and the tests of administration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from hive_guardrails.checks import port
from hive_guardrails.checks.registry import DENIED_WORDS, NAMES, checks
from hive_guardrails.deciding import Decision, Memory, Stage, Text, Verdict, decide
from hive_guardrails.policies import Plan, Policies
from hive_guardrails.telling import About, Teller
from hive_rpc import prompt
from hive_rpc.errors import failure_of, status_of
from hive_runtime import tracing
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.telemetry import Requests
from modelhive.events.v1.guard_pb2 import GuardDecided, GuardStage
from modelhive.guardrails.v1 import guard_pb2 as pb
from modelhive.guardrails.v1.guard_pb2_grpc import GuardServicer

log = structlog.get_logger(__name__)

INLINE_CHARS = 8_192
"""Longer texts are read in a thread: the loop has others to serve."""
MOST_TESTED_CHARS = 1_000_000

_ORIGINS = {origin.value: origin for origin in port.Origin} | {0: port.Origin.USER}


class GuardDoor(GuardServicer):
    def __init__(self, policies: Policies, teller: Teller, requests: Requests, clock: Clock) -> None:
        self._policies = policies
        self._requests = requests
        self._teller = teller
        self._clock = clock
        self._memory = Memory()

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

    async def _later(self, answer: Coroutine[Any, Any, pb.Decision]) -> pb.CheckResponse:
        return pb.CheckResponse(decision=await answer)

    def _answer(self, question: pb.Question) -> pb.Decision | Coroutine[Any, Any, pb.Decision]:
        """What cannot be decided concerns nobody but who asked. Short texts in which nothing is found need no wait."""
        asked = _Asked(question, self._clock.monotonic())
        tracing.note_request(question.request_id)
        with tracing.within(asked.span):
            try:
                wanted = question.wanted if question.HasField("wanted") else None
                plan = self._policies.plan(question.tenant_id, question.key_id, wanted)
                guards = plan.on_output if asked.stage is Stage.OUTPUT else plan.on_input
                texts = [Text(each.text, _ORIGINS[each.origin], each.known) for each in question.texts]
                ask = partial(decide, guards, texts, self._clock.monotonic, self._memory, more=question.more)
                if sum([len(each.text) for each in texts]) > INLINE_CHARS:
                    return self._watched(asked, self._decided_in_thread(asked, plan, ask))
                decision = ask()
                if events := self._note(asked, decision):
                    return self._watched(asked, self._told(asked, plan, decision, events))
                return self._answered(asked, _message(question.number, plan, decision))
            except Exception as error:
                return self._failed(asked, error)

    async def _watched(self, asked: _Asked, work: Coroutine[Any, Any, pb.Decision]) -> pb.Decision:
        with tracing.within(asked.span):
            try:
                return self._answered(asked, await work)
            except Exception as error:
                return self._failed(asked, error)
            except BaseException as error:
                tracing.fail_with(asked.span, error)
                asked.span.end()
                raise

    async def _decided_in_thread(self, asked: _Asked, plan: Plan, ask: Callable[[], Decision]) -> pb.Decision:
        decision = await asyncio.to_thread(ask)
        return await self._told(asked, plan, decision, self._note(asked, decision))

    async def _told(
        self, asked: _Asked, plan: Plan, decision: Decision, events: Sequence[GuardDecided]
    ) -> pb.Decision:
        await self._teller.tell(events)
        return _message(asked.question.number, plan, decision)

    def _note(self, asked: _Asked, decision: Decision) -> list[GuardDecided]:
        question = asked.question
        about = About(question.request_id, question.tenant_id, question.key_id, question.model, asked.stage)
        return self._teller.note(about, decision, last=not question.more)

    def _answered(self, asked: _Asked, decision: pb.Decision) -> pb.Decision:
        if asked.span.is_recording:
            asked.span.set("hive.guard.ran", decision.ran)
            asked.span.set("hive.guard.verdict", Verdict(decision.verdict).name.lower())
        self._end(asked, "OK")
        return decision

    def _failed(self, asked: _Asked, error: Exception) -> pb.Decision:
        if not isinstance(error, HiveError):
            log.error("a question could not be decided", request_id=asked.question.request_id, exc_info=error)
        tracing.fail_with(asked.span, error)
        self._end(asked, status_of(error).code.name)
        return pb.Decision(number=asked.question.number, failure=failure_of(error))

    def _end(self, asked: _Asked, code: str) -> None:
        asked.span.end()
        method = f"Check {asked.stage.name.lower()}"
        self._requests.note(method, code, self._clock.monotonic() - asked.began)

    def _test(self, chosen: Sequence[port.Check], text: str) -> list[pb.Tested]:
        return [self._tested(check, text) for check in chosen]

    def _tested(self, check: port.Check, text: str) -> pb.Tested:
        began = self._clock.monotonic()
        found = check.find(text, check.threshold)
        took = int((self._clock.monotonic() - began) * 1e6)
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


class _Asked:
    """A question that is being answered. began: monotonic seconds. span: current while something is done for it."""

    __slots__ = ("began", "question", "span", "stage")

    def __init__(self, question: pb.Question, began: float) -> None:
        self.question = question
        self.began = began
        self.stage = Stage.OUTPUT if question.stage == GuardStage.GUARD_STAGE_OUTPUT else Stage.INPUT
        self.span = _span(question, self.stage) if question.traceparent else tracing.NOTHING


def _span(question: pb.Question, stage: Stage) -> tracing.Span:
    """Below the span of who asks."""
    caller = tracing.parent(question.traceparent)
    name = stage.name.lower()
    attributes: dict[str, tracing.Value] = {
        "rpc.system.name": "grpc",
        "hive.request_id": question.request_id,
        "hive.guard.stage": name,
    }
    return tracing.start(f"decide {name}", tracing.Role.SERVER, caller, attributes)


def _message(number: int, plan: Plan, decision: Decision) -> pb.Decision:
    message = pb.Decision(
        number=number,
        verdict=decision.verdict.value,  # type: ignore[arg-type]  # the same numbers, by its docstring
        ran=[each.guard.name for each in decision.ran],
        policy=plan.identity,
        open=decision.open,
    )
    if decision.blocked_by:
        message.blocked_by, message.category = decision.blocked_by, decision.category
    for cut in decision.cuts:
        message.findings.add(
            guard=cut.guard, category=cut.category, text=cut.text, start=cut.start, end=cut.end
        )
    for guard in plan.on_output:
        message.output.add(guard=guard.name, overlap=guard.check.overlap)
    if plan.locked:
        message.locked.extend(plan.locked)
    return message
