"""The messages of one direction of a call: bounded, in order, one writer and one reader."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import grpc.aio

EOF = grpc.aio.EOF


class Pipe:
    """A bounded queue that ends. It counts messages, not bytes, and never copies one."""

    __slots__ = ("_closed", "_limit", "_messages", "_reader", "_writer")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: deque[Any] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._closed = False

    async def put(self, message: object) -> bool:
        """Append a message as soon as there is room; false where the pipe is closed instead.

        Raises InvalidStateError while another put waits: gRPC allows one write at a time.
        """
        while len(self._messages) >= self._limit and not self._closed:
            self._writer = _wait_place(self._writer, "write")
            await self._writer
        if self._closed:
            return False
        self._messages.append(message)
        if self._reader is not None:
            _wake(self._reader)
            self._reader = None
        return True

    async def get(self) -> Any:
        """The next message; `grpc.aio.EOF` where the pipe is closed and empty.

        Raises InvalidStateError while another get waits: gRPC allows one read at a time.
        """
        while not self._messages:
            if self._closed:
                return EOF
            self._reader = _wait_place(self._reader, "read")
            await self._reader
        message = self._messages.popleft()
        if self._writer is not None:
            _wake(self._writer)
            self._writer = None
        return message

    def close(self) -> None:
        """No further message; those that wait inside can still be read."""
        self._closed = True
        if self._reader is not None:
            _wake(self._reader)
            self._reader = None
        if self._writer is not None:
            _wake(self._writer)
            self._writer = None

    def discard(self) -> None:
        """Close, and forget what waits inside."""
        self._messages.clear()
        self.close()


def _wait_place(taken: asyncio.Future[None] | None, what: str) -> asyncio.Future[None]:
    if taken is not None and not taken.done():
        raise asyncio.InvalidStateError(f"another {what} waits on this call: one at a time")
    return asyncio.get_running_loop().create_future()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
