"""The rpc port: generated stubs and servicers, unchanged, over whatever network an adapter is.

An address is a string that only the adapter understands. A channel to a *service* name reaches any of its
instances; a channel to a server's own `address` reaches that one.

Contract of every adapter (`hive_rpc.conformance` proves it): unary, server, client and bidirectional
streams; metadata; deadlines (the servicer sees what is left, the caller gets HiveError `timeout`);
cancellation of the caller cancels the servicer's handler; a HiveError raised by a servicer arrives at
the caller as the same HiveError, any other exception as `internal` without its text; an address where
nobody serves is `unavailable`; when a server stops, open streams end with `unavailable`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import grpc.aio


class Server(Protocol):
    """One process's servicers behind one address."""

    @property
    def address(self) -> str:
        """Where this very server is reached; known once it has started."""
        ...

    def add(self, register: Callable[[Any, grpc.aio.Server], None], servicer: object) -> None:
        """Serve `servicer`; `register` is the generated `add_…Servicer_to_server`. Before `start` only."""
        ...

    async def start(self) -> None: ...

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let running ones end for `grace` seconds, then cancel them."""
        ...


class Network(Protocol):
    """Makes servers and channels."""

    def server(self, service: str, instance: str) -> Server:
        """A server for one instance of a service; instances of one service share its name."""
        ...

    def channel(self, target: str) -> grpc.aio.Channel:
        """A channel for generated stubs, to a service's name or a server's address.

        Cheap: nothing connects here. Errors of calls through it are raised as HiveError.
        """
        ...

    async def close(self) -> None: ...
