"""The rules of prices: what tenants pay for a model, and what a provider charges for a deployment.

A model costs what its operator says, else the dearest of what the vendors of its deployments list, else nothing
where all of it runs on the operator's own machines, else the ceiling, else it has no price and cannot be asked.
A deployment costs what its vendor lists, nothing at a provider that is free, else what its models cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from hive_runtime.money import UNITS, Tariff, parse_price, price_of

CONFIGURED: Final = "configured"
LISTED: Final = "listed"
LOCAL: Final = "local"
CEILING: Final = "ceiling"
MODEL: Final = "model"
UNPRICED: Final = "unpriced"

FREE: Final = Tariff.of([("prompt", 0, 0), ("completion", 0, 0)])
CEILING_PER: Final = 1_000_000

Rate = tuple[str, int, int]
"""Unit, pico-dollars per unit, from how many prompt tokens on."""


class Listing(Protocol):
    def find(self, kind: str, base_url: str, model: str) -> Tariff | None:
        """What the vendor behind this address charges for its own `model`; None where it is not listed."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """free: what it serves costs nothing, for it runs on a machine of the operator."""

    kind: str
    base_url: str
    free: bool


@dataclass(frozen=True, slots=True)
class Deployment:
    """model: the provider's own name of it."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Model:
    """configured: what the operator wrote; None where that is nothing."""

    deployments: tuple[Deployment, ...]
    fallbacks: tuple[str, ...]
    configured: Tariff | None


@dataclass(frozen=True, slots=True)
class Price:
    """tariff: None where there is no price."""

    source: str
    tariff: Tariff | None


NO_PRICE: Final = Price(UNPRICED, None)


@dataclass(frozen=True, slots=True)
class Priced:
    """By subject. waiting: subjects whose providers are not known (yet), whose prices nobody can tell."""

    prices: Mapping[str, Price]
    waiting: frozenset[str]


def model_subject(id: str) -> str:
    return f"model/{id}"


def deployment_subject(deployment: Deployment) -> str:
    return f"deployment/{deployment.provider}/{deployment.model}"


def price_all(
    providers: Mapping[str, Provider],
    models: Mapping[str, Model],
    listing: Listing,
    ceiling: Tariff | None,
) -> Priced:
    """The price of every model, and of every deployment that a model has, by the names of both."""
    rules = _Rules(providers, listing, ceiling)
    known = {id: model for id, model in models.items() if rules.knows(model)}
    of_models = {id: rules.of_model(model) for id, model in known.items() if model.deployments}
    of_models |= {id: _of_fallbacks(model, of_models) for id, model in known.items() if not model.deployments}
    users: dict[Deployment, list[Price]] = {}
    for id, model in known.items():
        for deployment in model.deployments:
            users.setdefault(deployment, []).append(of_models[id])
    prices = {model_subject(id): price for id, price in of_models.items()}
    prices |= {deployment_subject(each): rules.of_deployment(each, users[each]) for each in users}
    waiting = {model_subject(id) for id in models.keys() - known.keys()}
    for id in models.keys() - known.keys():
        waiting |= {deployment_subject(each) for each in models[id].deployments}
    return Priced(prices, frozenset(waiting - prices.keys()))


@dataclass(frozen=True, slots=True)
class _Rules:
    providers: Mapping[str, Provider]
    listing: Listing
    ceiling: Tariff | None

    def knows(self, model: Model) -> bool:
        return all(each.provider in self.providers for each in model.deployments)

    def of_model(self, model: Model) -> Price:
        if model.configured is not None:
            return Price(CONFIGURED, model.configured)
        listed = [self._listed(each) for each in model.deployments]
        if found := [each for each in listed if each is not None]:
            return Price(LISTED, dearest(found))
        if all(self._is_free(each) for each in model.deployments):
            return Price(LOCAL, FREE)
        return NO_PRICE if self.ceiling is None else Price(CEILING, self.ceiling)

    def of_deployment(self, deployment: Deployment, of_models: Iterable[Price]) -> Price:
        if self._is_free(deployment):
            return Price(LOCAL, FREE)
        if (listed := self._listed(deployment)) is not None:
            return Price(LISTED, listed)
        tariffs = [price.tariff for price in of_models if price.tariff is not None]
        return Price(MODEL, dearest(tariffs)) if tariffs else NO_PRICE

    def _listed(self, deployment: Deployment) -> Tariff | None:
        provider = self.providers[deployment.provider]
        if self._is_free(deployment):
            return None
        return self.listing.find(provider.kind, provider.base_url, deployment.model)

    def _is_free(self, deployment: Deployment) -> bool:
        provider = self.providers[deployment.provider]
        return provider.free or provider.kind == "local"


def _of_fallbacks(model: Model, of_models: Mapping[str, Price]) -> Price:
    """A model that only others answer for costs what the dearest of them does."""
    if model.configured is not None:
        return Price(CONFIGURED, model.configured)
    prices = [of_models[id] for id in model.fallbacks if id in of_models]
    tariffs = [price.tariff for price in prices if price.tariff is not None]
    return Price(MODEL, dearest(tariffs)) if tariffs else NO_PRICE


def dearest(tariffs: Sequence[Tariff]) -> Tariff:
    """For each unit, and each length of the prompt, the highest of these prices."""
    if len(tariffs) == 1:
        return tariffs[0]
    starts = sorted({start for tariff in tariffs for start, _ in tariff.tiers})
    units = {unit for tariff in tariffs for _, prices in tariff.tiers for unit in prices}
    return Tariff.of(
        (unit, max(price_of(unit, tariff.prices(start)) for tariff in tariffs), start)
        for start in starts
        for unit in units
    )


def rates_of(tariff: Tariff | None) -> tuple[Rate, ...]:
    """All that makes the tariff anew, in a fixed order; a tier names only what it changes."""
    if tariff is None:
        return ()
    rates: list[Rate] = []
    below: Mapping[str, int] = {}
    for start, prices in tariff.tiers:
        rates += [
            (unit, prices[unit], start)
            for unit in UNITS
            if unit in prices and prices[unit] != below.get(unit)
        ]
        below = prices
    return tuple(rates)


def configured_tariff(units: Mapping[str, str], per: int) -> Tariff:
    """Of decimal strings in dollars per `per` units; ValueError where they are none, or name no unit that is known."""
    if unknown := [unit for unit in units if unit not in UNITS]:
        raise ValueError(f"there is no unit {unknown[0]!r}: {', '.join(UNITS)}")
    return Tariff.of((unit, parse_price(text, per), 0) for unit, text in units.items())


def parse_ceiling(text: str) -> Tariff | None:
    """Of `prompt=10,completion=30`: dollars per million units. None for an empty text; ValueError for a wrong one."""
    units: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        unit, equals, amount = (each.strip() for each in part.partition("="))
        if not equals or unit in units:
            raise ValueError(f"{part!r} is no price of one more unit: write such as prompt=10,completion=30")
        units[unit] = amount
    return configured_tariff(units, CEILING_PER) if units else None
