"""What one request costs in counts: a window for each request, from one silence of the gateway to the next."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.counts.driver import Driver
from benchmarks.counts.gateway import LONGEST
from benchmarks.counts.script import SCRIPT, request
from benchmarks.figures import slope
from benchmarks.processes import Gateway

PASSES = {"calls": (8, 5), "opcodes": (3, 3)}
"""What is counted in turn, after how many requests that warm up, and over how many: counting opcodes is slow."""
SILENCE = LONGEST + 0.02
"""Seconds without a count, all threads asleep, after which nothing of a request is left to be done."""
POLL = 0.01
PATIENCE = 60.0
KEPT_ROUNDS = 3
KEPT_REQUESTS = 100
KEPT_REST = 3.3
"""Seconds after which what waits for others, such as rows of the analytical store, is written."""

Counts = dict[str, dict[str, int]]
Figures = dict[str, float]

EXPENSIVE: Mapping[str, re.Pattern[str]] = {
    words: re.compile(pattern)
    for words, pattern in {
        "JSON read or written": r"msgspec\._core\.json|msgspec\.json\.|orjson\.|_json\.",
        "protobuf read or written": r".*\.(SerializeToString|SerializePartialToString|FromString|ParseFromString)$",
        "SQL statements": r"sqlite3\.\w+\.execute",
        "SQL transactions": r"sqlite3\.Connection\.(commit|rollback)",
        "file writes": r"posix\.(write|writev|pwrite)|_io\.\w+\.(write|writelines)",
        "file syncs": r"posix\.(fsync|fdatasync)",
        "hashes": r"(_hashlib|_blake2|_sha\w+|_md5)\..*(digest|blake2\w|openssl_\w+)$|_hashlib\.hmac_digest",
        "patterns searched": r"re\.Pattern\.",
        "entries to other threads": r"_queue\.SimpleQueue\.put|queue\.Queue\.put",
    }.items()
}
"""Functions that are not Python's and are dear; a call is one of the first that its name matches."""

LOOP: Mapping[str, tuple[str, ...]] = {
    "callbacks scheduled": ("call_soon", "call_soon_threadsafe"),
    "timers set": ("call_later", "call_at"),
    "tasks made": ("create_task",),
}
POSTED = "SQL statements"
"""What every request has some of; where it has none, work is left out that waits for a timer which does not fire."""
_OURS = "benchmarks/counts"


class Silent(Exception):
    """The gateway did not come to rest, or did too early."""


class Subject:
    """A gateway that counts, and who drives it."""

    def __init__(self, gateway: Gateway, driver: Driver, path: Path) -> None:
        self._gateway = gateway
        self._driver = driver
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rw")
        self._sent: Counter[str] = Counter()
        self._asker = str(self._ask("thread"))

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    async def send(self, scenario: str) -> None:
        self._sent[scenario] += 1
        await self._driver.send(request(scenario, self._sent[scenario]))

    def count(self, what: str) -> None:
        """`calls` or `opcodes` or `nothing`, from now on; periodic work ends with the first."""
        self._ask(what)

    def blocks(self) -> int:
        """Memory blocks in use."""
        return int(self._ask("blocks"))

    async def silence(self) -> Counts:
        """The counts, when nothing is being done any more. Raises Silent."""
        deadline = time.monotonic() + PATIENCE
        before, since = -1, 0.0
        while (now := time.monotonic()) < deadline:
            counts: Counts = self._ask("counts")
            total = sum(sum(each.values()) for each in counts.values())
            if total != before or not self._asleep():
                before, since = total, now
            elif now - since >= SILENCE:
                return counts
            await asyncio.sleep(POLL)
        raise Silent(f"the gateway was never at rest in {PATIENCE:g} s")

    def _ask(self, what: str) -> Any:
        self._lines.write(what + "\n")
        self._lines.flush()
        return json.loads(self._lines.readline() or "null")

    def _asleep(self) -> bool:
        """Is no thread running or about to? Those that the machine keeps waiting are about to."""
        tasks = Path(f"/proc/{self._gateway.pid}/task")
        states = (
            (each / "stat").read_text().rpartition(")")[2].split()[0]
            for each in tasks.iterdir()
            if each.name != self._asker
        )
        return all(state in "SI" for state in states)


@asynccontextmanager
async def subject() -> AsyncIterator[Subject]:
    """A started gateway with its default settings over an empty data folder. Raises RunFailed."""
    with TemporaryDirectory(prefix="modelhive-counts-") as folder:
        path = Path(folder) / "counts.sock"
        command = (sys.executable, "-m", "benchmarks.counts.gateway", str(path), "serve")
        async with Driver.running() as driver:
            gateway = Gateway(Path(folder), driver.port, command)
            try:
                await asyncio.to_thread(gateway.start)
                await driver.connect(gateway.port)
                made = Subject(gateway, driver, path)
                yield made
                made.close()
            finally:
                gateway.signal(signal.SIGKILL)  # its timers rest: it could not drain
                await asyncio.to_thread(gateway.stop)


async def measure() -> dict[str, Figures]:
    """The figures of each scenario, and under `all` what is kept of a request."""
    async with subject() as gateway:
        found = {"all": {"blocks kept": await kept(gateway)}}
        for scenario in SCRIPT:
            found[scenario] = {}
            for what in PASSES:
                found[scenario] |= await windows(gateway, scenario, what)
            if not found[scenario].get(POSTED):
                raise Silent(
                    f"no money of {scenario!r} was posted: does something wait longer than {LONGEST} s?"
                )
    return found


async def kept(gateway: Subject) -> float:
    """Memory blocks that stay, per request, over a mix of all scenarios."""
    points = []
    for round_ in range(KEPT_ROUNDS + 1):
        for _ in range(KEPT_REQUESTS // len(SCRIPT)):
            for scenario in SCRIPT:
                await gateway.send(scenario)
        await asyncio.sleep(KEPT_REST)
        points.append((float(round_ * KEPT_REQUESTS), float(gateway.blocks())))
    return slope(points[1:])


async def windows(gateway: Subject, scenario: str, what: str) -> Figures:
    """The least of each figure over requests sent one by one: what a busy machine adds is not in all of them."""
    gateway.count(what)
    warm_up, count = PASSES[what]
    for _ in range(warm_up):
        await gateway.send(scenario)
    before = await gateway.silence()
    found: list[Figures] = []
    for _ in range(count):
        await gateway.send(scenario)
        after = await gateway.silence()
        found.append(figures(difference(before, after)))
        before = after
    gateway.count("nothing")
    names = {name for each in found for name in each}
    return {name: min(each.get(name, 0.0) for each in found) for name in sorted(names)}


def difference(before: Counts, after: Counts) -> Counts:
    return {kind: dict(Counter(counts) - Counter(before[kind])) for kind, counts in after.items()}


def figures(counts: Counts) -> Figures:
    """Calls and instructions in all and by package, and calls of what is expensive."""
    found: Counter[str] = Counter()
    for kind, words in (("python", "calls"), ("opcodes", "instructions")):
        for place, count in counts[kind].items():
            if (package := package_of(place.rpartition(":")[0])) is not None:
                found[f"{words}, all"] += count
                found[f"{words} of {package}"] += count
    if not counts["python"]:
        return dict(found)
    for name, count in counts["built in"].items():
        found["calls of what is built in"] += count
        for words, pattern in EXPENSIVE.items():
            if pattern.match(name):
                found[words] += count
                break
    for words, names in LOOP.items():
        found[words] += sum(counts["loop"].get(name, 0) for name in names)
    return dict(found)


def package_of(file: str) -> str | None:
    """The package that a file of code belongs to; None where it is what counts."""
    if _OURS in file:
        return None
    for root in ("/site-packages/", "/src/"):
        if root in file:
            return file.rpartition(root)[2].split("/")[0].removesuffix(".py")
    return "asyncio" if "/asyncio/" in file else "python"
