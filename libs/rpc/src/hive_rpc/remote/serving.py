"""Runs a servicer's handlers for grpc.aio: their errors go out whole, and what nobody meant is reported."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import grpc
import grpc.aio
from grpc import StatusCode

from hive_rpc.errors import UNEXPECTED, status_of
from hive_rpc.remote.hooks import Hooks
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from hive_runtime.tasks import OnFailure

REFUSED = ("hive-refused", "1")
"""Trailing metadata of a call that no handler has seen, because the server is stopping."""

_LASTING = {"/grpc.health.v1.Health/Watch", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}
"""Streams that last as long as their callers like: no reason for a server to wait."""

_CANCEL_SECONDS = 1.0
"""grpc.aio cancels the handler of a caller that has gone, a little later than a write to it fails."""

Run = Callable[[Any, Any], Awaitable[Any]]
Method: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Methods(grpc.GenericRpcHandler):
    """All methods of a server under their full names; one look-up finds them.

    (Methods that are registered one by one cost grpc.aio a waiting task each, for every call that comes.)
    """

    def __init__(self, hooks: Hooks, on_failure: OnFailure, clock: Clock) -> None:
        self.running: dict[asyncio.Task[Any], bool] = {}
        self.stopping = False
        self._hooks = hooks
        self._on_failure = on_failure
        self._clock = clock
        self._methods: dict[str, Method] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Method | None:
        method = self._methods.get(handler_call_details.method)
        return _REFUSED if self.stopping and method is not None else method

    async def settle(self, seconds: float) -> None:
        """Begin no more, wait for those that run, at most so long, then cancel them."""
        self.stopping = True
        mine = {asyncio.current_task()}
        if seconds and (working := {task for task, lasting in self.running.items() if not lasting} - mine):
            await asyncio.wait(working, timeout=seconds)
        if left := self.running.keys() - mine:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=_CANCEL_SECONDS)

    def services(self) -> list[str]:
        """The proto names of what is served."""
        return sorted({name[1:].rpartition("/")[0] for name in self._methods})

    # What the generated `add_…Servicer_to_server` calls.

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Method]
    ) -> None:
        """A method that is not asynchronous is not served."""
        for name, method in method_handlers.items():
            wrapped = self._wrapped(f"/{service_name}/{name}", method)
            if wrapped is not None:
                self._methods[f"/{service_name}/{name}"] = wrapped

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """What `add_registered_method_handlers` gets by name."""

    def _wrapped(self, name: str, method: Method) -> Method | None:
        for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            behaviour = getattr(method, kind)
            if behaviour is not None:
                run = _runner(behaviour)
                make = getattr(grpc, f"{kind}_rpc_method_handler")
                handler = None if run is None else self._handler(name, run)
                return handler and make(handler, method.request_deserializer, method.response_serializer)
        return None

    def _handler(self, name: str, run: Run) -> Callable[[Any, Any], Any]:
        incoming, answered = self._hooks.incoming, self._hooks.answered

        async def plain(request: Any, context: Any) -> Any:
            return await self._guarded(name, run, request, context)

        async def hooked(request: Any, context: Any) -> Any:
            started = self._clock.monotonic()
            try:
                if incoming is None:
                    return await plain(request, context)
                with incoming(context.invocation_metadata()):
                    return await plain(request, context)
            finally:
                if answered is not None:
                    service, _, method = name[1:].rpartition("/")
                    code = context.code() or StatusCode.OK
                    answered(service, method, code.name, self._clock.monotonic() - started)

        return plain if incoming is None and answered is None else hooked

    async def _guarded(self, name: str, run: Run, request: Any, context: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self.running[task] = name in _LASTING
        task.add_done_callback(self._ended)  # not when the handler ends: its answer has to be sent as well
        try:
            return await run(request, context)
        except asyncio.CancelledError:
            await _say(context, StatusCode.UNAVAILABLE, "the handler was cancelled")
            raise
        except grpc.aio.AbortError:
            raise
        except grpc.aio.InternalError as gone:
            # The caller has gone while something was sent to it: the same as being cancelled by it.
            raise asyncio.CancelledError from gone
        except Exception as error:
            if not isinstance(error, HiveError):
                self._on_failure(name, error)
            await _tell(context, error)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.running.pop(task, None)


class Context:
    """grpc.aio's context, whose `write` to a caller that has gone is like any other wait then."""

    __slots__ = ("_context",)

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        try:
            await self._context.write(message)
        except grpc.aio.InternalError as gone:
            await asyncio.sleep(_CANCEL_SECONDS)
            raise asyncio.CancelledError from gone


async def _refuse(request: Any, context: Any) -> None:
    await context.abort(StatusCode.UNAVAILABLE, "the server is going down", (REFUSED,))


_REFUSED: Method = grpc.stream_stream_rpc_method_handler(_refuse)
"""Does for calls of all kinds: it reads no request and gives no answer."""


async def _tell(context: Any, error: Exception) -> None:
    """End the call with the error."""
    try:
        status = status_of(error)
    except Exception:  # an error made of the wrong types cannot be told
        await context.abort(StatusCode.INTERNAL, UNEXPECTED)
    trailing = (*(context.trailing_metadata() or ()), *status.trailing_metadata)
    await context.abort(status.code, status.details, trailing)


async def _say(context: Any, code: StatusCode, words: str) -> None:
    """End the call with a plain status, if there is still someone to hear it."""
    with suppress(grpc.aio.BaseError, asyncio.CancelledError):
        await context.abort(code, words)


def _runner(behaviour: Any) -> Run | None:
    """How to run a servicer's method in either style of grpc.aio; None where it is not asynchronous."""
    if inspect.isasyncgenfunction(behaviour):
        return partial(_pump, behaviour)
    if not inspect.iscoroutinefunction(behaviour):
        return None
    return partial(_run, behaviour)


async def _run(behaviour: Any, request: Any, context: Any) -> Any:
    return await behaviour(request, Context(context))


async def _pump(behaviour: Any, request: Any, context: Any) -> None:
    """Send what the handler yields. Where that ends with its caller, it is cancelled where it waits next."""
    messages: AsyncGenerator[Any, None] = behaviour(request, Context(context))
    task = asyncio.current_task()
    gone = False
    try:
        async for message in messages:
            if gone:
                await asyncio.sleep(_CANCEL_SECONDS)
                raise asyncio.CancelledError
            try:
                await context.write(message)
            except grpc.aio.InternalError:
                gone = True
            except asyncio.CancelledError:
                gone = True
                assert task is not None
                task.cancel()
    finally:
        await messages.aclose()
