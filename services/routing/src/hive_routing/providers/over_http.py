"""What providers that are asked over HTTP have in common: connection, head, the trace, and errors without our secrets.

An adapter says which path a call has, which headers it has besides, and where its bodies differ from what is sent.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from hive_routing.providers.failures import MAX_ERROR_BYTES, broken_answer
from hive_routing.providers.http1 import Client
from hive_routing.providers.port import Body, ProviderAnswer, ProviderCall
from hive_runtime import tracing
from hive_runtime.clock import Clock, SystemClock
from hive_runtime.errors import HiveError

USER_AGENT = "modelhive/0.1.0"
MAX_BODY_BYTES = 128 * 1024 * 1024
"""Of an answer that is read whole, to be written anew."""


@dataclass(frozen=True, slots=True)
class Site:
    """One provider as an adapter gets to know it. kind: of `hive_runtime.provider_kinds`; options: as it lists them.

    tls: who is trusted; the system's authorities by default. is_traced: it gets to know the trace of a call.
    """

    name: str
    kind: str
    base_url: str
    credential: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    clock: Clock = SystemClock()
    is_traced: bool = False


class HttpProvider:
    """Calls a server at one origin. Of the client's headers, those in `passed` go out, and no others."""

    speaks: Sequence[str] = ()
    passed: frozenset[str] = frozenset()

    def __init__(self, site: Site, headers: Mapping[str, str], secrets: Sequence[str] = ()) -> None:
        """headers: that every call has. secrets: what errors must not repeat.

        Raises ValueError for a URL or a header that cannot be used.
        """
        self.name = site.name
        host, self._client = connect(site, site.base_url)
        url = urlsplit(site.base_url)
        self.path = url.path.rstrip("/")
        self._address, self._port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        self._is_traced = site.is_traced
        fixed = head_lines({"host": host, "content-type": "application/json", **headers})
        self._whole_lines = f"{fixed}accept: application/json\r\n"
        self._stream_lines = f"{fixed}accept: text/event-stream\r\n"
        self._secrets = tuple(secret.encode() for secret in secrets if secret)

    def send(self, call: ProviderCall) -> Coroutine[Any, Any, ProviderAnswer]:
        return self._post(self._path(call), call, call.body)

    async def close(self) -> None:
        self._client.close()

    def _path(self, call: ProviderCall) -> str:
        """Where this call goes, from the origin on."""
        raise NotImplementedError

    async def _post(
        self, path: str, call: ProviderCall, body: bytes, lines: str = "", secret: bytes = b""
    ) -> ProviderAnswer:
        """lines: more header lines. secret: of this call, which errors must not repeat."""
        for name, value in call.headers.items():
            if name in self.passed:
                lines += f"{name}: {value}\r\n"
        span = tracing.current()
        if span.is_recording:
            span.set("server.address", self._address)
            span.set("server.port", self._port)
        if self._is_traced and span.traceparent:
            lines += f"traceparent: {span.traceparent}\r\n"
        fixed = self._stream_lines if call.stream else self._whole_lines
        head = (
            f"POST {path} HTTP/1.1\r\n{fixed}{lines}"
            f"x-client-request-id: {call.attempt_id}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        answer = await self._client.send(head.encode("latin-1"), body, call.timeouts)
        if answer.status == 200 or not (self._secrets or secret):
            return ProviderAnswer(answer.status, answer.headers, answer, answer.whole)
        secrets = (*self._secrets, secret) if secret else self._secrets
        return ProviderAnswer(answer.status, answer.headers, ErrorText(answer, secrets))

    def _rewritten(self, answer: ProviderAnswer, rewrite: Callable[[bytes], bytes]) -> ProviderAnswer:
        """The answer with its body read whole and written anew; one that is an error stays as it is."""
        if answer.status != 200:
            return answer
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return ProviderAnswer(200, headers, Rewritten(answer.body, rewrite, self.name))


def connect(site: Site, url: str) -> tuple[str, Client]:
    """The host as requests name it, and connections to it. Raises ValueError for a URL that cannot be used."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the base URL of provider {site.name!r} is no http(s) URL: {url!r}")
    secure = parts.scheme == "https"
    tls = (site.tls or ssl.create_default_context()) if secure else None
    port = parts.port or (443 if secure else 80)
    return parts.netloc.rpartition("@")[2], Client(site.name, parts.hostname, port, tls)


def head_lines(headers: Mapping[str, str]) -> str:
    """Header lines that every call has; raises ValueError for a value that cannot be in a header."""
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable():
            raise ValueError(
                f"a credential must be printable ASCII, as all that goes into the header {name!r}"
            )
    fixed = {"user-agent": USER_AGENT, "accept-encoding": "identity", **headers}
    return "".join(f"{name}: {value}\r\n" for name, value in fixed.items())


def bearer(token: str) -> dict[str, str]:
    """The header of a credential; none where there is none."""
    return {"authorization": f"Bearer {token}"} if token else {}


def in_path(name: str) -> str:
    """A name as a part of a path; slashes stay."""
    return quote(name, safe="/@.:-_~")


class ErrorText:
    """The body of an error, read whole, without our credentials: some providers repeat them."""

    def __init__(self, body: Body, secrets: Sequence[bytes]) -> None:
        self._body = body
        self._secrets = secrets
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
        for secret in self._secrets:
            text = text.replace(secret, b"***")
        return text

    async def aclose(self) -> None:
        await self._body.aclose()


class Rewritten:
    """A body that is read whole and given in another form.

    Raises HiveError `upstream_failed` where it has not the form that it should have.
    """

    def __init__(self, body: Body, rewrite: Callable[[bytes], bytes], provider: str) -> None:
        self._body = body
        self._rewrite = rewrite
        self._provider = provider
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        self._over = True
        parts: list[bytes] = []
        size = 0
        async for data in self._body:
            parts.append(data)
            size += len(data)
            if size > MAX_BODY_BYTES:
                raise broken_answer(self._provider, f"answered with more than {MAX_BODY_BYTES} bytes")
        try:
            return self._rewrite(b"".join(parts))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise broken_answer(self._provider, "answered with something that is no answer") from None

    async def aclose(self) -> None:
        await self._body.aclose()
