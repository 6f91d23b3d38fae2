"""What billing reads from the environment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from hive_billing.leases import Spans
from hive_billing.pricing import parse_ceiling
from hive_runtime.money import Tariff, parse_usd
from hive_runtime.settings import Settings


class BillingSettings(Settings):
    """Money: what the first wallet starts with, how payments are made, how long leases last."""

    bootstrap_credit_usd: str = Field(
        "", description="Dollars, such as `10.00`, that tenant `default` is credited with, once."
    )
    payments: Literal["sandbox"] = Field(
        "sandbox", description="Who recharges wallets. `sandbox`: nobody is charged, every payment is made."
    )
    ceiling_price: str = Field(
        "",
        description="What models without a price cost, in dollars per million units, such as"
        " `prompt=10,completion=30`. Empty: they are refused.",
    )
    billing_lease_seconds: float = Field(
        60, gt=0, description="How long routing may spend what it was lent without asking again."
    )
    billing_lease_grace_seconds: float = Field(
        660, ge=0, description="How long after that it stays booked: the longest call, and then the telling."
    )

    billing_takeover_seconds: float = Field(
        5, ge=1, description="How long after its last sign of life another process takes the books over."
    )

    billing_holders: int = Field(
        1,
        ge=1,
        description="How many processes of routing there are: with more than one, none is lent all of a budget, so"
        " that the others can go on while one that died has not come back.",
    )

    @field_validator("bootstrap_credit_usd")
    @classmethod
    def _is_amount(cls, text: str) -> str:
        if text and parse_usd(text) <= 0:
            raise ValueError("must be more than 0")
        return text

    @field_validator("ceiling_price")
    @classmethod
    def _is_price(cls, text: str) -> str:
        parse_ceiling(text)
        return text

    @property
    def bootstrap_credit(self) -> int:
        """Nano-dollars; 0 where there is none."""
        return parse_usd(self.bootstrap_credit_usd) if self.bootstrap_credit_usd else 0

    @property
    def ceiling(self) -> Tariff | None:
        return parse_ceiling(self.ceiling_price)

    @property
    def spans(self) -> Spans:
        return Spans(self.billing_lease_seconds, self.billing_lease_grace_seconds)
