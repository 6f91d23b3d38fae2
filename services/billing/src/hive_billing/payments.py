"""The payment port, and the sandbox: a provider that is always paid, and remembers by whom."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import select

from hive_billing.tables import payments
from hive_runtime.clock import Clock
from hive_sql import Database, insert_into


class PaymentRefused(Exception):
    """The provider will not charge this, now or later."""


class PaymentProvider(Protocol):
    @property
    def name(self) -> str:
        """What its funding account is called."""
        ...

    async def charge(self, idempotency_key: str, tenant_id: str, amount: int) -> str:
        """Charge so many nano-dollars once; the payment's id.

        The same key again charges nothing and gives the same id, whatever became of the first call. Raises
        PaymentRefused, and anything else where the outcome is not known: then the same key is to be tried again.
        """
        ...


class Sandbox:
    """Charges nobody; its payments stand in a table of billing's own database."""

    name = "sandbox"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def charge(self, idempotency_key: str, tenant_id: str, amount: int) -> str:
        row = {
            "idempotency_key": idempotency_key,
            "payment_id": f"pay_{idempotency_key}",
            "tenant_id": tenant_id,
            "amount": amount,
            "created_ms": round(self._clock.now() * 1000),
        }
        async with self._database.transaction() as connection:
            await connection.execute(insert_into(connection, payments).values(row).on_conflict_do_nothing())
            query = select(payments.c.payment_id).where(payments.c.idempotency_key == idempotency_key)
            return str((await connection.execute(query)).scalar_one())
