"""The network client behind the port. It connects at its first call, and again whenever it has to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import structlog

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.valkey.circuit import Circuit
from hive_runtime.valkey.connection import Connection
from hive_runtime.valkey.port import Argument, Reply, Script
from hive_runtime.valkey.resp import Refusal

log = structlog.get_logger(__name__)

CALL_SECONDS = 0.25
RETRY_SECONDS = 1.0
PORT = 6379


class BadAddress(ValueError):
    """A URL that names no server; the words are for the operator, and hold no password."""


@dataclass(frozen=True, slots=True)
class Address:
    """roots: certificates (PEM) that the server's is checked against; None: those that this machine trusts."""

    host: str
    port: int
    database: int
    user: str | None = None
    password: str | None = None
    tls: bool = False
    roots: str | None = None

    @classmethod
    def of(cls, url: str) -> Address:
        """`redis://[user:password@]host[:port][/database]`; `rediss://…[?ca=/file.pem]` is TLS. Raises BadAddress."""
        parts = urlsplit(url)
        shown = f"{parts.scheme}://{parts.hostname or ''}"
        if parts.scheme not in ("redis", "rediss"):
            raise BadAddress(f"{shown}: only redis:// and rediss:// are known.")
        try:
            port, database = parts.port or PORT, int(parts.path.strip("/") or 0)
        except ValueError:
            raise BadAddress(
                f"{shown}: port and database must be numbers, as in redis://host:6379/0."
            ) from None
        if not parts.hostname:
            raise BadAddress(f"{shown}: there is no host in it, as in redis://host:6379/0.")
        ca = parse_qs(parts.query).get("ca")
        return cls(
            host=parts.hostname,
            port=port,
            database=database,
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=parts.scheme == "rediss",
            roots=_read(ca[0]) if ca else None,
        )

    @property
    def name(self) -> str:
        """For logs."""
        return f"{self.host}:{self.port}/{self.database}"


class NetworkValkey:
    """`Valkey` over the network. Nothing is opened before the first call, so that a server may come later.

    All calls share one connection. call_seconds: that connecting may take, and that a call may take then.
    """

    def __init__(self, url: str, clock: Clock, *, call_seconds: float = CALL_SECONDS) -> None:
        """Raises BadAddress."""
        self._address = Address.of(url)
        self._circuit = Circuit(self._address.name, clock)
        self._call_seconds = call_seconds
        self._connection: Connection | None = None
        self._opening: asyncio.Task[Connection | Exception] | None = None
        self._tls: ssl.SSLContext | None = None
        self._digests: dict[Script, str] = {}
        self._refusal = ""
        self._closed = False

    @property
    def trouble(self) -> str | None:
        return self._circuit.trouble

    async def run(self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Reply:
        digest = self._digests.get(script)
        if digest is None:
            digest = self._digests[script] = sha1(script.source.encode(), usedforsecurity=False).hexdigest()
        rest = str(len(keys)), *keys, *arguments
        try:
            return await self._done("EVALSHA", digest, *rest)
        except HiveError as error:
            if not str(error.__cause__).startswith("NOSCRIPT"):
                raise
        return await self._done("EVAL", script.source, *rest)

    async def get(self, key: Argument) -> bytes | None:
        found: bytes | None = await self._done("GET", key)
        return found

    async def put(self, key: Argument, value: bytes, ttl_seconds: float) -> None:
        milliseconds = max(1, round(ttl_seconds * 1000))
        await self._done("SET", key, value, "PX", str(milliseconds))

    async def delete(self, *keys: Argument) -> int:
        count: int = await self._done("UNLINK", *keys)
        return count

    async def ask(self, *command: Argument) -> Reply:
        return await self._done(*command)

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _done(self, *command: Argument) -> Reply:
        if self._closed or not self._circuit.lets_through():
            raise self._away()
        try:
            connection = self._connection
            if connection is None or not connection.is_open:
                connection = await self._opened()
            reply = await connection.call(*command)
        except Refusal as error:
            self._refused(str(error))
            raise self._away() from error
        except OSError as error:  # what is lost, and what comes too late
            self._circuit.failed(str(error) or type(error).__name__)
            raise self._away() from error
        self._circuit.succeeded()
        return reply

    def _refused(self, reason: str) -> None:
        """The server answered that it will not, as one does that is full, or read-only: said once for each reason."""
        self._circuit.succeeded()
        if reason != self._refusal and not reason.startswith("NOSCRIPT"):
            log.error("the server refuses", server=self._address.name, reason=reason)
            self._refusal = reason

    def _away(self) -> HiveError:
        message = "A part of this service is away for a moment. Try again."
        return HiveError(Kind.UNAVAILABLE, message, retry_after=RETRY_SECONDS)

    async def _opened(self) -> Connection:
        """The new connection, which is opened once for all who wait for it. Raises OSError."""
        if self._opening is None:
            # Nobody's: whoever needs it first may give up.
            self._opening = asyncio.get_running_loop().create_task(self._open(), context=Context())
        opening = self._opening
        await asyncio.wait([opening])
        if opening.cancelled():
            raise ConnectionError("the client is closed")
        found = opening.result()
        if isinstance(found, Exception):
            raise found
        return found

    async def _open(self) -> Connection | Exception:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._call_seconds):
                connection = await self._connected()
                await connection.introduce(self._introduction())
        except OSError as error:
            if connection is not None:
                connection.abort()
            return error
        except asyncio.CancelledError:
            if connection is not None:
                connection.abort()
            raise
        else:
            self._connection = connection
            return connection
        finally:
            self._opening = None

    async def _connected(self) -> Connection:
        address = self._address
        if address.tls and self._tls is None:
            self._tls = ssl.create_default_context(cadata=address.roots)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._call_seconds), address.host, address.port, ssl=self._tls
        )
        return connection

    def _introduction(self) -> list[tuple[Argument, ...]]:
        address = self._address
        said: list[tuple[Argument, ...]] = []
        if address.password is not None:
            said.append(("AUTH", *([address.user] if address.user else []), address.password))
        if address.database:
            said.append(("SELECT", str(address.database)))
        return [*said, ("CLIENT", "SETNAME", "modelhive")]


def _read(path: str) -> str:
    try:  # what stands around certificates, as the names of their owners, may be in any language
        read = Path(path).read_text("ascii", errors="ignore")
    except OSError as error:
        raise BadAddress(f"The certificates in {path} cannot be read: {error.strerror}.") from None
    try:
        ssl.create_default_context().load_verify_locations(cadata=read)
    except (ssl.SSLError, ValueError):
        raise BadAddress(f"There are no certificates (PEM) in {path}, or damaged ones.") from None
    return read
