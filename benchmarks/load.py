"""The load generator, a process of its own: `python -m benchmarks.load` with a `Plan` as JSON on standard input.

Prints an `Outcome` as one line of JSON. A plan without a rate is a closed loop that saturates; one with
rates is an open loop whose send times are fixed beforehand. A plan that holds streams prints an empty line
when all are open, and ends when they are answered.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from time import perf_counter, process_time, sleep

import msgspec
import uvloop

from benchmarks.bodies import PLAIN, Form, Kind, requests
from benchmarks.lane import Account, Lane
from benchmarks.pace import interleave, keep_pace, schedule
from benchmarks.placement import settle_in

ANSWER_TIMEOUT = 15.0
"""Seconds for the last answers after the last request was due."""
HELD_TIMEOUT = 60.0
"""Seconds until all streams that are held open have content."""
CONTENT_POLL = 0.02
LAST_RESORT = 90
"""Seconds beyond the plan's own after which the process ends, whatever it waits for."""


class LanePlan(msgspec.Struct, frozen=True):
    """One kind of request to one port. `rate` in requests per second; 0 saturates the connections.

    keys: the credentials to use in turn; none is the plan's own.
    """

    name: str
    port: int
    kind: Kind
    connections: int
    rate: float = 0.0
    form: Form = PLAIN
    keys: list[str] = []


class Plan(msgspec.Struct, frozen=True):
    """What to send for `seconds`; `hold` sends one request per connection and says when all have content."""

    key: str
    seconds: float
    lanes: list[LanePlan]
    hold: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """How each lane went, and the CPU seconds that the generator itself spent on sending and reading."""

    lanes: list[Account]
    cpu_seconds: float


async def run(plan: Plan) -> Outcome:
    lanes = [_lane(each, each.keys or [plan.key]) for each in plan.lanes]
    for lane, planned in zip(lanes, plan.lanes, strict=True):
        await lane.connect(planned.connections)
    before = process_time()
    if plan.hold:
        await _hold(plan, lanes[0])
    elif all(each.rate for each in plan.lanes):
        await _open_loop(plan, lanes)
    else:
        for lane in lanes:
            lane.saturate(plan.seconds)
        await asyncio.sleep(plan.seconds)
    for lane in lanes:
        await lane.settle(ANSWER_TIMEOUT)
    spent = process_time() - before
    return Outcome([lane.account() for lane in lanes], spent)


def _lane(plan: LanePlan, keys: list[str]) -> Lane:
    first = requests(plan.kind, plan.port, *keys, form=plan.form)
    second = requests(Kind.TOOL_RESULT, plan.port, *keys, form=plan.form)
    return Lane(plan.name, plan.port, plan.kind, first, second)


async def _open_loop(plan: Plan, lanes: list[Lane]) -> None:
    """Send by the schedule. A thread keeps the time: the event loop's own timers round to milliseconds."""
    loop = asyncio.get_running_loop()
    began = perf_counter() + 0.05
    moments = [
        [began + each for each in schedule(planned.rate, plan.seconds, seed=place)]
        for place, planned in enumerate(plan.lanes)
    ]
    due = interleave(list(zip(lanes, moments, strict=True)))

    def send(scheduled: float, lane: Lane) -> None:
        loop.call_soon_threadsafe(lane.send, scheduled)

    await asyncio.to_thread(keep_pace, due, perf_counter, sleep, send)


async def _hold(plan: Plan, lane: Lane) -> None:
    """Open one stream per connection, evenly over `plan.seconds`; say when all have content or failed."""
    count = plan.lanes[0].connections
    for _ in range(count):
        lane.send(perf_counter())
        await asyncio.sleep(plan.seconds / count)
    for _ in range(round(HELD_TIMEOUT / CONTENT_POLL)):
        if not lane.waits_for_content():
            break
        await asyncio.sleep(CONTENT_POLL)
    print(flush=True)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    signal.alarm(round(plan.seconds) + LAST_RESORT)
    settle_in(1)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(run(plan))
    print(msgspec.json.encode(outcome).decode(), flush=True)


if __name__ == "__main__":
    main()
