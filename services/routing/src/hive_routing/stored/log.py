"""The events of one answer that is made in the background, on their way to those who listen to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError

log = structlog.get_logger(__name__)

MAX_LOG_BYTES = 4 * 1024 * 1024
"""Of the events of one answer: beyond, only its end is told."""
PAUSE_SECONDS = 0.05
"""Between two writes: what comes meanwhile is written together."""

Write = Callable[[int, list[bytes]], Awaitable[bool]]


class EventLog:
    """Collects events, and writes them in batches. write: the number of the first one, and the events.

    Where `write` fails, or says that nobody wants them any more, no more are written: the answer goes on without.
    """

    def __init__(self, write: Write, clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._waiting: list[bytes] = []
        self._written = 0
        self._size = 0
        self._more = asyncio.Event()
        self._shut = False
        self._turn = asyncio.Lock()

    def add(self, event: bytes) -> None:
        self._size += len(event)
        if self._size <= MAX_LOG_BYTES and not self._shut:
            self._waiting.append(event)
            self._more.set()

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            await self._more.wait()
            await self.flush()
            await self._clock.sleep(PAUSE_SECONDS)

    async def flush(self) -> None:
        """Write all that has come; returns once what was being written already is written, too."""
        async with self._turn:
            self._more.clear()
            batch, self._waiting = self._waiting, []
            if not batch or self._shut:
                return
            number, self._written = self._written, self._written + len(batch)
            try:
                self._shut = not await self._write(number, batch)
            except (HiveError, SQLAlchemyError) as error:
                self._shut = True
                log.warning("events of an answer could not be kept", error=str(error))


class Bells:
    """Ring for whoever listens to an answer in this process."""

    def __init__(self) -> None:
        self._listening: dict[str, set[asyncio.Event]] = {}

    def ring(self, id: str) -> None:
        for bell in self._listening.get(id, ()):
            bell.set()

    @contextmanager
    def listening(self, id: str) -> Iterator[asyncio.Event]:
        """What is set when it rings."""
        bell = asyncio.Event()
        self._listening.setdefault(id, set()).add(bell)
        try:
            yield bell
        finally:
            self._listening[id].discard(bell)
            if not self._listening[id]:
                del self._listening[id]
