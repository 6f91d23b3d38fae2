"""Measure the gateway beside its budget: `python -m benchmarks.run [--quick] [--scenario NAME] [--profile]`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import hotspots, report
from benchmarks.budget import verdicts
from benchmarks.figures import Figures, medians
from benchmarks.measure import Bystanders
from benchmarks.processes import SERVE, Gateway, RunFailed, raise_file_limit, upstream
from benchmarks.scenarios import FULL, QUICK, SCENARIOS, Bench, Sizes


def main(arguments: list[str]) -> int:
    """0 however the figures turn out; 1 where the gateway did not run or answered wrongly."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sizes = QUICK if options.quick else FULL
    try:
        return profile(sizes) if options.profile else measure(sizes, options.scenario or list(SCENARIOS))
    except RunFailed as error:
        print(error, file=sys.stderr)
        return 1


def measure(sizes: Sizes, names: list[str]) -> int:
    """Run the scenarios, print the table and keep the raw figures."""
    facts = report.machine()
    others = Bystanders()
    rounds: dict[str, list[Figures]] = {}
    with _bench(sizes, SERVE) as bench:
        for name in (name for name in SCENARIOS if name in names):
            print(f"{name} …", file=sys.stderr, flush=True)
            rounds[name] = SCENARIOS[name](bench)
    facts["others"] = round(others.processors(), 2)
    found = verdicts({name: medians(each) for name, each in rounds.items()})
    report.show(facts, report.table(found, rounds), bench.faults)
    raw = {"machine": facts, "sizes": asdict(sizes), "faults": bench.faults, "rounds": rounds}
    print(f"raw figures: {report.save(raw)}")
    return 1 if bench.faults else 0


def profile(sizes: Sizes) -> int:
    """Say where the time of a small chat goes."""
    with TemporaryDirectory() as folder:
        output = Path(folder) / "profile"
        program = hotspots.sampler()
        command = SERVE if program else hotspots.profiled_command(output)
        with _bench(sizes, command) as bench:
            if program:
                spots, requests = hotspots.by_sampling(bench, program, output)
            else:
                spots, requests = hotspots.by_cprofile(bench, output)
    print(hotspots.describe(spots, requests))
    return 1 if bench.faults else 0


@contextmanager
def _bench(sizes: Sizes, command: tuple[str, ...]) -> Iterator[Bench]:
    """An upstream and a started gateway, both gone afterwards."""
    file_limit = raise_file_limit()
    with TemporaryDirectory(prefix="modelhive-bench-") as folder, upstream() as provider:
        gateway = Gateway(Path(folder), provider.port, command)
        try:
            gateway.start()
            yield Bench(provider, gateway, sizes, file_limit)
        finally:
            gateway.stop()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round each, 30 s in all")
    parser.add_argument(
        "--scenario", action="append", choices=SCENARIOS, help="only this one; may be repeated"
    )
    parser.add_argument("--profile", action="store_true", help="where the time of a small chat goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
