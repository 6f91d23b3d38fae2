"""A routing process sleeps past its session with the broker and past its leases, and wakes up: others have done its
work, nothing runs once more, and nobody pays twice."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

import openai
import pytest

from hive_testing.cluster import Cluster
from hive_testing.http import eventually
from hive_testing.proofs import cause_of, posted, prove
from hive_testing.simulator import SimulatorThread
from hive_testing.simulator.bill import BillLine
from hive_testing.simulator.calls import Call

pytestmark = pytest.mark.cluster

CREDIT = Decimal(1000)
EACH = 40
LEASE_SECONDS, GRACE_SECONDS, SESSION_SECONDS = 5, 5, 6
SLEEP_SECONDS = LEASE_SECONDS + GRACE_SECONDS + SESSION_SECONDS
"""Past its session, and past the time for which anything that it was lent is booked."""


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "HIVE_BILLING_LEASE_SECONDS": str(LEASE_SECONDS),
        "HIVE_BILLING_LEASE_GRACE_SECONDS": str(GRACE_SECONDS),
    }


async def whole(client: openai.AsyncOpenAI, model: str, words: str) -> str:
    """How a call that is not streamed ended."""
    try:
        answer = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": words}]
        )
    except openai.APIError as error:
        return f"{type(error).__name__}: {error}"
    return "answered" if answer.choices[0].message.content == f"Echo: {words}" else "another's answer"


async def stream(client: openai.AsyncOpenAI, words: str, begun: asyncio.Queue[str]) -> str:
    """How a stream ended; says in `begun` that its first content came."""
    came = finished = False
    try:
        events = await client.chat.completions.create(
            model="stream", messages=[{"role": "user", "content": words}], stream=True
        )
        async for event in events:
            if event.choices and event.choices[0].delta.content and not came:
                came = True
                begun.put_nowait(words)
            finished = finished or bool(event.choices and event.choices[0].finish_reason)
    except openai.APIError as error:
        return "error event" if "broke off" in str(error) else f"{type(error).__name__}: {error}"
    return "finished" if finished else "silent end"


@pytest.mark.timeout(240)
async def test_past_its_session_and_its_leases(cluster: Cluster, simulator: SimulatorThread) -> None:
    sleeping = cluster["routing-0"]
    async with cluster.async_client(timeout=60) as client:
        begun: asyncio.Queue[str] = asyncio.Queue()
        streams = [asyncio.ensure_future(stream(client, f"stream {n}", begun)) for n in range(EACH)]
        for _ in range(EACH):
            await asyncio.wait_for(begun.get(), 30)
        wholes = [asyncio.ensure_future(whole(client, "slow", f"whole {n}")) for n in range(EACH)]
        await asyncio.to_thread(simulator.wait_for_calls, 2 * EACH, 30)
        await asyncio.to_thread(sleeping.pause)
        night = asyncio.ensure_future(asyncio.sleep(SLEEP_SECONDS))
        late = await asyncio.gather(*(whole(client, "plain", f"late {n}") for n in range(EACH)))
        answers = Counter(await asyncio.gather(*wholes))
        await night
        before = Counter(map(request_of, simulator.calls))
        await asyncio.to_thread(sleeping.resume)
        ends = Counter(await asyncio.gather(*streams))
        await asyncio.to_thread(eventually, sleeping.is_ready, 2 * SLEEP_SECONDS, "it woke up")
        again = await asyncio.gather(*(whole(client, "plain", f"again {n}") for n in range(EACH)))
    assert Counter(late) == Counter(again) == answers == {"answered": EACH}
    assert ends.keys() == {"finished", "error event"}, ends
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    calls = simulator.calls
    runs = Counter(map(request_of, calls))
    assert {request: runs[request] for request in before} == before, "it ran again when it woke up"
    assert_run_again_for_want_of_an_answer(calls, runs)
    await asyncio.to_thread(assert_paid_once, cluster, runs, simulator.bill)
    twice = sum(count > 1 for count in runs.values())
    print(f"\n{dict(ends)}, {twice} requests ran twice, none after it woke up. {proof}")


def request_of(call: Call) -> str:
    return call.header(b"x-client-request-id").rsplit("-", 2)[0]


def assert_run_again_for_want_of_an_answer(calls: Sequence[Call], runs: Mapping[str, int]) -> None:
    """Only those that had shown nothing ran again, and those once."""
    words = {request_of(call): call.json["messages"][0]["content"] for call in calls}
    twice = {request for request, count in runs.items() if count > 1}
    assert 0 < len(twice) < EACH
    assert all(runs[request] == 2 and words[request].startswith("whole") for request in twice)


def assert_paid_once(cluster: Cluster, runs: Mapping[str, int], bill: Sequence[BillLine]) -> None:
    """The tenant pays for the attempt that answered, and for that alone: what its provider charges."""
    paid: dict[str, Decimal] = defaultdict(Decimal)
    charged: dict[str, dict[str, Decimal]] = defaultdict(dict)
    for posting in posted(cluster):
        if request := posting["request"]:
            paid[request] += Decimal(posting["spent_usd"])
            charged[request][posting["cause"]] = Decimal(posting["provider_cost_usd"])
    answered = {request_of_line(line): line for line in sorted(bill, key=lambda line: line.attempt_id)}
    assert paid.keys() == runs.keys() == answered.keys()
    for request, line in answered.items():
        assert paid[request] == charged[request][cause_of(line)] > 0, (line, charged[request])


def request_of_line(line: BillLine) -> str:
    return line.attempt_id.rsplit("-", 2)[0]
