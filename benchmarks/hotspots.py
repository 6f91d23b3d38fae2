"""Where the gateway's time goes while it is saturated with small chats: py-spy where it is, else cProfile."""

from __future__ import annotations

import pstats
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bodies import Kind
from benchmarks.processes import RunFailed
from benchmarks.scenarios import Bench

SECONDS = 6.0
SHOWN = 25
RATE = 400
"""Samples per second of py-spy."""
DUMP_TIMEOUT = 20.0
PROFILED = (sys.executable, "-m", "benchmarks.profiled")


@dataclass(frozen=True, slots=True)
class Spot:
    """A function and the time spent in itself, without what it calls."""

    module: str
    function: str
    seconds: float
    calls: int | None


def sampler() -> str | None:
    """Path of py-spy; None where it is not installed."""
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if beside.exists() else shutil.which("py-spy")


def profiled_command(output: Path) -> tuple[str, ...]:
    return (*PROFILED, str(output), "serve")


def by_cprofile(bench: Bench, output: Path) -> tuple[list[Spot], int]:
    """The spots and the requests in the profile; the gateway must run as `profiled_command`."""
    bench.warm_up()
    bench.gateway.signal(signal.SIGUSR1)
    outcome = bench.load(SECONDS, bench.lane(Kind.CHAT))
    bench.gateway.signal(signal.SIGUSR2)
    deadline = time.perf_counter() + DUMP_TIMEOUT
    while not output.exists():
        if time.perf_counter() > deadline:
            raise RunFailed("The profiled gateway wrote no profile.")
        time.sleep(0.05)
    return read_cprofile(output), outcome.lanes[0].count


def by_sampling(bench: Bench, program: str, output: Path) -> tuple[list[Spot], int]:
    """The same from samples, which slow the gateway down far less; the gateway runs as always."""
    bench.warm_up()
    options = ["--format", "raw", "--function", "--rate", str(RATE), "--duration", str(round(SECONDS))]
    target = ["--pid", str(bench.gateway.pid), "--output", str(output)]
    with subprocess.Popen([program, "record", *options, *target], stdout=subprocess.DEVNULL) as process:
        outcome = bench.load(SECONDS, bench.lane(Kind.CHAT))
        process.wait(DUMP_TIMEOUT)
    return read_samples(output.read_text()), outcome.lanes[0].count


def read_cprofile(path: Path) -> list[Spot]:
    entries: dict[tuple[str, int, str], tuple[int, int, float, float, object]]
    entries = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
    return [
        Spot(module_name(file), f"{name}:{line}" if line else name, own, calls)
        for (file, line, name), (_, calls, own, _, _) in entries.items()
    ]


def read_samples(text: str) -> list[Spot]:
    """From lines such as `outer (a.py:1);inner (b.py:7) 12`: the innermost function has the time."""
    own: dict[tuple[str, str], int] = defaultdict(int)
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frame = re.fullmatch(r"(.*) \((.*?)(?::(\d+))?\)", stack.rpartition(";")[2])
        if frame:
            name, file, place = frame.groups()
            own[module_name(file), f"{name}:{place}" if place else name] += int(count)
    return [Spot(module, function, count / RATE, None) for (module, function), count in own.items()]


def module_name(file: str) -> str:
    """A short name of the module that a profiler names by its path; `built in` where there is none."""
    if file in ("~", ""):
        return "built in"
    for root in ("/site-packages/", "/src/"):
        if root in file:
            return file.rpartition(root)[2]
    return re.sub(r"^.*/python3\.\d+/", "", file)


def describe(spots: list[Spot], requests: int) -> str:
    """The most expensive functions, under their modules; the costliest module first."""
    top = sorted(spots, key=lambda spot: spot.seconds, reverse=True)[:SHOWN]
    totals: dict[str, float] = defaultdict(float)
    for spot in spots:
        totals[spot.module] += spot.seconds
    whole = sum(totals.values())
    lines = [f"{requests} requests, {whole:.2f} s in the profile; µs per request in the function itself"]
    for module in sorted({spot.module for spot in top}, key=lambda name: -totals[name]):
        lines.append(f"{_each(totals[module], requests)}  {totals[module] / whole:5.1%}  {module}")
        lines += [_line(spot, requests) for spot in top if spot.module == module]
    return "\n".join(lines)


def _line(spot: Spot, requests: int) -> str:
    calls = "" if spot.calls is None else f"  ({spot.calls / max(1, requests):.1f} calls)"
    return f"{_each(spot.seconds, requests)}           {spot.function}{calls}"


def _each(seconds: float, requests: int) -> str:
    return f"{seconds / max(1, requests) * 1e6:9.1f}"
