"""One gRPC server: the servicers of this process, its health, and what it serves by reflection."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1.health import aio as health  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha.reflection import aio as reflection  # type: ignore[import-untyped]

from hive_rpc.remote.hooks import Hooks
from hive_rpc.remote.options import Keepalive, server_options
from hive_rpc.remote.serving import Methods
from hive_rpc.remote.targets import advertised
from hive_rpc.remote.tls import Tls
from hive_runtime.clock import Clock
from hive_runtime.tasks import OnFailure, Tasks

_LEAVE_SECONDS = 0.05
"""Callers by name have left the round by then; a call that meets a closing connection is lost."""

_LAST_WORDS_SECONDS = 0.2
_STOP_SECONDS = 5.0


class RemoteServer:
    """A `Server` of the rpc port. It listens from `start` on; port 0 stands for any that is free."""

    def __init__(
        self,
        service: str,
        *,
        host: str,
        port: int,
        advertise: str,
        tls: Tls | None,
        keepalive: Keepalive,
        hooks: Hooks,
        on_failure: OnFailure,
        clock: Clock,
    ) -> None:
        self.service = service
        self._host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        self._port = port
        self._address = partial(advertised, advertise, host)
        self._address(port)  # raises where it cannot be known
        self._tls = tls
        self._keepalive = keepalive
        self._clock = clock
        self._methods = Methods(hooks, on_failure, clock)
        self._health = health.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._stopped = False
        self._tasks = Tasks(on_failure)

    @property
    def address(self) -> str:
        return self._address(self._port)

    def add(self, register: Callable[[Any, grpc.aio.Server], None], servicer: object) -> None:
        register(servicer, cast(grpc.aio.Server, self._methods))

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        # In a context of its own: handlers inherit the one in which their server was started.
        await contextvars.Context().run(self._tasks.spawn, self._start(), "rpc server")

    async def stop(self, grace: float) -> None:
        self._stopped = True
        if self._server is None:
            return
        first = not self._methods.stopping
        self._methods.stopping = True
        await self._health.enter_graceful_shutdown()
        await self._methods.settle(grace)
        if first:
            await self._clock.sleep(_LEAVE_SECONDS)
        # Not earlier: what comes while grpc.aio's own grace lasts may wait for its end instead of being refused.
        stopping = asyncio.ensure_future(self._server.stop(_LAST_WORDS_SECONDS))
        await asyncio.wait([stopping], timeout=_LAST_WORDS_SECONDS + _STOP_SECONDS)

    async def _start(self) -> None:
        if self._stopped or self._server is not None:
            raise RuntimeError("a server starts once")
        server = grpc.aio.server(options=server_options(self._keepalive))
        await self._add_health()
        server.add_generic_rpc_handlers((self._methods,))
        self._port = self._bind(server)
        self._server = server
        await server.start()

    def _bind(self, server: grpc.aio.Server) -> int:
        address = f"{self._host}:{self._port}"
        try:
            if self._tls is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, self._tls.for_server())
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {address}: it is taken, or not this machine's") from error

    async def _add_health(self) -> None:
        """Serve `grpc.health.v1` and reflection beside what was added."""
        self.add(health_pb2_grpc.add_HealthServicer_to_server, self._health)
        names = self._methods.services()
        self.add(
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server, reflection.ReflectionServicer(names)
        )
        for name in (*names, self.service):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
