"""The models that can be asked, and where each is served: compiled when the control state changes.

Lookups on a request's path are one dictionary access.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from hive_routing.providers.port import Provider, Timeouts
from hive_runtime.errors import HiveError, Kind

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one provider.

    model: the provider's own name. bound_field: what the provider calls the output bound; empty: unknown.
    weight: share of the requests; 0 is asked only where all others failed.
    """

    provider_id: str
    provider: Provider
    model: str
    weight: int
    timeouts: Timeouts
    bound_field: str
    id: str = field(init=False)
    headers: Headers = field(init=False)

    def __post_init__(self) -> None:
        name = f"{self.provider_id}/{self.model}"
        object.__setattr__(self, "id", name)
        headers = ((b"x-hive-provider", _header(self.provider_id)), (b"x-hive-deployment", _header(name)))
        object.__setattr__(self, "headers", headers)


@dataclass(frozen=True, slots=True)
class Model:
    """What clients ask for by name. `mode` is `chat`, `embedding` or empty: not known."""

    id: str
    created: int
    owned_by: str
    mode: str
    context_window: int | None
    deployments: tuple[Deployment, ...]
    fallbacks: tuple[str, ...]
    headers: Headers = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", ((b"x-hive-model", _header(self.id)),))

    def in_random_order(self, source: random.Random) -> list[Deployment]:
        """The deployments, each as probably first as its weight says; those of weight 0 at the end."""
        if len(self.deployments) < 2:
            return list(self.deployments)
        return sorted(self.deployments, key=lambda each: _draw(source, each.weight), reverse=True)


def _header(value: str) -> bytes:
    """A value that may stand in a header; what may not is percent-encoded."""
    return quote(value, safe="/:@ ._-+~!").encode()


def _draw(source: random.Random, weight: int) -> float:
    """Sorting by this, largest first, is drawing without replacement by weight."""
    return float(source.random() ** (1.0 / weight)) if weight else source.random() - 1.0


class Catalogue:
    """The models by their names."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}

    def put(self, model: Model) -> None:
        self._models[model.id] = model

    def drop(self, model_id: str) -> None:
        self._models.pop(model_id, None)

    def find(self, model_id: str, allowed: Collection[str] | None) -> Model:
        """The model; raises HiveError `not_found`, in the same words whether it is unknown or not allowed."""
        model = self._models.get(model_id)
        if model is None or (allowed is not None and model_id not in allowed):
            raise HiveError(
                Kind.NOT_FOUND,
                f"The model `{model_id[:200]}` does not exist or is not enabled for you.",
                "model",
                reason="model_not_found",
            )
        return model

    def with_fallbacks(self, model: Model, allowed: Collection[str] | None) -> list[Model]:
        """The model and, in their order, those of its fallbacks that exist and are allowed."""
        if not model.fallbacks:
            return [model]
        found = (self._models.get(name) for name in model.fallbacks if allowed is None or name in allowed)
        return [model, *(each for each in found if each is not None and each is not model)]

    def all(self, allowed: Collection[str] | None) -> Iterable[Model]:
        """The allowed models, sorted by id."""
        names = sorted(self._models)
        return [self._models[name] for name in names if allowed is None or name in allowed]
