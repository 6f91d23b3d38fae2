"""Clients of the APIs that keep their answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

Gateway = Any


class Client:
    """Asks for responses and for what is kept of them."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def post(self, path: str, **fields: Any) -> Any:
        return await self.gateway.request("POST", f"/v1/{path}", fields)

    async def respond(self, input: Any = "hello", **fields: Any) -> Any:
        """The response object of a call that has to succeed."""
        answer = await self.post("responses", model="gpt-4o", input=input, **fields)
        assert answer.error is None, answer.error
        return events(answer)[-1]["response"] if fields.get("stream") else answer.json

    async def get(self, path: str, query: str = "") -> Any:
        return await self.gateway.request("GET", f"/v1/{path}", query=query)

    async def delete(self, path: str) -> Any:
        return await self.gateway.request("DELETE", f"/v1/{path}")

    async def ended(self, id: str, family: str = "responses") -> Any:
        """The object of an answer in the background, once it has ended."""
        async with asyncio.timeout(10):
            while True:
                found = (await self.get(f"{family}/{id}")).json
                if found["status"] not in ("queued", "in_progress"):
                    return found
                await asyncio.sleep(0.005)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    @property
    def sent(self) -> Any:
        """What the provider was asked last."""
        return msgspec.json.decode(self.gateway.sim.calls[-1].body)


def events(answer: Any) -> list[Any]:
    return list(answer.chunks)


def said(response: Any) -> str:
    """The text of a response."""
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts)


@pytest.fixture
def client(gateway: Gateway) -> Client:
    return Client(gateway)


@pytest.fixture
async def running(gateway: Gateway) -> AsyncIterator[None]:
    """Answers are made in the background."""
    async with gateway.stored.runner.running(gateway.tasks, 5):
        yield
