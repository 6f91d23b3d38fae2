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
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

import structlog

from hive_bus import Bus, Options
from hive_host.adapters import (
    CannotStart,
    Surroundings,
    blobs_of,
    network_of,
    one_of,
    opened_bus,
    valkey_of,
)
from hive_host.listener import Listener
from hive_host.measured import measured_app
from hive_host.mounts import Mounts, metrics_app
from hive_host.protocol import Limits
from hive_relay import Caller, Responder
from hive_relay.asgi import App
from hive_rpc import Channel, Server
from hive_runtime.blobs import Blobs
from hive_runtime.clock import Clock, SystemClock
from hive_runtime.health import Health
from hive_runtime.settings import HostSettings
from hive_runtime.tasks import Tasks
from hive_runtime.telemetry import Metrics, Requests, report_lost_task
from hive_runtime.valkey import Valkey
from modelhive.relay.v1.relay_pb2 import RequestEnvelope

log = structlog.get_logger(__name__)


class Host:
    """What one service may ask of the process that it runs in.

    `tasks` are this instance's own: closing them is what the loss of its process would be to all others.
    """

    def __init__(self, process: Process, service: str, instance: str) -> None:
        self.service = service
        self.instance = instance
        self.settings = process.settings
        self.bus = process.bus
        self.clock = process.clock
        self.tasks = Tasks(report_lost_task)
        self.health = process.health
        self.metrics = process.metrics
        self.data_dir = process.data_dir
        self._process = process
        self._server: Server = process.network.server(service, instance)
        self._responder: Responder | None = None
        self._caller: Caller | None = None

    @property
    def sql_url(self) -> str:
        """Where this service's tables live, as SQLAlchemy reads it."""
        template = self.settings.sql_url or f"sqlite+aiosqlite:///{self.data_dir}/{{service}}.db"
        scheme = one_of(template, "HIVE_SQL_URL", "sqlite+aiosqlite", "postgresql+asyncpg")
        if scheme == "postgresql+asyncpg" and "{service}" not in template:
            template += f"{'&' if '?' in template else '?'}schema={{service}}"
        return template.replace("{service}", self.service)

    @property
    def valkey(self) -> Valkey | None:
        """What processes share counters and cached answers in; None where there is one process. Raises CannotStart."""
        return self._process.valkey

    @property
    def blobs(self) -> Blobs:
        """Where bodies lie that are too large for an envelope. Raises CannotStart."""
        return self._process.blobs

    def mount(self, listener: str, prefix: str, app: App) -> None:
        """Let `app` answer what lies below `prefix` of the `public` or the `internal` listener.

        What the root of the public one answers is counted by whoever knows its routes.
        """
        if prefix:
            app = measured_app(app, Requests(self.metrics, self.service), prefix, self.clock)
        self._process.mounts[listener].add(prefix, app)

    def mount_socket(self, listener: str, path: str, app: App) -> None:
        """Let `app` answer the WebSockets that clients open at this path of the `public` or the `internal` listener."""
        self._process.mounts[listener].add_socket(path, app)

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
        self._caller = caller
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
            beside=self._process.callers,
        )
        self.serve(Responder.attach, self._responder)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Entered: rpc and requests are taken. Left: all that was taken has its answer, or a refusal."""
        await self._server.start()
        if self._caller is not None:
            self._process.callers[self.address] = self._caller
        responder, subscription = self._responder, None
        if responder is not None:
            options = Options(
                fields={"service": self.service}, takes_stand_ins=True, again=responder.begin_again
            )
            subscription = await self.bus.subscribe_requests(
                RequestEnvelope, self.service, responder.begin, options
            )
        try:
            yield
        finally:
            if responder is not None and subscription is not None:
                await subscription.close()
                await responder.drain(self.settings.drain_seconds)
            self._process.callers.pop(self.address, None)
            await self._server.stop(1.0)


class Process:
    """The adapters that all services of this process share, its two listeners, its start and its end."""

    def __init__(
        self, settings: HostSettings, clock: Clock | None = None, *, service: str | None = None
    ) -> None:
        """service: the only one that runs in this process; None where several do."""
        self.settings = settings
        self.clock = clock or SystemClock()
        self.instance = settings.instance or (socket.gethostname() if service else "0")
        self.data_dir = private_folder(settings.data_dir.absolute())
        self.health = Health()
        self.metrics = Metrics()
        self.mounts = {"public": Mounts(self.health), "internal": Mounts(self.health)}
        self.mounts["internal"].add("/metrics", metrics_app(self.metrics))
        self._hosts: list[Host] = []
        self.callers: dict[str, Caller] = {}
        around = Surroundings(
            settings, service or "", self.instance, self.data_dir, self.clock, self.metrics, self.health
        )
        self.network = network_of(around)
        self._valkey: Valkey | None = None
        self.bus: Bus
        self._around = around
        self._stack = AsyncExitStack()
        self._phase = "starting"
        self._started: set[str] = set()
        self._lock: IO[str] | None = None
        self.listeners = {name: self._listener(name) for name in ("public", "internal")}
        tasks = self.metrics.gauge("hive_process_tasks", "Tasks that services of this process own.")
        tasks.set_function(lambda: sum(len(host.tasks) for host in self._hosts))
        self.health.add("process", lambda: None if self._phase == "serving" else self._phase)

    async def __aenter__(self) -> Self:
        self._lock = claim_folder(self.data_dir)
        try:
            raise_open_files_limit()
            self._stack.push_async_callback(self._close)
            self.bus = await self._stack.enter_async_context(opened_bus(self._around, self.network))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def _close(self) -> None:
        """What is left when the bus is closed."""
        await self.network.close()
        for host in self._hosts:
            await host.tasks.close()
        if self._valkey is not None:
            await self._valkey.close()
        if self._lock is not None:
            self._lock.close()

    @cached_property
    def blobs(self) -> Blobs:
        """Made for the first service that asks, as most do not. Raises CannotStart."""
        return blobs_of(self._around)

    @property
    def valkey(self) -> Valkey | None:
        """Made for the first service that asks: what is wrong with its address stops no other. Raises CannotStart."""
        if self._valkey is None:
            self._valkey = valkey_of(self._around)
        return self._valkey

    def host(self, service: str, instance: str = "0") -> Host:
        """The process as one instance of `service` sees it."""
        host = Host(self, service, f"{service}-{instance}")
        self._hosts.append(host)
        return host

    @property
    def serving(self) -> bool:
        """Everything has started."""
        return self._phase != "starting"

    async def listen(self, name: str) -> None:
        """Open a listener before `serve_until` does: it answers what is mounted already. Raises CannotListen."""
        await self.listeners[name].start()
        self._started.add(name)

    async def serve_until(
        self,
        stop: asyncio.Event,
        on_ready: Callable[[], None] | None = None,
        listeners: Sequence[str] = ("internal", "public"),
    ) -> None:
        """Open the listeners; once `stop` is set, let the public one finish, then close the internal one.

        Before it takes no more, the process says for `drain_delay_seconds` that it is not ready: whoever
        sends clients here needs a moment to hear of it.
        """
        settings, public = self.settings, self.listeners["public"]
        try:
            for name in listeners:
                if name not in self._started:
                    await self.listen(name)
            calm_garbage_collection()
            self._phase = "serving"
            if on_ready is not None:
                on_ready()
            await stop.wait()
            self._phase = "draining"
            if settings.drain_delay_seconds:
                await self.clock.sleep(settings.drain_delay_seconds)
            if not await public.drain(settings.drain_seconds, self._give_up):
                log.warning("requests were cut off", after_seconds=settings.drain_seconds)
        finally:
            for listener in self.listeners.values():
                await listener.close()

    def _listener(self, name: str) -> Listener:
        settings = self.settings
        if name == "public":
            host, port = settings.host, settings.port
        else:
            host, port = settings.internal_host, settings.internal_port
        mounts = self.mounts[name]
        return Listener(mounts, host, port, limits=Limits(), name=name, sockets=mounts.open_socket)

    def _give_up(self) -> None:
        """Tell those whose requests did not finish in time; a stream then ends with an error, not silently."""
        for caller in self.callers.values():
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
