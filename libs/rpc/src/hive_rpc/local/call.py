"""The caller's end of a local call: what the generated stubs return, with the surface of grpc.aio.

As in grpc.aio: the call starts when it is made, one read and one write may wait at a time, iterating and
`read()` do not mix, a wait that is cancelled cancels the call, and so does dropping the call object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import grpc.aio
from grpc import StatusCode

from hive_rpc.local.pipe import EOF
from hive_rpc.local.rpc import Rpc


class LocalCall(grpc.aio.Call):
    """What all four kinds have in common."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def __del__(self) -> None:
        self._rpc.cancel()

    def cancel(self) -> bool:
        return self._rpc.cancel()

    def cancelled(self) -> bool:
        return self._rpc.code is StatusCode.CANCELLED

    def done(self) -> bool:
        return self._rpc.done

    def time_remaining(self) -> float | None:
        return self._rpc.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._rpc.on_end(partial(callback, self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        await asyncio.wait([self._rpc.opened])
        return grpc.aio.Metadata(*self._rpc.initial or ())

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        await asyncio.wait([self._rpc.ended])
        return grpc.aio.Metadata(*self._rpc.trailing)

    async def code(self) -> StatusCode:
        await asyncio.wait([self._rpc.ended])
        return self._rpc.code or StatusCode.UNKNOWN

    async def details(self) -> str:
        await asyncio.wait([self._rpc.ended])
        return self._rpc.details

    async def wait_for_connection(self) -> None:
        self._rpc.raise_for_status()


class UnaryResponse(LocalCall):
    """Awaiting the call gives the answer."""

    def __await__(self) -> Generator[Any, None, Any]:
        return self._response().__await__()

    async def _response(self) -> Any:
        try:
            if not self._rpc.done:
                await self._rpc.ended
        except asyncio.CancelledError:
            self._rpc.cancel()
            raise
        self._rpc.raise_for_status()
        return self._rpc.response


class StreamResponse(LocalCall):
    """Answers are read one by one or iterated over."""

    _reading = False
    _iterating = False

    def __aiter__(self) -> Responses:
        if self._reading:
            raise grpc.aio.UsageError("this call is read with read(): it cannot be iterated over as well")
        self._iterating = True
        return Responses(self)

    async def read(self) -> Any:
        """The next answer; `grpc.aio.EOF` after the last one."""
        if self._iterating:
            raise grpc.aio.UsageError("this call is iterated over: it cannot be read with read() as well")
        self._reading = True
        return await self._next()

    async def _next(self) -> Any:
        try:
            message = await self._rpc.responses.get()
        except asyncio.CancelledError:
            self._rpc.cancel()
            raise
        if message is EOF:
            self._rpc.raise_for_status()
        return message


class Responses:
    """The answers of one call as an async iterator; closing it cancels a call that still runs."""

    __slots__ = ("_call",)

    def __init__(self, call: StreamResponse) -> None:
        self._call = call

    def __aiter__(self) -> Responses:
        return self

    async def __anext__(self) -> Any:
        message = await self._call._next()
        if message is EOF:
            raise StopAsyncIteration
        return message

    async def aclose(self) -> None:
        self._call.cancel()


class StreamRequest(LocalCall):
    """Requests are written one by one, unless the call was made with an iterator of them."""

    async def write(self, request: Any) -> None:
        """Send one message as soon as there is room for it.

        Raises the call's HiveError where it has failed, InvalidStateError where it has ended well or
        `done_writing` was called.
        """
        self._refuse_second_source()
        try:
            sent = await self._rpc.requests.put(request)
        except asyncio.CancelledError:
            self._rpc.cancel()
            raise
        if not sent:
            self._rpc.raise_for_status()
            raise asyncio.InvalidStateError("nothing can be written after done_writing or the call's end")

    async def done_writing(self) -> None:
        """Tell the servicer that no more comes; may be called twice."""
        self._refuse_second_source()
        self._rpc.requests.close()

    def _refuse_second_source(self) -> None:
        if self._rpc.feeder is not None:
            raise grpc.aio.UsageError("this call was made with a request iterator: it cannot be written to")


class UnaryUnaryCall(UnaryResponse):
    """One request, one answer."""


class UnaryStreamCall(StreamResponse):
    """One request, many answers."""


class StreamUnaryCall(StreamRequest, UnaryResponse):
    """Many requests, one answer."""


class StreamStreamCall(StreamRequest, StreamResponse):
    """Many requests, many answers, in any order."""
