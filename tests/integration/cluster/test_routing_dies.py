"""A routing process dies with requests in flight: others answer, begun streams end honestly, nobody pays twice."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from decimal import Decimal

import openai
import pytest

from hive_testing.cluster import Cluster
from hive_testing.proofs import posted, price_of, prove
from hive_testing.simulator import SimulatorThread
from hive_testing.simulator.bill import BillLine
from hive_testing.simulator.calls import Call

pytestmark = pytest.mark.cluster

CREDIT = Decimal(1000)
EACH = 100


async def whole(client: openai.AsyncOpenAI, number: int) -> str:
    """How a call that is not streamed ended."""
    try:
        answer = await client.chat.completions.create(
            model="slow", messages=[{"role": "user", "content": f"number {number}"}]
        )
    except openai.APIError as error:
        return f"{type(error).__name__}: {error}"
    return "answered" if answer.choices[0].message.content == f"Echo: number {number}" else "another's answer"


async def stream(client: openai.AsyncOpenAI, number: int, begun: asyncio.Queue[int]) -> str:
    """How a stream ended; says in `begun` that its first content came."""
    came = False
    try:
        events = await client.chat.completions.create(
            model="stream", messages=[{"role": "user", "content": f"number {number}"}], stream=True
        )
        finished = False
        async for event in events:
            if event.choices and event.choices[0].delta.content and not came:
                came = True
                begun.put_nowait(number)
            finished = finished or bool(event.choices and event.choices[0].finish_reason)
    except openai.APIError as error:
        return "error event" if "broke off" in str(error) else f"{type(error).__name__}: {error}"
    return "finished" if finished else "silent end"


@pytest.mark.timeout(240)
async def test_two_hundred_requests_in_flight(cluster: Cluster, simulator: SimulatorThread) -> None:
    async with cluster.async_client(timeout=60) as client:
        begun: asyncio.Queue[int] = asyncio.Queue()
        streams = [asyncio.ensure_future(stream(client, number, begun)) for number in range(EACH)]
        for _ in range(EACH):
            try:
                await asyncio.wait_for(begun.get(), 30)
            except TimeoutError:
                raise AssertionError([each.result() for each in streams if each.done()]) from None
        assert not any(each.done() for each in streams), [each.result() for each in streams if each.done()]
        wholes = [asyncio.ensure_future(whole(client, number)) for number in range(EACH)]
        await asyncio.to_thread(simulator.wait_for_calls, 2 * EACH, 30)
        await asyncio.to_thread(cluster["routing-0"].kill)
        answers, ends = Counter(await asyncio.gather(*wholes)), Counter(await asyncio.gather(*streams))
    assert answers == {"answered": EACH}
    assert ends.keys() == {"finished", "error event"}, ends
    await asyncio.to_thread(cluster.restore)
    proof = await asyncio.to_thread(prove, cluster, simulator.bill, CREDIT)
    again = rerun(simulator.calls)
    assert 0 < len(again) < EACH
    await asyncio.to_thread(assert_paid_once, cluster, again, simulator.bill)
    print(f"\n{dict(ends)}, {len(again)} requests ran twice. {proof}")


def rerun(calls: list[Call]) -> set[str]:
    """The requests that a second process ran."""
    times = Counter(call.header(b"x-client-request-id").rsplit("-", 2)[0] for call in calls)
    return {request for request, count in times.items() if count > 1}


def assert_paid_once(cluster: Cluster, again: set[str], bill: list[BillLine]) -> None:
    """The tenant pays for the attempt that answered, and for that alone."""
    paid: dict[str, Decimal] = defaultdict(Decimal)
    for posting in posted(cluster):
        if posting["request"] in again:
            paid[posting["request"]] += Decimal(posting["spent_usd"])
    answered = {line.attempt_id.rsplit("-", 2)[0]: price_of(line) for line in bill}
    assert paid == {request: answered[request] for request in again}
