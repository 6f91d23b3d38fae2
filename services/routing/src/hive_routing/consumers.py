"""The door for events: control changes become providers' adapters and the catalogue's models, prices price tags."""

from __future__ import annotations

from hive_bus.port import StateChange
from hive_routing.caching.terms import TermsBook
from hive_routing.catalogue import Catalogue, Deployment, Model
from hive_routing.choosing.limits import Limit
from hive_routing.choosing.terms import Mirror, Region, Routing, RoutingPolicy
from hive_routing.prices import PriceBook, PriceTag
from hive_routing.providers.port import Timeouts
from hive_routing.providers.registry import ProviderRow, Providers
from hive_runtime.money import Tariff
from modelhive.control.v1 import control_pb2 as control
from modelhive.events.v1.ledger_pb2 import PriceListed

UNPRICED = "unpriced"
_DEFAULT = Timeouts()


class ControlConsumer:
    """Keeps the catalogue as the control topic says, and what tenants want of the cache; models may come before
    the providers that serve them."""

    def __init__(self, catalogue: Catalogue, providers: Providers, terms: TermsBook) -> None:
        self._terms = terms
        self._catalogue = catalogue
        self._providers = providers
        self._models: dict[str, control.Model] = {}

    async def apply(self, change: StateChange[control.ControlChanged]) -> None:
        kind, _, name = change.key.partition("/")
        if kind == "provider":
            self._apply_provider(name, change.message)
        elif kind == "model":
            self._apply_model(name, change.message)
        elif kind == "tenant":
            self._apply_tenant(name, change.message)

    def _apply_tenant(self, name: str, message: control.ControlChanged | None) -> None:
        if message is None:
            self._terms.drop(name)
            return
        cache = message.tenant.cache
        ttl = cache.ttl_seconds if cache.HasField("ttl_seconds") else None
        self._terms.put(name, ttl, cache.price_percent)

    def _apply_provider(self, name: str, message: control.ControlChanged | None) -> None:
        if message is None:
            self._providers.drop(name)
        elif not self._providers.put(_row(message.provider)):
            return
        for model in self._models.values():
            if any(each.provider_id == name for each in model.deployments):
                self._catalogue.put(self._compile(model))

    def _apply_model(self, name: str, message: control.ControlChanged | None) -> None:
        if message is None:
            self._models.pop(name, None)
            self._catalogue.drop(name)
        else:
            self._models[name] = message.model
            self._catalogue.put(self._compile(message.model))

    def _compile(self, model: control.Model) -> Model:
        deployments = (self._deployment(each) for each in model.deployments)
        return Model(
            id=model.id,
            created=model.created_unix,
            owned_by=model.owned_by,
            mode=model.mode,
            context_window=model.context_window if model.HasField("context_window") else None,
            deployments=tuple(each for each in deployments if each is not None),
            fallbacks=tuple(model.fallbacks),
            aliases=tuple(model.aliases),
            context_fallbacks=tuple(model.context_fallbacks),
            routing=_routing(model.routing),
        )

    def _deployment(self, deployment: control.Deployment) -> Deployment | None:
        """None where its provider is not there (yet)."""
        known = self._providers.get(deployment.provider_id)
        if known is None:
            return None
        return Deployment(
            provider_id=deployment.provider_id,
            provider=known.adapter,
            model=deployment.model,
            weight=deployment.weight,
            timeouts=known.row.timeouts,
            bound_field=known.row.bound_field,
            order=deployment.order,
            region=deployment.region,
            limit=_limit(deployment),
        )


def _limit(deployment: control.Deployment) -> Limit | None:
    rpm = deployment.rpm if deployment.HasField("rpm") else None
    tpm = deployment.tpm if deployment.HasField("tpm") else None
    return None if rpm is None and tpm is None else Limit(rpm, tpm)


def _routing(said: control.Routing) -> Routing:
    return Routing(
        policy=_policy(said.policy),
        region=Region(said.region, said.region_required) if said.region else None,
        hedge_seconds=said.hedge_after_ms / 1000 if said.HasField("hedge_after_ms") else None,
        may_hedge=not said.no_hedge_by_header,
        mirror=Mirror(said.mirror_to, said.mirror_percent) if said.mirror_to else None,
    )


def _policy(number: int) -> RoutingPolicy:
    """By weight where it is not said, or is one of a newer release."""
    try:
        return RoutingPolicy(number)
    except ValueError:
        return RoutingPolicy.WEIGHTED


def _row(provider: control.Provider) -> ProviderRow:
    given = provider.timeouts
    return ProviderRow(
        id=provider.id,
        kind=provider.kind,
        base_url=provider.base_url,
        credential=provider.sealed_credential,
        timeouts=Timeouts(
            connect=given.connect or _DEFAULT.connect,
            first_byte=given.first_byte or _DEFAULT.first_byte,
            idle=given.idle or _DEFAULT.idle,
            total=given.total or _DEFAULT.total,
        ),
        bound_field=provider.output_bound_field,
        options=dict(provider.options),
    )


class PriceConsumer:
    """Keeps the price book as billing lists it."""

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices

    async def apply(self, change: StateChange[PriceListed]) -> None:
        if change.message is None:
            self._prices.drop(change.key)
        else:
            self._prices.put(_tag(change.message))


def _tag(listed: PriceListed) -> PriceTag:
    tariff = None
    if listed.source != UNPRICED:
        tariff = Tariff.of((each.unit, each.pico_dollars, each.from_prompt_tokens) for each in listed.rates)
    return PriceTag(listed.subject, listed.version, tariff)
