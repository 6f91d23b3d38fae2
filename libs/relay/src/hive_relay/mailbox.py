"""Frames that wait for their stream: all that are ready leave together."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

F = TypeVar("F")

BATCH_BYTES = 1024 * 1024
"""Largest batch, and what may wait for a link before those who send through it have to."""


class Mailbox(Generic[F]):
    """Many writers, one reader that takes all there is, up to a batch.

    Chunks are bounded twice: each request by its credit, all together by `room`, since a link that is slow or
    gone holds everybody's. All other frames are few for each request in flight.
    """

    def __init__(self) -> None:
        self._frames: deque[tuple[F, int]] = deque()
        self._bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._closed = False

    def put(self, frame: F, size: int = 0) -> None:
        """Add a frame with so many bytes of content; dropped where the mailbox is closed."""
        if self._closed:
            return
        self._frames.append((frame, size))
        self._bytes += size
        _wake(self._waiter)

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def is_full(self) -> bool:
        """Whether `room` would wait."""
        return self._bytes >= BATCH_BYTES and not self._closed

    async def room(self) -> None:
        """Return once there is room for more; at once where the mailbox is closed."""
        while self.is_full:
            if self._room is None or self._room.done():
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    async def take(self) -> list[F]:
        """A batch of the frames that are there, waiting for the first; empty once the mailbox is closed."""
        while not self._frames and not self._closed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
            await asyncio.sleep(0)  # whoever is ready as well comes along
        batch: list[F] = []
        size = 0
        while self._frames and size < BATCH_BYTES:
            frame, bytes_of_it = self._frames.popleft()
            batch.append(frame)
            size += bytes_of_it
        self._bytes -= size
        if self._bytes < BATCH_BYTES:
            _wake(self._room)
        return batch

    def close(self) -> None:
        """The reader gets what is there and then nothing; may be called twice."""
        self._closed = True
        _wake(self._waiter)
        _wake(self._room)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
