"""A consumer in a process of its own, for tests that stop or kill it.

python -m hive_bus.conformance.kafka.member URL LANE GROUP requests|events
Says `ready`, then `began N` for each record; ends it, and says `done N`, for each line that it reads.
"""

from __future__ import annotations

import asyncio
import sys

from hive_bus import Options
from hive_bus.kafka import KafkaBus
from hive_runtime.clock import SystemClock
from modelhive.probe.v1.probe_pb2 import ProbeEvent, ProbeRequest


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def main(url: str, lane: str, group: str, delivery: str) -> None:
    allowed = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    async def handle(name: str) -> None:
        say("began", name)
        await allowed.acquire()
        say("done", name)

    async def request(record: ProbeRequest) -> None:
        await handle(record.id)

    async def event(record: ProbeEvent) -> None:
        await handle(str(record.sequence))

    bus = KafkaBus(url, SystemClock(), lambda name, error: say("failed", name, error))
    await bus.start()
    options = Options(fields={"lane": lane}, concurrency=1)
    if delivery == "requests":
        await bus.subscribe_requests(ProbeRequest, group, request, options)
    else:
        await bus.subscribe_events(ProbeEvent, group, event, options)
    say("ready")
    while await loop.run_in_executor(None, sys.stdin.readline):
        allowed.release()
    await bus.close()
    say("closed")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
