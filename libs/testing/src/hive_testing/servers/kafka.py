"""Apache Kafka on this machine: its own jars, one node in KRaft mode, small and quick to start."""

from __future__ import annotations

import hashlib
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hive_testing.servers.containers import Container, Image
from hive_testing.servers.control import Elsewhere
from hive_testing.servers.errors import ServerFailed
from hive_testing.servers.jars import jars_of, java
from hive_testing.servers.ports import HOST, free_port
from hive_testing.servers.process import Process
from hive_testing.servers.proxy import TcpProxy
from hive_testing.servers.server import Server

IMAGE = "apache/kafka:4.3.1"
SIDE_DOORS = 6
FORMAT_SECONDS = 60
CLUSTER_ID = "bW9kZWxoaXZlLXRlc3RzMQ"
JVM = [
    "-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
]  # fmt: skip
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "PLAIN",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A killed broker is let in again only when the session of the one it was has ended.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "1",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
    "log.index.size.max.bytes": str(1024 * 1024),
}
LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c: %m%n
"""


@dataclass(frozen=True)
class SideDoor:
    """A listener of its own, whose clients are told to come to `advertised`: a proxy's port."""

    port: int
    advertised: int


@dataclass
class Kafka(Server):
    """A broker. url: `kafka://host:port`, for HIVE_BUS_URL."""

    doors: list[SideDoor] = field(default_factory=list)

    @property
    def bootstrap(self) -> str:
        """`host:port`, as Kafka's clients want it."""
        return self.url.removeprefix("kafka://").partition("?")[0].rpartition("@")[2]

    @contextmanager
    def proxied(self) -> Iterator[KafkaProxy]:
        """A way to the broker that a test can cut: clients that are given its `url` meet the broker nowhere else.

        At most SIDE_DOORS at the same time. Skips the test where others run the broker.
        """
        if not self.doors:
            pytest.skip("NOT OURS TO CUT: this test wants a Kafka that the test run started itself")
        door = self.doors.pop()
        try:
            with KafkaProxy(f"{HOST}:{door.port}", port=door.advertised) as proxy:
                yield proxy
        finally:
            self.doors.append(door)


class KafkaProxy(TcpProxy):
    """A TcpProxy whose address is also a bus URL."""

    @property
    def url(self) -> str:
        return f"kafka://{self.address}"


def kafka_at(address: str) -> Kafka:
    """The broker that runs there. address: `kafka://host:port,…`, or without the scheme."""
    url = address if "://" in address else f"kafka://{address}"
    return Kafka(url, "environment", Elsewhere("Kafka"))


def start_kafka(folder: Path) -> Kafka:
    """Start a broker that keeps everything in `folder`, which exists. Raises ServerUnavailable, ServerFailed."""
    return _start(folder, [f"-XX:SharedArchiveFile={prepare_kafka()}"], [])


def _start(folder: Path, options: list[str], of_broker: list[str]) -> Kafka:
    """options: of the virtual machine, also of the one that formats the storage."""
    jars = ":".join(str(jar) for jar in sorted(jars_of("kafka").glob("*.jar")))
    command = [java(), *JVM, *options, f"-Dlog4j2.configurationFile={folder}/log4j2.properties", "-cp", jars]
    port, doors = free_port(), _doors()
    settings = _settings(port, doors, HOST) | {"log.dirs": str(folder / "data")}
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    (folder / "log4j2.properties").write_text(LOGGING)
    (folder / "server.properties").write_text("".join(lines))
    _format(command, folder)
    start = [*command, *of_broker, "kafka.Kafka", str(folder / "server.properties")]
    process = Process("Kafka", start, folder, lambda: _knows_itself(port))
    process.start()
    return Kafka(f"kafka://{HOST}:{port}", "started here", process, doors)


def prepare_kafka() -> Path:
    """Fetch the jars, and make of their classes what the virtual machine starts with in half of the time.

    Done once for each Java, by a broker that ends as soon as it has started. Gives the archive's path. Raises
    ServerUnavailable, ServerFailed.
    """
    program = Path(java()).resolve()
    of_java = hashlib.sha256(f"{program} {program.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    archive = jars_of("kafka") / f"broker-{of_java}.jsa"
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=archive.parent.parent) as part:
            made = Path(part) / archive.name
            _start(Path(part), [], [f"-XX:ArchiveClassesAtExit={made}"]).control.close()
            if made.exists():
                made.replace(archive)
    return archive


def kafka_in_container() -> Kafka:
    """The one of the cluster on a laptop. Raises ServerUnavailable, ServerFailed."""
    port = free_port()
    doors = _doors()
    settings = _settings(port, doors, "0.0.0.0")
    # The image makes the data's folder; what is set in its environment it writes to its properties.
    environment = {f"KAFKA_{name.replace('.', '_').upper()}": value for name, value in settings.items()}
    ports = {each: each for each in (port, *(door.port for door in doors))}
    image = Image(IMAGE, ports, environment | {"CLUSTER_ID": CLUSTER_ID})
    container = Container("Kafka", image, lambda: _knows_itself(port))
    container.start()
    return Kafka(f"kafka://{HOST}:{port}", "testcontainers", container, doors)


def _doors() -> list[SideDoor]:
    return [SideDoor(free_port(), free_port()) for _ in range(SIDE_DOORS)]


def _settings(port: int, doors: list[SideDoor], host: str) -> dict[str, str]:
    """host: where it listens, for clients that come to loopback."""
    controller = free_port()
    names = [f"SIDE{number}" for number in range(len(doors))]
    own = [f"PLAIN://{host}:{port}", f"CONTROLLER://{HOST}:{controller}"]
    side = [f"{name}://{host}:{door.port}" for name, door in zip(names, doors, strict=True)]
    told = [f"{name}://{HOST}:{door.advertised}" for name, door in zip(names, doors, strict=True)]
    return SETTINGS | {
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": ",".join(own + side),
        "advertised.listeners": ",".join([f"PLAIN://{HOST}:{port}", *told]),
        "listener.security.protocol.map": ",".join(
            f"{name}:PLAINTEXT" for name in ["PLAIN", "CONTROLLER", *names]
        ),
    }


def _format(command: list[str], folder: Path) -> None:
    arguments = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", "server.properties"]
    result = subprocess.run(
        command + arguments, cwd=folder, capture_output=True, text=True, timeout=FORMAT_SECONDS, check=False
    )
    if result.returncode:
        raise ServerFailed(f"Kafka's storage could not be formatted: {result.stdout}{result.stderr}")


def _knows_itself(port: int) -> bool:
    """Whether the broker answers for its metadata and is part of its cluster."""
    client = b"ready?"
    header = struct.pack(">hhih", 3, 4, 1, len(client)) + client  # Metadata, version 4
    request = header + struct.pack(">i?", 0, False)  # of no topic
    try:
        with (
            socket.create_connection((HOST, port), timeout=2) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = answers.read(4 + 4 + 4 + 4)  # size, correlation, throttle, number of brokers
    except OSError:
        return False
    return len(answer) == 16 and struct.unpack(">iiii", answer)[3] > 0
