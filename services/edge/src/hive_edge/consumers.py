"""Door: changes of the control topic into the snapshot of keys and their limits."""

from __future__ import annotations

from hive_bus import StateChange
from hive_edge.keys import ApiKey, Keys, Models, Tenant
from hive_edge.limits import Limiter, Limits
from modelhive.control.v1 import control_pb2 as control


class ControlConsumer:
    """Applies what concerns the edge, tenants and keys; all else is not its matter."""

    def __init__(self, keys: Keys, limiter: Limiter) -> None:
        self._keys = keys
        self._limiter = limiter

    async def apply(self, change: StateChange[control.ControlChanged]) -> None:
        sort, _, name = change.key.partition("/")
        if sort == "tenant":
            if change.message is None:
                self._keys.drop_tenant(name)
            else:
                self._keys.put_tenant(_tenant(change.message.tenant))
        elif sort == "key":
            if change.message is None:
                self._keys.drop_key(name)
                self._limiter.drop(name)
            else:
                self._keys.put_key(_key(change.message.api_key))


def _tenant(found: control.Tenant) -> Tenant:
    return Tenant(found.id, _models(found), found.disabled)


def _key(found: control.ApiKey) -> ApiKey:
    expires_at = float(found.expires_at_unix) if found.HasField("expires_at_unix") else None
    return ApiKey(found.id, found.tenant_id, found.sha256, _models(found), expires_at, _limits(found))


def _limits(found: control.ApiKey) -> Limits:
    return Limits(
        requests=found.rpm if found.HasField("rpm") else None,
        tokens=found.tpm if found.HasField("tpm") else None,
        concurrency=found.concurrency if found.HasField("concurrency") else None,
    )


def _models(owner: control.Tenant | control.ApiKey) -> Models:
    return frozenset(owner.models.ids) if owner.HasField("models") else None
