"""One process of a small cluster, for the tests of the relay between processes; it talks in lines of JSON.

Usage: python process.py work|edge, with its settings as JSON in the first line of its input. It ends with
its input, so that none outlives its test.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from hive_relay import Caller, Request, Responder, exchange_of
from hive_relay.asgi import Receive, Scope, Send
from hive_relay.principal import Principal
from hive_rpc.remote import RemoteNetwork
from hive_runtime.blobs import ObjectBlobs
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks

PART = b"x" * 32_768


def say(what: str, **facts: object) -> None:
    print(json.dumps({"what": what, **facts}), flush=True)


class NoBus:
    """A broker that is away."""

    async def publish(self, message: object) -> None:
        raise HiveError(Kind.UNAVAILABLE, "the bus is away")

    def beside(self, kind: object, fields: object) -> Callable[[object], bool]:
        return lambda stand_in: False


class Work:
    """The app of the service `work`: what it does with a request is the last part of its path."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._hangs = settings.get("hangs", False)
        self.sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        what = scope["path"].rpartition("/")[2]
        body = (await receive())["body"]
        say("begun", request=exchange.request_id, attempt=exchange.attempt)
        await exchange.go()
        say("go", request=exchange.request_id, attempt=exchange.attempt)
        try:
            await self._answer(what, body, send)
        except asyncio.CancelledError:
            say("cancelled", request=exchange.request_id, attempt=exchange.attempt)
            raise

    async def _answer(self, what: str, body: bytes, send: Send) -> None:
        if body == b"poison":
            os.kill(os.getpid(), signal.SIGKILL)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if what == "show":
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        if self._hangs or what == "show":
            await asyncio.Event().wait()
        if what == "much":
            await self._stream(int(body), send)
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

    async def _stream(self, size: int, send: Send) -> None:
        for _ in range(size // len(PART)):
            await send({"type": "http.response.body", "body": PART, "more_body": True})
            self.sent += len(PART)


async def work(settings: dict[str, Any], commands: asyncio.Queue[str]) -> None:
    tasks, network, clock = Tasks(note), network_of(settings), SystemClock()
    server = network.server("work", settings["instance"])
    app = Work(settings)
    with tempfile.TemporaryDirectory() as folder:
        responder = Responder(
            app,
            service="work",
            instance=settings["instance"],
            server=server,
            network=network,
            blobs=ObjectBlobs.in_folder(Path(folder), clock),
            clock=clock,
            tasks=tasks,
        )
        server.add(Responder.attach, responder)
        await server.start()
        say("ready", address=server.address)
        while command := await commands.get():
            if command == "facts":
                rss = psutil.Process().memory_info().rss
                say("facts", sent=app.sent, rss=rss, in_flight=responder.in_flight)
            elif command.startswith("drain"):
                done = await responder.drain(float(command.split()[1]))
                await server.stop(1)
                say("drained", done=done)
                break
        await network.close()
        await tasks.close()


async def edge(settings: dict[str, Any], commands: asyncio.Queue[str]) -> None:
    """Sends one request to `work` that hangs, until it is killed."""
    tasks, network = Tasks(note), network_of(settings)
    server = network.server("edge", "edge")
    caller = Caller(
        server=server,
        bus=NoBus(),  # type: ignore[arg-type]
        network=network,
        clock=SystemClock(),
        tasks=tasks,
    )
    server.add(Caller.attach, caller)
    await server.start()
    say("ready", address=server.address)
    await caller.call(
        Request(
            request_id="req_of_another_edge",
            service="work",
            method="POST",
            path="/v1/show",
            principal=Principal(tenant_id="t", key_id="k"),
            seconds=60,
        )
    )
    await commands.get()


def network_of(settings: dict[str, Any]) -> RemoteNetwork:
    return RemoteNetwork(
        note,
        url="dns:///{service}",
        peers={"work": settings["work"]},
        port=settings["port"],
        advertise=settings.get("advertise", ""),
    )


def note(name: str, error: BaseException) -> None:
    say("lost task", name=name, error=repr(error))


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    settings = json.loads(await reader.readline())
    commands: asyncio.Queue[str] = asyncio.Queue(100)

    async def listen() -> None:
        while line := await reader.readline():
            await commands.put(line.decode().strip())
        os._exit(0)

    listening = Tasks(note)
    listening.spawn(listen(), "commands")
    await {"work": work, "edge": edge}[sys.argv[1]](settings, commands)
    os._exit(0)


asyncio.run(main())
