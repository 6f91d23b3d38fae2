"""`/usage`: the named questions, asked of analytics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from hive_console.amounts import usd
from hive_console.books import answer_of
from hive_console.http.reading import parameters
from hive_console.moments import shown, unix_ms
from hive_rpc import Channel
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from modelhive.analytics.v1.questions_pb2 import AskRequest, AskResponse, Cell, Filter, ListRequest
from modelhive.analytics.v1.questions_pb2_grpc import QuestionsStub

SECONDS = 60.0
DIMENSIONS = ("tenant", "key", "model", "provider", "deployment", "tag", "guard", "stage")
OPTIONS = ("question", "by", "step", "from", "to", "limit")
WRITTEN = {"from_unix_ms": "from", "to_unix_ms": "to"}
"""What fields of the contract are called here."""


def usage_routes(channel: Channel, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/usage")
    questions = QuestionsStub(channel)

    @router.get("", dependencies=[Depends(parameters(*DIMENSIONS, *OPTIONS))])
    async def ask(
        request: Request,
        question: str = "usage",
        by: Annotated[list[str] | None, Query()] = None,
        step: str = "",
        from_: Annotated[str, Query(alias="from")] = "",
        to: str = "",
        limit: Annotated[int, Query(ge=0, le=10_000)] = 0,
    ) -> dict[str, Any]:
        now = clock.now()
        asked = AskRequest(
            question=question,
            from_unix_ms=unix_ms(from_, now, "from") if from_ else 0,
            to_unix_ms=unix_ms(to, now, "to") if to else 0,
            step=step,
            by=_words(by or ()),
            filters=_filters(request),
            limit=limit,
        )
        try:
            found = await answer_of("analytics", questions.Ask(asked, timeout=SECONDS))
        except HiveError as error:
            if error.param not in WRITTEN:
                raise
            param = WRITTEN[error.param]
            raise HiveError(error.kind, error.message.replace(error.param, param), param) from None
        return usage_answer(question, found)

    @router.get("/questions")
    async def list_questions() -> dict[str, Any]:
        found = await answer_of("analytics", questions.List(ListRequest(), timeout=SECONDS))
        data = [
            {
                "object": "question",
                "id": each.name,
                "says": each.says,
                "dimensions": list(each.dimensions),
                "takes_step": each.takes_step,
            }
            for each in found.questions
        ]
        return {"object": "list", "data": data, "has_more": False}

    return router


def usage_answer(question: str, found: AskResponse) -> dict[str, Any]:
    """Each row by the names of its columns; amounts as decimal strings of dollars, moments in RFC 3339."""
    names = [column.name for column in found.columns]
    kinds = [column.kind for column in found.columns]
    return {
        "object": "usage",
        "question": question,
        "columns": [
            {"name": column.name, "kind": "usd" if column.kind == "nanos" else column.kind}
            for column in found.columns
        ],
        "data": [
            {name: _value(cell, kind) for name, cell, kind in zip(names, row.cells, kinds, strict=True)}
            for row in found.rows
        ],
        "truncated": found.truncated,
    }


def _value(cell: Cell, kind: str) -> str | int | float | None:
    held = cell.WhichOneof("value")
    if held is None:
        return None
    if kind in ("nanos", "time"):
        if held != "integer":
            raise ValueError(f"a value of kind {kind} has to be an integer, not {held}")
        return usd(cell.integer) if kind == "nanos" else shown(cell.integer)
    value: str | int | float = getattr(cell, held)
    return value


def _words(written: Sequence[str]) -> list[str]:
    """Repeated or with commas between."""
    return [word.strip() for each in written for word in each.split(",") if word.strip()]


def _filters(request: Request) -> list[Filter]:
    query = request.query_params
    return [Filter(dimension=name, values=query.getlist(name)) for name in DIMENSIONS if name in query]
