"""The policies: which of several deployments is asked first. Each choice costs one look at each of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from math import inf, log
from typing import Any

from hive_routing.catalogue import Deployment
from hive_routing.choosing.loads import Loads
from hive_routing.choosing.route import Route
from hive_routing.choosing.terms import RoutingPolicy
from hive_routing.prices import PriceTag

Charged = Callable[[str], PriceTag]
"""What a provider charges for a deployment, by the name that operators gave it."""

USUAL_PROMPT = 1_000
USUAL_OUTPUT = 500
"""Tokens of a call whose price decides, where its own are not known."""
UNKNOWN_PENALTY = 1e6
"""Seconds: of one whose latency is not known, one call at a time finds out."""
_HASHES = 1 << 64


class Chooser:
    """Chooses by policy; `charged` is asked by the policy `cheapest` alone."""

    def __init__(self, loads: Loads, charged: Charged, source: random.Random) -> None:
        self._loads = loads
        self._charged = charged
        self._random = source
        self._policies: dict[RoutingPolicy, Callable[[Sequence[Deployment], Route[Any]], Deployment]] = {
            RoutingPolicy.WEIGHTED: self._weighted,
            RoutingPolicy.LEAST_BUSY: self._least_busy,
            RoutingPolicy.LOWEST_LATENCY: self._lowest_latency,
            RoutingPolicy.CHEAPEST: self._cheapest,
            RoutingPolicy.STICKY: self._sticky,
        }

    def choose(self, policy: RoutingPolicy, among: Sequence[Deployment], route: Route[Any]) -> Deployment:
        """One of at least one."""
        return among[0] if len(among) == 1 else self._policies[policy](among, route)

    def _weighted(self, among: Sequence[Deployment], route: Route[Any]) -> Deployment:
        return self._drawn(among)

    def _least_busy(self, among: Sequence[Deployment], route: Route[Any]) -> Deployment:
        """The fewest calls in flight for each unit of weight."""
        return self._least(among, lambda each: self._loads.in_flight(each.id) / (each.weight or 1))

    def _lowest_latency(self, among: Sequence[Deployment], route: Route[Any]) -> Deployment:
        """Of two that are drawn by weight, the one where a call is likely to be answered first."""
        one = self._drawn(among)
        other = self._drawn([each for each in among if each is not one])
        expected = partial(self._expected, is_streamed=route.is_streamed)
        return other if expected(other) < expected(one) else one

    def _expected(self, deployment: Deployment, *, is_streamed: bool) -> float:
        calls = self._loads.in_flight(deployment.id)
        seconds = self._loads.latency(deployment.id, is_streamed=is_streamed)
        return seconds * (calls + 1) if seconds else UNKNOWN_PENALTY * calls

    def _cheapest(self, among: Sequence[Deployment], route: Route[Any]) -> Deployment:
        """The lowest price of the provider for a call of this size; those without a price come last."""
        units = {"prompt": route.prompt_tokens or USUAL_PROMPT, "completion": USUAL_OUTPUT}

        def cost(deployment: Deployment) -> float:
            tag = self._charged(deployment.declared)
            return inf if tag.tariff is None else tag.cost(units)

        return self._least(among, cost)

    def _sticky(self, among: Sequence[Deployment], route: Route[Any]) -> Deployment:
        """Rendezvous hashing: where one goes away, only its own conversations move, each to its next in order."""
        if not route.key:
            return self._drawn(among)
        return min(among, key=lambda each: _distance(route.key, each))

    def _least(self, among: Sequence[Deployment], figure: Callable[[Deployment], float]) -> Deployment:
        """The one of the lowest figure; one of several is drawn by weight."""
        figures = [figure(each) for each in among]
        lowest = min(figures)
        return self._drawn([each for each, found in zip(among, figures, strict=True) if found == lowest])

    def _drawn(self, among: Sequence[Deployment]) -> Deployment:
        """Each as probably as its weight says; all alike where none has any."""
        if len(among) == 1:
            return among[0]
        total = sum(each.weight for each in among)
        if not total:
            return among[self._random.randrange(len(among))]
        place = self._random.random() * total
        for each in among:
            place -= each.weight
            if place < 0:
                return each
        return among[-1]


def _distance(key: bytes, deployment: Deployment) -> float:
    """The smaller, the nearer; each is the nearest of all as often as its weight says."""
    digest = blake2b(deployment.id.encode(), key=key[:64], digest_size=8).digest()
    uniform = (int.from_bytes(digest) + 1) / (_HASHES + 1)
    return -log(uniform) / (deployment.weight or 1)
