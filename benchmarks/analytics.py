"""One million rows in the analytical store: `python -m benchmarks.analytics [--rows N]`.

Prints how fast rows are taken in and rolled up, what that costs the gateway and the store's process, and how long
every named question takes, asked in several ways. Ends with 1 where a question takes longer than it may.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil
import uvloop
from google.protobuf.message import Message

from benchmarks.measure import MEGABYTE
from hive_analytics.asking import Asked, Statement, question_of, statement
from hive_analytics.consumers import EVENTS, Consumer
from hive_analytics.grains import DAY
from hive_analytics.intake import Intake
from hive_analytics.olap.process import ProcessOlap
from hive_analytics.questions import QUESTIONS, Folded, Lines
from hive_analytics.rollups import Waiting
from hive_analytics.store import Store
from hive_bus import Batch
from hive_runtime.clock import SystemClock
from hive_runtime.tasks import Tasks
from hive_runtime.telemetry import report_lost_task
from modelhive.events.v1.guard_pb2 import GuardDecided, GuardStage, GuardVerdict
from modelhive.events.v1.ledger_pb2 import LedgerEntry, LedgerPosted, PostingKind
from modelhive.events.v1.usage_pb2 import CacheStatus, Outcome, RequestLogged, UsageRecorded

BATCH = 5000
DAYS = 30
START = 1_790_000_000_000 // DAY * DAY
END = START + DAYS * DAY
TENANTS, KEYS = 50, 400
MODELS = [
    ("gpt-5", "openai"),
    ("gpt-5-mini", "openai"),
    ("gpt-4o", "azure"),
    ("claude-sonnet", "anthropic"),
    ("claude-haiku", "bedrock"),
    ("gemini-pro", "google"),
    ("llama-70b", "groq"),
    ("smollm2", "local"),
]
TAGS = [(), (), (), (), ("team:search",), ("team:chat",), ("team:chat", "env:prod"), ("env:dev",)]
GUARDS = ("prompt-injection", "secrets")
MOST_MS = 300.0
ROUNDS = 3
MEMORY_MB = 1024


@dataclass(frozen=True, slots=True)
class Call:
    """What the events of one call have in common."""

    number: int
    started: int
    tenant: str
    key: str
    model: str
    provider: str
    tags: tuple[str, ...]

    @property
    def chance(self) -> int:
        """Evenly from 0 to 2³², and the same in each event of the call."""
        return self.number * 2654435761 % 2**32

    @property
    def hit(self) -> bool:
        return self.chance % 8 == 1

    @property
    def verdict(self) -> GuardVerdict.ValueType:
        return GuardVerdict.GUARD_VERDICT_ALLOWED if self.chance % 100 else GuardVerdict.GUARD_VERDICT_BLOCKED


def calls(rows: int) -> Iterator[Call]:
    """Spread evenly over the days; a few keys make most of them."""
    chance = random.Random(7)
    for number in range(1, rows + 1):
        started = START + (END - START) * number // (rows + 1) + chance.randrange(1000)
        key = min(int(chance.expovariate(1 / 60)), KEYS - 1)
        model, provider = MODELS[min(int(chance.expovariate(0.5)), len(MODELS) - 1)]
        yield Call(number, started, f"tn_{key % TENANTS}", f"key_{key}", model, provider, chance.choice(TAGS))


def usage(call: Call) -> Message:
    chance = call.chance
    failed = chance % 50 == 0
    provider = "cache" if call.hit else call.provider
    return UsageRecorded(
        request_id=f"req_{call.number:026d}",
        attempt=1,
        call=1,
        tenant_id=call.tenant,
        key_id=call.key,
        endpoint="chat/completions",
        model=call.model,
        provider=provider,
        deployment=f"{provider}/{call.model}",
        started_unix_ms=call.started,
        duration_us=200_000 + chance % 4_000_000,
        first_content_us=None if failed else 50_000 + chance % 900_000,
        outcome=Outcome.OUTCOME_REFUSED if failed else Outcome.OUTCOME_ANSWERED,
        error="upstream_failed" if failed else "",
        streamed=bool(chance & 64),
        last=True,
        units={"prompt": 200 + chance % 3000, "cached_prompt": chance % 500, "completion": 20 + chance % 700},
        cost_nanos=chance % 9_000_000,
        provider_cost_nanos=chance % 7_000_000,
        price_version=3,
        provider_price_version=3,
        holder="routing-0-bench",
        sequence=call.number,
        scopes=[f"budget:{call.key}"],
        held_nanos=10_000_000,
        carried_nanos=chance % 9_000_000,
        upstream_request_id=f"chatcmpl-{chance:x}",
        tags=call.tags,
        cache=CacheStatus.CACHE_STATUS_HIT if call.hit else CacheStatus.CACHE_STATUS_MISS,
        guards=GUARDS,
        guard_verdict=call.verdict,
    )


def posting(call: Call) -> Message:
    chance = call.chance
    paid, charged = chance % 9_000_000, chance % 7_000_000
    return LedgerPosted(
        sequence=call.number,
        cause=f"usage:req_{call.number:026d}:1.1",
        kind=PostingKind.POSTING_KIND_USAGE,
        occurred_unix_ms=call.started,
        posted_unix_ms=call.started + 2000,
        tenant_id=call.tenant,
        key_id=call.key,
        request_id=f"req_{call.number:026d}",
        model=call.model,
        provider=call.provider,
        deployment=f"{call.provider}/{call.model}",
        entries=[
            LedgerEntry(account=f"budget:{call.key}", amount_nanos=-paid),
            LedgerEntry(account="revenue", amount_nanos=paid),
            LedgerEntry(account=f"provider_cost:{call.provider}", amount_nanos=-charged),
            LedgerEntry(account=f"payable:{call.provider}", amount_nanos=charged),
        ],
        price_version=3,
        spent_nanos=paid,
        provider_cost_nanos=charged,
        tags=call.tags,
    )


def request(call: Call) -> Message:
    chance = call.chance
    return RequestLogged(
        request_id=f"req_{call.number:026d}",
        tenant_id=call.tenant,
        key_id=call.key,
        method="POST",
        path="/v1/chat/completions",
        status=200,
        started_unix_ms=call.started,
        duration_us=200_000 + chance % 4_000_000,
        first_byte_us=50_000,
        request_bytes=1024,
        response_bytes=820,
        model=call.model,
        provider=call.provider,
        deployment=f"{call.provider}/{call.model}",
        calls=0 if call.hit else 1,
        cache=CacheStatus.CACHE_STATUS_HIT if call.hit else CacheStatus.CACHE_STATUS_MISS,
        tags=call.tags,
        guards=GUARDS,
        guard_verdict=call.verdict,
        replayed=chance % 500 == 3,
    )


def decision(call: Call) -> Message:
    chance = call.chance
    return GuardDecided(
        request_id=f"req_{call.number:026d}",
        tenant_id=call.tenant,
        key_id=call.key,
        model=call.model,
        guard=GUARDS[chance % 2],
        stage=GuardStage.GUARD_STAGE_INPUT,
        verdict=call.verdict,
        decided_unix_ms=call.started,
        duration_us=90,
        version="3",
        scanned=1000 + chance % 9000,
        decisions=1 + chance % 40 if chance % 100 else 1,
    )


MAKERS: dict[str, Callable[[Call], Message]] = {
    "usage": usage,
    "ledger": posting,
    "requests": request,
    "guard": decision,
}


class Worker:
    """What the store's process uses."""

    def __init__(self, olap: ProcessOlap) -> None:
        assert olap.pid is not None
        self._process = psutil.Process(olap.pid)

    def cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def rss_mb(self) -> float:
        return float(self._process.memory_info().rss) / MEGABYTE


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Store, Intake, Worker]]:
    tasks = Tasks(report_lost_task)
    olap = ProcessOlap(folder, MEMORY_MB, 2, SystemClock(), tasks)
    clock = SystemClock()
    store = Store(olap, 60.0)
    began = time.perf_counter()
    await store.refresh(1)
    worker = Worker(olap)
    print(f"opened in {time.perf_counter() - began:.2f} s; resident {worker.rss_mb():.0f} MB")
    try:
        yield store, Intake(store, Waiting(clock), clock), worker
    finally:
        await olap.close()
        await tasks.close()


async def take_in(family: str, rows: int, intake: Intake, worker: Worker) -> None:
    """Print the rate, and the CPU of both sides per row. What makes the events is not counted."""
    consumer = Consumer(family, Batch(BATCH, 1.0), intake, SystemClock())
    seconds = gateway = 0.0
    before = worker.cpu_seconds()
    events: list[Message] = []

    async def hand_over() -> None:
        nonlocal seconds, gateway
        began, cpu = time.perf_counter(), time.process_time()
        await consumer.take(events)
        seconds += time.perf_counter() - began
        gateway += time.process_time() - cpu
        events.clear()

    for call in calls(rows):
        events.append(MAKERS[family](call))
        if len(events) == BATCH:
            await hand_over()
    if events:
        await hand_over()
    used = worker.cpu_seconds() - before
    print(
        f"{family:9} {rows:>9,} rows  {rows / seconds:>9,.0f} rows/s   CPU per row: gateway "
        f"{gateway / rows * 1e6:4.1f} µs, store {used / rows * 1e6:4.1f} µs   resident {worker.rss_mb():.0f} MB"
    )


async def roll_up(store: Store, worker: Worker) -> None:
    began, before = time.perf_counter(), worker.cpu_seconds()
    while await store.refresh(24):
        pass
    print(
        f"all rollups made in {time.perf_counter() - began:.1f} s, {worker.cpu_seconds() - before:.1f} s of CPU;"
        f" resident {worker.rss_mb():.0f} MB"
    )


def ways(name: str) -> Iterator[tuple[str, Asked]]:
    """The ways in which a question is asked, in words."""
    question = QUESTIONS[name]
    middle = START + 10 * DAY
    if isinstance(question, Lines):
        yield "30 days", Asked(name, START, END)
        yield "1 day, one key", Asked(name, middle, middle + DAY, filters=[("key", ["key_3"])])
    if isinstance(question, Folded):
        yield "30 days", Asked(name, START, END)
        yield "29 days and odd ends", Asked(name, START + 12_345_678, END - 23_456_789)
        for dimension in question.dimensions:
            yield f"30 days by {dimension}", Asked(name, START, END, by=[dimension])
        if not question.takes_step:
            return
        yield "30 days, daily by key", Asked(name, START, END, "day", ["key"])
        yield "30 days, hourly by model", Asked(name, START, END, "hour", ["model"])
        yield "1 day, by minute", Asked(name, middle, middle + DAY, "minute")
        yield "30 days, one tenant", Asked(name, START, END, "day", filters=[("tenant", ["tn_3"])])


async def time_questions(store: Store) -> float:
    """Print the slowest way of each and the median of all; gives the worst of all in milliseconds."""
    worst = 0.0
    print(f"\n{'question':10} {'slowest':>8} {'median':>8}   milliseconds; the slowest was asked")
    for name, question in QUESTIONS.items():
        times: list[tuple[float, str]] = []
        for words, asked in ways(name):
            found = question_of(asked)
            assert isinstance(found, Folded | Lines)
            made = statement(found, asked, END)
            taken = [await _timed(store, made) for _ in range(ROUNDS)]
            times.append((median(taken), words))
        if not times:
            continue  # what is calculated from another question's answer
        slowest, words = max(times)
        worst = max(worst, slowest)
        print(f"{question.name:10} {slowest:8.0f} {median(each for each, _ in times):8.0f}   {words}")
    return worst


async def _timed(store: Store, made: Statement) -> float:
    began = time.perf_counter()
    await store.answer(made)
    return (time.perf_counter() - began) * 1000


async def measure(rows: int, folder: Path) -> int:
    async with opened(folder) as (store, intake, worker):
        for family in EVENTS:
            await take_in(family, rows if family in ("usage", "ledger") else rows // 4, intake, worker)
        await roll_up(store, worker)
        began = time.perf_counter()
        totals, problems = await store.totals(rows), await store.differences()
        print(
            f"totals of {len(totals)} keys and days, and all comparisons: {time.perf_counter() - began:.1f} s"
        )
        worst = await time_questions(store)
        size = await asyncio.to_thread(_size, folder)
        print(f"\nresident {worker.rss_mb():.0f} MB; on disk {size / MEGABYTE:.0f} MB")
    for problem in problems:
        print(problem)
    print(f"slowest question: {worst:.0f} ms (at most {MOST_MS:.0f})")
    return 1 if problems or worst > MOST_MS else 0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analytics", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of usage, and of the ledger")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="modelhive-analytics-") as folder:
        return uvloop.run(measure(options.rows, Path(folder) / "store"))


if __name__ == "__main__":
    raise SystemExit(main())
