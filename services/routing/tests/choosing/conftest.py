"""A dispatcher among deployments that do as they are told, on a clock that a test moves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from hive_routing.breaker import Breaker
from hive_routing.catalogue import Deployment, Model
from hive_routing.choosing.limits import Limit
from hive_routing.choosing.route import Route
from hive_routing.dispatch import Dispatcher, Policy
from hive_routing.prices import PriceTag
from hive_routing.providers.port import Timeouts
from hive_runtime.errors import HiveError
from hive_runtime.money import Tariff


class SteppedClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.time + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        self.time += seconds
        due = [sleeper for sleeper in self.sleepers if sleeper[0] <= self.time]
        self.sleepers = [sleeper for sleeper in self.sleepers if sleeper not in due]
        for _, future in due:
            if not future.done():
                future.set_result(None)


@dataclass
class Answer:
    name: str
    number: int


@dataclass
class World:
    """`does`: by the provider's name of a model: an error to raise, or an event to wait for before the answer."""

    clock: SteppedClock = field(default_factory=SteppedClock)
    does: dict[str, HiveError | asyncio.Event] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    afforded: list[str] = field(default_factory=list)
    prices: dict[str, PriceTag] = field(default_factory=dict)
    poor: HiveError | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.clock, failures=5, pause=30.0)
        self.dispatcher = Dispatcher(
            self.clock,
            self.breaker,
            Policy(),
            random.Random(1),
            lambda name: self.prices.get(name) or PriceTag(name, 0, None),
            lambda: self.processes,
        )

    def price(self, deployment: str, picos: int) -> None:
        self.prices[deployment] = PriceTag(deployment, 1, Tariff.of([("prompt", picos, 0)]))

    async def attempt(self, model: Model, deployment: Deployment, number: int) -> Answer:
        name = deployment.model
        self.asked.append(name)
        told = self.does.get(name)
        if isinstance(told, HiveError):
            raise told
        if told is not None:
            try:
                await told.wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
        return Answer(name, number)

    async def afford(self, model: Model) -> None:
        self.afforded.append(model.id)
        if self.poor is not None:
            raise self.poor

    async def discard(self, answer: Answer) -> None:
        self.discarded.append(answer.name)

    def route(self, **fields: Any) -> Route[Answer]:
        return Route(afford=self.afford, discard=self.discard, **fields)

    async def ask(self, *models: Model, seconds: float = 60, **route: Any) -> str:
        """Who answered; its answer has come to its end, and `asked` is all that was asked for it."""
        self.asked.clear()
        answer = await self.begin(*models, seconds=seconds, **route)
        found = (each for model in models for each in model.deployments if each.model == answer.name)
        longer = (each for model in route.get("longer", ()) for each in model.deployments)
        self.dispatcher.completed(
            next(found, None) or next(each for each in longer if each.model == answer.name)
        )
        return answer.name

    async def begin(self, *models: Model, seconds: float = 60, **route: Any) -> Answer:
        """The answer, which goes on."""
        deadline = self.clock.time + seconds
        return await self.dispatcher.first_answer(models, deadline, self.attempt, self.route(**route))

    async def fails(self, *models: Model, seconds: float = 60, **route: Any) -> HiveError:
        with pytest.raises(HiveError) as raised:
            await self.ask(*models, seconds=seconds, **route)
        return raised.value

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let everything run that can, until it is so."""
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0)


def deployment(
    name: str, weight: int = 1, rpm: int | None = None, tpm: int | None = None, **fields: Any
) -> Deployment:
    provider: Any = None
    limit = None if rpm is None and tpm is None else Limit(rpm, tpm)
    return Deployment("p", provider, name, weight, Timeouts(), "", limit=limit, **fields)


def model(name: str, *deployments: Deployment | str, **fields: Any) -> Model:
    made = [deployment(each) if isinstance(each, str) else each for each in deployments]
    window = fields.pop("context_window", None)
    fallbacks: Sequence[str] = fields.pop("fallbacks", ())
    return Model(name, 0, "", "chat", window, tuple(made), tuple(fallbacks), **fields)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_deployment() -> Callable[..., Deployment]:
    return deployment


@pytest.fixture
def make_model() -> Callable[..., Model]:
    """Of an id and deployments, or the names of their models."""
    return model
