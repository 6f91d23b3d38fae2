"""The door for other services: questions, totals, and receipts for those who tell usage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc.aio

from hive_analytics.asking import Asked, question_of, statement
from hive_analytics.books import Books
from hive_analytics.consumers import Consumers
from hive_analytics.grains import DAY
from hive_analytics.intake import Receipts
from hive_analytics.postings import Postings
from hive_analytics.questions import QUESTIONS, Column, Lines, Runway
from hive_analytics.rollups import Rollups
from hive_analytics.runway import DAYS, Lasts, lasting
from hive_analytics.store import Store
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from modelhive.analytics.v1 import questions_pb2 as pb
from modelhive.analytics.v1.questions_pb2_grpc import QuestionsServicer
from modelhive.events.v1.receipts_pb2 import KeptRequest, KeptResponse
from modelhive.events.v1.receipts_pb2_grpc import ReceiptsServicer

Context = grpc.aio.ServicerContext[Any, Any]


class Questions(QuestionsServicer):
    def __init__(
        self,
        store: Store,
        consumers: Consumers,
        rollups: Rollups,
        postings: Postings,
        books: Books,
        clock: Clock,
    ) -> None:
        self._store = store
        self._consumers = consumers
        self._rollups = rollups
        self._postings = postings
        self._books = books
        self._clock = clock

    async def Ask(self, request: pb.AskRequest, context: Context) -> pb.AskResponse:
        asked = _asked(request)
        question = question_of(asked)
        if not isinstance(question, Lines):
            await self._rollups.fresh()
        if isinstance(question, Runway):
            lasts = await self._runway(asked)
            limit = min(asked.limit or question.bound, question.bound)
            rows = [
                [each.purse.tenant, each.purse.key, each.purse.left, each.per_day, each.days]
                for each in lasts
            ]
            return _response(question.columns, rows[:limit], len(rows) > limit)
        made = statement(question, asked, self._now())
        rows, truncated = await self._store.answer(made)
        return _response(made.columns, rows, truncated)

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        return pb.ListResponse(
            questions=(
                pb.Question(
                    name=question.name,
                    says=question.says,
                    dimensions=question.dimensions,
                    takes_step=question.takes_step,
                )
                for question in QUESTIONS.values()
            )
        )

    async def Totals(self, request: pb.TotalsRequest, context: Context) -> pb.TotalsResponse:
        if request.through_sequence < 0:
            raise HiveError(Kind.INVALID, "through_sequence: sequences begin with 1.", "through_sequence")
        await self._rollups.catch_up()
        through = await self._postings.through()
        totals = await self._store.totals(request.through_sequence or through)
        return pb.TotalsResponse(
            totals=(
                pb.Total(
                    tenant_id=each.tenant,
                    key_id=each.key,
                    day=each.day,
                    spent_nanos=each.spent,
                    provider_cost_nanos=each.provider_cost,
                    postings=each.postings,
                )
                for each in totals
            ),
            through_sequence=through,
            problems=await self._store.differences(),
        )

    async def Flush(self, request: pb.FlushRequest, context: Context) -> pb.FlushResponse:
        await self._consumers.settled()
        await self._rollups.catch_up()
        return pb.FlushResponse()

    async def _runway(self, asked: Asked) -> list[Lasts]:
        if asked.start or asked.end:
            raise HiveError(
                Kind.INVALID,
                f"from_unix_ms: the question 'runway' looks at the last {DAYS} days.",
                "from_unix_ms",
            )
        now = self._now()
        spend = Asked("spend", now - DAYS * DAY, now, by=("tenant", "key"), filters=asked.filters)
        question = question_of(spend)
        assert not isinstance(question, Runway)
        rows, _ = await self._store.answer(statement(question, spend, now))
        spent = {(tenant, key): nanos for tenant, key, nanos, *_ in rows}
        filters = dict(asked.filters)
        tenants, keys = filters.get("tenant", ()), filters.get("key", ())
        purses = await self._books.budgets(tenants, [key for key in keys if key])
        if not keys:
            known = {*(tenant for tenant, _ in spent), *(purse.tenant for purse in purses), *tenants}
            purses += await self._books.wallets(sorted(known))
        return lasting(purses, spent)

    def _now(self) -> int:
        return int(self._clock.now() * 1000)


class Kept(ReceiptsServicer):
    def __init__(self, receipts: Receipts) -> None:
        self._receipts = receipts

    async def Kept(self, request: KeptRequest, context: Context) -> KeptResponse:
        return KeptResponse(through_sequence=await self._receipts.kept(request.holder))


def _asked(request: pb.AskRequest) -> Asked:
    return Asked(
        question=request.question,
        start=request.from_unix_ms,
        end=request.to_unix_ms,
        step=request.step,
        by=tuple(request.by),
        filters=tuple((each.dimension, tuple(each.values)) for each in request.filters),
        limit=request.limit,
    )


def _response(columns: Sequence[Column], rows: Sequence[Sequence[Any]], truncated: bool) -> pb.AskResponse:
    return pb.AskResponse(
        columns=(pb.Column(name=column.name, kind=column.kind) for column in columns),
        rows=(pb.Row(cells=map(_cell, row)) for row in rows),
        truncated=truncated,
    )


def _cell(value: Any) -> pb.Cell:
    if isinstance(value, str):
        return pb.Cell(text=value)
    if isinstance(value, int):
        return pb.Cell(integer=value)
    return pb.Cell() if value is None else pb.Cell(real=value)
