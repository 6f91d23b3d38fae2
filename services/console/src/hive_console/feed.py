"""What the other services are told, for those who ask: all of it, then every change as it is committed.

A change of this process is told at once, one of another process on the same database within `POLL_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass

import structlog

from hive_console.control import Told
from hive_console.store import Store
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.25
SIGN_OF_LIFE_SECONDS = 0.5
PORTION = 200


@dataclass(frozen=True, slots=True)
class Portion:
    """through: all changes up to this revision are told; None: more follows."""

    told: Sequence[Told]
    through: int | None = None


class Feed:
    """read: the tables as they are now."""

    def __init__(self, read: Callable[[], AbstractAsyncContextManager[Store]], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._watchers = 0
        self._watched = asyncio.Event()
        self._woken = asyncio.Event()
        self._looked = asyncio.Event()
        self._revision = 0
        self._failure: Exception | None = None
        self._ended = False

    def wake(self) -> None:
        """Something was committed."""
        self._woken.set()

    def end(self) -> None:
        """Let every watcher go: they will ask another process."""
        self._ended = True
        self._tell_watchers()

    async def run(self) -> None:
        """Look at the tables while anybody watches, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll(), name="console feed poll")
            group.create_task(self._look_when_woken(), name="console feed")

    async def snapshot(self) -> AsyncGenerator[Portion, None]:
        """All that is live. Changes that are committed meanwhile may be in it, or not."""
        # The revision is read first: what comes later is told again as a change.
        async with self._read() as store:
            through = await store.revision()
        key = ""
        while portion := await self._live_after(key):
            yield Portion(portion)
            key = portion[-1].key
        yield Portion([], through)

    async def watch(self) -> AsyncGenerator[Portion, None]:
        """The same, then every change, and a sign of life where there is none.

        Raises HiveError `unavailable` where the tables cannot be read.
        """
        with self._watching():
            through = 0
            async for portion in self.snapshot():
                yield portion
                through = portion.through or 0
            said = self._clock.monotonic()
            while await self._next_look():
                reached, now = self._revision, self._clock.monotonic()
                if reached > through:
                    async for portion in self._since(through):
                        yield portion
                    through = reached
                elif now - said < SIGN_OF_LIFE_SECONDS:
                    continue
                said = now
                yield Portion([], through)

    async def _since(self, revision: int) -> AsyncIterator[Portion]:
        revision, key = revision + 1, ""
        while portion := await self._told_since(revision, key):
            yield Portion(portion)
            revision, key = portion[-1].revision, portion[-1].key

    async def _live_after(self, key: str) -> Sequence[Told]:
        async with self._read() as store:
            return await store.told_live(key, PORTION)

    async def _told_since(self, revision: int, key: str) -> Sequence[Told]:
        async with self._read() as store:
            return await store.told_since(revision, key, PORTION)

    async def _next_look(self) -> bool:
        """Wait until somebody looked; false where there is nothing to wait for any more."""
        if not self._ended:
            await self._looked.wait()
        if self._failure is not None:
            raise HiveError(Kind.UNAVAILABLE, "The state cannot be read now. Try again.") from self._failure
        return not self._ended

    @contextmanager
    def _watching(self) -> Iterator[None]:
        self._watchers += 1
        self._watched.set()
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._watched.clear()

    async def _poll(self) -> None:
        while True:
            await self._watched.wait()
            self._woken.set()
            await self._clock.sleep(POLL_SECONDS)

    async def _look_when_woken(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            if self._watchers:
                await self._look()

    async def _look(self) -> None:
        try:
            async with self._read() as store:
                self._revision = await store.revision()
            self._failure = None
        except Exception as error:
            if self._failure is None:
                log.warning("the control state cannot be read", error=repr(error))
            self._failure = error
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        self._looked.set()
        self._looked = asyncio.Event()
