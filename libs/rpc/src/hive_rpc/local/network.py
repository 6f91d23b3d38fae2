"""The rpc port inside one process; the only state that its servers and channels share."""

from __future__ import annotations

from collections import deque
from typing import Any

from grpc import StatusCode

from hive_rpc.local.channel import LocalChannel
from hive_rpc.local.rpc import Rpc
from hive_rpc.local.server import LocalServer
from hive_runtime.tasks import OnFailure, Tasks


class LocalNetwork:
    """Makes servers and channels that meet in this object, on one event loop.

    Messages pass by reference: neither side may change one that was sent or received.

    on_failure: hears of exceptions that handlers and request iterators did not mean for the caller.
    buffer: messages that may wait in each direction of a stream before `write` does.
    """

    def __init__(self, on_failure: OnFailure, buffer: int = 32) -> None:
        self._on_failure = on_failure
        self._buffer = buffer
        self._servers: dict[str, LocalServer] = {}
        self._instances: dict[str, deque[LocalServer]] = {}
        self._tasks = Tasks(on_failure)

    def server(self, service: str, instance: str) -> LocalServer:
        return LocalServer(service, instance, self, self._on_failure)

    def channel(self, target: str) -> LocalChannel:
        return LocalChannel(target, self._buffer, self._dispatch, self._pick, self._tasks)

    def reaches_others(self, service: str) -> bool:
        return False

    async def close(self) -> None:
        """Stop every server at once; calls made later are refused as `unavailable`."""
        for server in tuple(self._servers.values()):
            await server.stop(0)
        await self._tasks.close()

    def enter(self, server: LocalServer) -> None:
        """Let calls reach a server. Raises ValueError where its address is taken."""
        if server.address in self._servers:
            raise ValueError(f"{server.address} is served already: give each instance a name of its own")
        self._servers[server.address] = server
        self._instances.setdefault(server.service, deque()).append(server)

    def leave(self, server: LocalServer) -> None:
        """Let no further call reach a server; may be called twice."""
        if self._servers.get(server.address) is server:
            del self._servers[server.address]
            self._instances[server.service].remove(server)

    def _dispatch(self, target: str, rpc: Rpc, request: Any) -> None:
        server = self._pick(target)
        if server is None:
            rpc.end(StatusCode.UNAVAILABLE, f"nobody serves {target!r}")
        elif rpc.time_remaining() == 0:
            rpc.kill(StatusCode.DEADLINE_EXCEEDED, "the deadline had passed before the call")
        else:
            server.accept(rpc, request)

    def _pick(self, target: str) -> LocalServer | None:
        if instances := self._instances.get(target):
            instances.rotate(-1)
            return instances[-1]
        return self._servers.get(target)
