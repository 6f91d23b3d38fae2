"""The rpc door: questions of routing, and the tests of administration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import structlog

from hive_guardrails.checks import port
from hive_guardrails.checks.registry import DENIED_WORDS, NAMES, checks
from hive_guardrails.deciding import Decision, Memory, Stage, Text, Verdict, decide
from hive_guardrails.policies import Plan, Policies
from hive_guardrails.telling import About, Teller
from hive_rpc.errors import failure_of, status_of
from hive_runtime import tracing
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.telemetry import Requests
from modelhive.events.v1.guard_pb2 import GuardStage
from modelhive.guardrails.v1 import guard_pb2 as pb
from modelhive.guardrails.v1.guard_pb2_grpc import GuardServicer

log = structlog.get_logger(__name__)

INLINE_CHARS = 8_192
"""Longer texts are read in a thread: the loop has others to serve."""
MOST_TESTED_CHARS = 1_000_000


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
            decisions = [await self._answered(question) for question in request.questions]
            yield pb.CheckStreamResponse(decisions=decisions)

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        return pb.CheckResponse(decision=await self._answered(request.question))

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

    async def _answered(self, question: pb.Question) -> pb.Decision:
        """What cannot be decided concerns nobody but who asked."""
        began = self._clock.monotonic()
        stage = "output" if question.stage == GuardStage.GUARD_STAGE_OUTPUT else "input"
        tracing.note_request(question.request_id)
        with _span(question, stage) if question.traceparent else tracing.OFF as span:
            try:
                decision, code = await self._answer(question), "OK"
            except Exception as error:
                if not isinstance(error, HiveError):
                    log.exception("a question could not be decided", request_id=question.request_id)
                decision = pb.Decision(number=question.number, failure=failure_of(error))
                code = status_of(error).code.name
                tracing.fail_with(span, error)
            else:
                if span.is_recording:
                    span.set("hive.guard.ran", decision.ran)
                    span.set("hive.guard.verdict", Verdict(decision.verdict).name.lower())
        self._requests.note(f"Check {stage}", code, self._clock.monotonic() - began)
        return decision

    async def _answer(self, question: pb.Question) -> pb.Decision:
        wanted = question.wanted if question.HasField("wanted") else None
        plan = self._policies.plan(question.tenant_id, question.key_id, wanted)
        stage = Stage(question.stage or Stage.INPUT)
        guards = plan.on_output if stage is Stage.OUTPUT else plan.on_input
        texts = [
            Text(each.text, port.Origin(each.origin or port.Origin.USER), each.known)
            for each in question.texts
        ]
        if sum(len(each.text) for each in texts) > INLINE_CHARS:
            decision = await asyncio.to_thread(
                decide, guards, texts, self._clock.monotonic, self._memory, more=question.more
            )
        else:
            decision = decide(guards, texts, self._clock.monotonic, self._memory, more=question.more)
        about = About(question.request_id, question.tenant_id, question.key_id, question.model, stage)
        await self._teller.tell(about, decision, last=not question.more)
        return _message(question.number, plan, decision)

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


def _span(question: pb.Question, stage: str) -> AbstractContextManager[tracing.Span]:
    """Below the span of who asks."""
    caller = tracing.parent(question.traceparent)
    attributes: dict[str, tracing.Value] = {
        "rpc.system.name": "grpc",
        "hive.request_id": question.request_id,
        "hive.guard.stage": stage,
    }
    return tracing.span(f"decide {stage}", tracing.Role.SERVER, caller, attributes)


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
