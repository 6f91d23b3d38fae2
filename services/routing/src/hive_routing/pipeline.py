"""One request to a hot endpoint, from its body to the last byte of its answer. Read it from top to bottom.

admit → reserve → dispatch → settle → answer. What the caller pays is final, and written down, before it hears the
end of its answer, on whatever way that end comes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog

from hive_routing.answers import Headers, PlainAnswer, Send, StreamAnswer, refusal
from hive_routing.attempts import Attempt, Outcome
from hive_routing.catalogue import Catalogue, Deployment, Model
from hive_routing.dispatch import Dispatcher
from hive_routing.endpoints import Endpoint, invalid
from hive_routing.providers.port import ProviderAnswer, ProviderCall, Timeouts
from hive_routing.request import Request
from hive_routing.spending import Bill, Payer, Spending
from hive_routing.splice import attach_documents, splice
from hive_routing.stream import StreamRelay
from hive_routing.tokens import TokenCounter
from hive_routing.usage import Usage, estimate
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import format_usd

log = structlog.get_logger(__name__)

_UPSTREAM_HEADERS = (
    ("x-request-id", b"x-hive-upstream-request-id"),
    ("openai-processing-ms", b"openai-processing-ms"),
)


@dataclass(slots=True)
class Spent:
    """Who answered, the tokens of it, and what they cost. cost: nano-dollars."""

    model: str
    provider: str
    deployment: str
    usage: Usage
    cost: int
    calls: int


@dataclass(slots=True)
class Caller:
    """Who asks, and on which terms.

    allowed: names of the models that may be asked; None: all. deadline: monotonic seconds.
    go: returns once a provider may be called. headers: what of the client's headers a provider may read.
    spent: set as soon as it is known, also where the answer fails later.
    """

    request_id: str
    attempt: int
    payer: Payer
    allowed: Collection[str] | None
    deadline: float
    go: Callable[[], Awaitable[None]]
    headers: dict[str, str] = field(default_factory=dict)
    spent: Spent | None = None


@dataclass(slots=True)
class _Served:
    answer: PlainAnswer | StreamAnswer
    attempt: Attempt
    model: Model
    deployment: Deployment


class Pipeline:
    """Answers requests; raises HiveError, before the answer begins or in the middle of it."""

    def __init__(
        self,
        catalogue: Catalogue,
        dispatcher: Dispatcher,
        spending: Spending,
        counter: TokenCounter,
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._dispatcher = dispatcher
        self._spending = spending
        self._counter = counter
        self._clock = clock

    async def answer(self, endpoint: Endpoint, body: bytes, caller: Caller, send: Send) -> None:
        request, model = self._admit(endpoint, body, caller)
        bill = await self._spending.reserve(request, caller.payer, caller.request_id, caller.attempt, model)
        try:
            await caller.go()
            served = await self._dispatch(request, model, caller, bill)
            if isinstance(served.answer, StreamAnswer):
                await self._answer_stream(served, served.answer, request, caller, bill, send)
            else:
                await self._answer_plain(served, served.answer, request, caller, bill, send)
        finally:
            bill.close()

    def _admit(self, endpoint: Endpoint, body: bytes, caller: Caller) -> tuple[Request, Model]:
        """Everything that can be refused without asking anybody, the model's name before the rest."""
        request = Request.parse(endpoint, body)
        model = self._catalogue.find(request.model, caller.allowed)
        request.check()
        if model.mode == endpoint.refused_mode:
            raise invalid("model", f"The model `{model.id}` is for `{model.mode}`: use {endpoint.instead}.")
        attach_documents(request, body)
        return request, model

    async def _dispatch(self, request: Request, model: Model, caller: Caller, bill: Bill) -> _Served:
        """The first deployment of the model, or of one of its fallbacks, that answers."""
        models = self._catalogue.with_fallbacks(model, caller.allowed)
        ask = partial(self._ask, request, caller, bill)
        return await self._dispatcher.first_answer(models, caller.deadline, ask)

    async def _ask(
        self, request: Request, caller: Caller, bill: Bill, model: Model, deployment: Deployment, number: int
    ) -> _Served:
        """One call to one deployment, up to its whole answer or to the first content of its stream."""
        await bill.cover(model)
        call = ProviderCall(
            endpoint=request.endpoint.path,
            model=deployment.model,
            body=splice(request, deployment.model, deployment.bound_field, bill.output_bound),
            stream=request.stream,
            attempt_id=f"{caller.request_id}-{caller.attempt}-{number}",
            timeouts=self._within_deadline(deployment.timeouts, caller.deadline),
            headers=caller.headers,
        )
        attempt = bill.open(model, deployment, number, request.stream)
        answer: ProviderAnswer | None = None
        try:
            answer = await deployment.provider.send(call)
            attempt.upstream_request_id = answer.headers.get("x-request-id", "")
            headers = _headers(answer.headers, model, deployment, number)
            opened = await _open(answer, request, deployment, headers)
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
        self,
        served: _Served,
        answer: PlainAnswer,
        request: Request,
        caller: Caller,
        bill: Bill,
        send: Send,
    ) -> None:
        self._dispatcher.completed(served.deployment)
        await self._settle(served, Outcome.ANSWERED, request, caller, bill)
        await answer.relay(send, [(b"x-hive-cost", format_usd(bill.cost or 0).encode())])

    async def _answer_stream(
        self,
        served: _Served,
        answer: StreamAnswer,
        request: Request,
        caller: Caller,
        bill: Bill,
        send: Send,
    ) -> None:
        try:
            try:
                complete = await answer.relay(send, bill.meter(served.attempt))
            except HiveError as error:
                _log_failure("stream broke", caller.request_id, served.deployment, error)
                self._dispatcher.broke(served.deployment)
                await self._settle(served, Outcome.BROKEN, request, caller, bill, error.kind.label)
                raise
            except BaseException:  # the client has left, or this process is being stopped
                self._dispatcher.abandoned(served.deployment)
                await answer.close()
                await self._settle(served, Outcome.ABANDONED, request, caller, bill)
                raise
            if complete:
                self._dispatcher.completed(served.deployment)
            else:
                self._dispatcher.abandoned(served.deployment)
                await answer.close()
            outcome = Outcome.ANSWERED if complete else Outcome.ABANDONED
            usage = await self._settle(served, outcome, request, caller, bill)
            told = {"cost": format_usd(bill.cost or 0)}
            await answer.finish(send, usage.as_json() if usage.estimated else None, told)
        finally:
            await answer.close()

    async def _settle(
        self,
        served: _Served,
        outcome: Outcome,
        request: Request,
        caller: Caller,
        bill: Bill,
        error: str = "",
    ) -> Usage:
        """Note what was spent: the provider's figures, else our own count."""
        deployment = served.deployment
        usage = Usage.stated(served.answer.usage)
        if usage is None:
            usage = await estimate(request, served.answer.output(), deployment.model, self._counter)
        bill.settle(served.attempt, outcome, usage, error)
        caller.spent = Spent(
            served.model.id, deployment.provider_id, deployment.id, usage, bill.cost or 0, bill.calls
        )
        return usage

    def _within_deadline(self, timeouts: Timeouts, deadline: float) -> Timeouts:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise HiveError(Kind.TIMEOUT, "The deadline of the request passed before a model answered.")
        if left >= timeouts.total:
            return timeouts
        return Timeouts(timeouts.connect, timeouts.first_byte, timeouts.idle, left)


async def _open(
    answer: ProviderAnswer, request: Request, deployment: Deployment, headers: Headers
) -> PlainAnswer | StreamAnswer:
    """The answer, if it is one; closes it where it is none."""
    provider = deployment.provider_id
    try:
        if answer.status != 200:
            raise await refusal(answer, provider)
        if not request.stream:
            return await PlainAnswer.open(answer, provider, headers)
        relay = StreamRelay(provider, request.choices, request.usage_asked)
        return await StreamAnswer.open(answer, relay, provider, headers)
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
