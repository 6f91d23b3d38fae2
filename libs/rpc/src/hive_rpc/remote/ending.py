"""How a call with a stream of requests ended: grpc.aio may say something else first, or last.

Where a write fails, grpc.aio ends the call as "internal error", whatever the status is that tells why the
call ended; that one may have come before, or come soon. It is what this file keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc.aio
from grpc import StatusCode
from grpc.aio import AioRpcError

_NOT_THE_STATUS = (StatusCode.INTERNAL, "Internal error from Core")
_PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Ending:
    """The status of one call, as soon as it has come."""

    def __init__(self, call: Any) -> None:
        self._status: AioRpcError | None = None
        call.add_done_callback(self._told)

    async def status(self, call: Any) -> AioRpcError:
        """The status of a call that has ended; waits where it is still to come."""
        await call.code()
        for pause in _PAUSES:
            self._told(call)
            if self._status is not None:
                return self._status
            await asyncio.sleep(pause)  # the status that comes last tells nobody
        return _status_of(call)

    def _told(self, call: Any) -> None:
        status = _status_of(call)
        if self._status is None and (status.code(), status.details()) != _NOT_THE_STATUS:
            self._status = status


def _status_of(call: Any) -> AioRpcError:
    """The status that a call has by now."""
    trailing = _at_once(call.trailing_metadata())
    return AioRpcError(_at_once(call.code()), grpc.aio.Metadata(), trailing, _at_once(call.details()))


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise RuntimeError("the call has no status yet")
