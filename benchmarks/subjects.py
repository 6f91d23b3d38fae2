"""What is compared: the gateway as one process, and as a cluster on servers that are started for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Tree
from benchmarks.processes import KEY, Gateway, RunFailed, catalogue
from hive_testing.cluster import SERVICES, Backing, Cluster, Ground
from hive_testing.servers.clickhouse import start_clickhouse
from hive_testing.servers.errors import ServerFailed, ServerUnavailable
from hive_testing.servers.kafka import start_kafka
from hive_testing.servers.postgres import start_postgres
from hive_testing.servers.process import Process
from hive_testing.servers.redis import start_redis
from hive_testing.servers.server import Server

SETTINGS = {
    "HIVE_BOOTSTRAP_KEY": KEY,
    "HIVE_BOOTSTRAP_CREDIT_USD": "100000",
    "HIVE_LOCAL_MODELS": "0",
    # What tests have otherwise, as it is by default:
    "HIVE_ANALYTICS_BATCH_SECONDS": "3",
    "HIVE_CACHE_SECONDS": "3600",
    "HIVE_DRAIN_SECONDS": "20",
    "HIVE_MIGRATE": "0",  # as the chart and the compose file have it: jobs make the tables before
}


@dataclass(frozen=True, slots=True)
class Subject:
    """One way to run the gateway. parts: its processes by name; servers: those that it stands on.

    start_s: seconds from the first exec to the first answer for a caller; of a cluster with empty databases and
    without its servers.
    """

    name: str
    port: int
    parts: Mapping[str, Tree]
    servers: Mapping[str, Tree]
    start_s: float


@contextmanager
def embedded(upstream_port: int) -> Iterator[Subject]:
    with TemporaryDirectory(prefix="modelhive-bench-") as folder:
        gateway = Gateway(Path(folder), upstream_port)
        try:
            times = gateway.start()
            yield Subject("one process", gateway.port, {"gateway": gateway.tree}, {}, times.first_chat)
        finally:
            gateway.stop()


@contextmanager
def cluster(upstream_port: int, routing: int) -> Iterator[Subject]:
    """One process of each service and `routing` of that one. Raises RunFailed where a server is missing."""
    with opened_cluster(upstream_port, routing) as (_, subject):
        yield subject


@contextmanager
def opened_cluster(upstream_port: int, routing: int) -> Iterator[tuple[Cluster, Subject]]:
    """The same, with the cluster itself for those that change or disturb it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="modelhive-bench-")))
        backing = servers_for(folder, stack)
        services = dict.fromkeys(SERVICES, 1) | {"routing": routing}
        made = Cluster(folder / "cluster", backing, catalogue(upstream_port), services, **SETTINGS)
        began = time.perf_counter()
        stack.enter_context(made)
        start_s = time.perf_counter() - began
        parts = {name: Tree(replica.pid) for name, replica in made.replicas.items() if replica.pid}
        servers = {
            "Kafka": backing.kafka,
            "PostgreSQL": backing.postgres,
            "Redis": backing.redis,
            "ClickHouse's stand-in": backing.clickhouse,
        }
        trees = {name: tree for name, server in servers.items() if (tree := _tree(server))}
        yield made, Subject(f"cluster, {routing} × routing", made.of("edge")[0].port, parts, trees, start_s)


def servers_for(folder: Path, stack: ExitStack) -> Backing:
    """Servers of this run's own until the stack ends, from packages, so that their processor time is known too.

    Raises RunFailed where one is missing.
    """

    def place(name: str) -> Path:
        made = folder / name
        made.mkdir()
        made.chmod(0o755)
        return made

    def kept(server: Server) -> None:
        stack.callback(server.control.close)

    try:
        kept(kafka := start_kafka(place("kafka")))
        kept(postgres := start_postgres(place("postgres")))
        kept(redis := start_redis(place("redis")))
        kept(clickhouse := start_clickhouse(place("clickhouse")))
    except (ServerUnavailable, ServerFailed) as error:
        raise RunFailed(str(error)) from None
    return Ground(lambda: kafka, postgres, redis, clickhouse).fresh()


def _tree(server: Server) -> Tree | None:
    control = server.control
    return Tree(control.pid) if isinstance(control, Process) and control.pid else None
