"""What the two ends of one local call share: its streams, metadata, status and deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
from grpc import StatusCode

from hive_rpc.errors import error_of_rpc
from hive_rpc.local.pipe import Pipe

Metadata = tuple[tuple[str, str | bytes], ...]


class Rpc:
    """One call from its start to its end; it ends once, and whoever ends it first decides how.

    The task that runs the handler holds this object, never the caller's call object: so a call that its
    caller has dropped is noticed and cancelled.
    """

    def __init__(self, method: str, metadata: Metadata, limit: int, timeout: float | None) -> None:
        self.method = method
        self.metadata = metadata
        self.requests = Pipe(limit)
        self.responses = Pipe(limit)
        self.response: Any = None
        self.initial: Metadata | None = None
        self.trailing: Metadata = ()
        self.code: StatusCode | None = None
        self.details = ""
        self.locally_cancelled = False
        self.handler: asyncio.Task[None] | None = None
        self.feeder: asyncio.Task[None] | None = None
        self._running: set[Rpc] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._deadline = None if timeout is None else self._loop.time() + timeout
        self._timer: asyncio.TimerHandle | None = None

    @property
    def done(self) -> bool:
        return self.code is not None

    @property
    def opened(self) -> asyncio.Future[None]:
        """Done once there is initial metadata. Made for who asks: most calls are never asked."""
        if self._opened is None:
            self._opened = self._loop.create_future()
            if self.initial is not None:
                self._opened.set_result(None)
        return self._opened

    @property
    def ended(self) -> asyncio.Future[None]:
        """Done once there is a status."""
        if self._ended is None:
            self._ended = self._loop.create_future()
            if self.done:
                self._ended.set_result(None)
        return self._ended

    def watch_deadline(self) -> None:
        """From now on the call ends with its deadline, unless it has ended already."""
        if self._deadline is not None and not self.done:
            self._timer = self._loop.call_at(self._deadline, self._expire)

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, never below 0; None without one."""
        return None if self._deadline is None else max(self._deadline - self._loop.time(), 0.0)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back soon after the call has ended."""
        if self.done:
            self._loop.call_soon(callback)
        else:
            self._callbacks.append(callback)

    def join(self, running: set[Rpc]) -> None:
        """Be in this set until the end."""
        self._running = running
        running.add(self)

    def open(self, initial: Metadata) -> None:
        """Let the caller have the servicer's initial metadata."""
        self.initial = initial
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def end(self, code: StatusCode, details: str = "", trailing: Metadata = ()) -> bool:
        """Settle the status; answers already sent can still be read. False where it had ended before."""
        if self.code is not None:
            return False
        self.code = code
        self.details = details
        self.trailing = trailing
        self._release()
        return True

    def kill(self, code: StatusCode, details: str) -> bool:
        """End the call over the head of its handler, which is cancelled; unread answers are dropped."""
        if not self.end(code, details):
            return False
        self.responses.discard()
        if self.handler is not None:
            self.handler.cancel()
        return True

    def cancel(self) -> bool:
        """End the call as its caller wishes; false where it had ended before."""
        if self.done:
            return False
        self.locally_cancelled = True
        return self.kill(StatusCode.CANCELLED, "cancelled by the caller")

    def raise_for_status(self) -> None:
        """Raise what the caller must hear of a call that has ended: HiveError, CancelledError or nothing."""
        if self.locally_cancelled:
            raise asyncio.CancelledError
        if self.code is not None and self.code is not StatusCode.OK:
            error = self._error(self.code)
            raise error_of_rpc(error) from error

    def _error(self, code: StatusCode) -> grpc.aio.AioRpcError:
        metadata = grpc.aio.Metadata
        return grpc.aio.AioRpcError(
            code, metadata(*self.initial or ()), metadata(*self.trailing), self.details
        )

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.feeder is not None:
            self.feeder.cancel()
        if self._running is not None:
            self._running.discard(self)
        self.requests.discard()
        self.responses.close()
        if self.initial is None:
            self.open(())
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        for callback in self._callbacks:
            self._loop.call_soon(callback)
        self._callbacks.clear()

    def _expire(self) -> None:
        self.kill(StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
