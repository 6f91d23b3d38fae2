"""Questions about usage, and the examination of books and analytics."""

from __future__ import annotations

from typing import Any

import pytest

from hive_runtime.errors import HiveError, Kind
from modelhive.analytics.v1 import questions_pb2 as analytics
from modelhive.analytics.v1.questions_pb2 import Cell, Column, Row
from modelhive.billing.v1 import books_pb2 as billing
from modelhive.events.v1.ledger_pb2 import LedgerPosted

NOW = 1_790_000_000


async def test_an_answer_has_exact_dollars_and_moments(till: Any, questions: Any) -> None:
    questions.answer = analytics.AskResponse(
        columns=[
            Column(name="time", kind="time"),
            Column(name="key", kind="text"),
            Column(name="requests", kind="count"),
            Column(name="spent", kind="nanos"),
            Column(name="p50", kind="milliseconds"),
            Column(name="ttft", kind="milliseconds"),
        ],
        rows=[
            Row(
                cells=[
                    Cell(integer=1_790_000_000_000),
                    Cell(text="key_a"),
                    Cell(integer=3),
                    Cell(integer=1_000_000_001),
                    Cell(real=12.5),
                    Cell(),
                ]
            )
        ],
        truncated=True,
    )
    found = await till.ask("GET", "/usage?by=key&step=day")
    assert found["columns"][3] == {"name": "spent", "kind": "usd"}
    assert found["data"] == [
        {
            "time": "2026-09-21T14:13:20Z",
            "key": "key_a",
            "requests": 3,
            "spent": "1.000000001",
            "p50": 12.5,
            "ttft": None,
        }
    ]
    assert (found["question"], found["truncated"]) == ("usage", True)


async def test_a_question_is_passed_on_as_it_was_asked(till: Any, questions: Any) -> None:
    query = (
        "question=latency&by=key,model&by=tag&step=hour&from=7d&to=2026-11-01T00:00:00Z"
        "&tenant=a&tenant=b&tag=x&limit=5"
    )
    await till.ask("GET", f"/usage?{query}")
    (asked,) = questions.asked
    assert (asked.question, list(asked.by), asked.step, asked.limit) == (
        "latency",
        ["key", "model", "tag"],
        "hour",
        5,
    )
    assert (asked.from_unix_ms, asked.to_unix_ms) == ((NOW - 7 * 86_400) * 1000, 1_793_491_200_000)
    filters = [(each.dimension, list(each.values)) for each in asked.filters]
    assert filters == [("tenant", ["a", "b"]), ("tag", ["x"])]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("tennant=a", "tennant: unknown parameter; did you mean 'tenant'?"),
        ("from=soon", "from: must be a date"),
        ("limit=-1", "limit"),
    ],
)
async def test_a_wrong_question_is_refused(till: Any, questions: Any, query: str, words: str) -> None:
    error = await till.error("GET", f"/usage?{query}", status=400)
    assert words in error["message"] and error["param"] == query.split("=")[0]
    assert not questions.asked


async def test_analytics_own_words_name_what_the_caller_wrote(till: Any, questions: Any) -> None:
    questions.refusing = HiveError(Kind.INVALID, "to_unix_ms: 1 is not after from", "to_unix_ms")
    error = await till.error("GET", "/usage", status=400)
    assert (error["param"], error["message"]) == ("to", "to: 1 is not after from")


async def test_the_questions_are_listed(till: Any, questions: Any) -> None:
    question = analytics.Question(
        name="spend", says="What was paid.", dimensions=["tenant", "key"], takes_step=True
    )
    questions.listed = analytics.ListResponse(questions=[question])
    assert (await till.ask("GET", "/usage/questions"))["data"] == [
        {
            "object": "question",
            "id": "spend",
            "says": "What was paid.",
            "dimensions": ["tenant", "key"],
            "takes_step": True,
        }
    ]


# The doctor

PLACES = [("default", "key_a", "2026-11-24"), ("default", "key_b", "2026-11-25")]


def totals(kind: Any, *amounts: int) -> list[Any]:
    return [
        kind(tenant_id=tenant, key_id=key, day=day, spent_nanos=spent, provider_cost_nanos=spent, postings=1)
        for (tenant, key, day), spent in zip(PLACES, amounts, strict=False)
    ]


@pytest.fixture
def well(books: Any, questions: Any) -> None:
    """Books of five postings, four of which analytics has heard of; the fourth is estimated, and the fifth."""
    books.verified = billing.VerifyResponse(postings=5, last_sequence=5)
    books.totals = billing.TotalsResponse(totals=totals(billing.Total, 10, 20), last_sequence=4)
    questions.totals = analytics.TotalsResponse(
        totals=reversed(totals(analytics.Total, 10, 20)), through_sequence=4
    )
    books.postings = [
        LedgerPosted(sequence=n, request_id=f"req_{n}", estimated=n > 3, spent_nanos=n) for n in range(1, 6)
    ]


@pytest.mark.usefixtures("well")
async def test_all_is_well_up_to_the_watermark(till: Any, books: Any) -> None:
    found = await till.ask("GET", "/doctor")
    assert (found["ok"], found["problems"]) == (True, [])
    assert (found["watermark"], found["last_posting"], found["postings"]) == (4, 5, 5)
    assert found["estimated"]["postings"] == 1
    assert found["estimated"]["first"][0]["request"] == "req_4"
    assert found["estimated"]["first"][0]["spent_usd"] == "0.000000004"
    assert books.last(billing.TotalsRequest).through_sequence == 4


@pytest.mark.usefixtures("well")
async def test_one_nano_dollar_is_a_difference(till: Any, questions: Any) -> None:
    questions.totals.totals[0].spent_nanos += 1
    found = await till.ask("GET", "/doctor")
    assert found["ok"] is False
    assert found["problems"] == [
        "2026-11-25, tenant 'default', key 'key_b': spent is $0.00000002 by the books and $0.000000021"
        " by analytics ($0.000000001 apart)"
    ]


@pytest.mark.usefixtures("well")
async def test_the_first_difference_comes_first(till: Any, books: Any, questions: Any) -> None:
    del questions.totals.totals[:]
    questions.totals.problems.append("the rollup of 2026-11-25 10:00 is stale")
    books.verified.problems.append("wallet:default is 5 and its entries sum to 6")
    found = (await till.ask("GET", "/doctor"))["problems"]
    assert found[0] == "wallet:default is 5 and its entries sum to 6"
    assert found[1].startswith("2026-11-24, tenant 'default', key 'key_a': spent is $0.00000001 by the books")
    assert "the books have 1 postings, analytics has 0" in found[3]
    assert found[-1] == "the rollup of 2026-11-25 10:00 is stale"


@pytest.mark.usefixtures("well")
async def test_a_posting_that_the_books_do_not_have_is_a_difference(till: Any, questions: Any) -> None:
    questions.totals.through_sequence = 6
    found = await till.ask("GET", "/doctor")
    assert found["problems"] == ["analytics has posting 6, and the books end with 4"]


async def test_books_with_nothing_in_them_are_fine(till: Any) -> None:
    found = await till.ask("GET", "/doctor")
    assert (found["ok"], found["watermark"]) == (True, 0)
