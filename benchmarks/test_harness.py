"""The harness itself: what it computes, when it sends, what it takes for a complete answer."""

from __future__ import annotations

import asyncio
import json
from itertools import islice

import pytest

from benchmarks import answers
from benchmarks.bodies import LARGE_BYTES, SMALL_BYTES, Form, Kind, requests
from benchmarks.budget import Row, verdicts
from benchmarks.cluster import Spent
from benchmarks.exchange import LoopExchange, exchange
from benchmarks.figures import medians, percentile, quantiles, slope
from benchmarks.hotspots import Spot, describe, module_name, read_samples
from benchmarks.pace import interleave, keep_pace, schedule
from benchmarks.upstream import Connection


class Clock:
    """Time that passes in `sleep` alone; each sleep overshoots by the next of `stalls`."""

    def __init__(self, *stalls: float) -> None:
        self.moment = 0.0
        self._stalls = list(stalls)

    def now(self) -> float:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += seconds + (self._stalls.pop(0) if self._stalls else 0.0)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile(range(1, 101), share) == value


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_quantiles_are_milliseconds() -> None:
    found = quantiles([0.004, 0.001, 0.003, 0.002])
    assert (found.p50, found.p90, found.p99, found.worst) == (2, 4, 4, 4)


def test_what_was_spent_is_said_of_each_process_and_in_all() -> None:
    spent = Spent({"edge-0": 0.2, "routing-0": 0.4}, {"Kafka": 0.1})
    assert spent.figures(100, "cpu_ms", 1000) == pytest.approx(
        {"cpu_ms": 6, "servers_cpu_ms": 1, "of edge-0": 2, "of routing-0": 4, "of Kafka": 1}
    )


def test_slope_and_medians() -> None:
    assert slope([(0, 5), (10, 25), (20, 45)]) == pytest.approx(2)
    assert slope([(3, 7)]) == 0
    assert medians([{"a": 1}, {"a": 9}, {"a": 2}]) == {"a": 2}


def test_schedule_sends_once_in_each_interval() -> None:
    moments = schedule(rate=50, seconds=2, seed=1)
    assert [int(moment * 50) for moment in moments] == list(range(100))
    assert moments == schedule(rate=50, seconds=2, seed=1)


def test_lanes_are_interleaved_in_order_of_time() -> None:
    assert list(interleave([("a", [1, 4]), ("b", [2, 3])])) == [(1, "a"), (2, "b"), (3, "b"), (4, "a")]


def test_a_stall_delays_requests_and_keeps_their_scheduled_times() -> None:
    clock = Clock(0.0, 2.5)
    sent: list[tuple[float, float]] = []
    due = [(float(moment), "lane") for moment in (1, 2, 3, 4, 5)]
    keep_pace(due, clock.now, clock.sleep, lambda scheduled, _: sent.append((scheduled, clock.moment)))
    assert sent == [(1, 1), (2, 4.5), (3, 4.5), (4, 4.5), (5, 5)]


@pytest.mark.parametrize(("kind", "size"), [(Kind.CHAT, SMALL_BYTES), (Kind.LARGE, LARGE_BYTES)])
def test_bodies_have_their_size_and_never_repeat(kind: Kind, size: int) -> None:
    bodies = [each.partition(b"\r\n\r\n")[2] for each in islice(requests(kind, 80, "key"), 200)]
    assert {len(body) for body in bodies} == {size}
    assert len(set(bodies)) == len(bodies)


def test_the_upstream_sends_what_its_constants_say() -> None:
    body = answers.CHAT.partition(b"\r\n\r\n")[2]
    event = answers.CHUNK.split(b"\r\n")[1]
    assert (len(body), len(event)) == (answers.ANSWER_BYTES, answers.CHUNK_BYTES)


@pytest.mark.parametrize("step", [1, 7, 280, 100_000])
def test_a_stream_is_complete_however_it_is_cut(step: int) -> None:
    whole = answers.CHUNK * answers.CHUNKS + answers.STREAM_FINISH_WITH_USAGE
    stream = exchange(Kind.STREAM, 0.0)
    for start in range(0, len(whole), step):
        stream.received(whole[start : start + step], float(start))
    stream.end(200, 1e6)
    assert stream.fault is None


@pytest.mark.parametrize(
    "data",
    [
        answers.CHUNK * (answers.CHUNKS - 1) + answers.STREAM_FINISH,
        answers.CHUNK * answers.CHUNKS,
        answers.CHUNK * (answers.CHUNKS + 1) + answers.STREAM_FINISH,
    ],
)
def test_a_stream_that_lacks_something_is_a_fault(data: bytes) -> None:
    stream = exchange(Kind.STREAM, 0.0)
    stream.received(data, 1.0)
    stream.end(200, 2.0)
    assert stream.fault is not None
    assert "incomplete" in stream.fault


def test_a_loop_is_two_turns_of_which_the_first_asks_for_a_tool() -> None:
    call, answer = (each.partition(b"\r\n\r\n")[2] for each in (answers.TOOL_CALL, answers.CHAT))
    loop = LoopExchange(Kind.TOOLS, 0.0)
    loop.received(call, 1.0)
    loop.end(200, 1.0)
    assert loop.goes_on
    loop.received(answer, 2.0)
    loop.end(200, 2.0)
    assert (loop.goes_on, loop.fault, loop.ended) == (False, None, 2.0)


def test_a_loop_without_the_tool_is_a_fault() -> None:
    loop = LoopExchange(Kind.TOOLS, 0.0)
    loop.received(answers.CHAT.partition(b"\r\n\r\n")[2], 1.0)
    loop.end(200, 1.0)
    assert not loop.goes_on
    assert loop.fault is not None


def test_keys_are_used_in_turn_and_forms_are_kept_to() -> None:
    form = Form({"x-config": "{}"}, {"cache": {"use-cache": True}}, "openai/")
    sent = list(islice(requests(Kind.CHAT, 80, "first", "second", form=form), 3))
    assert [each.partition(b"Bearer ")[2].split(b"\r\n")[0] for each in sent] == [
        b"first",
        b"second",
        b"first",
    ]
    assert b"x-config: {}\r\n" in sent[0]
    body = json.loads(sent[0].partition(b"\r\n\r\n")[2])
    assert (body["model"], body["cache"]) == ("openai/bench-model", {"use-cache": True})


@pytest.mark.parametrize(
    ("path", "kind", "answer"),
    [
        ("/v1", Kind.CHAT, answers.CHAT),
        ("/v1", Kind.TOOLS, answers.TOOL_CALL),
        ("/v1", Kind.TOOL_RESULT, answers.CHAT),
        ("/v1", Kind.EMBEDDINGS, answers.EMBEDDINGS),
        ("/v1", Kind.BATCH, answers.BATCH),
        ("/failing/v1", Kind.CHAT, answers.FAILURE),
    ],
)
async def test_the_upstream_answers_what_is_asked(path: str, kind: Kind, answer: bytes) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(loop, set()), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(next(requests(kind, port, "key")).replace(b"POST /v1", b"POST " + path.encode(), 1))
        got = await reader.readexactly(len(answer))
        writer.close()
    assert got == answer


def test_another_status_is_a_fault_that_shows_the_answer() -> None:
    chat = exchange(Kind.CHAT, 0.0)
    chat.received(b'{"error": "slow down"}', 1.0)
    chat.end(429, 1.0)
    assert chat.fault == 'status 429: {"error": "slow down"}'


def test_verdicts_know_ceilings_floors_and_what_was_not_measured() -> None:
    rows = [
        Row("chat", "cpu", "", "ms", 0.45),
        Row("chat", "rate", "", "/s", 2200, at_least=True),
        Row("chat", "files", "", ""),
        Row("streams", "cpu", "", "µs", 60),
    ]
    results = {"chat": {"cpu": 0.5, "rate": 2200.0, "files": 20.0}}
    assert [each.kept for each in verdicts(results, rows)] == [False, True, None, None]


def test_samples_belong_to_the_innermost_function() -> None:
    spots = read_samples(
        "run (a/src/hive_edge/x.py:1);send (a/src/hive_edge/y.py:9) 30\nrun (a/src/hive_edge/x.py:1) 10\n"
    )
    assert [(spot.module, spot.function) for spot in spots] == [
        ("hive_edge/y.py", "send:9"),
        ("hive_edge/x.py", "run:1"),
    ]
    assert spots[0].seconds == pytest.approx(3 * spots[1].seconds)


def test_the_costliest_module_is_described_first() -> None:
    spots = [Spot("cheap.py", "a:1", 0.001, 10), Spot("dear.py", "b:2", 0.004, 20)]
    lines = describe(spots, requests=10).splitlines()
    assert [line.split()[-1] for line in lines[1::2]] == ["dear.py", "cheap.py"]
    assert "400.0" in lines[2]
    assert "2.0 calls" in lines[2]


def test_module_names_are_short() -> None:
    assert module_name("/x/site-packages/uvicorn/server.py") == "uvicorn/server.py"
    assert module_name("/usr/lib/python3.11/asyncio/tasks.py") == "asyncio/tasks.py"
    assert module_name("~") == "built in"
