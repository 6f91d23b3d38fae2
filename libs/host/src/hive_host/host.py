"""The process and what a service may ask of it. Here alone is decided which adapter stands behind a port.

async with Process(settings) as process:
    async with some_service(process.host("some"), SomeSettings()):
        await process.serve_until(stop)
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import unquote, urlsplit

import structlog

from hive_bus import Bus, Options
from hive_bus.memory import MemoryBus
from hive_host.listener import Listener
from hive_host.mounts import Mounts, metrics_app
from hive_host.protocol import Limits
from hive_relay import Caller, Responder
from hive_relay.asgi import App
from hive_rpc import Channel, Network, Server
from hive_rpc.local import LocalNetwork
from hive_runtime.blobs import Blobs, ObjectBlobs
from hive_runtime.clock import Clock, SystemClock
from hive_runtime.health import Health
from hive_runtime.settings import HostSettings
from hive_runtime.tasks import Tasks
from hive_runtime.telemetry import Metrics, report_lost_task
from modelhive.relay.v1.relay_pb2 import RequestEnvelope

log = structlog.get_logger(__name__)


class CannotStart(Exception):
    """Settings or surroundings do not let the process start; the words are for its operator."""


class Host:
    """What one service may ask of the process that it runs in.

    `tasks` are this instance's own: closing them is what the loss of its process would be to all others.
    """

    def __init__(self, process: Process, service: str, instance: str) -> None:
        self.service = service
        self.instance = instance
        self.settings = process.settings
        self.bus = process.bus
        self.blobs = process.blobs
        self.clock = process.clock
        self.tasks = Tasks(report_lost_task)
        self.health = process.health
        self.metrics = process.metrics
        self.data_dir = process.data_dir
        self._process = process
        self._server: Server = process.network.server(service, instance)
        self._responder: Responder | None = None

    @property
    def sql_url(self) -> str:
        """Where this service's tables live, as SQLAlchemy reads it."""
        template = self.settings.sql_url or f"sqlite+aiosqlite:///{self.data_dir}/{{service}}.db"
        _scheme(template, "HIVE_SQL_URL", "sqlite+aiosqlite", "postgresql+asyncpg")
        return template.replace("{service}", self.service)

    def mount(self, listener: str, prefix: str, app: App) -> None:
        """Let `app` answer what lies below `prefix` of the `public` or the `internal` listener."""
        self._process.mounts[listener].add(prefix, app)

    def serve(self, register: Callable[[Any, Any], None], servicer: object) -> None:
        """Answer rpc calls with `servicer` while `running`."""
        self._server.add(register, servicer)

    @property
    def address(self) -> str:
        """Where others reach what this instance serves, and no other instance."""
        return self._server.address

    def channel(self, service: str) -> Channel:
        """The way to call a service's rpcs, or those of one instance by its address: give it to a stub."""
        return self._process.network.channel(service)

    def caller(self) -> Caller:
        """The relay to other services' public endpoints; answers come while `running`."""
        caller = Caller(
            server=self._server,
            bus=self.bus,
            network=self._process.network,
            clock=self.clock,
            tasks=self.tasks,
        )
        self.serve(Caller.attach, caller)
        self._process.callers.append(caller)
        return caller

    def answer(self, app: App) -> None:
        """Answer the requests that belong to this service with `app`, while `running`."""
        self._responder = Responder(
            app,
            service=self.service,
            instance=self.instance,
            server=self._server,
            network=self._process.network,
            blobs=self.blobs,
            clock=self.clock,
            tasks=self.tasks,
        )
        self.serve(Responder.attach, self._responder)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Entered: rpc and requests are taken. Left: all that was taken has its answer, or a refusal."""
        await self._server.start()
        responder, subscription = self._responder, None
        if responder is not None:
            options = Options(fields={"service": self.service})
            subscription = await self.bus.subscribe_requests(
                RequestEnvelope, self.service, responder.take, options
            )
        try:
            yield
        finally:
            if responder is not None and subscription is not None:
                await subscription.close()
                await responder.drain(self.settings.drain_seconds)
            await self._server.stop(1.0)


class Process:
    """The adapters that all services of this process share, its two listeners, its start and its end."""

    def __init__(self, settings: HostSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.data_dir = private_folder(settings.data_dir.absolute())
        self.health = Health()
        self.metrics = Metrics()
        self.mounts = {"public": Mounts(self.health), "internal": Mounts(self.health)}
        self.mounts["internal"].add("/metrics", metrics_app(self.metrics))
        self._hosts: list[Host] = []
        self.callers: list[Caller] = []
        self.bus = _bus(settings, self.clock)
        self.network = _network(settings)
        self.blobs = _blobs(settings, self.data_dir, self.clock)
        self._phase = "starting"
        self._lock: IO[str] | None = None
        self.listeners: dict[str, Listener] = {}
        tasks = self.metrics.gauge("hive_process_tasks", "Tasks that services of this process own.")
        tasks.set_function(lambda: sum(len(host.tasks) for host in self._hosts))
        self.health.add("process", lambda: None if self._phase == "serving" else self._phase)

    async def __aenter__(self) -> Self:
        self._lock = claim_folder(self.data_dir)
        raise_open_files_limit()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.bus.close()
        await self.network.close()
        for host in self._hosts:
            await host.tasks.close()
        if self._lock is not None:
            self._lock.close()

    def host(self, service: str, instance: str = "0") -> Host:
        """The process as one instance of `service` sees it."""
        host = Host(self, service, f"{service}-{instance}")
        self._hosts.append(host)
        return host

    async def serve_until(self, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
        """Open both listeners; once `stop` is set, let the public one finish, then close the internal one."""
        settings = self.settings
        limits = Limits()
        public = Listener(self.mounts["public"], settings.host, settings.port, limits=limits, name="public")
        internal = Listener(
            self.mounts["internal"],
            settings.internal_host,
            settings.internal_port,
            limits=limits,
            name="internal",
        )
        self.listeners = {"public": public, "internal": internal}
        try:
            await internal.start()
            await public.start()
            calm_garbage_collection()
            self._phase = "serving"
            if on_ready is not None:
                on_ready()
            await stop.wait()
            self._phase = "draining"
            if not await public.drain(settings.drain_seconds, self._give_up):
                log.warning("requests were cut off", after_seconds=settings.drain_seconds)
        finally:
            await public.close()
            await internal.close()

    def _give_up(self) -> None:
        """Tell those whose requests did not finish in time; a stream then ends with an error, not silently."""
        for caller in self.callers:
            caller.give_all_up()


def calm_garbage_collection() -> None:
    """Leave alone what start-up made, and look for cycles less often: requests leave none behind.

    Under load this is a quarter of the CPU of a small request (230 to 176 µs), at the same memory.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def raise_open_files_limit() -> None:
    """As many sockets as the machine allows: the usual soft limit is a fraction of the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # where the system has a bound of its own, below an unlimited one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def private_folder(folder: Path) -> Path:
    """The folder, for this user alone from now on: it holds prompts and keys. Raises CannotStart."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except PermissionError:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise CannotStart(f"HIVE_DATA_DIR={folder} cannot be used: permission denied.") from None
        log.warning(
            "the data folder is another user's: who else can read it is up to them", folder=str(folder)
        )
    except OSError as error:
        raise CannotStart(f"HIVE_DATA_DIR={folder} cannot be made: {error.strerror}.") from None
    return folder


def claim_folder(folder: Path) -> IO[str]:
    """Hold the data folder for this process alone; raises CannotStart where another one has it."""
    try:
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise CannotStart(f"HIVE_DATA_DIR={folder} cannot be used: {error.strerror}.") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise CannotStart(
            f"Another ModelHive (process {holder}) serves from {folder}: stop it, or set HIVE_DATA_DIR."
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _bus(settings: HostSettings, clock: Clock) -> Bus:
    _scheme(settings.bus_url, "HIVE_BUS_URL", "memory")
    return MemoryBus(clock, report_lost_task)


def _network(settings: HostSettings) -> Network:
    _scheme(settings.rpc_url, "HIVE_RPC_URL", "local")
    return LocalNetwork(report_lost_task)


def _blobs(settings: HostSettings, data_dir: Path, clock: Clock) -> Blobs:
    url = settings.blob_url or f"file://{data_dir}/blobs"
    _scheme(url, "HIVE_BLOB_URL", "file")
    return ObjectBlobs.in_folder(Path(unquote(urlsplit(url).path)), clock)


def _scheme(url: str, setting: str, *known: str) -> str:
    """The URL's scheme; raises CannotStart where nothing here speaks it."""
    scheme = urlsplit(url).scheme
    if scheme not in known:
        raise CannotStart(f"{setting}={url}: this release knows {', '.join(f'{name}://' for name in known)}.")
    return scheme
