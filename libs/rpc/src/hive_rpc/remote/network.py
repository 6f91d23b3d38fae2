"""The rpc port between processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import grpc.aio

from hive_rpc.remote.channel import RemoteChannel
from hive_rpc.remote.hooks import Hooks
from hive_rpc.remote.options import Keepalive, channel_options
from hive_rpc.remote.server import RemoteServer
from hive_rpc.remote.targets import Targets
from hive_rpc.remote.tls import Tls
from hive_runtime.clock import Clock, SystemClock
from hive_runtime.tasks import OnFailure, Tasks

IDLE_SECONDS = 60.0
"""A channel to one instance that was not used for so long is closed: instances come and go."""


class RemoteNetwork:
    """Makes servers and channels over gRPC.

    url: where a service is found, with `{service}` in it: `dns:///{service}:9090`.
    peers: services that the pattern does not find, each with its instances' `host:port`.
    host, port: where this process's server listens; 0 stands for any port. It has one server: a second one
        needs port 0.
    advertise: the host (or host:port) under which others reach this process; empty: the listener's own.
    tls: mTLS on every connection, of servers and channels; None: plain text.
    hooks: what goes with every call; on_failure hears of exceptions that handlers did not mean for callers.
    Raises ValueError where an address cannot be used.
    """

    def __init__(
        self,
        on_failure: OnFailure,
        *,
        url: str,
        peers: Mapping[str, Sequence[str]] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        advertise: str = "",
        tls: Tls | None = None,
        hooks: Hooks = Hooks(),
        keepalive: Keepalive = Keepalive(),
        idle_seconds: float = IDLE_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._targets = Targets(url, peers or {})
        self._host, self._port, self._advertise = host, port, advertise
        self._tls = tls
        self._hooks = hooks
        self._keepalive = keepalive
        self._idle_seconds = idle_seconds
        self._clock = clock or SystemClock()
        self._on_failure = on_failure
        self._tasks = Tasks(on_failure)
        self._servers: list[RemoteServer] = []
        self._channels: dict[str, RemoteChannel] = {}
        self._open: set[RemoteChannel] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def server(self, service: str, instance: str) -> RemoteServer:
        server = RemoteServer(
            service,
            host=self._host,
            port=self._port,
            advertise=self._advertise,
            tls=self._tls,
            keepalive=self._keepalive,
            hooks=self._hooks,
            on_failure=self._on_failure,
            clock=self._clock,
        )
        self._servers.append(server)
        return server

    def channel(self, target: str) -> RemoteChannel:
        channel = self._channels.get(target)
        if channel is None:
            channel = self._channels[target] = self._new_channel(target)
        return channel

    def reaches_others(self, service: str) -> bool:
        return True

    async def close(self) -> None:
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        await asyncio.gather(*(server.stop(0) for server in self._servers))
        for channel in self._channels.values():
            channel.refuse()
        await asyncio.gather(*(channel.close() for channel in self._open))
        await self._tasks.close()

    def _new_channel(self, target: str) -> RemoteChannel:
        address = self._targets.of(target)
        options = channel_options(
            self._keepalive,
            spread=not _is_address(target),
            name=None if self._tls is None else self._tls.name,
        )

        def connect() -> grpc.aio.Channel:
            self._open.add(channel)
            self._watch()
            if self._tls is None:
                return grpc.aio.insecure_channel(address, options=options)
            return grpc.aio.secure_channel(address, self._tls.for_channel(), options=options)

        channel = RemoteChannel(target, connect, self._tasks, self._hooks)
        if self._closed:
            channel.refuse()
        return channel

    # Channels to instances that nobody asks any more.

    def _watch(self) -> None:
        if self._sweep is None and not self._closed:
            self._sweep = asyncio.get_running_loop().call_later(self._idle_seconds / 2, self._swept)

    def _swept(self) -> None:
        """Close what lies idle; look again as long as a connection is open."""
        self._sweep = None
        if self._closed:
            return
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        for channel in tuple(self._open):
            if _is_address(channel.target) and channel.running == 0 and channel.last_used < oldest:
                if self._channels.get(channel.target) is channel:
                    del self._channels[channel.target]
                self._open.discard(channel)
                if (released := channel.release()) is not None:
                    self._tasks.spawn(released.close(), f"close the channel to {channel.target}")
        if self._open:
            self._watch()


def _is_address(target: str) -> bool:
    """Whether it leads to one server, not to all of a service."""
    return ":" in target
