"""One request to a hot endpoint, from its body to the last byte of its answer. Read it from top to bottom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog

from hive_routing.answers import Headers, PlainAnswer, Send, StreamAnswer, refusal
from hive_routing.catalogue import Catalogue, Deployment, Model
from hive_routing.dispatch import Dispatcher
from hive_routing.endpoints import Endpoint, invalid
from hive_routing.providers.port import ProviderAnswer, ProviderCall, Timeouts
from hive_routing.request import Request
from hive_routing.splice import attach_documents, splice
from hive_routing.stream import StreamRelay
from hive_routing.tokens import TokenCounter
from hive_routing.usage import Usage, estimate
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

log = structlog.get_logger(__name__)

_UPSTREAM_HEADERS = (
    ("x-request-id", b"x-hive-upstream-request-id"),
    ("openai-processing-ms", b"openai-processing-ms"),
)


@dataclass(slots=True)
class Spent:
    """Who answered, and the tokens of it."""

    model: str
    provider: str
    deployment: str
    usage: Usage


@dataclass(slots=True)
class Caller:
    """Who asks, and on which terms.

    allowed: names of the models that may be asked; None: all. deadline: monotonic seconds.
    go: returns once a provider may be called. headers: what of the client's headers a provider may read.
    spent: set as soon as it is known, also where the answer fails later.
    """

    request_id: str
    attempt: int
    allowed: Collection[str] | None
    deadline: float
    go: Callable[[], Awaitable[None]]
    headers: dict[str, str] = field(default_factory=dict)
    spent: Spent | None = None


@dataclass(slots=True)
class _Served:
    answer: PlainAnswer | StreamAnswer
    model: Model
    deployment: Deployment


class Pipeline:
    """Answers requests; raises HiveError, before the answer begins or in the middle of it."""

    def __init__(
        self, catalogue: Catalogue, dispatcher: Dispatcher, counter: TokenCounter, clock: Clock
    ) -> None:
        self._catalogue = catalogue
        self._dispatcher = dispatcher
        self._counter = counter
        self._clock = clock

    async def answer(self, endpoint: Endpoint, body: bytes, caller: Caller, send: Send) -> None:
        request, model = self._accept(endpoint, body, caller)
        await caller.go()
        models = self._catalogue.with_fallbacks(model, caller.allowed)
        attempt = partial(self._attempt, request, caller)
        served = await self._dispatcher.first_answer(models, caller.deadline, attempt)
        if isinstance(served.answer, StreamAnswer):
            await self._relay_stream(served, served.answer, request, caller, send)
        else:
            self._dispatcher.completed(served.deployment)
            await self._account(served, request, caller)
            await served.answer.relay(send)

    def _accept(self, endpoint: Endpoint, body: bytes, caller: Caller) -> tuple[Request, Model]:
        """Everything that can be refused without asking anybody, the model's name before the rest."""
        request = Request.parse(endpoint, body)
        model = self._catalogue.find(request.model, caller.allowed)
        request.check()
        if model.mode == endpoint.refused_mode:
            raise invalid("model", f"The model `{model.id}` is for `{model.mode}`: use {endpoint.instead}.")
        attach_documents(request, body)
        return request, model

    async def _attempt(
        self, request: Request, caller: Caller, model: Model, deployment: Deployment, number: int
    ) -> _Served:
        """One call to one deployment, up to its whole answer or to the first content of its stream."""
        call = ProviderCall(
            endpoint=request.endpoint.path,
            model=deployment.model,
            body=splice(request, deployment.model, deployment.bound_field),
            stream=request.stream,
            attempt_id=f"{caller.request_id}-{caller.attempt}-{number}",
            timeouts=self._within_deadline(deployment.timeouts, caller.deadline),
            headers=caller.headers,
        )
        try:
            answer = await deployment.provider.send(call)
            headers = _headers(answer.headers, model, deployment, number)
            return _Served(await _open(answer, request, deployment, headers), model, deployment)
        except HiveError as error:
            if error.kind.retryable:
                _log_failure("attempt failed", call.attempt_id, deployment, error)
            raise

    async def _relay_stream(
        self, served: _Served, answer: StreamAnswer, request: Request, caller: Caller, send: Send
    ) -> None:
        try:
            try:
                await answer.relay(send)
            except HiveError as error:
                _log_failure("stream broke", caller.request_id, served.deployment, error)
                self._dispatcher.broke(served.deployment)
                await self._account(served, request, caller)
                raise
            except BaseException:
                self._dispatcher.abandoned(served.deployment)
                raise
            self._dispatcher.completed(served.deployment)
            usage = await self._account(served, request, caller)
            await answer.finish(send, usage.as_json() if usage.estimated else None)
        finally:
            await answer.close()

    async def _account(self, served: _Served, request: Request, caller: Caller) -> Usage:
        """Note what was spent: the provider's figures, else our own count."""
        deployment = served.deployment
        usage = Usage.stated(served.answer.usage)
        if usage is None:
            usage = await estimate(request, served.answer.output(), deployment.model, self._counter)
        caller.spent = Spent(served.model.id, deployment.provider_id, deployment.id, usage)
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
