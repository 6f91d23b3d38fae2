"""Access tokens of OAuth: fetched when one is needed, kept, and renewed before they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

import msgspec

from hive_routing.providers.failures import CREDENTIAL_REFUSED, MAX_ERROR_BYTES
from hive_routing.providers.over_http import Site, connect, head_lines
from hive_routing.providers.port import ProviderAnswer, Timeouts
from hive_runtime.errors import HiveError, Kind

EARLY_SECONDS = 300.0
"""So long before a token ends the next one is fetched; a token of less than twice that, at half of its time."""
PAUSE_SECONDS = 10.0
"""Between two attempts to renew a token that is still good."""
_TIMEOUTS = Timeouts(connect=5, first_byte=15, idle=15, total=20)


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float = 3600.0


_decode = msgspec.json.Decoder(_Granted, strict=False).decode


class AccessTokens:
    """The tokens of one credential. One fetch at a time, however many calls wait for it."""

    def __init__(
        self,
        site: Site,
        url: str,
        form: Callable[[], Mapping[str, str]] | None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """url: where tokens are given. form: what is posted there; None: it is asked with GET.

        Raises ValueError for a URL or a header that cannot be used.
        """
        host, self._client = connect(site, url)
        self._provider = site.name
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._fixed = head_lines({"host": host, "accept": "application/json", **(headers or {})})
        self._form = form
        self._clock = site.clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = self._ends_at = 0.0
        self._failure: HiveError | None = None
        self._failed_at = 0.0

    async def get(self) -> str:
        """A token that is good now. Raises HiveError where none can be had."""
        asked_at = self._clock.monotonic()
        if self._token and asked_at < self._renew_at:
            return self._token
        if self._token and asked_at < self._ends_at and self._lock.locked():
            return self._token
        async with self._lock:
            if self._failure is not None and self._failed_at >= asked_at:
                raise self._failure  # those who waited for the same fetch are told the same
            if not self._token or self._clock.monotonic() >= self._renew_at:
                await self._renew()
        return self._token

    def watched(self, answer: ProviderAnswer) -> ProviderAnswer:
        """Forgets the token where the provider took it for none."""
        if answer.status == 401:
            self._token = ""
        return answer

    def close(self) -> None:
        self._client.close()

    async def _renew(self) -> None:
        try:
            granted = await self._fetch()
        except HiveError as error:
            now = self._clock.monotonic()
            if not self._token or now >= self._ends_at:
                self._token, self._failure, self._failed_at = "", error, now
                raise
            self._renew_at = now + PAUSE_SECONDS
            return
        now = self._clock.monotonic()
        self._token, self._failure = granted.access_token, None
        self._ends_at = now + granted.expires_in
        self._renew_at = self._ends_at - min(EARLY_SECONDS, granted.expires_in / 2)

    async def _fetch(self) -> _Granted:
        body = urlencode(self._form()).encode() if self._form is not None else b""
        method = "GET" if self._form is None else "POST"
        kind = "" if self._form is None else "content-type: application/x-www-form-urlencoded\r\n"
        head = f"{method} {self._path} HTTP/1.1\r\n{self._fixed}{kind}content-length: {len(body)}\r\n\r\n"
        answer = await self._client.send(head.encode("latin-1"), body, _TIMEOUTS)
        text = b""
        try:
            async for data in answer:
                text += data
                if len(text) > MAX_ERROR_BYTES:
                    break
        finally:
            await answer.aclose()
        if answer.status == 200:
            try:
                granted = _decode(text)
                if granted.access_token.isascii() and granted.access_token.isprintable():
                    return granted
            except msgspec.DecodeError:
                pass
        raise self._refused(answer.status)

    def _refused(self, status: int) -> HiveError:
        message = f"The gateway got no access token for the provider `{self._provider}` ({status})"
        if status in (400, 401, 403):
            return HiveError(
                Kind.UPSTREAM_FAILED, f"{message}: tell your operator.", reason=CREDENTIAL_REFUSED
            )
        return HiveError(Kind.UPSTREAM_FAILED, f"{message}.")
