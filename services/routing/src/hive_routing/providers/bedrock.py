"""Amazon Bedrock: conversations through Converse, vectors through InvokeModel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from urllib.parse import quote, urlsplit

import msgspec

from hive_routing.providers.aws.credentials import AccessKey, ApiKey, read_credential
from hive_routing.providers.aws.embeddings import Embedding
from hive_routing.providers.aws.errors import ErrorBody, error_name, error_status
from hive_routing.providers.aws.events import EventBody
from hive_routing.providers.aws.sigv4 import Signer
from hive_routing.providers.failures import broken_answer
from hive_routing.providers.over_http import Site, bearer, connect, head_lines
from hive_routing.providers.port import ProviderAnswer, ProviderCall
from hive_runtime import tracing
from hive_runtime.errors import HiveError

_SERVICE = "bedrock"
_REGION = re.compile(r"(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")
_LANES = 8
"""Calls at once that one request for vectors may become."""


class BedrockProvider:
    """Calls `<base_url>/model/<model>/…`, signed with an access key or with an API key of Bedrock's own.

    base_url: `https://bedrock-runtime.<region>.amazonaws.com`, or where else it is served. The credential is as
    `read_credential` takes it. Option: `region`, where neither the credential nor the URL says it.

    Streams come as server-sent events, `{"contentBlockDelta": {…}}`, and `{"error": {"message", "type"}}` where the
    provider ends one with an exception.
    """

    speaks = ("converse", "embeddings")

    def __init__(self, site: Site) -> None:
        """Raises ValueError for a URL or a credential that cannot be used."""
        key = read_credential(site.credential)
        self._host, self._client = connect(site, site.base_url)
        url = urlsplit(site.base_url)
        self._name = site.name
        self._path = url.path.rstrip("/")
        self._address, self._port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        self._is_traced = site.is_traced
        self._clock = site.clock
        fixed = {"host": self._host, "content-type": "application/json"}
        if isinstance(key, ApiKey):
            self._signer = None
            self._secret = key.token
            self._fixed = head_lines({**fixed, **bearer(key.token)})
        else:
            self._signer = _signer(key, site.options.get("region", ""), self._address)
            self._secret = key.session_token
            self._fixed = head_lines(fixed)

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        if call.operation == "embeddings":
            return await self._embed(call)
        answer = await self._post(call, "converse-stream" if call.stream else "converse", call.body)
        if answer.status == 200 and call.stream:
            answer.headers = answer.headers | {"content-type": "text/event-stream"}
            answer.body = EventBody(answer.body, self._name)
        return answer

    async def close(self) -> None:
        self._client.close()

    async def _embed(self, call: ProviderCall) -> ProviderAnswer:
        """Several calls at once, where the model takes few texts in one; the first error is the answer to all."""
        embedding = Embedding(call.model, call.body)
        answers: dict[int, tuple[bytes, Mapping[str, str]]] = {}
        failed: list[ProviderAnswer | HiveError] = []

        async def lane(work: Iterator[tuple[int, bytes]]) -> None:
            for place, body in work:
                try:
                    answer = await self._post(call, "invoke", body)
                    if answer.status != 200:
                        failed.append(answer)
                    else:
                        answers[place] = b"".join([data async for data in answer.body]), answer.headers
                except HiveError as error:
                    failed.append(error)
                if failed:
                    return

        work = iter(enumerate(embedding.bodies))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_LANES, len(embedding.bodies))):
                group.create_task(lane(work))
        if failed:
            return await _first(failed)
        try:
            body = embedding.answer([answers[place] for place in range(len(embedding.bodies))])
        except msgspec.DecodeError:
            raise broken_answer(self._name, "sent vectors that cannot be read") from None
        return ProviderAnswer(200, {"content-type": "application/json"}, _whole(body))

    async def _post(self, call: ProviderCall, action: str, body: bytes) -> ProviderAnswer:
        span = tracing.current()
        if span.is_recording:
            span.set("server.address", self._address)
            span.set("server.port", self._port)
        path = f"{self._path}/model/{quote(call.model, safe='~')}/{action}"
        lines = self._signature(path, body)
        if self._is_traced and span.traceparent:
            lines += f"traceparent: {span.traceparent}\r\n"
        accept = "application/vnd.amazon.eventstream" if call.stream else "application/json"
        head = (
            f"POST {path} HTTP/1.1\r\n{self._fixed}accept: {accept}\r\n{lines}"
            f"x-client-request-id: {call.attempt_id}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        answer = await self._client.send(head.encode("latin-1"), body, call.timeouts)
        if answer.status == 200:
            return ProviderAnswer(answer.status, answer.headers, answer)
        status = error_status(answer.status, error_name(answer.headers))
        return ProviderAnswer(status, answer.headers, ErrorBody(answer, self._secret))

    def _signature(self, path: str, body: bytes) -> str:
        """Header lines; empty where the credential goes out as it is."""
        if self._signer is None:
            return ""
        # No others are signed: proxies on the way may change them.
        headers = {"host": self._host, "content-type": "application/json"}
        added = self._signer.sign("POST", path, headers, body, self._clock.now())
        return "".join([f"{name}: {value}\r\n" for name, value in added.items()])


def _signer(key: AccessKey, option: str, host: str) -> Signer:
    found = _REGION.search(host)
    region = key.region or option or (found[1] if found else "")
    if not region:
        raise ValueError(f"the region is not known: {host!r} does not say it, so `options.region` has to")
    return Signer(key, region, _SERVICE)


async def _first(failed: list[ProviderAnswer | HiveError]) -> ProviderAnswer:
    for other in failed[1:]:
        if isinstance(other, ProviderAnswer):
            await other.body.aclose()
    if isinstance(failed[0], HiveError):
        raise failed[0]
    return failed[0]


async def _whole(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
