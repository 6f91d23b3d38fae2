"""The resuming application around a small one that a test lets speak, on a clock that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from hive_relay.exchange import Exchange, exchange_of
from hive_relay.principal import Principal
from hive_relay.summary import Summary
from hive_routing.resuming import Resuming
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError
from hive_runtime.tasks import Tasks

PATH = "/v1/chat/completions"
EVENT_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-hive-guard", b"none")]


class HandClock(SystemClock):
    """Who sleeps is woken by `advance` alone."""

    def __init__(self) -> None:
        self._time = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._time + seconds, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        await settled()
        self._time += seconds
        for until, woken in self._sleepers:
            if until <= self._time and not woken.done():
                woken.set_result(None)
        await settled()


async def settled() -> None:
    """Whatever can go on has done so."""
    for _ in range(100):
        await asyncio.sleep(0)


class Script:
    """An app whose answer a test writes: `say`, then `end`, `fail` or neither."""

    def __init__(self) -> None:
        self.headers = EVENT_STREAM
        self.cancelled = False
        self.went_on = 0
        self._steps: asyncio.Queue[tuple[bytes, bool, BaseException | None]] = asyncio.Queue()

    def say(self, data: bytes) -> None:
        self._steps.put_nowait((data, True, None))

    def end(self, data: bytes = b"") -> None:
        self._steps.put_nowait((data, False, None))

    def fail(self, error: BaseException) -> None:
        self._steps.put_nowait((b"", True, error))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        exchange = exchange_of(scope)
        await exchange.go()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.headers})
            more = True
            while more:
                data, more, error = await self._steps.get()
                if error is not None:
                    raise error
                await send({"type": "http.response.body", "body": data, "more_body": more})
                self.went_on += 1
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            exchange.usage = Summary(model="m")


@dataclass
class Heard:
    """What one connection got. takes: whether it reads. error: what its answer ended with."""

    task: asyncio.Task[None] = None  # type: ignore[assignment]
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    takes: bool = True
    error: BaseException | None = None
    usage: Summary | None = None

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.headers = dict(message["headers"])
            return
        if not self.takes:
            await asyncio.Event().wait()
        self.body += message["body"]
        self.complete = not message["more_body"]

    @property
    def stream_id(self) -> str:
        return self.headers[b"x-hive-request-id"].decode()

    async def leave(self) -> None:
        self.task.cancel()
        await settled()


class House:
    """One routing process."""

    def __init__(self, most_bytes: int = 1 << 26) -> None:
        self.clock = HandClock()
        self.failures: list[BaseException] = []
        self.tasks = Tasks(lambda name, error: self.failures.append(error))
        self.script = Script()
        self.resuming = Resuming(self.script, self.tasks, self.clock, "routing-0", most_bytes)
        self._number = 0

    async def connect(
        self,
        *,
        key: str = "key_1",
        path: str = PATH,
        method: str = "POST",
        takes: bool = True,
        seconds: float = 60,
        **headers: str,
    ) -> Heard:
        self._number += 1

        async def go() -> None:
            pass

        exchange = Exchange(
            request_id=f"req_{self._number}",
            attempt=1,
            principal=Principal(tenant_id="t", key_id=key),
            deadline=asyncio.get_running_loop().time() + seconds,
            traceparent="",
            go=go,
        )
        sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": sent, "hive": exchange}
        heard = Heard(takes=takes)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def run() -> None:
            try:
                await self.resuming(scope, receive, heard.send)
            except Exception as error:
                heard.error = error
            finally:
                heard.usage = exchange.usage

        heard.task = self.tasks.spawn(run(), "connection")
        await settled()
        return heard

    async def begin(self, **more: Any) -> Heard:
        return await self.connect(x_hive_resume="30", **more)

    async def resume(self, first: Heard, events: int, **more: Any) -> Heard:
        return await self.connect(last_event_id=f"{first.stream_id}:{events}", **more)

    async def refused(self, first: Heard | str, events: int = 0, **more: Any) -> HiveError:
        """What a connection is told that resumes something that cannot be."""
        told = first if isinstance(first, str) else f"{first.stream_id}:{events}"
        heard = await self.connect(last_event_id=told, **more)
        assert isinstance(heard.error, HiveError) and not heard.headers
        return heard.error


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    async with made.resuming:
        yield made
    await made.tasks.close()
    assert not made.failures


@pytest.fixture
def small_house() -> type[House]:
    """For a house with little room."""
    return House
