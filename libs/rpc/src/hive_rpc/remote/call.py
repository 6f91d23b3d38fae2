"""The caller's end of a remote call: grpc.aio's own, but that it fails with HiveErrors.

Three more things differ from grpc.aio: a request iterator is closed with the call, a call that is dropped is
cancelled even while requests of it wait, and a write that fails says why the call ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator
from functools import partial
from typing import Any

import grpc.aio
from grpc import StatusCode
from grpc.aio import AioRpcError

from hive_rpc.errors import error_of_rpc
from hive_rpc.remote.ending import Ending
from hive_rpc.remote.serving import REFUSED
from hive_runtime.errors import HiveError, Kind


class RemoteCall(grpc.aio.Call):
    """What all four kinds have in common. closed: whether the channel was closed under its calls."""

    def __init__(self, call: Any, closed: Callable[[], bool]) -> None:
        self._call = call
        self._closed = closed
        self._given_up = False

    def __del__(self) -> None:
        self._call.cancel()

    def cancel(self) -> bool:
        self._given_up = True
        return bool(self._call.cancel())

    def cancelled(self) -> bool:
        return bool(self._call.cancelled())

    def done(self) -> bool:
        return bool(self._call.done())

    def time_remaining(self) -> float | None:
        left: float | None = self._call.time_remaining()
        return left

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(lambda _: callback(self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(*await self._call.initial_metadata())

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(*await self._call.trailing_metadata())

    async def code(self) -> StatusCode:
        code: StatusCode = await self._call.code()
        return code

    async def details(self) -> str:
        return str(await self._call.details() or "")

    async def wait_for_connection(self) -> None:
        try:
            await self._call.wait_for_connection()
        except AioRpcError as error:
            raise error_of_rpc(error) from error

    async def _failure(self, error: AioRpcError) -> HiveError:
        return error_of_rpc(error)

    def _cancelled(self, error: asyncio.CancelledError) -> BaseException:
        """What a wait that was cancelled raises: the channel's closing is not the caller's doing."""
        task = asyncio.current_task()
        if self._closed() and not self._given_up and not (task and task.cancelling()):
            return HiveError(Kind.UNAVAILABLE, "This process is going down.")
        self.cancel()  # grpc.aio does so itself, but not where the call had just begun
        return error


class UnaryResponse(RemoteCall):
    """Awaiting the call gives the answer."""

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except AioRpcError as error:
            raise error_of_rpc(error) from error
        except asyncio.CancelledError as error:
            raise self._cancelled(error) from None


class StreamResponse(RemoteCall):
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
        return await self.next()

    async def next(self) -> Any:
        """The next answer, for whoever decided between `read` and iterating."""
        try:
            return await self._call.read()
        except AioRpcError as error:
            raise await self._failure(error) from error
        except asyncio.CancelledError as error:
            raise self._cancelled(error) from None


class Responses:
    """The answers of one call as an async iterator; closing it cancels a call that still runs."""

    __slots__ = ("_call",)

    def __init__(self, call: StreamResponse) -> None:
        self._call = call

    def __aiter__(self) -> Responses:
        return self

    async def __anext__(self) -> Any:
        message = await self._call.next()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return message

    async def aclose(self) -> None:
        self._call.cancel()


class StreamRequest(RemoteCall):
    """Requests are written one by one, unless the call was made with an iterator of them."""

    fed = False

    def __init__(self, call: Any, closed: Callable[[], bool]) -> None:
        super().__init__(call, closed)
        self._ending = Ending(call)

    async def code(self) -> StatusCode:
        return (await self._ending.status(self._call)).code()

    async def details(self) -> str:
        return (await self._ending.status(self._call)).details() or ""

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return (await self._ending.status(self._call)).trailing_metadata()

    async def write(self, request: Any) -> None:
        """Send one message as soon as there is room for it.

        Raises the call's HiveError where it has failed, InvalidStateError where it has ended well or
        `done_writing` was called.
        """
        self._refuse_second_source()
        try:
            await self._call.write(request)
        except AioRpcError as error:
            raise await self._failure(error) from error
        except asyncio.InvalidStateError:
            if self._call.done():
                await self._raise_for_status()
            raise
        except asyncio.CancelledError as error:
            raise self._cancelled(error) from None

    async def done_writing(self) -> None:
        """Tell the servicer that no more comes; may be called twice."""
        self._refuse_second_source()
        await self._call.done_writing()

    async def _raise_for_status(self) -> None:
        if self._given_up:
            raise asyncio.CancelledError
        status = await self._ending.status(self._call)
        if status.code() is not StatusCode.OK:
            raise error_of_rpc(status) from status

    async def _failure(self, error: AioRpcError) -> HiveError:
        return error_of_rpc(await self._ending.status(self._call))

    def _refuse_second_source(self) -> None:
        if self.fed:
            raise grpc.aio.UsageError("this call was made with a request iterator: it cannot be written to")


class UnaryUnaryCall(UnaryResponse):
    """One request, one answer. `again` makes the call once more, where a server refused it unseen."""

    again: Callable[[], Any] | None = None
    _tries = 3

    def __await__(self) -> Generator[Any, None, Any]:
        while True:
            try:
                return (yield from super().__await__())
            except HiveError as error:
                self._tries -= 1
                if self.again is None or self._tries == 0 or self._given_up or not _refused(error.__cause__):
                    raise
            self._call = self.again()


class UnaryStreamCall(StreamResponse):
    """One request, many answers."""


class StreamUnaryCall(StreamRequest, UnaryResponse):
    """Many requests, one answer."""


class StreamStreamCall(StreamRequest, StreamResponse):
    """Many requests, many answers, in any order."""


def _refused(error: object) -> bool:
    return isinstance(error, AioRpcError) and REFUSED in tuple(error.trailing_metadata() or ())


async def feed(call: Any, requests: Any) -> None:
    """Write what the caller's iterator gives, as long as the call lasts; a failure of it cancels the call."""
    try:
        if await _write_all(call, requests):
            await call.done_writing()
    except Exception:
        call.cancel()
        raise


async def _write_all(call: Any, requests: Any) -> bool:
    """Whether all were written, before the call had ended."""
    if not isinstance(requests, AsyncIterable):
        for request in requests:
            if not await _written(call, request):
                return False
        return True
    try:
        async for request in requests:
            if not await _written(call, request):
                return False
        return True
    finally:
        if isinstance(requests, AsyncGenerator):
            await requests.aclose()


async def _written(call: Any, request: Any) -> bool:
    try:
        await call.write(request)
    except AioRpcError:
        return False  # whoever reads the answers hears why
    except asyncio.InvalidStateError:
        if not call.done():
            raise
        return False
    return True


def end_with(call: Any, task: asyncio.Task[None]) -> None:
    """Cancel the feeding task when the call ends."""
    call.add_done_callback(partial(_cancel, task))


def _cancel(task: asyncio.Task[None], call: object) -> None:
    task.cancel()
