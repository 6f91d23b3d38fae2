"""The servicer that the conformance suite talks to; tests look into it from the outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import grpc.aio

from hive_runtime.errors import HiveError, Kind
from modelhive.probe.v1 import probe_pb2 as pb
from modelhive.probe.v1 import probe_pb2_grpc

SECRET = "password-of-the-database"
"""In the text of the exceptions that no caller may read."""

INITIAL = ("probe-initial", "at the start")
TRAILING = (("probe-trailing", "at the end"), ("probe-trailing-bin", b"\x00\xff"))

END = pb.EchoRequest(text="!end")
"""Has `Echo` return, whatever the caller still has to say."""

caller_context: ContextVar[str] = ContextVar("caller_context", default="nothing")


def failure(kind: Kind, text: str) -> HiveError:
    """The error of `fail:<kind>`: with all its fields where there is a text, else with none."""
    if not text:
        return HiveError(kind, "")
    return HiveError(kind, text, "probe[0].text", reason="as_told", retry_after=1.5, should_retry=False)


class ProbeServicer(probe_pb2_grpc.ProbeServicer):
    """Serves `Count` as an async generator and `Echo` by reading and writing its context.

    calls: how many have begun.
    answered: how many messages `Count` and `Echo` have sent.
    started: a handler has begun.
    cancelled: one that was told to wait has seen CancelledError.
    finished: `Count`, `Sum` or `Echo` has ended in any way.
    go: what the instruction `wait` waits for, and `Echo` before it reads.
    repeat: how often `Echo` answers each message.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.answered = 0
        self.repeat = 1
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.finished = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def Unary(self, request: pb.UnaryRequest, context: Any) -> pb.UnaryResponse:
        await self._begin(context)
        seen = {key: _text(value) for key, value in context.invocation_metadata()}
        left = context.time_remaining()
        await self._obey(request.instruction, request.text, context)
        seen["caller_context"] = caller_context.get()
        return pb.UnaryResponse(text=request.text, metadata=seen, seconds_left=-1 if left is None else left)

    async def Count(self, request: pb.CountRequest, context: Any) -> AsyncIterator[pb.CountResponse]:
        await self._begin(context)
        try:
            for number in range(request.count):
                yield pb.CountResponse(number=number)
                self.answered += 1
            await self._obey(request.instruction, "counted", context)
        finally:
            self.finished.set()

    async def Sum(self, request_iterator: Any, context: Any) -> pb.SumResponse:
        await self._begin(context)
        total = 0
        try:
            async for request in request_iterator:
                total += request.number
        finally:
            self.finished.set()
        return pb.SumResponse(sum=total)

    async def Echo(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        await self._begin(context)
        try:
            await self._wait_for(self.go)
            await self._echo(context)
        finally:
            self.finished.set()

    async def _echo(self, context: Any) -> None:
        while (request := await context.read()) not in (grpc.aio.EOF, END):
            await self._obey(_instruction(request), "echoed", context)
            for _ in range(self.repeat):
                await context.write(pb.EchoResponse(text=request.text))
                self.answered += 1

    async def _begin(self, context: Any) -> None:
        self.calls += 1
        context.set_trailing_metadata(TRAILING)
        await context.send_initial_metadata((INITIAL,))
        self.started.set()

    async def _obey(self, instruction: str, text: str, context: Any) -> None:
        match instruction.split(":"):
            case ["fail", kind]:
                raise failure(Kind.of_label(kind), text)
            case ["crash"]:
                raise RuntimeError(SECRET)
            case ["abort"]:
                await context.abort(grpc.StatusCode.NOT_FOUND, "the probe has no such thing")
            case ["code"]:
                context.set_code(grpc.StatusCode.ALREADY_EXISTS)
                context.set_details("the probe has it already")
            case ["hang"]:
                await self._wait_for(asyncio.Event())
            case ["wait"]:
                await self._wait_for(self.go)

    async def _wait_for(self, event: asyncio.Event) -> None:
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class OtherStyleServicer(ProbeServicer):
    """Serves `Count` by writing to its context and `Echo` as an async generator."""

    async def Count(  # type: ignore[override]
        self, request: pb.CountRequest, context: Any
    ) -> None:
        await self._begin(context)
        for number in range(request.count):
            await context.write(pb.CountResponse(number=number))
        await self._obey(request.instruction, "counted", context)

    async def Echo(  # type: ignore[override]
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[pb.EchoResponse]:
        await self._begin(context)
        async for request in request_iterator:
            await self._obey(_instruction(request), "echoed", context)
            yield pb.EchoResponse(text=request.text)


def _instruction(request: pb.EchoRequest) -> str:
    return request.text[1:] if request.text.startswith("!") else ""


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()
