"""Frames that wait for their stream: all that are ready leave together."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

F = TypeVar("F")


class Mailbox(Generic[F]):
    """Many writers that never wait, one reader that takes all there is.

    It needs no bound of its own: chunks are bounded by credit, all other frames by the requests in flight.
    """

    def __init__(self) -> None:
        self._frames: list[F] = []
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def put(self, frame: F) -> None:
        """Add a frame; dropped where the mailbox is closed."""
        if self._closed:
            return
        self._frames.append(frame)
        self._wake()

    async def take(self) -> list[F]:
        """All frames that are there, waiting for the first; empty once the mailbox is closed."""
        while not self._frames and not self._closed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        frames, self._frames = self._frames, []
        return frames

    def close(self) -> None:
        """The reader gets what is there and then nothing; may be called twice."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
