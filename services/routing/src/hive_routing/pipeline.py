"""One request to a hot endpoint, from its body to the last byte of its answer. Read it from top to bottom.

admit → once → guard in → cache → reserve → dispatch → guard out → settle → answer. What the caller pays is final,
and written down, before it hears the end of its answer, on whatever way that end comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from hive_routing.again import Again, kept_headers
from hive_routing.answers import Headers, PlainAnswer, Send, StreamAnswer, refusal, send_whole
from hive_routing.attempts import ANSWERED, Attempt, CacheStatus, Outcome
from hive_routing.caching import Entry, Following, Leading
from hive_routing.caching.hive import Asked, HiveCache, Keeping
from hive_routing.catalogue import Catalogue, Deployment, Model
from hive_routing.choosing.mirrors import LONGEST_SECONDS, Mirrors
from hive_routing.choosing.planning import Planner
from hive_routing.choosing.route import Route
from hive_routing.dispatch import Dispatcher
from hive_routing.endpoints import Endpoint, invalid
from hive_routing.estimates import estimate
from hive_routing.guarding.guarding import guard
from hive_routing.guarding.port import Asker, Guards
from hive_routing.once import Once
from hive_routing.providers.port import ProviderAnswer, ProviderCall, Timeouts
from hive_routing.request import Request, Target
from hive_routing.spending import Bill, Spending
from hive_routing.splice import attach_documents
from hive_routing.tokens import TokenCounter
from hive_routing.translation import Work, prepare
from hive_routing.usage import Usage
from hive_routing.visit import Caller, Spent, Visit
from hive_runtime import tracing
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import format_usd

log = structlog.get_logger(__name__)

_CALLERS_OWN = frozenset({Kind.BUDGET_EXCEEDED, Kind.FORBIDDEN, Kind.NOT_FOUND})
"""Errors that one caller gets and another one need not."""
MOST_ASKED = 1024 * 1024
"""Bytes of a body whose answer is kept: larger ones cost more to compare than they are likely to save."""

_UPSTREAM_HEADERS = (
    ("x-request-id", b"x-hive-upstream-request-id"),
    ("openai-processing-ms", b"openai-processing-ms"),
)


class _Served(msgspec.Struct):
    answer: PlainAnswer | StreamAnswer
    attempt: Attempt
    model: Model
    deployment: Deployment


class Pipeline:
    """Answers requests; raises HiveError, before the answer begins or in the middle of it."""

    def __init__(
        self,
        catalogue: Catalogue,
        once: Once,
        guards: Guards,
        cache: HiveCache,
        spending: Spending,
        dispatcher: Dispatcher,
        counter: TokenCounter,
        clock: Clock,
        mirrors: Mirrors,
    ) -> None:
        self._planner = Planner(catalogue, counter)
        self._mirrors = mirrors
        self._catalogue = catalogue
        self._once = once
        self._guards = guards
        self._cache = cache
        self._spending = spending
        self._again = Again(spending)
        self._dispatcher = dispatcher
        self._counter = counter
        self._clock = clock

    async def answer(
        self, endpoint: Endpoint, body: bytes, caller: Caller, send: Send, target: Target | None = None
    ) -> None:
        """target: what the path says of the request, in dialects where it does."""
        # Everything that can be refused without asking anybody, the model's name before the rest.
        request = Request.parse(endpoint, body, target)
        model = self._catalogue.find(request.model, caller.allowed)
        if request.is_large:
            await asyncio.to_thread(request.check)
        else:
            request.check()
        if model.mode == endpoint.refused_mode:
            raise invalid("model", f"The model `{model.id}` is for `{model.mode}`: use {endpoint.instead}.")
        attach_documents(request)
        if caller.idempotency_key is None:
            await self._answer(request, model, caller, send)
            return
        path = endpoint.path if target is None else f"{endpoint.path}/{target.model}/{target.stream}"
        async with self._once.claim(caller, path, body, send) as recorded:
            if recorded is not None:
                await self._answer(request, model, caller, recorded)

    async def _answer(self, request: Request, model: Model, caller: Caller, send: Send) -> None:
        said = request.fields  # as the caller said it: the guards may take something out
        payer, tenant_id = caller.payer, caller.payer.tenant_id
        asker = Asker(caller.request_id, tenant_id, payer.key_id, model.id, caller.guard)
        guarded = await guard(self._guards, request, asker)
        visit = Visit(request, model, caller, guarded, send)
        visit.note_guards()
        guarded.refuse_blocked()
        terms = self._cache.terms.of(tenant_id)
        if not terms.ttl_seconds or request.size > MOST_ASKED:
            await self._call(visit, None)
            return
        bound = 0 if request.output_bound is not None else await self._spending.added_bound(request, payer)
        asked = Asked(tenant_id, model.id, request.endpoint.path, said, self._circumstances(visit, bound))
        key = self._cache.key(asked)
        if not caller.look_up:
            caller.handling.cache = CacheStatus.BYPASS
            await self._call(visit, self._cache.keeping(key, asked, terms, None))
            return
        found: Entry | Leading | Following | None = await self._cache.look_up(key)
        if isinstance(found, Following):
            found = await self._again.follow(found, visit, terms)
            self._cache.followed += found is None
        if isinstance(found, Entry):
            await self._again.give(found, visit, terms)
        elif isinstance(found, Leading):
            caller.handling.cache = CacheStatus.MISS
            with found:
                try:
                    await self._call(visit, self._cache.keeping(key, asked, terms, found))
                except HiveError as error:  # what a provider said once it would say to all who wait
                    shared = caller.handling.dispatched and error.kind not in _CALLERS_OWN
                    found.fail(error, shared=shared or None)
                    raise

    def _circumstances(self, visit: Visit, bound: int) -> tuple[Any, ...]:
        """What else an answer depends on: guards, the bound of the output that money adds, fallbacks, headers."""
        caller, model = visit.caller, visit.model
        others: list[str] = []
        if model.fallbacks or model.context_fallbacks:
            models = self._catalogue.with_fallbacks(model, caller.allowed)
            models += self._catalogue.context_fallbacks(model, caller.allowed)
            others = [each.id for each in models]
        headers = sorted(caller.headers.items()) if caller.headers else ()
        return visit.guarded.policy, bound, others, headers, visit.request.stream, caller.wishes.region

    async def _call(self, visit: Visit, keeping: Keeping | None) -> None:
        """Have a provider answer. keeping: what the cache keeps of it."""
        caller = visit.caller
        bill = await self._spending.reserve(
            visit.request, caller.payer, caller.request_id, caller.attempt, visit.model, caller.handling
        )
        try:
            visit.request.let_go()
            await caller.go()
            served = await self._dispatch(visit, bill)
            answer = served.answer
            if keeping is not None:
                deployment = served.deployment
                keeping.begin(
                    kept_headers(answer.headers),
                    streamed=isinstance(answer, StreamAnswer),
                    provider=deployment.provider_id,
                    deployment=deployment.id,
                )
            if isinstance(answer, StreamAnswer):
                await self._answer_stream(served, answer, visit, bill, keeping)
            else:
                await self._answer_plain(served, answer, visit, bill, keeping)
        finally:
            bill.close()
        self._mirrors.reflect(visit.model, partial(self._copy, visit, bill.calls))

    async def _dispatch(self, visit: Visit, bill: Bill) -> _Served:
        """The first deployment of the model, or of one of its fallbacks, that answers."""
        caller = visit.caller
        caller.handling.dispatched = True
        plan = await self._planner.plan(
            visit.request,
            visit.model,
            caller.payer.tenant_id,
            caller.allowed,
            bill.cover_second,
            partial(self._discard, visit, bill),
            caller.wishes,
        )
        ask = partial(self._ask, visit.request, caller, bill)
        served: _Served = await self._dispatcher.first_answer(plan.models, caller.deadline, ask, plan.route)
        bill.keep_only(served.attempt)
        return served

    async def _discard(self, visit: Visit, bill: Bill, served: _Served) -> None:
        """It answered too late: another deployment had answered already."""
        try:
            bill.lose(served.attempt, await self._used(served, visit.request))
        finally:
            if isinstance(served.answer, StreamAnswer):
                await served.answer.close()

    async def _copy(self, visit: Visit, calls: int, model: Model) -> None:
        """Ask another model the same, once; nobody hears what it says."""
        caller = visit.caller
        copied = replace(caller, deadline=self._clock.monotonic() + LONGEST_SECONDS, spent=None)
        bill = await self._spending.copy(
            visit.request, caller.payer, caller.request_id, caller.attempt, model
        )
        try:
            route: Route[_Served] = Route(is_streamed=visit.request.stream, attempts=1, before=calls)
            ask = partial(self._ask, visit.request, copied, bill)
            served = await self._dispatcher.first_answer([model], copied.deadline, ask, route)
            outcome = Outcome.ABANDONED
            try:
                if isinstance(served.answer, StreamAnswer):
                    await served.answer.relay(_nowhere, bill.meter(served.attempt), [])
                    await served.answer.finish(_nowhere, b"")
                outcome = Outcome.ANSWERED
            finally:
                if outcome is Outcome.ANSWERED:
                    self._dispatcher.completed(served.deployment)
                else:
                    self._dispatcher.abandoned(served.deployment)
                if isinstance(served.answer, StreamAnswer):
                    await served.answer.close()
                usage = await self._used(served, visit.request)
                self._dispatcher.used(served.deployment, usage.completion_tokens)
                bill.settle(served.attempt, outcome, usage)
        finally:
            bill.close()

    async def _ask(
        self, request: Request, caller: Caller, bill: Bill, model: Model, deployment: Deployment, number: int
    ) -> _Served:
        """One call to one deployment, up to its whole answer or to the first content of its stream."""
        if not bill.covers(model):
            await bill.cover(model)
        work = prepare(request, deployment, bill.output_bound)
        call = ProviderCall(
            operation=work.operation,
            model=deployment.model,
            body=work.body,
            stream=request.stream,
            attempt_id=f"{caller.request_id}-{caller.attempt}-{number}",
            timeouts=self._within_deadline(deployment.timeouts, caller.deadline),
            headers=caller.headers,
        )
        attempt = bill.open(model, deployment, number, request.stream)
        if work.translation is not None:
            work.translation.prompt_tokens = attempt.prompt["prompt"]
            work.translation.now = attempt.started_ms // 1000
        answer: ProviderAnswer | None = None
        try:
            with tracing.within(attempt.span):
                answer = await deployment.provider.send(call)
                attempt.upstream_request_id = answer.headers.get("x-request-id", "")
                headers = _headers(answer.headers, model, deployment, number)
                opened = await _open(answer, request, work, deployment, headers)
        except HiveError as error:
            if error.kind.retryable:
                _log_failure("attempt failed", call.attempt_id, deployment, error)
            bill.fail(attempt, _outcome(answer, error), error.kind.label)
            raise
        except BaseException:  # nobody waits any more, or this process is being stopped
            bill.fail(attempt, Outcome.ABANDONED, "")
            raise
        return _Served(opened, attempt, model, deployment)

    async def _answer_plain(
        self, served: _Served, answer: PlainAnswer, visit: Visit, bill: Bill, keeping: Keeping | None
    ) -> None:
        guarded, body = visit.guarded, answer.body
        self._dispatcher.completed(served.deployment)
        if guarded.reads_answers:
            try:
                body = await guarded.check_answer(body)
            except BaseException as error:  # what the provider charges is paid all the same
                label = error.kind.label if isinstance(error, HiveError) else ""
                await self._settle(served, ANSWERED, visit, bill, label)
                raise
        usage = await self._settle(served, ANSWERED, visit, bill)
        cost = bill.cost or 0
        restored = guarded.restored(body)
        if keeping is not None:
            keeping.piece(body)
            keeping.finish(served.model.id, b"", usage, cost)
        told = (b"x-hive-cost", format_usd(cost).encode())
        await send_whole(visit.send, restored, [*answer.headers, *visit.own_headers(), told])

    async def _answer_stream(
        self, served: _Served, answer: StreamAnswer, visit: Visit, bill: Bill, keeping: Keeping | None
    ) -> None:
        gates = visit.guarded.gates(keeping.piece if keeping is not None else None)
        deployment = served.deployment
        try:
            try:
                complete = await answer.relay(
                    visit.send, bill.meter(served.attempt), visit.own_headers(), gates
                )
            except BaseException as error:  # broken, refused, left alone, or this process is being stopped
                outcome = Outcome.ABANDONED
                label = error.kind.label if isinstance(error, HiveError) else ""
                if isinstance(error, HiveError) and not answer.stopped:
                    outcome = Outcome.BROKEN
                    _log_failure("stream broke", visit.caller.request_id, deployment, error)
                    self._dispatcher.broke(deployment)
                else:
                    self._dispatcher.abandoned(deployment)
                    await answer.close()
                await self._settle(served, outcome, visit, bill, label)
                raise
            if complete:
                self._dispatcher.completed(deployment)
            else:
                self._dispatcher.abandoned(deployment)
                await answer.close()
            usage = await self._settle(
                served, Outcome.ANSWERED if complete else Outcome.ABANDONED, visit, bill
            )
            cost = bill.cost or 0
            closing = answer.closing(usage if usage.estimated else None)
            if keeping is not None and complete:
                keeping.finish(served.model.id, closing, usage, cost)
            await answer.finish(
                visit.send, visit.request.endpoint.ending(closing, {"cost": format_usd(cost)})
            )
        finally:
            await answer.close()

    async def _settle(
        self, served: _Served, outcome: Outcome, visit: Visit, bill: Bill, error: str = ""
    ) -> Usage:
        """Note what was spent: the provider's figures, else our own count."""
        deployment, caller = served.deployment, visit.caller
        if visit.guarded.reads_answers:
            visit.guarded.note_output()
            visit.note_guards()
        if served.attempt.span.is_recording:
            served.answer.describe(served.attempt.span)
        usage = served.answer.stated or await self._used(served, visit.request)
        self._dispatcher.used(deployment, usage.completion_tokens)
        bill.settle(served.attempt, outcome, usage, error)
        caller.spent = Spent(
            served.model.id, deployment.provider_id, deployment.id, usage, bill.cost or 0, bill.calls
        )
        return usage

    async def _used(self, served: _Served, request: Request) -> Usage:
        """The provider's figures, else our own count."""
        usage = served.answer.stated
        if usage is None:
            model = served.deployment.model
            usage = await estimate(request, served.answer.output(), model, self._counter)
            if (begun := served.answer.begun) is not None:
                usage = usage.with_prompt_of(begun)
        return usage

    def _within_deadline(self, timeouts: Timeouts, deadline: float) -> Timeouts:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise HiveError(Kind.TIMEOUT, "The deadline of the request passed before a model answered.")
        if left >= timeouts.total:
            return timeouts
        return Timeouts(timeouts.connect, timeouts.first_byte, timeouts.idle, left)


async def _nowhere(message: object) -> None:
    """Sends nothing."""


async def _open(
    answer: ProviderAnswer, request: Request, work: Work, deployment: Deployment, headers: Headers
) -> PlainAnswer | StreamAnswer:
    """The answer, if it is one; closes it where it is none."""
    provider = deployment.provider_id
    try:
        if answer.status != 200:
            raise await refusal(answer, provider)
        kind = StreamAnswer if request.stream else PlainAnswer
        return await kind.open(answer, request, work, provider, headers)
    except BaseException:
        await answer.body.aclose()
        raise


def _outcome(answer: ProviderAnswer | None, error: HiveError) -> Outcome:
    """What became of an attempt that failed before the caller got content of it."""
    if answer is None:
        sent = error.kind in (Kind.TIMEOUT, Kind.UPSTREAM_FAILED)
        return Outcome.UNANSWERED if sent else Outcome.UNSENT
    return Outcome.BROKEN if answer.status == 200 else Outcome.REFUSED


def _log_failure(event: str, request_id: str, deployment: Deployment, error: HiveError) -> None:
    log.warning(
        event,
        request_id=request_id,
        deployment=deployment.id,
        kind=error.kind.label,
        error=error.message,
        cause=repr(error.__cause__) if error.__cause__ else None,
    )


def _headers(upstream: Mapping[str, str], model: Model, deployment: Deployment, number: int) -> Headers:
    """The answer's headers beside those of its form."""
    headers = [*model.headers, *deployment.headers, (b"x-hive-attempts", b"%d" % number)]
    for name, ours in _UPSTREAM_HEADERS:
        if name in upstream:
            headers.append((ours, upstream[name].encode("latin-1")))
    return headers
