"""`/ledger`, `/prices` and `/rerate`: the books themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from hive_console.amounts import price_answer, usd
from hive_console.books import LONG_SECONDS, SECONDS, answer_of
from hive_console.declarations import LATEST, Form
from hive_console.http.reading import body_of
from hive_console.moments import shown, unix_ms
from hive_console.pages import Listing
from hive_console.wire import list_answer
from hive_rpc import Channel
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from modelhive.billing.v1.books_pb2 import (
    ListPostingsRequest,
    ListPricesRequest,
    RerateRequest,
    RerateResponse,
    VerifyRequest,
    VerifyResponse,
)
from modelhive.billing.v1.books_pb2_grpc import BooksStub
from modelhive.events.v1.ledger_pb2 import LedgerPosted, PostingKind, PriceListed

Moment = Annotated[int, Field(ge=0, le=LATEST)] | str


class RerateForm(Form):
    """The span holds its start and not its end."""

    from_: Moment = Field(alias="from")
    to: Moment
    dry_run: bool = False
    tenant: str | None = None
    model: str | None = None


def ledger_routes(channel: Channel) -> APIRouter:
    router = APIRouter(prefix="/ledger")
    books = BooksStub(channel)

    @router.get("")
    async def list_postings(
        account: str = "",
        tenant: str = "",
        key: str = "",
        request: str = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 20,
        after: Annotated[int, Query(ge=0)] = 0,
        order: Literal["asc", "desc"] = "desc",
    ) -> dict[str, Any]:
        asked = ListPostingsRequest(
            after=after,
            limit=limit,
            newest_first=order == "desc",
            account=account,
            tenant_id=tenant,
            key_id=key,
            request_id=request,
        )
        found = await answer_of("billing", books.ListPostings(asked, timeout=SECONDS))
        return list_answer(Listing(found.postings, found.has_more), posting_answer)

    @router.post("/verify")
    async def verify() -> dict[str, Any]:
        call = books.Verify(VerifyRequest(), timeout=LONG_SECONDS)
        return verification_answer(await answer_of("billing", call))

    return router


def price_routes(channel: Channel) -> APIRouter:
    router = APIRouter(prefix="/prices")
    books = BooksStub(channel)

    @router.get("")
    async def list_prices(contains: str = "", past: bool = False) -> dict[str, Any]:
        call = books.ListPrices(ListPricesRequest(contains=contains, past=past), timeout=SECONDS)
        found = await answer_of("billing", call)
        return list_answer(Listing(found.prices, has_more=False), _price_answer)

    return router


def rerate_routes(channel: Channel, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/rerate")
    books = BooksStub(channel)

    @router.post("")
    async def rerate(body: Annotated[RerateForm, Depends(body_of(RerateForm))]) -> dict[str, Any]:
        now = clock.now()
        start, end = unix_ms(body.from_, now, "from"), unix_ms(body.to, now, "to")
        if end <= start:
            raise HiveError(Kind.INVALID, f"to: {shown(end)} is not after from, {shown(start)}", "to")
        request = RerateRequest(
            from_unix_ms=start,
            to_unix_ms=end,
            dry_run=body.dry_run,
            tenant_id=body.tenant or "",
            model=body.model or "",
        )
        done = await answer_of("billing", books.Rerate(request, timeout=LONG_SECONDS))
        return _rerate_answer(done, dry_run=body.dry_run)

    return router


def posting_answer(posting: LedgerPosted) -> dict[str, Any]:
    """id: its place in the ledger. Times in Unix milliseconds; entries sum to zero."""
    return {
        "id": posting.sequence,
        "object": "posting",
        "cause": posting.cause,
        "kind": PostingKind.Name(posting.kind).removeprefix("POSTING_KIND_").lower(),
        "occurred_unix_ms": posting.occurred_unix_ms,
        "posted_unix_ms": posting.posted_unix_ms,
        "tenant": posting.tenant_id or None,
        "key": posting.key_id or None,
        "request": posting.request_id or None,
        "model": posting.model or None,
        "provider": posting.provider or None,
        "deployment": posting.deployment or None,
        "spent_usd": usd(posting.spent_nanos),
        "provider_cost_usd": usd(posting.provider_cost_nanos),
        "entries": [
            {"account": each.account, "amount_usd": usd(each.amount_nanos)} for each in posting.entries
        ],
        "corrects": posting.corrects or None,
        "estimated": posting.estimated,
        "price_version": posting.price_version or None,
        "tags": list(posting.tags),
    }


def verification_answer(found: VerifyResponse) -> dict[str, Any]:
    return {
        "object": "verification",
        "ok": not found.problems,
        "postings": found.postings,
        "last_posting": found.last_sequence,
        "problems": list(found.problems),
        "balances": [
            {"account": each.account, "amount_usd": usd(each.amount_nanos)} for each in found.balances
        ],
    }


def _price_answer(price: PriceListed) -> dict[str, Any]:
    return {
        "object": "price",
        "id": price.subject,
        "source": price.source,
        "version": price.version,
        "valid_from_unix_ms": price.valid_from_unix_ms,
        "rates": [
            {**price_answer(rate.unit, rate.pico_dollars), "from_prompt_tokens": rate.from_prompt_tokens}
            for rate in price.rates
        ],
    }


def _rerate_answer(done: RerateResponse, *, dry_run: bool) -> dict[str, Any]:
    return {
        "object": "rerate",
        "dry_run": dry_run,
        "examined": done.examined,
        "changed": done.changed,
        "difference_usd": usd(done.difference_nanos),
        "changes": [
            {
                "tenant": each.tenant_id,
                "key": each.key_id,
                "model": each.model,
                "postings": each.postings,
                "before_usd": usd(each.before_nanos),
                "after_usd": usd(each.after_nanos),
                "difference_usd": usd(each.after_nanos - each.before_nanos),
            }
            for each in done.changes
        ],
    }
