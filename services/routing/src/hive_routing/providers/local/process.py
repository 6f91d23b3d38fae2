"""The gateway's end of a worker process: starts it at the first call, and again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator

from hive_routing.providers.local.frames import Cancel, Failed, Finished, FromWorker, Inbox, Work, pack
from hive_runtime.errors import HiveError, Kind

_READ_BYTES = 256 * 1024
_SETTLE_SECONDS = 5.0
_STOP_SECONDS = 2.0


class _Gone(Exception):
    """The process closed its output."""


class ModelProcess:
    """One worker process. Its caller sees to it that calls come one at a time."""

    def __init__(self, role: str, threads: int) -> None:
        self._command = [sys.executable, "-P", "-m", f"{__package__}.worker", role, str(threads)]
        self._role = role
        self._process: Process | None = None
        self._inbox = Inbox()
        self._last_call = 0
        self._unsettled = False  # the worker has not yet told the end of `_last_call`
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the running worker; None before the first call and after an end that was noticed."""
        return self._process.pid if self._process else None

    async def run(self, work: Work) -> AsyncGenerator[FromWorker, None]:
        """The worker's answer, `Finished` last. Closing the generator ends the native work.

        Raises HiveError: what the worker says, or `upstream_failed` where it dies.
        """
        await self._settle()
        process = await self._started()
        self._last_call = work.call = self._last_call + 1
        try:
            await self._send(process, work)
            while True:
                event = await self._next(process)
                if isinstance(event, Failed):
                    kind = Kind.of_label(event.kind)
                    raise HiveError(kind, event.message, event.param, reason=event.reason)
                yield event
                if isinstance(event, Finished):
                    return
        except (_Gone, ConnectionError):
            raise await self._buried(process) from None
        finally:
            self._cancel(process)

    async def close(self) -> None:
        """Ends the process: politely, then with force. A call in flight fails."""
        self._closed = True
        if (process := self._process) is not None:
            self._process = None
            await _stop(process)

    async def _started(self) -> Process:
        if self._closed:
            raise HiveError(Kind.UNAVAILABLE, "the local models are shutting down")
        if self._process is None or self._process.returncode is not None:
            self._process = await self._spawned()
            self._inbox = Inbox()
        return self._process

    async def _spawned(self) -> Process:
        try:
            # A session of its own: Ctrl-C is for the gateway, which then closes its workers in order.
            return await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, start_new_session=True
            )
        except OSError as error:
            message = f"the process of the local {self._role} model cannot start: {error.strerror}"
            raise HiveError(Kind.UNAVAILABLE, message) from error

    async def _send(self, process: Process, work: Work) -> None:
        try:
            frame = pack(work)
        except ValueError as error:
            raise HiveError(Kind.TOO_LARGE, f"too much text for one call: {error}") from None
        assert process.stdin is not None
        self._unsettled = True
        process.stdin.write(frame)
        await process.stdin.drain()

    async def _next(self, process: Process) -> FromWorker:
        """The next frame of the call that runs; those of a cancelled one before it are dropped."""
        assert process.stdout is not None
        while True:
            while (frame := self._inbox.take()) is not None:
                if frame.call == self._last_call:
                    self._unsettled = not isinstance(frame, Finished | Failed)
                    return frame
            data = await process.stdout.read(_READ_BYTES)
            if not data:
                raise _Gone
            self._inbox.feed(data)

    def _cancel(self, process: Process) -> None:
        if self._unsettled and process is self._process and process.stdin is not None:
            process.stdin.write(pack(Cancel(self._last_call)))

    async def _settle(self) -> None:
        """Wait until the worker has let go of a cancelled call; one that does not is replaced."""
        if not self._unsettled or (process := self._process) is None:
            return
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                while self._unsettled:
                    await self._next(process)
        except (TimeoutError, _Gone, ConnectionError):
            await self._forget(process)

    async def _buried(self, process: Process) -> HiveError:
        # Signals to a process that is about to be reaped would make its exit status unknown.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        await self._forget(process)
        if self._closed:
            return HiveError(Kind.UNAVAILABLE, "the local models are shutting down")
        return HiveError(
            Kind.UPSTREAM_FAILED,
            f"the process of the local {self._role} model ended during this call ({_cause(process)}); "
            "the next call starts a new one",
        )

    async def _forget(self, process: Process) -> None:
        if self._process is process:
            self._process = None
            self._unsettled = False
        await _stop(process)


def _cause(process: Process) -> str:
    code = process.returncode or 0
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


async def _stop(process: Process) -> None:
    """SIGTERM, then SIGKILL; returns when the process is gone."""
    for end in (process.terminate, process.kill):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            end()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
