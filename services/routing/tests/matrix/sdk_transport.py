"""Official SDKs on the routing application in this process: what they send goes in, what they hear comes out."""

from __future__ import annotations

import httpx2

from hive_runtime.dialects import Dialect, error_body, error_event, error_headers
from services.routing.tests.conftest import Answer, Gateway

ADDRESS = "http://gateway"
_KEPT = ("content-type", "anthropic-version", "anthropic-beta")


class Door:
    """Where the SDKs ask. asked: the last body that came."""

    def __init__(self, gateway: Gateway) -> None:
        self.asked = b""
        self._gateway = gateway

    async def ask(self, request: httpx2.Request) -> Answer:
        self.asked = await request.aread()
        headers = {name: value for name, value in request.headers.items() if name in _KEPT}
        query = request.url.query.decode()
        return await self._gateway.request(
            request.method, request.url.path, self.asked, query=query, headers=headers
        )


class InProcess(httpx2.AsyncBaseTransport):
    """Asks the application; what it raises is told in the error form of the client, as the edge does."""

    def __init__(self, door: Door, dialect: Dialect) -> None:
        self._door = door
        self._dialect = dialect

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._door.ask(request)
        if answer.error is None:
            return httpx2.Response(answer.status, headers=answer.headers, content=answer.body)
        if answer.status:
            ending = error_event(self._dialect, answer.error, "req_1", answer.body.count(b"data: "))
            return httpx2.Response(200, headers=answer.headers, content=answer.body + ending)
        said = error_body(self._dialect, answer.error, "req_1")
        told = error_headers(answer.error)
        return httpx2.Response(answer.error.status, headers=told, content=said)


def client_on(door: Door, dialect: Dialect) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=InProcess(door, dialect), base_url=ADDRESS)
