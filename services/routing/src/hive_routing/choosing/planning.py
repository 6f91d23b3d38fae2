"""What the dispatcher needs to know of a request: the models that may answer it, and what their policies go by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Generic, TypeVar

import msgspec

from hive_routing.catalogue import Catalogue, Model
from hive_routing.choosing.conversations import conversation_key
from hive_routing.choosing.route import Route
from hive_routing.choosing.terms import NO_WISHES, RoutingPolicy, Wishes
from hive_routing.estimates import prompt_of
from hive_routing.request import Request
from hive_routing.tokens import TokenCounter

T = TypeVar("T")

BYTES_PER_TOKEN = 4
ROUGH_BYTES = 16_384
"""Of a smaller body it does not matter how many tokens it has exactly."""


class Plan(msgspec.Struct, Generic[T], frozen=True):
    """models: the first is the one that was asked for. For `Dispatcher.first_answer`, both."""

    models: Sequence[Model]
    route: Route[T]


class Planner:
    """One for the process."""

    def __init__(self, catalogue: Catalogue, counter: TokenCounter) -> None:
        self._catalogue = catalogue
        self._counter = counter

    async def plan(
        self,
        request: Request,
        model: Model,
        tenant_id: str,
        allowed: Collection[str] | None,
        afford: Callable[[Model], Awaitable[None]],
        discard: Callable[[T], Awaitable[None]],
        wishes: Wishes = NO_WISHES,
    ) -> Plan[T]:
        """allowed: names of the models that the caller may ask; None: all. afford, discard: as of `Route`."""
        if model.is_simple:
            route: Route[T] = Route(
                region=wishes.region,
                is_streamed=request.stream,
                longer=[],
                hedge_seconds=wishes.hedge_seconds,
                afford=afford,
                discard=discard,
            )
            return Plan((model,), route)
        models = self._catalogue.with_fallbacks(model, allowed)
        longer = self._catalogue.context_fallbacks(model, allowed)
        return Plan(
            models,
            Route(
                key=conversation_key(tenant_id, request.fields) if _is_sticky(models) else b"",
                region=wishes.region,
                is_streamed=request.stream,
                prompt_tokens=await self._prompt_tokens(request, models, longer),
                longer=longer,
                hedge_seconds=wishes.hedge_seconds,
                afford=afford,
                discard=discard,
            ),
        )

    async def _prompt_tokens(self, request: Request, models: Sequence[Model], longer: Sequence[Model]) -> int:
        """About, and 0 where nothing goes by it; counted where that may decide something."""
        if not longer and not any(_goes_by_size(each) for each in models):
            return 0
        window = models[0].context_window if longer else None
        # Of text, no tokenizer makes more tokens than it has bytes.
        if request.size <= min(ROUGH_BYTES, window or ROUGH_BYTES):
            return request.size // BYTES_PER_TOKEN
        first = models[0]
        name = first.deployments[0].model if first.deployments else first.id
        return await self._counter.count(prompt_of(request), name)


def _is_sticky(models: Sequence[Model]) -> bool:
    return any(each.routing.policy is RoutingPolicy.STICKY for each in models)


def _goes_by_size(model: Model) -> bool:
    if model.routing.policy is RoutingPolicy.CHEAPEST:
        return True
    return any(each.limit is not None and each.limit.tpm is not None for each in model.deployments)
