"""What a point of a curve is measured on: a gateway over its own data, filled before, or a cluster."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.bodies import Kind
from benchmarks.load import LanePlan, Outcome, Plan
from benchmarks.measure import Tree
from benchmarks.processes import ADMIN_TOKEN, KEY, Gateway, RunFailed, Upstream, generate_load
from benchmarks.subjects import SETTINGS, servers_for
from hive_bus.kafka import make_topics
from hive_testing.cluster import SERVICES, Cluster
from hive_testing.servers.errors import ServerFailed
from hive_testing.servers.process import Process

AFTERMATH = 1.5
"""Seconds after the last answer whose CPU time still counts: what is written behind an answer."""
CREDIT = "1000"


@contextmanager
def slow_upstream(gap: float) -> Iterator[Upstream]:
    """An upstream whose streams have a chunk every `gap` seconds."""
    command = [sys.executable, "-m", "benchmarks.scale.upstream", str(gap)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield Upstream(int(process.stdout.readline()), Tree(process.pid))
        finally:
            process.stdin.close()
            process.wait(10)


@contextmanager
def gateway(provider: Upstream) -> Iterator[Gateway]:
    """One that has not started; whatever runs of it in the end is stopped."""
    with TemporaryDirectory(prefix="modelhive-scale-") as folder:
        made = Gateway(Path(folder), provider.port)
        try:
            yield made
        finally:
            made.stop()


def spent(
    trees: Sequence[Tree], port: int, seconds: float, kind: Kind, connections: int, **more: Any
) -> Spent:
    """CPU of processes for a closed loop of requests. Raises RunFailed where an answer was wrong."""
    before = [each.cpu_seconds() for each in trees]
    outcome = load(port, seconds, kind, connections, **more)
    time.sleep(AFTERMATH)
    return Spent(outcome, [now.cpu_seconds() - was for now, was in zip(trees, before, strict=True)])


@dataclass(frozen=True, slots=True)
class Spent:
    outcome: Outcome
    seconds: Sequence[float]

    @property
    def requests(self) -> int:
        return max(1, self.outcome.lanes[0].count)

    @property
    def chunks(self) -> int:
        return max(1, self.outcome.lanes[0].chunks)


def load(port: int, seconds: float, kind: Kind, connections: int, **more: Any) -> Outcome:
    outcome = generate_load(Plan(KEY, seconds, [LanePlan("gateway", port, kind, connections, **more)]))
    lane = outcome.lanes[0]
    if lane.errors:
        raise RunFailed(f"{lane.errors} of {lane.errors + lane.count} answers are wrong: {lane.first_error}")
    return outcome


def configure(gateway: Gateway, changes: Mapping[str, Any]) -> None:
    """Put sections into the gateway's configuration file in the place of those that it has."""
    file = gateway.folder / "modelhive.yaml"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def add_callers(gateway: Gateway, tenants: int, keys: int) -> list[str]:
    """Write tenants and keys into the database of a gateway that has run and is stopped; returns the keys.

    Keys are dealt out to the tenants, which are prepaid like the default tenant, and need credit.
    """
    secrets = [f"sk-scale-{number:032}" for number in range(keys)]
    with sqlite3.connect(gateway.folder / "data" / "console.db") as database:
        _copies(database, "tenants", "id = 'default'", ({"id": _tenant(n)} for n in range(tenants)))
        rows = (
            {
                "id": f"key_scale{number:015}",
                "tenant_id": _tenant(number % tenants) if tenants else "default",
                "sha256": hashlib.sha256(secret.encode()).digest(),
                "last_four": secret[-4:],
            }
            for number, secret in enumerate(secrets)
        )
        _copies(database, "api_keys", "tenant_id = 'default'", rows)
    database.close()
    return secrets


def _copies(database: sqlite3.Connection, table: str, where: str, changes: Iterator[dict[str, Any]]) -> None:
    """Copies of the first row that is meant, each with its changes."""
    cursor = database.execute(f"SELECT * FROM {table} WHERE {where} LIMIT 1")
    names = [column[0] for column in cursor.description]
    row = dict(zip(names, cursor.fetchone(), strict=True))
    marks = ", ".join("?" * len(names))
    quoted = ", ".join(f'"{name}"' for name in names)
    values = (tuple((row | change)[name] for name in names) for change in changes)
    database.executemany(f"INSERT INTO {table} ({quoted}) VALUES ({marks})", values)


def give_credit(gateway: Gateway, tenants: int) -> None:
    """Money for each tenant that was written into the database."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.internal_port, timeout=30)
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}", "content-type": "application/json"}
    for number in range(tenants):
        path = f"/api/admin/wallets/{_tenant(number)}/credit"
        connection.request("POST", path, json.dumps({"amount_usd": CREDIT}), headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RunFailed(f"{path}: {answer.status} {said[:300].decode(errors='replace')}")
    connection.close()


def _tenant(number: int) -> str:
    return f"scale{number:06}"


class Spread(Cluster):
    """A cluster whose shared topics have as many partitions as asked for."""

    partitions = 12

    def make_topics(self) -> None:
        asyncio.run(make_topics(self.environment["HIVE_BUS_URL"], partitions=self.partitions))


@contextmanager
def cluster(
    provider_port: int, catalogue: Mapping[str, Any], *, partitions: int, routing: int
) -> Iterator[Parts]:
    """One process of each service but `routing`, on servers of their own. Raises RunFailed where one is missing."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="modelhive-scale-")))
        backing = servers_for(folder, stack)
        try:
            services = dict.fromkeys(SERVICES, 1) | {"routing": routing}
            made = Spread(folder / "cluster", backing, catalogue, services, **SETTINGS)
            made.partitions = partitions
            stack.enter_context(made)
        except ServerFailed as error:
            raise RunFailed(str(error)) from None
        trees = {name: Tree(replica.pid) for name, replica in made.replicas.items() if replica.pid}
        broker = backing.kafka.control
        if isinstance(broker, Process) and broker.pid:
            trees["kafka"] = Tree(broker.pid)
        yield Parts(made.of("edge")[0].port, trees)


@dataclass(frozen=True, slots=True)
class Parts:
    """A cluster under way: where it listens, and its processes by name."""

    port: int
    trees: Mapping[str, Tree]
