"""`python -m hive_testing.chaos`: a cluster of its own, one run, a report; ends with 1 where it failed."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

from hive_testing.chaos.callers import catalogue
from hive_testing.chaos.run import SETTINGS, disturb
from hive_testing.cluster import SERVICES, Cluster, Ground
from hive_testing.served import PRICE
from hive_testing.servers.clickhouse import start_clickhouse
from hive_testing.servers.kafka import start_kafka
from hive_testing.servers.postgres import start_postgres
from hive_testing.servers.redis import start_redis
from hive_testing.servers.server import Server
from hive_testing.simulator import SimulatorThread

AnyServer = TypeVar("AnyServer", bound=Server)

KEEP = 1_000_000
"""Calls and lines of the bill that the provider remembers: all of them."""
MOST_SEEDS = 10_000


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="hive-chaos-"))
    with ExitStack() as stack:
        ground = _ground(stack)
        provider = stack.enter_context(SimulatorThread(keep=KEEP))
        cluster = Cluster(folder, ground.fresh(), catalogue(provider.url, PRICE), SERVICES, **SETTINGS)
        report = disturb(cluster, provider, options.seed, options.seconds, options.every)
    print(report.text)
    path = options.report / f"chaos-{options.seed}.json"
    report.write(path)
    print(f"also in {path}")
    if report.problems or options.folder:
        print(f"logs of all processes: {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if report.problems else 0


def _ground(stack: ExitStack) -> Ground:
    """Servers that are started here: others' may not be killed."""

    def started(start: Callable[[Path], AnyServer]) -> AnyServer:
        # Outside of the run's folder: PostgreSQL runs as a user who may not be let in there.
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="hive-server-", ignore_cleanup_errors=True)
        )
        server = start(Path(folder))
        stack.callback(server.control.close)
        return server

    return Ground(
        lambda: started(start_kafka),
        started(start_postgres),
        started(start_redis),
        started(start_clickhouse),
    )


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hive_testing.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long the traffic is disturbed")
    parser.add_argument("--every", type=float, default=15, help="seconds from one fault to the next")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(MOST_SEEDS))
    parser.add_argument(
        "--report", type=Path, default=Path("benchmarks/results"), help="folder of the report"
    )
    parser.add_argument("--folder", type=Path, help="where logs are left, also of a good run")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
