"""WebSockets to providers: the handshake with our credential, what a refusal of it means, and the messages.

The library is imported with the first session: most processes never have one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from hive_routing.providers.failures import failure
from hive_routing.providers.over_http import USER_AGENT, Site
from hive_routing.realtime.port import Closed, Message, SessionCall
from hive_runtime.errors import HiveError, Kind

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MESSAGE_BYTES = 32 * 1024 * 1024
KEPT_MESSAGES = 4
"""That came and were not taken yet; then the provider has to wait."""
OPEN_SECONDS = 20.0
"""For a connection and the provider's answer to its handshake, at most."""
PING_SECONDS = 20.0
CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SocketSite:
    """Where a provider's sessions are, and what every handshake has. headers: with our credential. passed: of the
    client's headers, those that go out."""

    name: str
    url: str
    headers: Mapping[str, str]
    passed: frozenset[str]
    secrets: Sequence[str]
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, site: Site, path: str, headers: Mapping[str, str], passed: Iterable[str] = ()) -> SocketSite:
        """path: behind the base URL."""
        parts = urlsplit(site.base_url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        url = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}{path}"
        return cls(site.name, url, headers, frozenset(passed), [site.credential], site.tls)

    async def open(
        self,
        query: Sequence[tuple[str, str]],
        call: SessionCall,
        more: Mapping[str, str] | None = None,
    ) -> ProviderLine:
        """query: all of it. more: headers of this handshake alone. Raises as `SessionProvider.open_session` does."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidStatus

        passed = {name: value for name, value in call.headers.items() if name in self.passed}
        connecting = connect(
            f"{self.url}?{urlencode(query)}",
            additional_headers={**self.headers, **passed, **(more or {})},
            user_agent_header=USER_AGENT,
            compression=None,
            proxy=None,
            ssl=self._tls(),
            open_timeout=min(call.timeouts.first_byte, OPEN_SECONDS),
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=MESSAGE_BYTES,
            max_queue=KEPT_MESSAGES,
        )
        try:
            return ProviderLine(await connecting)
        except InvalidStatus as refusal:
            response = refusal.response
            raise self._refusal(
                response.status_code, dict(response.headers.raw_items()), bytes(response.body or b"")
            ) from None
        except TimeoutError:
            raise HiveError(
                Kind.TIMEOUT, f"The provider `{self.name}` did not open a session in time."
            ) from None
        except (InvalidHandshake, EOFError) as error:
            said = f"The provider `{self.name}` opens no session at this address."
            raise HiveError(Kind.UPSTREAM_FAILED, said) from error
        except OSError as error:
            said = f"The provider `{self.name}` cannot be reached."
            raise HiveError(Kind.UNAVAILABLE, said) from error

    def _tls(self) -> ssl.SSLContext | None:
        if not self.url.startswith("wss:"):
            return None
        return self.tls or ssl.create_default_context()

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> HiveError:
        text = body
        for secret in self.secrets:
            text = text.replace(secret.encode(), b"***") if secret else text
        return failure(status, {name.lower(): value for name, value in headers.items()}, text, self.name)


class ProviderLine:
    """`Line` to a provider."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> Message:
        from websockets.exceptions import ConnectionClosed

        try:
            data = await self._connection.recv()
        except ConnectionClosed:
            raise self._closed() from None
        return Message(data.encode(), True) if isinstance(data, str) else Message(data, False)

    async def send(self, message: Message) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(message.data, text=message.is_text)
        except ConnectionClosed:
            raise self._closed() from None

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.close(code, reason)
        except TimeoutError:
            self._connection.transport.abort()

    def _closed(self) -> Closed:
        code = self._connection.close_code
        return Closed(1006 if code is None else code, self._connection.close_reason or "")
