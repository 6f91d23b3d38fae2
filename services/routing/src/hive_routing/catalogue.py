"""The models that can be asked, and where each is served: compiled when the control state changes.

Lookups on a request's path are one dictionary access, but for the first use of a name that only a pattern fits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from hive_routing.choosing.limits import Limit
from hive_routing.choosing.memory import make_room
from hive_routing.choosing.terms import PLAIN, Region, Routing, RoutingPolicy
from hive_routing.providers.port import Provider, Timeouts
from hive_routing.tokens import is_exact
from hive_runtime.errors import HiveError, Kind
from hive_runtime.model_names import by_specificity, filled, is_pattern, matched

Headers = tuple[tuple[bytes, bytes], ...]
Groups = Sequence[Sequence["Deployment"]]
"""In this order; within a group the model's policy decides."""

MOST_NAMES = 1_024
"""Names that patterns fit, as models of their own: those used first are forgotten first."""


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """One model at one provider.

    model: the provider's own name. bound_field: what the provider calls the output bound; empty: unknown.
    weight: share of the requests; 0 is asked only where all others failed. order: lower ones are asked first.
    region: where it is; empty: not known. limit: what it may be sent per minute. declared: `id` as operators wrote
    it, with a `*` where they wrote one: prices and limits go by it.
    """

    provider_id: str
    provider: Provider
    model: str
    weight: int
    timeouts: Timeouts
    bound_field: str
    order: int = 0
    region: str = ""
    limit: Limit | None = None
    declared: str = ""
    id: str = field(init=False)
    headers: Headers = field(init=False)

    def __post_init__(self) -> None:
        name = f"{self.provider_id}/{self.model}"
        object.__setattr__(self, "id", name)
        object.__setattr__(self, "declared", self.declared or name)
        headers = ((b"x-hive-provider", _header(self.provider_id)), (b"x-hive-deployment", _header(name)))
        object.__setattr__(self, "headers", headers)


@dataclass(frozen=True, slots=True)
class Model:
    """What clients ask for by name. `mode` is `chat`, `embedding` or empty: not known.

    declared: `id` as operators wrote it, with a `*` where they wrote one: prices and allow-lists go by it.
    groups: the deployments in the order in which they are asked. sole: the one that there is, where it has no limit.
    counted_as: a provider's own name of it, by which prompts are counted that any of its deployments may get.
    is_simple: nothing that a request says has any say in who is asked, but for its caller's wishes.
    """

    id: str
    created: int
    owned_by: str
    mode: str
    context_window: int | None
    deployments: tuple[Deployment, ...]
    fallbacks: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    context_fallbacks: tuple[str, ...] = ()
    routing: Routing = PLAIN
    declared: str = ""
    counted_as: str = field(init=False, compare=False)
    headers: Headers = field(init=False)
    groups: Groups = field(init=False, repr=False, compare=False)
    sole: Deployment | None = field(init=False, repr=False, compare=False)
    is_simple: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", ((b"x-hive-model", _header(self.id)),))
        object.__setattr__(self, "declared", self.declared or self.id)
        names = [each.model for each in self.deployments] or [self.id]
        estimated = [name for name in names if not is_exact(name)]  # where a bound has to be on the safe side
        object.__setattr__(self, "counted_as", (estimated or names)[0])
        object.__setattr__(self, "groups", self._grouped(self.routing.region, None))
        every = [each for group in self.groups for each in group]
        object.__setattr__(self, "sole", every[0] if len(every) == 1 and every[0].limit is None else None)
        weighed = self.routing.policy in (RoutingPolicy.STICKY, RoutingPolicy.CHEAPEST)
        has_others = bool(self.fallbacks or self.context_fallbacks)
        limited = any(each.limit is not None for each in self.deployments)
        object.__setattr__(self, "is_simple", not (weighed or has_others or limited))

    def groups_for(self, region: Region | None) -> Groups:
        """The deployments as a caller with this wish gets them asked; the model's own wish binds all the same."""
        return self.groups if region is None else self._grouped(self.routing.region, region)

    def _grouped(self, own: Region | None, asked: Region | None) -> Groups:
        """By weight 0 (the last resort), by region where one is preferred, then by order."""
        required = [each for each in (own, asked) if each is not None and each.required]
        preferred = asked or own
        groups: dict[tuple[bool, bool, int], list[Deployment]] = {}
        for each in self.deployments:
            if all(region.holds(each.region) for region in required):
                elsewhere = preferred is not None and not preferred.holds(each.region)
                groups.setdefault((not each.weight, elsewhere, each.order), []).append(each)
        return tuple(tuple(groups[place]) for place in sorted(groups))

    def named(self, name: str, part: str) -> Model:
        """This pattern as the model of one name that it fits. part: what the `*` stands for in it."""
        deployments = tuple(replace(each, model=filled(each.model, part)) for each in self.deployments)
        return replace(self, id=name, deployments=deployments)


def _header(value: str) -> bytes:
    """A value that may stand in a header; what may not is percent-encoded."""
    return quote(value, safe="/:@ ._-+~!").encode()


class Catalogue:
    """The models by their names, by their other names, and by patterns; an exact name counts before the others."""

    def __init__(self, built_in: Iterable[Model] = ()) -> None:
        """built_in: models that are there unless operators have declared one of the name; they are not listed."""
        self._built_in = {model.id: model for model in built_in}
        self._models: dict[str, Model] = {}
        self._aliases: dict[str, Model] = {}
        self._patterns: dict[str, Model] = {}
        self._specific_first: list[str] = []
        self._named: dict[str, Model] = {}

    def put(self, model: Model) -> None:
        self.drop(model.id)
        if is_pattern(model.id):
            self._patterns[model.id] = model
            self._specific_first = by_specificity(self._patterns)
        else:
            self._models[model.id] = model
            for alias in model.aliases:
                self._aliases[alias] = model

    def drop(self, model_id: str) -> None:
        if self._patterns.pop(model_id, None) is not None:
            self._specific_first.remove(model_id)
        elif (former := self._models.pop(model_id, None)) is not None:
            for alias in former.aliases:
                if self._aliases.get(alias) is former:
                    del self._aliases[alias]
        self._named.clear()

    def find(self, model_id: str, allowed: Collection[str] | None) -> Model:
        """The model; raises HiveError `not_found`, in the same words whether it is unknown or not allowed."""
        model = self._models.get(model_id) if allowed is None else None  # as nearly always
        if model is None and (model := self._find(model_id, allowed)) is None:
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
        return [model, *self._others(model, model.fallbacks, allowed)]

    def context_fallbacks(self, model: Model, allowed: Collection[str] | None) -> list[Model]:
        """The models for prompts that are too long for this one, as far as they exist and are allowed."""
        return self._others(model, model.context_fallbacks, allowed) if model.context_fallbacks else []

    def all(self, allowed: Collection[str] | None) -> Iterable[Model]:
        """The allowed models, sorted by id; an alias is one of them. What a pattern fits is not known here."""
        known = {alias: replace(model, id=alias) for alias, model in self._aliases.items()} | self._models
        return [model for name, model in sorted(known.items()) if _is_allowed(name, model, allowed)]

    def _find(self, name: str, allowed: Collection[str] | None) -> Model | None:
        model = self._models.get(name) or self._aliases.get(name) or self._by_pattern(name)
        model = model or self._built_in.get(name)
        return model if model is not None and _is_allowed(name, model, allowed) else None

    def _others(self, model: Model, names: Iterable[str], allowed: Collection[str] | None) -> list[Model]:
        found = (self._find(name, allowed) for name in names)
        return [each for each in found if each is not None and each.id != model.id]

    def _by_pattern(self, name: str) -> Model | None:
        """The model that the first pattern which fits makes of the name."""
        if (known := self._named.get(name)) is not None:
            return known
        for pattern in self._specific_first:
            if (part := matched(pattern, name)) is not None:
                make_room(self._named, MOST_NAMES)
                model = self._named[name] = self._patterns[pattern].named(name, part)
                return model
        return None


def _is_allowed(name: str, model: Model, allowed: Collection[str] | None) -> bool:
    """A list may name a model as it is, by the name that is asked for, or by the pattern that fits."""
    return allowed is None or name in allowed or model.id in allowed or model.declared in allowed
