"""Which adapter stands behind each port: decided here by URL schemes, and nowhere else.

An adapter of a network is imported where its scheme is asked for: a gateway in one process needs none of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from hive_bus import Bus
from hive_bus.memory import MemoryBus
from hive_host.measured import MeasuredBus
from hive_host.sources import sources
from hive_rpc import Network
from hive_rpc.local import LocalNetwork
from hive_runtime import blobs, tracing
from hive_runtime.blobs import Blobs
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from hive_runtime.health import Health
from hive_runtime.held_blobs import HeldBlobs
from hive_runtime.settings import HostSettings
from hive_runtime.telemetry import Metrics, Requests, report_lost_task
from hive_runtime.valkey import Valkey

log = structlog.get_logger(__name__)


class CannotStart(Exception):
    """Settings or surroundings do not let the process start; the words are for its operator."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What adapters know of the process. service: the only one that runs in it; empty where several do."""

    settings: HostSettings
    service: str
    instance: str
    data_dir: Path
    clock: Clock
    metrics: Metrics
    health: Health

    @property
    def name(self) -> str:
        """This process among all, for brokers and logs."""
        return f"{self.service or 'modelhive'}-{self.instance}"


@asynccontextmanager
async def opened_bus(around: Surroundings, network: Network) -> AsyncIterator[Bus]:
    """The bus, at work; closed at the end. A broker that is away is waited for a while, and is no error."""
    settings = around.settings
    if one_of(settings.bus_url, "HIVE_BUS_URL", "memory", "kafka", "kafka+ssl") == "memory":
        memory = MemoryBus(around.clock, report_lost_task)
        try:
            yield MeasuredBus(memory, around.metrics, around.clock, memory.lags)
        finally:
            await memory.close()
        return
    from hive_bus.kafka import BadAddress, Hooks, KafkaBus
    from hive_bus.snapshots import SnapshotBus

    hooks = Hooks(tracing.headers, tracing.context_of) if tracing.is_on() else Hooks()
    try:
        kafka = KafkaBus(settings.bus_url, around.clock, report_lost_task, instance=around.name, hooks=hooks)
    except BadAddress as error:
        raise CannotStart(f"HIVE_BUS_URL: {error}") from None
    folder = around.data_dir / "snapshots"
    owned = sources(network, but=around.service)
    bus = SnapshotBus(kafka, folder, owned, around.clock, _report_state)
    away = around.metrics.gauge("hive_bus_away", "1 while no broker answers.")
    away.set_function(lambda: float(kafka.is_away))
    around.health.note("bus", lambda: kafka.trouble)
    around.health.note("snapshots", lambda: "; ".join(f"{k}: {v}" for k, v in bus.notes.items()) or None)
    try:
        await kafka.start()
        yield MeasuredBus(bus, around.metrics, around.clock, kafka.lags)
    finally:
        await bus.close()


def network_of(around: Surroundings) -> Network:
    """Raises CannotStart."""
    settings = around.settings
    if one_of(settings.rpc_url, "HIVE_RPC_URL", "local", "dns") == "local":
        return LocalNetwork(report_lost_task)
    from hive_rpc.remote import Hooks, RemoteNetwork, Tls

    requests = Requests(around.metrics, around.service or "modelhive")
    hooks = Hooks(
        outgoing=tracing.outgoing if tracing.is_on() else None,
        incoming=tracing.incoming if tracing.is_on() else None,
        answered=lambda service, method, code, seconds: requests.note(f"{service}/{method}", code, seconds),
    )
    ca, cert, key = settings.rpc_ca, settings.rpc_cert, settings.rpc_key
    tls = Tls(ca, cert, key) if ca and cert and key else None
    if tls is None and (ca or cert or key):
        raise CannotStart("HIVE_RPC_CA, HIVE_RPC_CERT and HIVE_RPC_KEY are given together, or none of them.")
    try:
        return RemoteNetwork(
            report_lost_task,
            url=settings.rpc_url,
            peers=peers_of(settings.rpc_peers),
            host=settings.rpc_host,
            port=settings.rpc_port,
            advertise=settings.rpc_advertise,
            tls=tls,
            hooks=hooks,
            clock=around.clock,
        )
    except ValueError as error:
        raise CannotStart(f"HIVE_RPC_…: {error}") from None


def blobs_of(around: Surroundings) -> Blobs:
    """Raises CannotStart."""
    settings = around.settings
    try:
        stored = blobs.blobs_of(settings.blob_url, around.data_dir, around.clock)
    except ValueError as error:
        raise CannotStart(f"HIVE_BLOB_URL: {error}") from None
    is_alone = urlsplit(settings.bus_url).scheme == "memory" and urlsplit(settings.rpc_url).scheme == "local"
    return HeldBlobs(stored, around.clock) if is_alone else stored


def valkey_of(around: Surroundings) -> Valkey | None:
    """What processes share counters and cached answers in; None where there is one process. Raises CannotStart."""
    url = around.settings.cache_url
    if one_of(url, "HIVE_CACHE_URL", "memory", "redis", "rediss") == "memory":
        return None
    from hive_runtime.valkey.client import BadAddress, NetworkValkey

    try:
        return NetworkValkey(url, around.clock)
    except BadAddress as error:
        raise CannotStart(f"HIVE_CACHE_URL: {error}") from None


def _report_state(name: str, error: BaseException) -> None:
    """Whoever is away comes back: that is no failure of this process."""
    if isinstance(error, HiveError):
        log.warning("state is not heard just now", of=name, error=error.message)
    else:
        report_lost_task(name, error)


async def make_topics(settings: HostSettings) -> list[str]:
    """Make the broker's topics what this release needs; says what was done. Raises CannotStart."""
    if one_of(settings.bus_url, "HIVE_BUS_URL", "memory", "kafka", "kafka+ssl") == "memory":
        return ["HIVE_BUS_URL=memory:// has no topics to make."]
    from hive_bus.kafka import BadAddress, TopicsFailed
    from hive_bus.kafka import make_topics as make

    try:
        return [step.words for step in await make(settings.bus_url)]
    except (BadAddress, TopicsFailed) as error:
        raise CannotStart(f"HIVE_BUS_URL: {error}") from None


def peers_of(text: str) -> Mapping[str, Sequence[str]]:
    """`routing=host:port,host:port billing=host:port` by service. Raises CannotStart."""
    found = {}
    for part in text.split():
        service, equals, addresses = part.partition("=")
        if not (service and equals and addresses):
            raise CannotStart(f"HIVE_RPC_PEERS: {part!r} is not of the form service=host:port,host:port.")
        found[service] = addresses.split(",")
    return found


def one_of(url: str, setting: str, *known: str) -> str:
    """The URL's scheme; raises CannotStart where nothing here speaks it."""
    scheme = urlsplit(url).scheme
    if scheme not in known:
        # The URL itself may hold a password.
        raise CannotStart(
            f"{setting} begins with {scheme or 'nothing'}://: this release knows"
            f" {', '.join(f'{name}://' for name in known)}."
        )
    return scheme
