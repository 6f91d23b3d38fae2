"""Who is asked, in which order, how often: retries, fallbacks and breakers around one attempt.

For the model and then for each of its fallbacks, its deployments are tried, group by group as operators ordered
them and within a group as the model's policy says, up to three rounds with a growing pause between them. A caller's
own mistake (400, 404, 413) ends it at once; a prompt that is too long goes to the models that are there for it. What
cannot be said in one provider's dialect is no attempt: another deployment may do it.

A deployment that rests or is at its limit is not asked. Where every breaker is open, the one that may be asked first
is tried all the same, by one request at a time: that costs less than refusing work that may well succeed, and the
others are told to come back.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from types import MappingProxyType
from typing import Generic, TypeVar, cast

from hive_routing.breaker import Breaker
from hive_routing.catalogue import Deployment, Model
from hive_routing.choosing.hedging import Tried, race
from hive_routing.choosing.limits import Limits
from hive_routing.choosing.loads import Loads
from hive_routing.choosing.policies import Charged, Chooser
from hive_routing.choosing.route import ANY, Route
from hive_routing.choosing.windows import says_too_long
from hive_routing.dialects.form import Untranslatable
from hive_routing.prices import PriceTag
from hive_routing.providers.failures import CREDENTIAL_REFUSED
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

T = TypeVar("T")
Ask = Callable[[Model, Deployment, int], Awaitable[T]]
"""Asks a deployment; the number counts the request's attempts from 1. Raises HiveError.

Two of them may run at a time where a request is hedged; the one that loses is cancelled.
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """Bounds of one request: attempts in all, rounds per model, pauses between rounds in seconds.

    A deployment that wants to be left alone for longer than `longest_pause` is not asked again.
    """

    attempts: int = 6
    rounds: int = 3
    first_pause: float = 0.25
    longest_pause: float = 5.0


class _Run(Generic[T]):
    """One request's way through the deployments.

    first: what became of the attempt that was made before any choice, until it is judged.
    wait: seconds until the first one of those that rest or are full may be asked; infinite: none is.
    unsaid: why deployments (by id) cannot be asked in their dialect. served: one is where the caller wants it.
    """

    # How it begins; most requests need few of these.
    made = 0
    allowed = 0
    first: Tried[T] | None = None
    error: HiveError | None = None
    too_long: HiveError | None = None
    unsaid: Mapping[str, HiveError] = MappingProxyType({})
    wait = inf
    served = False
    hedged = False

    def __init__(self, ask: Ask[T], deadline: float, route: Route[T], most: int) -> None:
        self.ask = ask
        self.deadline = deadline
        self.route = route
        self.most = most


class Dispatcher:
    """Finds a deployment that answers."""

    def __init__(
        self,
        clock: Clock,
        breaker: Breaker,
        policy: Policy,
        source: random.Random,
        charged: Charged = lambda name: PriceTag(name, 0, None),
        processes: Callable[[], int] = lambda: 1,
    ) -> None:
        """charged: what providers charge. processes: how many there are like this one, as far as that is known."""
        self._clock = clock
        self._breaker = breaker
        self._policy = policy
        self._random = source
        self._loads = Loads(clock)
        self._limits = Limits(clock, processes)
        self._chooser = Chooser(self._loads, charged, source)

    async def first_answer(
        self, models: Sequence[Model], deadline: float, ask: Ask[T], route: Route[T] = ANY
    ) -> T:
        """What the first successful attempt gives; raises the most telling HiveError where none is.

        deadline: monotonic seconds; no pause goes beyond it. route: what is known of the request.
        """
        run = _Run(ask, deadline, route, min(self._policy.attempts, route.attempts or self._policy.attempts))
        sole = models[0].sole
        # The usual request: there is nothing to choose, and nothing to be weighed before it is asked.
        if sole is not None and route.may_go_anywhere and self._breaker.allows(sole.id):
            run.first = tried = await self._try(run, models[0], sole)
            if tried.error is None:
                return cast(T, tried.answer)
            run.made = 0  # it counts where it is judged
        pending = deque(_that_fit(models, route))
        while pending:
            model = pending.popleft()
            run.allowed = min(max(run.made + 1, run.most - len(pending)), run.most)
            try:
                if (answer := await self._ask(run, model)) is not None:
                    return answer
            except HiveError as error:
                if not route.longer or not says_too_long(error):
                    raise
                if run.too_long is None:
                    run.too_long, pending = error, deque(each for each in route.longer if each.id != model.id)
        if not run.made and (answer := await self._ask_least_broken(run, models)) is not None:
            return answer
        raise _final(run, models[0])

    # What became of the answer that `first_answer` gave: one of these is called for it, once.

    def completed(self, deployment: Deployment) -> None:
        """It came to its end."""
        self._loads.end(deployment.id)
        self._breaker.succeed(deployment.id)

    def broke(self, deployment: Deployment) -> None:
        """It had begun and did not come to its end."""
        self._loads.end(deployment.id)
        self._breaker.fail(deployment.id)

    def abandoned(self, deployment: Deployment) -> None:
        """Nobody waited for its end."""
        self._loads.end(deployment.id)
        self._breaker.abandon(deployment.id)

    def used(self, deployment: Deployment, tokens: int) -> None:
        """It generated so many tokens: they count against its limit."""
        if deployment.limit is not None:
            self._limits.add(deployment.declared, tokens)

    async def _ask(self, run: _Run[T], model: Model) -> T | None:
        pending = model.groups_for(run.route.region)
        run.served = run.served or bool(pending)
        wait = 0.0
        for number in range(self._policy.rounds):
            if number and not await self._pause(run, number, wait):
                return None
            again: list[list[Deployment]] = []
            wait = 0.0
            groups = [list(group) for group in pending]
            for place, group in enumerate(groups):
                repeated: list[Deployment] = []
                while (deployment := self._next(run, model, group)) is not None:
                    for tried in await self._try_one_or_two(run, model, deployment, groups[place:]):
                        if (answer := self._judge(run, tried)) is not None:
                            return answer
                        if tried.error is not None and self._worth_repeating(tried.error):
                            repeated.append(tried.deployment)
                            wait = max(wait, tried.error.retry_after or 0.0)
                if run.made >= run.allowed:
                    return None
                if repeated:
                    again.append(repeated)
            pending = again
            if not pending:
                return None
        return None

    def _next(self, run: _Run[T], model: Model, left: list[Deployment]) -> Deployment | None:
        """The one of these that the policy wants asked now, taken out of them; None where there is none."""
        if run.first is not None:
            left.remove(run.first.deployment)
            return run.first.deployment
        if run.made >= run.allowed:
            return None
        ready = [each for each in left if self._may_ask(run, each)]
        if not ready:
            return None
        chosen = self._chooser.choose(model.routing.policy, ready, run.route)
        left.remove(chosen)
        return chosen

    def _may_ask(self, run: _Run[T], deployment: Deployment) -> bool:
        if deployment.id in run.unsaid:
            return False
        if not self._breaker.allows(deployment.id):
            if rests := self._breaker.rests(deployment.id):
                run.wait = min(run.wait, rests)
            return False
        return self._has_room(run, deployment)

    def _has_room(self, run: _Run[T], deployment: Deployment) -> bool:
        if deployment.limit is None:
            return True
        wait = self._limits.wait(deployment.declared, deployment.limit, run.route.prompt_tokens)
        if wait:
            run.wait = min(run.wait, wait)
        return not wait

    async def _ask_least_broken(self, run: _Run[T], models: Sequence[Model]) -> T | None:
        choice = [
            (model, deployment)
            for model in models
            for group in model.groups_for(run.route.region)
            for deployment in group
            if deployment.id not in run.unsaid
            and not self._breaker.rests(deployment.id)
            and self._has_room(run, deployment)
        ]
        if not choice:
            return None
        model, deployment = min(choice, key=lambda each: self._breaker.resumes_at(each[1].id))
        if not self._breaker.probe(deployment.id):
            return None
        return self._judge(run, await self._try(run, model, deployment))

    async def _try_one_or_two(
        self, run: _Run[T], model: Model, deployment: Deployment, left: Sequence[list[Deployment]]
    ) -> Sequence[Tried[T]]:
        """Ask it, and the next one of those that are left where it says nothing for too long."""
        if (tried := run.first) is not None:
            run.first = None
            run.made += not isinstance(tried.error, Untranslatable)
            return (tried,)
        after = 0.0 if run.hedged else self._hedge_seconds(run, model)
        # The last resort is not asked while another one may still answer.
        spare = [group for group in left if group and group[0].weight] if after else ()
        if not spare:
            return (await self._try(run, model, deployment),)
        run.hedged = True

        async def second() -> Tried[T] | None:
            assert run.route.afford is not None, "without it, nothing is hedged"
            if not any(self._may_ask(run, each) for group in spare for each in group):
                return None
            try:
                await run.route.afford(model)
            except HiveError:  # no money for two: the first one goes on alone
                return None
            taken = (self._next(run, model, group) for group in spare)
            chosen = next((each for each in taken if each is not None), None)
            return None if chosen is None else await self._try(run, model, chosen)

        first = self._try(run, model, deployment)
        return await race(first, self._clock.sleep(after), second, self._discard(run))

    def _hedge_seconds(self, run: _Run[T], model: Model) -> float:
        """After how long a second deployment is asked; 0: never."""
        route, routing = run.route, model.routing
        if route.afford is None or route.discard is None:
            return 0.0
        if route.hedge_seconds is not None and (routing.may_hedge or not route.hedge_seconds):
            return route.hedge_seconds
        return routing.hedge_seconds or 0.0

    def _discard(self, run: _Run[T]) -> Callable[[Tried[T]], Awaitable[None]]:
        async def discard(tried: Tried[T]) -> None:
            assert tried.answer is not None and run.route.discard is not None
            self.abandoned(tried.deployment)
            await run.route.discard(tried.answer)

        return discard

    async def _try(self, run: _Run[T], model: Model, deployment: Deployment) -> Tried[T]:
        """One attempt; what it raises is its result, but for a cancellation."""
        id, streamed, tokens = deployment.id, run.route.is_streamed, run.route.prompt_tokens
        run.made += 1
        number = run.made
        self._breaker.begin(id)
        load = self._loads.begin(id)
        if deployment.limit is not None:
            self._limits.begin(deployment.declared, tokens)
        began = self._clock.monotonic()
        try:
            answer = await run.ask(model, deployment, run.route.before + number)
        except Untranslatable as error:
            self._breaker.abandon(id)
            self._loads.end(id)
            if deployment.limit is not None:
                self._limits.take_back(deployment.declared, tokens)
            if run.made == number:
                run.made -= 1
            return Tried(deployment, error=error)
        except HiveError as error:
            self._loads.end(id)
            self._note_failure(deployment, error, self._clock.monotonic() - began, streamed)
            return Tried(deployment, error=error)
        except BaseException:
            self._loads.unfinished(id, self._clock.monotonic() - began, is_streamed=streamed)
            self._loads.end(id)
            self._breaker.abandon(id)
            raise
        now = self._clock.monotonic()
        load.peak(is_streamed=streamed).note(now - began, now)
        return Tried(deployment, answer)

    def _judge(self, run: _Run[T], tried: Tried[T]) -> T | None:
        """The answer; None where another attempt may do better. Raises HiveError where none can."""
        error = tried.error
        if error is None:
            return tried.answer
        if tried.is_final:
            raise error
        if isinstance(error, Untranslatable):
            run.unsaid = {**run.unsaid, tried.deployment.id: error}
        else:
            run.error = error
        return None

    def _note_failure(
        self, deployment: Deployment, error: HiveError, seconds: float, is_streamed: bool
    ) -> None:
        if not error.kind.retryable:
            self._breaker.succeed(deployment.id)
            return
        self._loads.failed(deployment.id, seconds, is_streamed=is_streamed)
        if error.kind is not Kind.RATE_LIMITED:
            self._breaker.fail(deployment.id)
        elif error.retry_after:
            self._breaker.rest(deployment.id, error.retry_after)
        else:
            self._breaker.abandon(deployment.id)

    def _worth_repeating(self, error: HiveError) -> bool:
        """Whether the same deployment may do better soon; one that was silent for a whole timeout may not."""
        if not error.kind.retryable or error.kind is Kind.TIMEOUT or error.reason == CREDENTIAL_REFUSED:
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


def _that_fit(models: Sequence[Model], route: Route[T]) -> Sequence[Model]:
    """The models to ask: those that are there for longer prompts where the first one is too small."""
    if not route.prompt_tokens:
        return models
    if _fits(models[0], route):
        return [each for each in models if _fits(each, route)]
    others = [each for each in (*route.longer, *models[1:]) if _fits(each, route)]
    return others or models


def _fits(model: Model, route: Route[T]) -> bool:
    return model.context_window is None or route.prompt_tokens <= model.context_window


def _final(run: _Run[T], model: Model) -> HiveError:
    """What the caller is told: of all that stood in the way what tells most; who has to come back learns when."""
    if (error := run.error) is not None:
        if error.kind in (Kind.RATE_LIMITED, Kind.UNAVAILABLE) and error.retry_after is None:
            error.retry_after = 1
        return error
    if run.wait < inf:
        seconds = ceil(run.wait)
        words = f"The model `{model.id}` takes no more requests at present: try again in {seconds} s."
        return HiveError(Kind.RATE_LIMITED, words, retry_after=seconds)
    if run.too_long is not None:
        return run.too_long
    if run.unsaid:
        return next(iter(run.unsaid.values()))
    if not run.served and (elsewhere := _elsewhere(run, model)) is not None:
        return elsewhere
    words = f"No provider serves the model `{model.id}` at present."
    return HiveError(Kind.UNAVAILABLE, words, retry_after=30)


def _elsewhere(run: _Run[T], model: Model) -> HiveError | None:
    """Where no deployment is where it has to be."""
    asked, own = run.route.region, model.routing.region
    if asked is not None and asked.required:
        words = f"The model `{model.id}` is not served in the region `{asked.name}`."
        return HiveError(Kind.INVALID, words, "x-hive-region", reason="region_not_served")
    if own is not None and own.required:
        words = (
            f"The model `{model.id}` may be served in the region `{own.name}` alone, and is not at present."
        )
        return HiveError(Kind.UNAVAILABLE, words, retry_after=30)
    return None
