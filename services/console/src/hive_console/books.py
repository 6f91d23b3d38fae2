"""Asks billing: the budgets of keys as domain values, and all else for the doors that translate it themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from typing import TypeVar

from hive_console.budgets import Budget
from hive_rpc import Channel
from hive_runtime.errors import HiveError, Kind
from modelhive.billing.v1 import books_pb2
from modelhive.billing.v1.books_pb2_grpc import BooksStub

T = TypeVar("T")

SECONDS = 10.0
LONG_SECONDS = 600.0
"""For what reads the whole ledger."""


async def answer_of(service: str, call: Awaitable[T]) -> T:
    """What the call answers; a service that is away is `unavailable` in words that name it."""
    try:
        return await call
    except HiveError as error:
        if error.kind not in (Kind.UNAVAILABLE, Kind.TIMEOUT):
            raise
        message = f"The {service} service does not answer ({error.message}) Try again in a moment."
        raise HiveError(Kind.UNAVAILABLE, message, retry_after=1) from error


class RpcBooks:
    """`hive_console.budgets.Books` over the wire."""

    def __init__(self, channel: Channel) -> None:
        self._stub = BooksStub(channel)

    async def fund(self, tenant_id: str, key_id: str, amount: int, cause: str) -> Budget:
        request = books_pb2.FundBudgetRequest(
            tenant_id=tenant_id, key_id=key_id, amount_nanos=amount, cause=cause
        )
        return await self._move(request)

    async def empty(self, tenant_id: str, key_id: str, cause: str) -> Budget:
        request = books_pb2.FundBudgetRequest(tenant_id=tenant_id, key_id=key_id, cause=cause, empty=True)
        return await self._move(request)

    async def budgets(self, key_ids: Collection[str]) -> Mapping[str, Budget]:
        request = books_pb2.ListBudgetsRequest(key_ids=key_ids)
        answer = await answer_of("billing", self._stub.ListBudgets(request, timeout=SECONDS))
        return {each.key_id: budget_of(each) for each in answer.budgets}

    async def _move(self, request: books_pb2.FundBudgetRequest) -> Budget:
        answer = await answer_of("billing", self._stub.FundBudget(request, timeout=SECONDS))
        return budget_of(answer.budget)


def budget_of(found: books_pb2.Budget) -> Budget:
    return Budget(
        key_id=found.key_id,
        tenant_id=found.tenant_id,
        balance=found.balance_nanos,
        held=found.leased_nanos,
        funded=found.funded_nanos,
        used=found.used_nanos,
    )
