"""Who is asked, in which order, how often: retries, fallbacks and breakers around one attempt.

For the model and then for each of its fallbacks, its deployments are tried in a weighted random order, up to
three rounds with a growing pause between them. A caller's own mistake (400, 404, 413) ends it at once. Where
every breaker is open, the deployment that may be asked first is tried all the same, by one request at a time: that
costs less than refusing work that may well succeed, and the others are told to come back.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from hive_routing.breaker import Breaker
from hive_routing.catalogue import Deployment, Model
from hive_routing.providers.failures import CREDENTIAL_REFUSED
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

T = TypeVar("T")
Ask = Callable[[Model, Deployment, int], Awaitable[T]]
"""Asks a deployment; the number counts the request's attempts from 1. Raises HiveError."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Bounds of one request: attempts in all, rounds per model, pauses between rounds in seconds.

    A deployment that wants to be left alone for longer than `longest_pause` is not asked again.
    """

    attempts: int = 6
    rounds: int = 3
    first_pause: float = 0.25
    longest_pause: float = 5.0


@dataclass(slots=True)
class _Run(Generic[T]):
    """One request's way through the deployments."""

    ask: Ask[T]
    deadline: float
    made: int = 0
    allowed: int = 0
    error: HiveError | None = None


class Dispatcher:
    """Finds a deployment that answers."""

    def __init__(self, clock: Clock, breaker: Breaker, policy: Policy, source: random.Random) -> None:
        self._clock = clock
        self._breaker = breaker
        self._policy = policy
        self._random = source

    async def first_answer(self, models: Sequence[Model], deadline: float, ask: Ask[T]) -> T:
        """What the first successful attempt gives; raises the last one's HiveError where none is.

        deadline: monotonic seconds; no pause goes beyond it.
        """
        run = _Run(ask, deadline)
        for position, model in enumerate(models):
            one_for_each_fallback = len(models) - position - 1
            fair = max(run.made + 1, self._policy.attempts - one_for_each_fallback)
            run.allowed = min(fair, self._policy.attempts)
            if (answer := await self._ask(run, model)) is not None:
                return answer
        if not run.made and (answer := await self._ask_least_broken(run, models)) is not None:
            return answer
        raise _final(run.error, models[0])

    # What became of the answer that `first_answer` gave: one of these is called for it.

    def completed(self, deployment: Deployment) -> None:
        """It came to its end."""
        self._breaker.succeed(deployment.id)

    def broke(self, deployment: Deployment) -> None:
        """It had begun and did not come to its end."""
        self._breaker.fail(deployment.id)

    def abandoned(self, deployment: Deployment) -> None:
        """Nobody waited for its end."""
        self._breaker.abandon(deployment.id)

    async def _ask(self, run: _Run[T], model: Model) -> T | None:
        pending = model.in_random_order(self._random)
        wait = 0.0
        for number in range(self._policy.rounds):
            if number and not await self._pause(run, number, wait):
                return None
            again, wait = [], 0.0
            for deployment in pending:
                if run.made >= run.allowed:
                    return None
                if not self._breaker.allows(deployment.id):
                    continue
                if (answer := await self._try(run, model, deployment)) is not None:
                    return answer
                if run.error is not None and self._worth_repeating(run.error):
                    again.append(deployment)
                    wait = max(wait, run.error.retry_after or 0.0)
            pending = again
            if not pending:
                return None
        return None

    async def _ask_least_broken(self, run: _Run[T], models: Sequence[Model]) -> T | None:
        choice = [(model, deployment) for model in models for deployment in model.deployments]
        if not choice:
            return None
        model, deployment = min(choice, key=lambda each: self._breaker.resumes_at(each[1].id))
        if not self._breaker.probe(deployment.id):
            return None
        return await self._try(run, model, deployment)

    async def _try(self, run: _Run[T], model: Model, deployment: Deployment) -> T | None:
        run.made += 1
        self._breaker.begin(deployment.id)
        try:
            answer = await run.ask(model, deployment, run.made)
        except HiveError as error:
            if not error.kind.retryable:
                self._breaker.succeed(deployment.id)
                raise
            self._note_failure(deployment, error)
            run.error = error
            return None
        except BaseException:
            self._breaker.abandon(deployment.id)
            raise
        return answer

    def _note_failure(self, deployment: Deployment, error: HiveError) -> None:
        if error.kind is not Kind.RATE_LIMITED:
            self._breaker.fail(deployment.id)
        elif error.retry_after:
            self._breaker.rest(deployment.id, error.retry_after)
        else:
            self._breaker.abandon(deployment.id)

    def _worth_repeating(self, error: HiveError) -> bool:
        """Whether the same deployment may do better soon; one that was silent for a whole timeout may not."""
        if error.kind is Kind.TIMEOUT or error.reason == CREDENTIAL_REFUSED:
            return False
        return (error.retry_after or 0) <= self._policy.longest_pause

    async def _pause(self, run: _Run[T], number: int, wait: float) -> bool:
        """Wait before another round, as long as those that are asked again want; false past the deadline."""
        seconds = self._policy.first_pause * 2 ** (number - 1) * self._random.uniform(0.5, 1.5)
        seconds = max(seconds, wait)
        if self._clock.monotonic() + seconds >= run.deadline:
            return False
        await self._clock.sleep(seconds)
        return True


def _final(error: HiveError | None, model: Model) -> HiveError:
    """What the caller is told; whoever has to come back learns when."""
    if error is None:
        words = f"No provider serves the model `{model.id}` at present."
        return HiveError(Kind.UNAVAILABLE, words, retry_after=30)
    if error.kind in (Kind.RATE_LIMITED, Kind.UNAVAILABLE) and error.retry_after is None:
        error.retry_after = 1
    return error
