"""A cluster for tests: each service in processes of its own, on real servers; all can be killed and paused."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hive_runtime.sealing import SealingKey
from hive_testing.balancer import Balancer
from hive_testing.http import Door, eventually
from hive_testing.served import Served, samples
from hive_testing.servers.kafka import Kafka
from hive_testing.servers.ports import HOST, free_port
from hive_testing.servers.postgres import Postgres
from hive_testing.servers.process import Process
from hive_testing.servers.redis import Redis
from hive_testing.servers.server import Server

SERVICES = {
    "console": 1,
    "billing": 1,
    "analytics": 1,
    "guardrails": 1,
    "routing": 2,
    "edge": 2,
}
"""How many processes of each, where a test says nothing else."""
REDIS_DATABASES = 16
OWN_TABLES = ("console", "billing", "routing")
JOB_SECONDS = 60.0
SETTLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Backing:
    """What one cluster stands on. environment: where, as settings say it. The broker is its own where it can be."""

    kafka: Kafka
    postgres: Postgres
    redis: Redis
    clickhouse: Server
    environment: Mapping[str, str]

    def restore(self) -> None:
        """Every server runs, whatever a test has done to it."""
        for server in (self.kafka, self.postgres, self.redis, self.clickhouse):
            server.restore()


class Ground:
    """The servers that the clusters of a test run stand on; each cluster gets a part of its own."""

    def __init__(
        self, kafka: Callable[[], Kafka], postgres: Postgres, redis: Redis, clickhouse: Server
    ) -> None:
        """kafka: a broker whose topics nobody has used."""
        self._kafka = kafka
        self._postgres = postgres
        self._redis = redis
        self._clickhouse = clickhouse
        self._numbers = itertools.count(1)

    def fresh(self) -> Backing:
        """Topics, databases and keys that nobody has used."""
        number, kafka = next(self._numbers), self._kafka()
        environment = {
            "HIVE_BUS_URL": f"{kafka.url}?session_ms=6000",
            "HIVE_SQL_URL": self._postgres.create_database(),
            "HIVE_CACHE_URL": f"{self._redis.url.rpartition('/')[0]}/{number % REDIS_DATABASES}",
            "HIVE_OLAP_URL": f"{self._clickhouse.url.rstrip('/')}/cluster_{os.getpid()}_{number}",
        }
        return Backing(kafka, self._postgres, self._redis, self._clickhouse, environment)


class Replica:
    """One process of one service, on ports of its own that it keeps."""

    def __init__(self, service: str, number: int, folder: Path) -> None:
        self.service = service
        self.name = f"{service}-{number}"
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.port, self.internal_port, self.rpc_port = free_port(), free_port(), free_port()
        self._process: Process

    def configure(self, environment: Mapping[str, str]) -> None:
        own = {
            "HIVE_INSTANCE": self.name.rpartition("-")[2],
            "HIVE_DATA_DIR": str(self.folder / "data"),
            "HIVE_PORT": str(self.port),
            "HIVE_INTERNAL_PORT": str(self.internal_port),
            "HIVE_RPC_PORT": str(self.rpc_port),
        }
        command = [sys.executable, "-m", f"hive_{self.service}"]
        self._process = Process(self.name, command, self.folder, self.is_ready, {**environment, **own})

    @property
    def rpc_address(self) -> str:
        return f"{HOST}:{self.rpc_port}"

    @property
    def internal(self) -> Door:
        """The listener for operators, without a credential."""
        return Door(f"http://{HOST}:{self.internal_port}", "")

    def is_ready(self) -> bool:
        return self.says("/readyz") == 200

    def says(self, path: str) -> int:
        """The status of a GET; 0 where nobody answers."""
        try:
            return self.internal.ask("GET", path).status
        except (OSError, AssertionError):
            return 0

    def start(self) -> None:
        """Start, and return when it is ready; raises ServerFailed."""
        self._process.start()

    def spawn(self) -> None:
        """Start without waiting for it."""
        self._process.spawn()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._process.stop()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._process.kill()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._process.log

    @property
    def memory(self) -> int:
        return self._process.memory

    def complaints(self) -> list[str]:
        """The lines of the log that speak of a failure inside the process."""
        marks = ('"level": "error"', '"level": "critical"', "Traceback", "never awaited", "never retrieved")
        return [line for line in self.log.splitlines() if any(mark in line for mark in marks)]


class Cluster(Served):
    """`with Cluster(folder, backing, catalogue) as cluster:` starts everything; leaving it stops all by SIGTERM.

    services: how many processes of each, where that differs from `SERVICES`.
    settings: environment variables of all processes.
    """

    looks = 6

    def __init__(
        self,
        folder: Path,
        backing: Backing,
        catalogue: Mapping[str, Any] | None = None,
        services: Mapping[str, int] | None = None,
        **settings: str,
    ) -> None:
        super().__init__(folder, catalogue, settings)
        services = SERVICES | dict(services or {})
        processes = Path(tempfile.mkdtemp(prefix="hive-cluster-"))
        self.backing = backing
        self._processes = processes
        self.replicas = {
            (replica := Replica(service, number, processes)).name: replica
            for service, count in services.items()
            for number in range(count)
        }
        peers = {service: [each.rpc_address for each in self.of(service)] for service in services}
        self.environment |= {
            "HIVE_RPC_URL": "dns:///{service}:9090",
            "HIVE_RPC_PEERS": " ".join(f"{name}={','.join(addresses)}" for name, addresses in peers.items()),
            "HIVE_CREDENTIALS_KEY": SealingKey.generate().text,
            "HIVE_BLOB_URL": f"file://{folder}/blobs",
            "HIVE_BILLING_HOLDERS": str(services["routing"]),
            "HIVE_LOG_FORMAT": "json",
            **backing.environment,
            **settings,
        }
        for replica in self.replicas.values():
            replica.configure(self.environment)
        self._balancer = Balancer([f"{HOST}:{each.port}" for each in self.of("edge")])
        self.expected: list[str] = []
        """Words of complaints that a test provokes."""
        self._stack = ExitStack()

    def of(self, service: str) -> Sequence[Replica]:
        """The processes of a service."""
        return [replica for replica in self.replicas.values() if replica.service == service]

    def processes(self, service: str) -> int:
        return len(self.of(service))

    @property
    def doors(self) -> Sequence[Door]:
        return [Door(f"http://{HOST}:{each.port}", self.key) for each in self.of("edge")]

    def __getitem__(self, name: str) -> Replica:
        """A process by its name, such as `routing-1`."""
        return self.replicas[name]

    @property
    def url(self) -> str:
        return f"http://{self._balancer.address}"

    @property
    def internal_url(self) -> str:
        return self.of("console")[0].internal.url

    def __enter__(self) -> Self:
        self._stack.enter_context(self._balancer)
        try:
            self.make_topics()
            if self.environment.get("HIVE_MIGRATE") == "0":
                self.make_tables()
            with ThreadPoolExecutor(len(self.replicas)) as pool:
                list(pool.map(Replica.start, self.replicas.values()))
            self.wait_for_key(self.key)
            if "HIVE_BOOTSTRAP_CREDIT_USD" in self.environment:
                eventually(self._has_credit, SETTLE_SECONDS, "the first credit")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        complaints = self.complaints()
        self._end()
        if error is None:
            assert not complaints, "\n".join(complaints)

    def _has_credit(self) -> bool:
        answer = self.internal.ask("GET", "/api/admin/wallets/default")
        return answer.status == 200 and float(answer.json["balance_usd"]) > 0

    def make_topics(self) -> None:
        """What an operator does before everything else."""
        self._run("console", "topics")

    def make_tables(self) -> None:
        """The same, where services are not to do it themselves at their starts."""
        with ThreadPoolExecutor(len(OWN_TABLES)) as pool:
            list(pool.map(lambda service: self._run(service, "migrate"), OWN_TABLES))

    def _run(self, service: str, verb: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", f"hive_{service}", verb],
            env=self.environment | {"HIVE_DATA_DIR": str(self._processes / f"{verb}-{service}")},
            capture_output=True,
            text=True,
            timeout=JOB_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def metrics(self) -> dict[str, float]:
        """The samples of all processes that run, added up by their names and labels."""
        found: Counter[str] = Counter()
        for replica in self.replicas.values():
            if replica.pid is not None:
                found.update(samples(replica.internal.ask("GET", "/metrics").body.decode()))
        return dict(found)

    def restore(self) -> None:
        """All processes run again and are ready, whatever a test has done to them."""
        self.backing.restore()
        for replica in self.replicas.values():
            replica.resume()
        with ThreadPoolExecutor(len(self.replicas)) as pool:
            list(pool.map(Replica.start, self.replicas.values()))
        for replica in self.replicas.values():
            eventually(replica.is_ready, SETTLE_SECONDS, f"{replica.name} is ready")

    def complaints(self) -> list[str]:
        return [
            f"{replica.name}: {line}"
            for replica in self.replicas.values()
            for line in replica.complaints()
            if not any(words in line for words in self.expected)
        ]

    def _end(self) -> None:
        """Doors first, then what stands behind them."""
        for service in ("edge", "routing", "guardrails", "analytics", "billing", "console"):
            replicas = self.of(service)
            if replicas:
                with ThreadPoolExecutor(len(replicas)) as pool:
                    list(pool.map(Replica.stop, replicas))
        self._stack.close()
        for replica in self.replicas.values():
            (self.folder / f"{replica.name}.log").write_text(replica.log)
        shutil.rmtree(self._processes, ignore_errors=True)
