"""The response cache, with the official Python SDK as the client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam

from hive_testing.gateway import Door, Launch, Served, eventually
from hive_testing.simulator import SimulatorThread


@pytest.fixture(scope="module")
def caching(catalogue: dict[str, Any], launch: Launch) -> Iterator[Served]:
    with launch("cache", catalogue, {"edge": 1}, HIVE_CACHE_SECONDS="600") as running:
        yield running


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def test_the_second_time_nobody_is_asked_and_it_costs_nothing(
    caching: Served, simulator: SimulatorThread
) -> None:
    with caching.client() as client:
        create = client.chat.completions.with_raw_response.create
        first, second = [create(model="gpt-4o", messages=user("twice")) for _ in range(2)]
        again = create(model="gpt-4o", messages=user("twice"), extra_headers={"x-hive-cache": "false"})
    assert [each.headers["x-hive-cache"] for each in (first, second, again)] == ["miss", "hit", "bypass"]
    assert first.parse() == second.parse() and second.headers["x-hive-cost"] == "0.00"
    assert len(simulator.calls) == 2


def test_a_stream_is_replayed_as_a_stream(caching: Served, simulator: SimulatorThread) -> None:
    simulator.script(content="one two three four five six", chunks=9)
    door = Door(caching.url, caching.key)
    body = {"model": "gpt-4o", "messages": user("stream"), "stream": True}
    first, second = [door.ask("POST", "/v1/chat/completions", body) for _ in range(2)]
    assert first.body == second.body and first.body.endswith(b"data: [DONE]\n\n")
    assert first.body.count(b"data: ") > 9
    assert [each.headers["x-hive-cache"] for each in (first, second)] == ["miss", "hit"]


def test_never_across_tenants(caching: Served, simulator: SimulatorThread) -> None:
    keys = []
    for tenant in ("one", "two"):
        caching.admin("POST", "/tenants", {"id": tenant, "name": tenant, "billing": {"mode": "metered"}})
        keys.append(caching.add_key(tenant)["key"])
    keys.append(caching.add_key("one")["key"])
    told = []
    for key in keys:
        with caching.client(api_key=key) as client:
            answer = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=user("mine"))
            told.append(answer.headers["x-hive-cache"])
    assert told == ["miss", "miss", "hit"] and len(simulator.calls) == 2


def test_equal_requests_at_once_make_one_call(caching: Served, simulator: SimulatorThread) -> None:
    """One for each process that has them under way."""
    simulator.script(latency=0.3)
    with caching.client() as client, ThreadPoolExecutor(20) as pool:
        create = client.chat.completions.with_raw_response.create
        answers = list(pool.map(lambda _: create(model="gpt-4o", messages=user("at once")), range(20)))
    assert 1 <= len(simulator.calls) <= caching.processes("routing")
    assert len({answer.parse().id for answer in answers}) == len(simulator.calls)


def test_operators_see_and_clear_it(caching: Served, simulator: SimulatorThread) -> None:
    with caching.client() as client:
        for _ in range(2):
            client.chat.completions.create(model="gpt-4o", messages=user("clear me"))
        stats = json.loads(caching.command("cache", "stats", "--json").stdout)
        assert stats["entries"] >= 1 and stats["hits"] >= 1 and stats["bytes"] > 0
        assert stats["max_bytes"] == 0 or stats["bytes"] <= stats["max_bytes"]  # 0: a server without a bound
        assert caching.command("cache", "clear").returncode == 0
        answer = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=user("clear me"))
    assert answer.headers["x-hive-cache"] == "miss" and len(simulator.calls) == 2

    def rate() -> bool:
        shown = caching.command("usage", "--question", "cache", "--json")
        assert shown.returncode == 0, shown.stderr
        (row,) = json.loads(shown.stdout)["data"]
        return int(row["hits"]) >= 2 and int(row["misses"]) >= 2

    eventually(rate, 60, "hits and misses in the usage")
