"""Any provider that speaks the OpenAI dialect over HTTP."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from hive_routing.providers.failures import MAX_ERROR_BYTES
from hive_routing.providers.http1 import Client
from hive_routing.providers.port import Body, ProviderAnswer, ProviderCall
from hive_runtime import tracing
from hive_runtime.errors import HiveError

USER_AGENT = "modelhive/0.1.0"
_PATHS = {
    "chat": "chat/completions",
    "completions": "completions",
    "embeddings": "embeddings",
}


class OpenAIProvider:
    """Calls `<base_url>/<path>` with our credential and, of the client's headers, `call.headers` alone."""

    speaks = ("chat", "completions", "embeddings")

    def __init__(
        self,
        name: str,
        base_url: str,
        credential: str = "",
        tls: ssl.SSLContext | None = None,
        *,
        is_traced: bool = False,
    ) -> None:
        """base_url: `https://host[:port]/v1`. tls: who is trusted; the system's authorities by default.

        is_traced: it gets to know the trace that a call belongs to.

        Raises ValueError for a URL or a credential that cannot be used.
        """
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"the base URL of provider {name!r} is no http(s) URL: {base_url!r}")
        secure = url.scheme == "https"
        self._credential = credential.encode()
        self._is_traced = is_traced
        self._address, self._port = url.hostname, url.port or (443 if secure else 80)
        self._path = url.path.rstrip("/")
        self._fixed = _head_lines(url.netloc.rpartition("@")[2], credential)
        self._client = Client(
            name,
            self._address,
            self._port,
            (tls or ssl.create_default_context()) if secure else None,
        )

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        lines = "".join([f"{name}: {value}\r\n" for name, value in call.headers.items()])
        span = tracing.current()
        if span.is_recording:
            span.set("server.address", self._address)
            span.set("server.port", self._port)
        if self._is_traced and span.traceparent:
            lines += f"traceparent: {span.traceparent}\r\n"
        accept = "text/event-stream" if call.stream else "application/json"
        head = (
            f"POST {self._path}/{_PATHS[call.operation]} HTTP/1.1\r\n{self._fixed}accept: {accept}\r\n{lines}"
            f"x-client-request-id: {call.attempt_id}\r\ncontent-length: {len(call.body)}\r\n\r\n"
        )
        answer = await self._client.send(head.encode("latin-1"), call.body, call.timeouts)
        body = answer if answer.status == 200 or not self._credential else ErrorText(answer, self._credential)
        return ProviderAnswer(answer.status, answer.headers, body)

    async def close(self) -> None:
        self._client.close()


class ErrorText:
    """The body of an error, read whole, without our credential: some providers repeat it."""

    def __init__(self, body: Body, credential: bytes) -> None:
        self._body = body
        self._credential = credential
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        self._over = True
        text = b""
        try:
            async for data in self._body:
                text += data
                if len(text) > MAX_ERROR_BYTES:
                    break
        except HiveError:
            pass  # the status and what came of the text say enough
        return text.replace(self._credential, b"***")

    async def aclose(self) -> None:
        await self._body.aclose()


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
