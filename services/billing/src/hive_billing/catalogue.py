"""What has a price: the providers and models of the control state, as far as prices need them."""

from __future__ import annotations

from typing import TypeVar

from hive_billing.pricing import Deployment, Model, Provider, configured_tariff
from hive_bus.port import StateChange
from modelhive.control.v1 import control_pb2 as control

T = TypeVar("T")


class Catalogue:
    """The newest of each. Models may be heard of before the providers that serve them."""

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.models: dict[str, Model] = {}

    def apply(self, change: StateChange[control.ControlChanged]) -> bool:
        """Take one change in; true where it may change a price. ValueError for a price that cannot be read."""
        kind, _, name = change.key.partition("/")
        if kind == "provider":
            return _put(self.providers, name, change.message and _provider(change.message.provider))
        if kind == "model":
            return _put(self.models, name, change.message and _model(change.message.model))
        return False


def _put(known: dict[str, T], name: str, value: T | None) -> bool:
    if known.get(name) == value:
        return False
    if value is None:
        del known[name]
    else:
        known[name] = value
    return True


def _provider(provider: control.Provider) -> Provider:
    return Provider(provider.kind, provider.base_url, provider.free)


def _model(model: control.Model) -> Model:
    configured = None
    if model.HasField("price"):
        configured = configured_tariff(model.price.units, model.price.per)
    deployments = (Deployment(each.provider_id, each.model) for each in model.deployments)
    return Model(tuple(deployments), tuple(model.fallbacks), configured)
