"""`/doctor`: the books, their balances and analytics, compared to the nano-dollar."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

from fastapi import APIRouter

from hive_console.amounts import usd
from hive_console.books import LONG_SECONDS, SECONDS, answer_of
from hive_console.doctor import Place, Sums, differences
from hive_rpc import Channel
from modelhive.analytics.v1 import questions_pb2 as analytics
from modelhive.analytics.v1.questions_pb2_grpc import QuestionsStub
from modelhive.billing.v1 import books_pb2 as billing
from modelhive.billing.v1.books_pb2_grpc import BooksStub
from modelhive.events.v1.ledger_pb2 import LedgerPosted

PAGE = 1000
MOST_SHOWN = 20


class Total(Protocol):
    """What both services answer with."""

    tenant_id: str
    key_id: str
    day: str
    spent_nanos: int
    provider_cost_nanos: int
    postings: int


def doctor_routes(books_channel: Channel, questions_channel: Channel) -> APIRouter:
    router = APIRouter(prefix="/doctor")
    books, questions = BooksStub(books_channel), QuestionsStub(questions_channel)

    @router.get("")
    async def examine() -> dict[str, Any]:
        verified = await answer_of("billing", books.Verify(billing.VerifyRequest(), timeout=LONG_SECONDS))
        await answer_of("analytics", questions.Flush(analytics.FlushRequest(), timeout=LONG_SECONDS))
        call = questions.Totals(analytics.TotalsRequest(), timeout=LONG_SECONDS)
        seen = await answer_of("analytics", call)
        watermark = seen.through_sequence
        problems = [*verified.problems, *await _compared(books_channel, seen), *seen.problems]
        count = 0
        estimated: list[dict[str, Any]] = []
        async for posting in _estimated(books_channel, watermark):
            count += 1
            if len(estimated) < MOST_SHOWN:
                estimated.append(_estimated_answer(posting))
        return {
            "object": "examination",
            "ok": not problems,
            "watermark": watermark,
            "last_posting": max(verified.last_sequence, watermark),
            "postings": verified.postings,
            "problems": problems,
            "estimated": {"postings": count, "first": estimated},
        }

    return router


async def _compared(channel: Channel, seen: analytics.TotalsResponse) -> list[str]:
    """What differs, of the postings that both have."""
    watermark = seen.through_sequence
    if not watermark:
        return ["analytics counts usage of no posting at all"] if seen.totals else []
    call = BooksStub(channel).Totals(billing.TotalsRequest(through_sequence=watermark), timeout=LONG_SECONDS)
    kept = await answer_of("billing", call)
    if kept.last_sequence < watermark:
        return [f"analytics has posting {watermark}, and the books end with {kept.last_sequence}"]
    return list(differences(_by_place(kept.totals), _by_place(seen.totals)))


def _by_place(totals: Iterable[Total]) -> dict[Place, Sums]:
    return {
        Place(each.day, each.tenant_id, each.key_id): Sums(
            each.spent_nanos, each.provider_cost_nanos, each.postings
        )
        for each in totals
    }


async def _estimated(channel: Channel, through: int) -> AsyncIterator[LedgerPosted]:
    """The postings up to `through` that rest on a count of our own."""
    books, after = BooksStub(channel), 0
    while after < through:
        request = billing.ListPostingsRequest(after=after, limit=PAGE)
        page = await answer_of("billing", books.ListPostings(request, timeout=SECONDS))
        for posting in page.postings:
            if posting.estimated and posting.sequence <= through:
                yield posting
        if not page.has_more:
            return
        after = page.postings[-1].sequence


def _estimated_answer(posting: LedgerPosted) -> dict[str, Any]:
    return {
        "posting": posting.sequence,
        "request": posting.request_id,
        "key": posting.key_id,
        "deployment": posting.deployment,
        "spent_usd": usd(posting.spent_nanos),
        "provider_cost_usd": usd(posting.provider_cost_nanos),
    }
