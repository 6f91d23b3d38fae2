"""Handlers that mostly answer without waiting: inside one process their calls cost no task and no turn of the loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import iscoroutine
from typing import Any, TypeVar

import grpc.aio

Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Response = TypeVar("Response")


def prompt(
    begin: Callable[[Servicer, Request, Any], Response | Coroutine[Any, Any, Response]],
) -> Callable[[Servicer, Request, Any], Coroutine[Any, Any, Response]]:
    """Make a handler for one request and one answer of a function that gives the answer, or a coroutine that does.

    The function itself may run in the turn of the caller, so it takes little time and knows nothing of the task that
    it runs in; the coroutine is run as any other handler. Both see the same context variables, none of the caller's.
    """

    @wraps(begin)
    async def handler(servicer: Servicer, request: Request, context: Any) -> Response:
        answer = begin(servicer, request, context)
        return await answer if iscoroutine(answer) else answer  # type: ignore[return-value]

    handler.begin = begin  # type: ignore[attr-defined]  # an adapter that finds it may run it apart
    return handler


def is_near(channel: grpc.aio.Channel) -> bool:
    """Whether calls stay in this process: there one to a prompt handler costs less than a place on a stream."""
    return getattr(channel, "is_near", False)
