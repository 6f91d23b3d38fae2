"""Runs a servicer's handler in either style of grpc.aio and ends the call with what comes of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

import grpc.aio
from grpc import StatusCode

from hive_rpc.errors import UNEXPECTED, status_of
from hive_rpc.local.context import LocalContext
from hive_rpc.local.rpc import Rpc
from hive_runtime.errors import HiveError

Run = Callable[[Rpc, Any, LocalContext], Awaitable[None]]
Begin = Callable[[Any, Any], Any]
"""The first part of a prompt handler: its answer, or the coroutine that gives it."""


def runner(method: grpc.RpcMethodHandler[Any, Any]) -> Run | None:
    """How to run a servicer's method; None where it is not asynchronous, so not served."""
    behaviour: Any = method.unary_unary or method.unary_stream or method.stream_unary or method.stream_stream
    if inspect.isasyncgenfunction(behaviour):
        return partial(_yielded, behaviour)
    if not inspect.iscoroutinefunction(behaviour):
        return None
    return partial(_written if method.response_streaming else _returned, behaviour)


def beginner(method: grpc.RpcMethodHandler[Any, Any]) -> Begin | None:
    """The first part of a servicer's method; None where it is no prompt one."""
    behaviour: Any = method.unary_unary
    first = getattr(behaviour, "begin", None)
    return None if first is None else partial(first, behaviour.__self__)


def begin(first: Begin, rpc: Rpc, request: Any, context: LocalContext) -> Run | None:
    """Begin a prompt handler in the caller's turn: None where that ended the call, else what is still to be run.

    What nobody foresaw is raised on.
    """
    try:
        answer = first(request, context)
    except Exception as error:
        _fail(rpc, context, error)
        if not isinstance(error, HiveError):
            raise
        return None
    if inspect.iscoroutine(answer):
        return partial(_returned, lambda request, context: answer)
    rpc.response = answer
    rpc.end(context.code() or StatusCode.OK, context.details(), context.trailing_metadata())
    return None


async def serve(run: Run, rpc: Rpc, request: Any, context: LocalContext) -> None:
    """Run the handler and end the call with what comes of it; what nobody foresaw is raised on."""
    try:
        await run(rpc, request, context)
    except asyncio.CancelledError:
        rpc.end(StatusCode.UNAVAILABLE, "the handler was cancelled")
        raise
    except Exception as error:
        _fail(rpc, context, error)
        if error is not context.aborted and not isinstance(error, HiveError):
            raise
    else:
        rpc.end(context.code() or StatusCode.OK, context.details(), context.trailing_metadata())
    finally:
        # An error made of the wrong types cannot be told, but it must not leave a caller waiting either.
        rpc.end(StatusCode.INTERNAL, UNEXPECTED)


def _fail(rpc: Rpc, context: LocalContext, error: Exception) -> None:
    status = status_of(error)
    rpc.end(status.code, status.details, context.trailing_metadata() + status.trailing_metadata)


async def _returned(behaviour: Any, rpc: Rpc, request: Any, context: LocalContext) -> None:
    rpc.response = await behaviour(request, context)


async def _written(behaviour: Any, rpc: Rpc, request: Any, context: LocalContext) -> None:
    await behaviour(request, context)


async def _yielded(behaviour: Any, rpc: Rpc, request: Any, context: LocalContext) -> None:
    messages: AsyncGenerator[Any, None] = behaviour(request, context)
    try:
        async for message in messages:
            await context.write(message)
    finally:
        await messages.aclose()
