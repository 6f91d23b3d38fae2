"""`/wallets` and `/budgets`: what there is to spend."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from pydantic import AfterValidator, Field

from hive_console.amounts import SomeUsd, usd
from hive_console.books import SECONDS, answer_of, budget_of
from hive_console.declarations import Form, Title, wrong
from hive_console.http.reading import AskedPage, body_of
from hive_console.pages import Listing
from hive_console.tenants import Tenants
from hive_console.wire import budget_answer, list_answer
from hive_rpc import Channel
from hive_runtime.errors import HiveError, Kind
from modelhive.billing.v1.books_pb2 import (
    CreditRequest,
    GetWalletRequest,
    ListBudgetsRequest,
    Wallet,
)
from modelhive.billing.v1.books_pb2_grpc import BooksStub

IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,200}")


def _sendable(value: str) -> str:
    if not IDEMPOTENCY_KEY.fullmatch(value):
        raise wrong("must be 1 to 200 printable ASCII characters without spaces")
    return value


class CreditForm(Form):
    amount_usd: SomeUsd
    note: Title = ""
    idempotency_key: Annotated[str, Field(max_length=200), AfterValidator(_sendable)] | None = None


def wallet_routes(tenants: Tenants, channel: Channel) -> APIRouter:
    router = APIRouter(prefix="/wallets")
    books = BooksStub(channel)

    async def wallet_of(tenant_id: str) -> dict[str, Any]:
        call = books.GetWallet(GetWalletRequest(tenant_id=tenant_id), timeout=SECONDS)
        return wallet_answer((await answer_of("billing", call)).wallet)

    @router.get("")
    async def list_wallets(page: AskedPage) -> dict[str, Any]:
        listing = await tenants.list(page)
        found = await asyncio.gather(*(wallet_of(tenant.id) for tenant in listing.items))
        return list_answer(Listing(found, listing.has_more), lambda wallet: wallet)

    @router.get("/{tenant}")
    async def get_wallet(tenant: str) -> dict[str, Any]:
        return await wallet_of((await tenants.get(tenant)).id)

    @router.post("/{tenant}/credit")
    async def credit(
        tenant: str,
        body: Annotated[CreditForm, Depends(body_of(CreditForm))],
        idempotency_key: Annotated[str | None, Header()] = None,
    ) -> dict[str, Any]:
        tenant = (await tenants.get(tenant)).id
        key = _one_key(idempotency_key, body.idempotency_key)
        request = CreditRequest(
            tenant_id=tenant,
            amount_nanos=body.amount_usd,
            cause=f"credit:{tenant}:{key}",
            source="manual",
            note=body.note,
        )
        done = await answer_of("billing", books.Credit(request, timeout=SECONDS))
        return {
            "object": "credit",
            "id": done.cause,
            "posted": done.posted,
            "amount_usd": usd(body.amount_usd),
            "wallet": wallet_answer(done.wallet),
        }

    return router


def _one_key(header: str | None, field: str | None) -> str:
    """What makes the credit unique; random where the caller names nothing."""
    if header is not None and not IDEMPOTENCY_KEY.fullmatch(header):
        message = "The header Idempotency-Key must be 1 to 200 printable ASCII characters without spaces."
        raise HiveError(Kind.INVALID, message, "idempotency_key")
    if header is not None and field is not None and header != field:
        message = "The header Idempotency-Key and the field idempotency_key differ: send one of them."
        raise HiveError(Kind.INVALID, message, "idempotency_key")
    return header or field or secrets.token_hex(12)


def budget_routes(tenants: Tenants, channel: Channel) -> APIRouter:
    router = APIRouter(prefix="/budgets")
    books = BooksStub(channel)

    @router.get("")
    async def list_budgets(tenant: str | None = None) -> dict[str, Any]:
        if tenant is not None:
            tenant = (await tenants.get(tenant)).id
        call = books.ListBudgets(ListBudgetsRequest(tenant_id=tenant or ""), timeout=SECONDS)
        found = sorted((await answer_of("billing", call)).budgets, key=lambda each: each.key_id)
        return list_answer(
            Listing(found, has_more=False),
            lambda each: {
                "object": "budget",
                "id": each.key_id,
                "key": each.key_id,
                "tenant": each.tenant_id,
                **budget_answer(budget_of(each)),
            },
        )

    return router


def wallet_answer(wallet: Wallet) -> dict[str, Any]:
    """held: of the balance, with those who run calls. receivable: what a metered tenant owes."""
    return {
        "object": "wallet",
        "id": wallet.tenant_id,
        "tenant": wallet.tenant_id,
        "mode": wallet.mode,
        "balance_usd": usd(wallet.balance_nanos),
        "held_usd": usd(wallet.leased_nanos),
        "receivable_usd": usd(wallet.receivable_nanos),
        "budgets_usd": usd(wallet.budgets_nanos),
        "funded_usd": usd(wallet.funded_nanos),
        "used_usd": usd(wallet.used_nanos),
    }
