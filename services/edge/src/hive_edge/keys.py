"""Whom an API key belongs to, answered from memory without asking anyone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hive_edge.limits import Limits
from hive_relay.principal import Principal
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

Models = frozenset[str] | None
"""The models that may be used; None stands for all."""


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    models: Models
    disabled: bool


@dataclass(frozen=True, slots=True)
class ApiKey:
    """sha256: of the key itself. expires_at: seconds since the epoch."""

    id: str
    tenant_id: str
    sha256: bytes
    models: Models
    expires_at: float | None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class Holder:
    """What a valid key stands for; another one after each change.

    principal: as services see the caller, the tenant's and the key's models intersected.
    """

    principal: Principal
    expires_at: float | None
    limits: Limits


class Keys:
    """Compiled at every change, so that a look-up is one hash and one dictionary access."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tenants: dict[str, Tenant] = {}
        self._keys: dict[str, ApiKey] = {}
        self._holders: dict[bytes, Holder] = {}

    def authenticate(self, key: str | None) -> Holder:
        """Who holds `key`; raises HiveError `unauthenticated`."""
        if not key:
            said = "No API key was given. Send it as `Authorization: Bearer sk-hive-…`."
            raise HiveError(Kind.UNAUTHENTICATED, said)
        holder = self._holders.get(hashlib.sha256(key.encode()).digest())
        if holder is None:
            raise HiveError(Kind.UNAUTHENTICATED, f"The API key {_shown(key)} is not known, or was revoked.")
        if holder.expires_at is not None and holder.expires_at <= self._clock.now():
            raise HiveError(Kind.UNAUTHENTICATED, f"The API key {_shown(key)} has expired.")
        return holder

    def holder_of(self, key_id: str) -> Holder:
        """Who holds the key of this id; raises HiveError `unauthenticated` where it is not in use any more."""
        key = self._keys.get(key_id)
        holder = None if key is None else self._holders.get(key.sha256)
        if holder is None or (holder.expires_at is not None and holder.expires_at <= self._clock.now()):
            raise HiveError(Kind.UNAUTHENTICATED, "The API key of this session was revoked or has expired.")
        return holder

    def put_tenant(self, tenant: Tenant) -> None:
        self._tenants[tenant.id] = tenant
        self._compile_keys_of(tenant.id)

    def drop_tenant(self, name: str) -> None:
        self._tenants.pop(name, None)
        self._compile_keys_of(name)

    def put_key(self, key: ApiKey) -> None:
        self.drop_key(key.id)
        self._keys[key.id] = key
        self._compile(key)

    def drop_key(self, name: str) -> None:
        if (old := self._keys.pop(name, None)) is not None:
            self._holders.pop(old.sha256, None)

    def _compile_keys_of(self, tenant: str) -> None:
        for key in self._keys.values():
            if key.tenant_id == tenant:
                self._compile(key)

    def _compile(self, key: ApiKey) -> None:
        tenant = self._tenants.get(key.tenant_id)
        if tenant is None or tenant.disabled:
            self._holders.pop(key.sha256, None)
            return
        principal = Principal(key.tenant_id, key.id, _both(tenant.models, key.models))
        self._holders[key.sha256] = Holder(principal, key.expires_at, key.limits)


def _both(one: Models, other: Models) -> Models:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _shown(key: str) -> str:
    """Enough of a key to recognise it, never enough to use it."""
    return f"`…{key[-4:]}`" if len(key) >= 20 else "in this request"
