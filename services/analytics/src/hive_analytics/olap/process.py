"""The store in a process of its own: started at the first call, and again, after a pause, where it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from hive_analytics.olap.frames import (
    Answer,
    Failed,
    FromWorker,
    Inbox,
    Insert,
    Inserted,
    Leave,
    Opening,
    Ready,
    Refresh,
    Refreshed,
    Select,
    Selected,
    Work,
    pack,
)
from hive_analytics.olap.port import Arrived
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks

log = structlog.get_logger(__name__)

START_SECONDS = 120.0
"""How long opening may last without a sign of life; while it rolls up hours, it gives one after the other."""
WRITE_SECONDS = 120.0
MARGIN_SECONDS = 10.0
"""How much longer than the store itself its caller waits before the process counts as hung."""
STOP_SECONDS = 10.0
LONGEST_PAUSE = 30.0
_READ_BYTES = 256 * 1024


class _Running:
    """One process that is open, and who waits for its answers."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.waiting: dict[int, asyncio.Future[Answer]] = {}


class ProcessOlap:
    """Calls may come side by side. One that lasts too long costs the process, and all its calls with it."""

    def __init__(self, folder: Path, memory_mb: int, threads: int, clock: Clock, tasks: Tasks) -> None:
        self._folder = folder.absolute()
        self._command = [sys.executable, "-P", "-m", f"{__package__}.worker", str(self._folder)]
        self._command += map(str, (memory_mb, threads, os.getpid()))
        self._clock = clock
        self._tasks = tasks
        self._running: _Running | None = None
        self._starting = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._last_call = 0
        self._ends = 0  # in a row, without an answer in between
        self._not_before = 0.0
        self._failure: str | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._running.process.pid if self._running else None

    @property
    def opened(self) -> bool:
        return self._running is not None

    @property
    def failure(self) -> str | None:
        return self._failure

    async def insert(self, family: str, rows: Sequence[bytes]) -> Arrived:
        answer = await self._call(lambda call: Insert(call, family, [*rows]), WRITE_SECONDS)
        assert isinstance(answer, Inserted)
        return Arrived(answer.sequences)

    async def refresh(self, hours: int) -> int:
        answer = await self._call(lambda call: Refresh(call, hours), WRITE_SECONDS)
        assert isinstance(answer, Refreshed)
        return answer.left

    async def select(
        self, sql: str, parameters: Mapping[str, Any], seconds: float, *, alone: bool = False
    ) -> list[list[Any]]:
        patience = seconds + (WRITE_SECONDS if alone else MARGIN_SECONDS)
        answer = await self._call(
            lambda call: Select(call, sql, dict(parameters), seconds, alone), patience, Kind.TIMEOUT
        )
        assert isinstance(answer, Selected)
        return answer.rows

    async def close(self) -> None:
        self._closed = True
        async with self._starting:
            running = self._running
        if running is None:
            return
        with contextlib.suppress(OSError, TimeoutError):
            await self._send(running.process, pack(Leave()))
            await asyncio.wait_for(running.process.wait(), STOP_SECONDS)
        await _kill(running.process)

    async def _call(
        self, make: Callable[[int], Work], seconds: float, late: Kind = Kind.UNAVAILABLE
    ) -> Answer:
        running = await self._started()
        self._last_call = call = self._last_call + 1
        try:
            frame = pack(make(call))
        except ValueError as error:
            raise HiveError(Kind.TOO_LARGE, f"too much for one call: {error}") from None
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        running.waiting[call] = answered
        try:
            async with asyncio.timeout(seconds):
                with contextlib.suppress(OSError):  # then the listener sees the end, and says so to all
                    await self._send(running.process, frame)
                answer = await answered
        except TimeoutError:
            log.error("the analytical store hangs: it is replaced", seconds=seconds)
            await self._drop(running, f"no answer within {seconds:g} s")
            raise HiveError(late, f"the analytical store did not answer within {seconds:g} s") from None
        finally:
            running.waiting.pop(call, None)
        if isinstance(answer, Failed):
            raise HiveError(Kind.of_label(answer.kind), answer.message)
        return answer

    async def _send(self, process: Process, frame: bytes) -> None:
        assert process.stdin is not None
        async with self._sending:
            process.stdin.write(frame)
            await process.stdin.drain()

    async def _started(self) -> _Running:
        async with self._starting:
            if self._closed:
                raise HiveError(Kind.UNAVAILABLE, "the analytical store is shutting down")
            if self._running is None:
                wait = self._not_before - self._clock.monotonic()
                if wait > 0:
                    await self._clock.sleep(wait)
                self._running = await self._spawned()
            return self._running

    async def _spawned(self) -> _Running:
        """A process whose store is open. Raises HiveError `unavailable`."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A session of its own: Ctrl-C is for the gateway, which then closes its workers in order. In its own
            # folder: the engine keeps the schemas of what it reads where its process happens to be.
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, cwd=self._folder, start_new_session=True
            )
        except OSError as error:
            raise self._ended(f"its process cannot start: {error.strerror}") from error
        inbox = Inbox()
        try:
            first = await _opened(process, inbox)
        except TimeoutError:
            first = Failed(0, "", f"nothing came of it within {START_SECONDS:g} s")
        except BaseException:
            await _kill(process)
            raise
        if not isinstance(first, Ready):
            await _kill(process)
            raise self._ended(first.message if isinstance(first, Failed) else _cause(process))
        running = _Running(process)
        self._tasks.spawn(self._listen(running, inbox), "analytical store")
        return running

    async def _listen(self, running: _Running, inbox: Inbox) -> None:
        """Hand answers to those who wait for them, until the process ends."""
        try:
            while (frame := await _next(running.process, inbox)) is not None:
                self._ends, self._failure = 0, None
                if isinstance(frame, Opening | Ready):
                    continue
                waiting = running.waiting.get(frame.call)
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame)
        finally:
            await self._drop(running, None)

    async def _drop(self, running: _Running, why: str | None) -> None:
        """Done with this process: the next call starts another. why: None where it ended by itself."""
        mine = self._running is running
        if mine:
            self._running = None
        await _kill(running.process)
        if mine:
            error = self._ended(why or _cause(running.process))
            for future in running.waiting.values():
                if not future.done():
                    future.set_exception(error)

    def _ended(self, why: str) -> HiveError:
        """Puts the next start off, the longer the more often it ended."""
        if self._closed:
            return HiveError(Kind.UNAVAILABLE, "the analytical store is shutting down")
        pause = min(0.1 * 2.0 ** min(self._ends, 30), LONGEST_PAUSE)
        self._ends += 1
        self._not_before = self._clock.monotonic() + pause
        self._failure = why
        log.error("the analytical store ended", why=why, again_in_seconds=pause)
        return HiveError(Kind.UNAVAILABLE, f"the analytical store ended: {why}", retry_after=pause)


async def _opened(process: Process, inbox: Inbox) -> FromWorker | None:
    """How opening ended; None where the process did. Raises TimeoutError where it hangs."""
    while True:
        async with asyncio.timeout(START_SECONDS):
            frame = await _next(process, inbox)
        if not isinstance(frame, Opening):
            return frame
        log.info("rollups are made before the analytical store opens", hours_left=frame.left)


async def _next(process: Process, inbox: Inbox) -> FromWorker | None:
    """The next frame; None where the process closed its output."""
    assert process.stdout is not None
    while (frame := inbox.take()) is None:
        data = await process.stdout.read(_READ_BYTES)
        if not data:
            # Signals to a process that is about to be reaped would make its exit status unknown.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 1.0)
            return None
        inbox.feed(data)
    return frame


def _cause(process: Process) -> str:
    code = process.returncode or 0
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


async def _kill(process: Process) -> None:
    """Returns when the process is gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()
