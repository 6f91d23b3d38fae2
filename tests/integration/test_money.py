"""Money as the official Python SDK sees it: what it raises, what its raw answers and last chunks say."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from hive_testing.gateway import Launch, Served, eventually
from hive_testing.simulator import SimulatorThread

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 20,
    "total_tokens": 140,
    "prompt_tokens_details": {"cached_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
COST = (20 * Decimal("2.50") + 100 * Decimal("2.50") + 20 * Decimal(10)) / 1_000_000
"""The configured price has none for cached and reasoned tokens: they cost what all others do."""


@pytest.fixture(scope="module")
def bank(catalogue: dict[str, Any], launch: Launch) -> Iterator[Served]:
    """A gateway whose default tenant is prepaid and began with $10."""
    with launch("money", catalogue, HIVE_BOOTSTRAP_CREDIT_USD="10") as running:
        yield running


@pytest.fixture
def key(bank: Served, simulator: SimulatorThread) -> dict[str, Any]:
    """A key with $0.05 of its own, known to the gateway; the provider counts `USAGE` for it."""
    made = bank.add_key(budget_usd="0.05")
    simulator.script(usage=USAGE)
    return made


def test_what_an_answer_cost_stands_in_its_headers(bank: Served, key: dict[str, Any]) -> None:
    with bank.client(api_key=key["key"]) as client:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO, max_tokens=40)
        usage = raw.parse().usage
    assert Decimal(raw.headers["x-hive-cost"]) == COST
    assert (raw.headers["x-hive-provider"], raw.headers["x-hive-attempts"]) == ("sim", "1")
    assert usage is not None and usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 100


def test_what_a_stream_cost_stands_in_its_last_chunk(bank: Served, key: dict[str, Any]) -> None:
    with bank.client(api_key=key["key"]) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=HELLO, max_tokens=40, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(raw.parse())
    assert "x-hive-cost" not in raw.headers and raw.headers["x-hive-provider"] == "sim"
    last = chunks[-1]
    assert last.usage is not None and last.usage.completion_tokens == 20 and not last.choices
    assert last.model_extra is not None and Decimal(last.model_extra["hive"]["cost"]) == COST


def test_who_has_too_little_is_refused_in_the_promised_words(
    bank: Served, key: dict[str, Any], simulator: SimulatorThread
) -> None:
    with bank.client(api_key=key["key"], max_retries=2) as client, pytest.raises(openai.APIStatusError) as no:
        client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=20_000)
    error = no.value
    assert error.status_code == 402 and isinstance(error.body, dict)
    assert (error.body["type"], error.body["code"]) == ("budget_exceeded", 402)
    # 20,000 tokens and the prompt are a little more than 20 cents: what is needed is rounded up.
    assert error.body["message"] == "Insufficient budget. Remaining: $0.05, estimated cost: $0.21"
    assert not simulator.calls


def test_a_key_spends_its_budget_and_no_more(bank: Served, key: dict[str, Any]) -> None:
    with bank.client(api_key=key["key"]) as client:
        for _ in range(3):
            client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=40)

    def budget() -> dict[str, str]:
        (found,) = [each for each in bank.admin("GET", "/budgets")["data"] if each["key"] == key["id"]]
        return dict(found)

    eventually(lambda: Decimal(budget()["used_usd"]) == 3 * COST, what="three calls in the books")
    assert Decimal(budget()["remaining_usd"]) == Decimal("0.05") - 3 * COST


def test_what_failed_costs_nothing(bank: Served, key: dict[str, Any], simulator: SimulatorThread) -> None:
    simulator.script(status=400, once=True)
    with bank.client(api_key=key["key"]) as client, pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=40)
    (posted,) = bank.admin("GET", f"/ledger?key={key['id']}")["data"]
    assert posted["kind"] == "transfer"
