"""Any provider that speaks the OpenAI dialect over HTTP."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from hive_routing.providers.http1 import Client
from hive_routing.providers.port import ProviderAnswer, ProviderCall

USER_AGENT = "modelhive/0.1.0"


class OpenAIProvider:
    """Calls `<base_url>/<endpoint>` with our credential and, of the client's headers, `call.headers` alone."""

    def __init__(
        self, name: str, base_url: str, credential: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        """base_url: `https://host[:port]/v1`. tls: who is trusted; the system's authorities by default.

        Raises ValueError for a URL or a credential that cannot be used.
        """
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"the base URL of provider {name!r} is no http(s) URL: {base_url!r}")
        secure = url.scheme == "https"
        self._path = url.path.rstrip("/")
        self._fixed = _head_lines(url.netloc.rpartition("@")[2], credential)
        self._client = Client(
            name,
            url.hostname,
            url.port or (443 if secure else 80),
            (tls or ssl.create_default_context()) if secure else None,
        )

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        lines = "".join([f"{name}: {value}\r\n" for name, value in call.headers.items()])
        accept = "text/event-stream" if call.stream else "application/json"
        head = (
            f"POST {self._path}/{call.endpoint} HTTP/1.1\r\n{self._fixed}accept: {accept}\r\n{lines}"
            f"x-client-request-id: {call.attempt_id}\r\ncontent-length: {len(call.body)}\r\n\r\n"
        )
        answer = await self._client.send(head.encode("latin-1"), call.body, call.timeouts)
        return ProviderAnswer(answer.status, answer.headers, answer)

    async def close(self) -> None:
        self._client.close()


def _head_lines(host: str, credential: str) -> str:
    """The header lines that every call has; raises ValueError for a credential that cannot be in a header."""
    if not credential.isascii() or not credential.isprintable():
        raise ValueError("a credential must be printable ASCII")
    lines = {
        "host": host,
        "user-agent": USER_AGENT,
        "content-type": "application/json",
        "accept-encoding": "identity",
    }
    if credential:
        lines["authorization"] = f"Bearer {credential}"
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items())
