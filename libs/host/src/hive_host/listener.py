"""An address where clients are answered: opening it, and closing it without cutting anyone off."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from uvicorn import Config

from hive_host.connection import Connection
from hive_host.protocol import Limits, Open, Shared
from hive_relay.asgi import App
from hive_runtime.tasks import Tasks
from hive_runtime.telemetry import report_lost_task

_CLOSE_SECONDS = 5.0
LAST_WORDS_SECONDS = 1.0
_ANY = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}
_REASONS = {
    errno.EADDRINUSE: "another process listens there",
    errno.EACCES: "this user may not listen there",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


class CannotListen(Exception):
    """The address cannot be had; the message names it and the settings to change."""


class Listener:
    """Answers HTTP/1.1 at `host:port` with an ASGI app, within `limits`; plain TCP, no lifespan events.

    `name` is `public` or `internal`: it stands in messages and names the settings `HIVE_PORT` or
    `HIVE_INTERNAL_PORT`. With port 0 the kernel chooses one.
    """

    def __init__(
        self,
        app: App,
        host: str,
        port: int,
        *,
        limits: Limits = Limits(),
        name: str = "public",
        sockets: App | None = None,
    ) -> None:
        """sockets: answers WebSockets; None: they are refused."""
        self.app = app
        self.sockets = sockets
        self.host = host
        self.name = name
        self.limits = limits
        self._port = port
        self._server: asyncio.Server | None = None
        self._shared: Shared | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port that clients connect to; known once started."""
        return self._port

    @property
    def url(self) -> str:
        """Where a client on this machine finds it."""
        host = _ANY.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open."""
        return self._shared.count if self._shared else 0

    async def start(self) -> None:
        """Listen from now on. Raises CannotListen where the address cannot be had. Once only."""
        assert self._shared is None, "a listener is started once"
        shared = Shared(self.app, self.limits, Tasks(report_lost_task), self.sockets)
        config = _uvicorn_config(self.app)
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                lambda: Connection(config, shared), self.host, self._port, backlog=2048
            )
        except OSError as error:
            raise self._cannot_listen(error) from error
        for listening in server.sockets:
            # Accepted sockets inherit it: what a client does not take stays with us, where `send` waits.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, self.limits.write_buffer_bytes)
        self._port = server.sockets[0].getsockname()[1]
        self._server, self._shared = server, shared
        self._sweeper = loop.call_later(self.limits.sweep_seconds, self._sweep)

    async def drain(self, seconds: float, last_words: Callable[[], None] = lambda: None) -> bool:
        """Take no connection and no further request; let the running ones finish for so long, then close.

        True where all of them finished. Connections without a request are closed at once. Where some did not
        finish, `last_words` is called: whoever it makes the app answer gets a second for that.
        """
        self._stop_accepting()
        finished = await self._settled(seconds)
        if not finished:
            last_words()
            await self._settled(LAST_WORDS_SECONDS)
        await self.close()
        return finished

    async def close(self) -> None:
        """End all at once; nothing of the listener is left afterwards. May be called twice, or unstarted."""
        if self._shared is None:
            return
        self._stop_accepting()
        for connection in self._open():
            connection.abort()
        await self._shared.answering.close()
        await self._settled(_CLOSE_SECONDS)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _cannot_listen(self, error: OSError) -> CannotListen:
        prefix = "HIVE_" if self.name == "public" else f"HIVE_{self.name.upper()}_"
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        return CannotListen(
            f"The {self.name} listener cannot have {self.host}:{self._port}: {reason}."
            f" Choose another address with {prefix}HOST and {prefix}PORT."
        )

    def _open(self) -> list[Open]:
        if self._shared is None:
            return []
        return [*(c for c in self._shared.connections if isinstance(c, Connection)), *self._shared.sockets]

    def _stop_accepting(self) -> None:
        if self._server is None or self._shared is None:
            return
        self._server.close()
        self._server = None
        self._shared.draining = True
        for connection in self._open():
            connection.shutdown()

    async def _settled(self, seconds: float) -> bool:
        """Wait for the last connection and the last call of the app; false where time is up first."""
        if self._shared is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._shared.empty.wait()
                return await self._shared.answering.settle(seconds)
        except TimeoutError:
            return False

    def _sweep(self) -> None:
        seconds = self.limits.sweep_seconds
        self._sweeper = asyncio.get_running_loop().call_later(seconds, self._sweep)
        if self._shared is not None:
            self._shared.tell_time()
        for connection in self._open():
            connection.sweep(seconds)


def _uvicorn_config(app: App) -> Config:
    """What uvicorn's protocol reads; logging, signals, proxies and lifespan are not its business here."""
    config = Config(
        app,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        forwarded_allow_ips="",
        server_header=False,
    )
    config.load()
    return config
