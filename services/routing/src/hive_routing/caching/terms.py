"""For how long a tenant's answers are kept, and what one costs that is given again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """ttl_seconds: 0 keeps nothing. price_percent: of what the answer cost when a provider gave it."""

    ttl_seconds: float
    price_percent: int = 0

    def price(self, cost: int) -> int:
        """Nano-dollars for an answer that cost so many; half of one is rounded to even."""
        whole, rest = divmod(cost * self.price_percent, 100)
        return whole + (rest > 50 or (rest == 50 and whole % 2 == 1))


class TermsBook:
    """The terms of all tenants."""

    def __init__(self, default_ttl_seconds: float) -> None:
        self._default = Terms(default_ttl_seconds)
        self._terms: dict[str, Terms] = {}

    def put(self, tenant_id: str, ttl_seconds: float | None, price_percent: int) -> None:
        """ttl_seconds: None is the default of the deployment."""
        ttl = self._default.ttl_seconds if ttl_seconds is None else ttl_seconds
        self._terms[tenant_id] = Terms(ttl, price_percent)

    def drop(self, tenant_id: str) -> None:
        self._terms.pop(tenant_id, None)

    def of(self, tenant_id: str) -> Terms:
        return self._terms.get(tenant_id, self._default)
