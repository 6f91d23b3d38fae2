"""The network client: valkey-glide behind the port. It connects at its first call, and again whenever it has to.

The library is imported then too: it is 10 MB of a process, and not every one has a limit to count or an answer to keep.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import structlog

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.imports import without
from hive_runtime.valkey.circuit import Circuit
from hive_runtime.valkey.port import Argument, Reply, Script

if TYPE_CHECKING:
    import glide

log = structlog.get_logger(__name__)
T = TypeVar("T")

CALL_SECONDS = 0.25
SPARE_SECONDS = 0.25
"""After which a call is given up whose end the client library does not tell."""
RETRY_SECONDS = 1.0
PORT = 6379
UNREACHED = ("Standalone connect failed", "Received connection error", "Reached maximum inflight")
"""How the library words that a call has not come to the server, where it has no class for it."""


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
    roots: bytes | None = None

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


class GlideValkey:
    """`Valkey` over the network. Nothing is opened before the first call, so that a server may come later."""

    def __init__(self, url: str, clock: Clock, *, call_seconds: float = CALL_SECONDS) -> None:
        """Raises BadAddress."""
        self._address = Address.of(url)
        self._circuit = Circuit(self._address.name, clock)
        self._call_seconds = call_seconds
        self._client: glide.GlideClient | None = None
        self._connecting = asyncio.Lock()
        self._scripts: dict[Script, glide.Script] = {}
        self._refusal = ""
        self._closed = False

    @property
    def trouble(self) -> str | None:
        return self._circuit.trouble

    async def run(self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Reply:
        client = await self._ready()
        loaded = self._scripts.get(script)
        if loaded is None:
            loaded = self._scripts[script] = _loaded(script)
        return await self._done(client.invoke_script(loaded, list(keys), list(arguments)))

    async def get(self, key: Argument) -> bytes | None:
        client = await self._ready()
        return await self._done(client.get(key))

    async def put(self, key: Argument, value: bytes, ttl_seconds: float) -> None:
        client = await self._ready()
        milliseconds = max(1, round(ttl_seconds * 1000))
        expiry = glide.ExpirySet(glide.ExpiryType.MILLSEC, milliseconds)
        await self._done(client.set(key, value, expiry=expiry))

    async def delete(self, *keys: Argument) -> int:
        client = await self._ready()
        return await self._done(client.unlink(list(keys)))

    async def ask(self, *command: Argument) -> Reply:
        client = await self._ready()
        return await self._done(client.custom_command(list(command)))

    async def close(self) -> None:
        self._closed = True
        client, self._client = self._client, None
        self._scripts.clear()
        if client is not None:
            await client.close()

    async def _ready(self) -> glide.GlideClient:
        if self._closed or not self._circuit.lets_through():
            raise self._away()
        if self._client is not None:
            return self._client
        async with self._connecting:
            if self._client is None:
                self._client = await self._connected()
            return self._client

    async def _done(self, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._call_seconds + SPARE_SECONDS):
                result = await call
        except (glide.TimeoutError, glide.ConnectionError, glide.ClosingError, TimeoutError) as error:
            self._circuit.failed(str(error).strip() or "no answer in time")
            raise self._away() from error
        except glide.RequestError as error:
            if str(error).startswith(UNREACHED):
                self._circuit.failed(str(error).strip())
            else:
                self._refused(str(error))
            raise self._away() from error
        self._circuit.succeeded()
        return result

    def _refused(self, reason: str) -> None:
        """The server answered that it will not, as one does that is full, or read-only: said once for each reason."""
        self._circuit.succeeded()
        if reason != self._refusal:
            log.error("the server refuses", server=self._address.name, reason=reason)
        self._refusal = reason

    def _away(self) -> HiveError:
        message = "A part of this service is away for a moment. Try again."
        return HiveError(Kind.UNAVAILABLE, message, retry_after=RETRY_SECONDS)

    async def _connected(self) -> glide.GlideClient:
        await asyncio.to_thread(_import_library)
        glide.Logger.set_logger_config(glide.LogLevel.OFF)  # it would write to the standard output
        try:
            return await glide.GlideClient.create(self._configuration())
        except glide.GlideError as error:
            self._circuit.failed(str(error))
            raise self._away() from error

    def _configuration(self) -> glide.GlideClientConfiguration:
        address, milliseconds = self._address, round(self._call_seconds * 1000)
        credentials = None
        if address.password is not None:
            credentials = glide.ServerCredentials(address.password, address.user)
        return glide.GlideClientConfiguration(
            [glide.NodeAddress(address.host, address.port)],
            use_tls=address.tls,
            credentials=credentials,
            request_timeout=milliseconds,
            reconnect_strategy=glide.BackoffStrategy(num_of_retries=3, factor=50, exponent_base=2),
            database_id=address.database,
            client_name="modelhive",
            lazy_connect=True,
            advanced_config=glide.AdvancedGlideClientConfiguration(
                connection_timeout=milliseconds,
                tls_config=glide.TlsAdvancedConfiguration(root_pem_cacerts=address.roots),
            ),
        )


def _import_library() -> None:
    global glide  # of this module, as if it had been imported above
    with without("trio", "opentelemetry"):  # another event loop, and spans of its own
        import glide
    for name, module in list(sys.modules.items()):
        # Stand-ins for names of old releases: they warn whoever only looks at all modules, as test libraries do.
        if name.startswith("glide.") and type(module).__name__ == "_LegacyModule":
            del sys.modules[name]


def _loaded(script: Script) -> glide.Script:
    return glide.Script(script.source)  # type: ignore[no-untyped-call]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadAddress(f"The certificates in {path} cannot be read: {error.strerror}.") from None
