"""The connections to one origin: made when needed, kept for the next call, bounded in number."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque

from hive_routing.providers.http1.connection import Connection
from hive_routing.providers.http1.response import Response, StaleConnection
from hive_routing.providers.port import Timeouts
from hive_runtime.errors import HiveError, Kind

IDLE_SECONDS = 50.0
MOST_CONNECTIONS = 4096
"""To one provider: far more than one process serves well, far fewer than it may have open files."""


class Client:
    """Calls to one origin, over at most `max_connections` sockets; the idle ones are kept for a while."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        max_idle: int = 64,
        max_connections: int = MOST_CONNECTIONS,
    ) -> None:
        """name: the provider, for the messages of errors."""
        self.name = name
        self._host = host
        self._port = port
        self._tls = tls
        self._max_idle = max_idle
        self._max_connections = max_connections
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._closed = False

    async def send(self, head: bytes, body: bytes, timeouts: Timeouts) -> Response:
        """Send a request (`head` with its last blank line); returns when the head of the answer is there.

        A kept connection that proves closed before anything was written is replaced.
        """
        connection = self._kept()
        if connection is not None:
            response = connection.send(head, body, timeouts)
            try:
                await response.wait_for_head()
                return response
            except StaleConnection:
                pass
        connection = await self._connect(timeouts.connect)
        response = connection.send(head, body, timeouts)
        await response.wait_for_head()
        return response

    def close(self) -> None:
        """Close every connection; calls in flight fail."""
        self._closed = True
        for connection in list(self._open):
            connection.abort()

    def put_back(self, connection: Connection) -> None:
        """Keep a connection whose answer has ended."""
        if self._closed or len(self._idle) >= self._max_idle:
            connection.abort()
        else:
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _kept(self) -> Connection | None:
        """The idle connection that was used last."""
        if not self._idle:
            return None
        connection = self._idle.pop()
        if connection.idle_seconds() < IDLE_SECONDS:
            return connection
        for old in [connection, *self._idle]:
            old.abort()
        self._idle.clear()
        return None

    async def _connect(self, seconds: float) -> Connection:
        if self._closed:
            raise HiveError(Kind.UNAVAILABLE, f"The provider `{self.name}` is being reconfigured: try again.")
        if len(self._open) >= self._max_connections:
            message = f"The provider `{self.name}` has {self._max_connections} calls in flight already."
            raise HiveError(Kind.UNAVAILABLE, message, retry_after=1)
        connection = Connection(self)
        self._open.add(connection)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls is not None else None,
                )
        except TimeoutError:
            self.forget(connection)
            message = f"The provider `{self.name}` did not accept a connection within {seconds:g} s."
            raise HiveError(Kind.UNAVAILABLE, message) from None
        except (OSError, UnicodeError) as error:
            self.forget(connection)
            message = f"The provider `{self.name}` cannot be reached: {_reason(error)}."
            raise HiveError(Kind.UNAVAILABLE, message) from error
        except BaseException:
            self.forget(connection)
            raise
        return connection


def _reason(error: OSError | UnicodeError) -> str:
    """Why there is no connection, without the addresses that the error's own text holds."""
    if isinstance(error, ConnectionRefusedError):
        return "it refuses connections"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "its name cannot be resolved"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or type(error).__name__})"
    return "the network does not lead there"
