"""Clients that leave, or that do not read: the provider hears of it, the process does not fill up."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import ExitStack
from typing import Any

import openai
import pytest

from hive_testing.gateway import Connection, Gateway, eventually
from hive_testing.simulator import SimulatorThread
from hive_testing.simulator.calls import Call

pytestmark = pytest.mark.embedded

CHAT = "/v1/chat/completions"
MIB = 1024 * 1024


def asks(model: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hello"}]
    return {"model": model, "messages": messages, "stream": True, **fields}


def start(gateway: Gateway, wanted: dict[str, Any], receive_buffer: int | None = None) -> Connection:
    connection = gateway.public.connect(receive_buffer)
    connection.send(gateway.public.request("POST", CHAT, wanted))
    return connection


def only_call(simulator: SimulatorThread) -> Call:
    (call,) = simulator.wait_for_calls(1)
    return call


def standstill(*calls: Call) -> int:
    """Delivered bytes of all, once they have not grown for thirty looks at them."""
    seen: list[int] = []

    def stands() -> bool:
        seen.append(sum(call.delivered for call in calls))
        return len(seen) > 30 and len(set(seen[-30:])) == 1

    eventually(stands, 30, "a standstill")
    return seen[-1]


# Leaving


def test_leaving_in_the_middle_of_a_stream(gateway: Gateway, simulator: SimulatorThread, model: str) -> None:
    simulator.script(model=model, chunks=10_000, chunk_bytes=4, chunk_delay=0.01)
    with start(gateway, asks(model)) as connection:
        head = connection.read_until(b'"content":"Echo"')
        seen = head.count(b"data: ")
    call = only_call(simulator)
    simulator.wait_closed(call)

    (line,) = simulator.bill
    assert call.disconnected and not line.finished
    assert 1 <= seen <= line.completion_tokens + 1 < 600
    assert line.attempt_id == call.headers["x-client-request-id"]
    eventually(lambda: gateway.metrics()["hive_edge_in_flight"] == 0)


async def test_leaving_with_the_asynchronous_client(
    async_client: openai.AsyncOpenAI, simulator: SimulatorThread, model: str
) -> None:
    simulator.script(model=model, chunks=10_000, chunk_bytes=4, chunk_delay=0.01)
    stream = await async_client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hello"}], stream=True
    )
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    await stream.close()

    call = only_call(simulator)
    await asyncio.to_thread(simulator.wait_closed, call)
    assert call.disconnected and not simulator.bill[0].finished


@pytest.mark.parametrize(
    ("stream", "behaviour"),
    [
        (False, {"latency": 60}),
        (False, {"first_chunk_delay": 60}),
        (True, {"latency": 60}),
        (True, {"first_chunk_delay": 60}),
        (True, {"stall_after": 1}),
        (True, {"stall_after": 3}),
    ],
    ids=str,
)
def test_leaving_while_the_provider_thinks(
    gateway: Gateway, simulator: SimulatorThread, model: str, stream: bool, behaviour: dict[str, Any]
) -> None:
    simulator.script(model=model, **behaviour)
    with start(gateway, asks(model, stream=stream)):
        call = only_call(simulator)
    simulator.wait_closed(call)

    assert call.disconnected
    assert len(simulator.calls) == 1


def test_leaving_while_another_attempt_is_waited_for(
    gateway: Gateway, simulator: SimulatorThread, model: str
) -> None:
    """Nobody waits for the answer any more: the provider is not asked again in four seconds."""
    tasks = gateway.metrics()["hive_process_tasks"]
    simulator.script(model=model, status=429, retry_after=4)
    with start(gateway, asks(model)):
        only_call(simulator)
    eventually(lambda: gateway.metrics()["hive_process_tasks"] <= tasks, 3, "the end of its tasks")

    assert len(simulator.calls) == 1


def test_leaving_while_a_body_is_sent(gateway: Gateway, simulator: SimulatorThread) -> None:
    request = gateway.public.request("POST", CHAT, asks("gpt-4o", padding="x" * MIB))
    with gateway.raw() as connection:
        connection.send(request[: MIB // 2])
    eventually(lambda: gateway.metrics()["hive_edge_in_flight"] == 0)

    assert simulator.calls == []


def test_a_client_that_only_ends_its_own_side(gateway: Gateway, simulator: SimulatorThread) -> None:
    """A half-closed connection is a client that left: what is under way for it ends, whatever it gets."""
    with start(gateway, asks("gpt-4o")) as connection:
        connection.end_sending()
        connection.read_all()
    eventually(lambda: gateway.metrics()["hive_edge_in_flight"] == 0)


# Not reading


def test_a_client_that_does_not_read_holds_the_provider_back(
    gateway: Gateway, simulator: SimulatorThread, model: str
) -> None:
    """A stream of 100 MB: the provider stops writing, and next to nothing of it is in the process.

    Kernels may take in 40 MB of it: they size the buffers of sockets by how fast the other side is.
    """
    simulator.script(model=model, chunks=20_000, chunk_bytes=5000)
    before = gateway.memory
    with start(gateway, asks(model), receive_buffer=8192) as connection:
        connection.read_until(b"data: ")
        call = only_call(simulator)
        delivered = standstill(call)

        assert delivered < 60 * MIB and not call.closed.is_set()
        assert gateway.memory - before < 16 * MIB
    simulator.wait_closed(call)
    assert call.disconnected and not simulator.bill[0].finished


def test_a_client_that_reads_late_gets_everything(
    gateway: Gateway, simulator: SimulatorThread, model: str
) -> None:
    simulator.script(model=model, content="words ", chunks=2_000, chunk_bytes=10_000)
    with start(gateway, asks(model), receive_buffer=8192) as connection:
        connection.read_until(b"data: ")
        standstill(only_call(simulator))
        answer = b"data: " + connection.read_all()

    events = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", answer).split(b"\n\n")
    chunks = [json.loads(event[6:]) for event in events if event.startswith(b"data: {")]
    assert sum(len(chunk["choices"][0]["delta"].get("content") or "") for chunk in chunks) == 20_000_000
    assert answer.count(b"data: [DONE]") == 1
    assert simulator.bill[0].finished


async def test_a_stalled_reader_slows_nobody(
    gateway: Gateway, async_client: openai.AsyncOpenAI, simulator: SimulatorThread, model: str
) -> None:
    simulator.script(model=model, chunks=10_000, chunk_bytes=5000)

    async def one(number: int) -> tuple[str, bool]:
        text, ended = "", False
        stream = await async_client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": f"{number} " * 20}],
            stream=True,
            extra_headers={"x-hive-guard": "none"},  # nobody speaks like that
        )
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
            ended = ended or chunk.choices[0].finish_reason == "stop"
        return text, ended

    with start(gateway, asks(model), receive_buffer=8192) as connection:
        connection.read_until(b"data: ")
        stalled = only_call(simulator)
        await asyncio.to_thread(standstill, stalled)
        answers = await asyncio.gather(*(one(number) for number in range(100)))
        assert not stalled.closed.is_set()

    assert answers == [(f"Echo: {number} " + f"{number} " * 19, True) for number in range(100)]


def test_many_stalled_readers_do_not_fill_the_process(
    gateway: Gateway, simulator: SimulatorThread, model: str
) -> None:
    """Sixteen streams of 10 MB: four megabytes of buffers for each are the most that is tolerated."""
    simulator.script(model=model, chunks=2_000, chunk_bytes=5000)
    before = gateway.memory
    with ExitStack() as connections:
        for _ in range(16):
            connection = connections.enter_context(start(gateway, asks(model), receive_buffer=8192))
            connection.read_until(b"data: ")
        calls = simulator.wait_for_calls(16)
        standstill(*calls)
        assert gateway.memory - before < 16 * 4 * MIB

    for call in calls:
        simulator.wait_closed(call)
    eventually(lambda: gateway.metrics()["hive_edge_in_flight"] == 0)
