"""Control records: what the other services hear of a tenant, a key, a provider or a model."""

from __future__ import annotations

from hive_console.control import (
    ApiKey,
    Model,
    Provider,
    Tenant,
    api_key_key,
    model_key,
    provider_key,
    tenant_key,
)
from modelhive.common.v1.common_pb2 import ModelList
from modelhive.control.v1 import control_pb2
from modelhive.control.v1.control_pb2 import ControlChanged

Entity = Tenant | ApiKey | Provider | Model


def record_of(entity: Entity, revision: int) -> ControlChanged:
    match entity:
        case Tenant():
            return ControlChanged(key=tenant_key(entity.id), revision=revision, tenant=_tenant(entity))
        case ApiKey():
            return ControlChanged(key=api_key_key(entity.id), revision=revision, api_key=_api_key(entity))
        case Provider():
            return ControlChanged(
                key=provider_key(entity.name), revision=revision, provider=_provider(entity)
            )
        case Model():
            return ControlChanged(key=model_key(entity.id), revision=revision, model=_model(entity))


def _models(ids: tuple[str, ...] | None) -> ModelList | None:
    return None if ids is None else ModelList(ids=ids)


def _tenant(tenant: Tenant) -> control_pb2.Tenant:
    return control_pb2.Tenant(
        id=tenant.id, name=tenant.name, models=_models(tenant.models), disabled=tenant.disabled
    )


def _api_key(key: ApiKey) -> control_pb2.ApiKey:
    return control_pb2.ApiKey(
        id=key.id,
        tenant_id=key.tenant_id,
        name=key.name,
        sha256=key.sha256,
        models=_models(key.models),
        expires_at_unix=key.expires_at,
        rpm=key.rpm,
        tpm=key.tpm,
        concurrency=key.concurrency,
    )


def _provider(provider: Provider) -> control_pb2.Provider:
    timeouts = provider.timeouts
    return control_pb2.Provider(
        id=provider.name,
        kind=provider.kind,
        base_url=provider.base_url,
        sealed_credential=provider.sealed_credential,
        timeouts=control_pb2.Timeouts(
            connect=timeouts.connect,
            first_byte=timeouts.first_byte,
            idle=timeouts.idle,
            total=timeouts.total,
        ),
        output_bound_field=provider.output_bound_field or "",
    )


def _model(model: Model) -> control_pb2.Model:
    return control_pb2.Model(
        id=model.id,
        created_unix=model.created,
        owned_by=model.owner,
        deployments=[
            control_pb2.Deployment(provider_id=each.provider, model=each.model, weight=each.weight)
            for each in model.deployments
        ],
        fallbacks=model.fallbacks,
        price=None
        if model.price is None
        else control_pb2.Price(units=model.price.units, per=model.price.per),
        mode=model.mode or "",
        context_window=model.context_window,
    )
