"""Plays one answer on a connection: writes each step when it is due and the socket has room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hive_testing.simulator.answer import Answer, Ending, Step
from hive_testing.simulator.calls import Call

WRITE_AT_ONCE = 65536  # bytes joined into one write
LAST_CHUNK = b"0\r\n\r\n"


class Player:
    """Lives from the end of a request until its answer ends or the connection is lost."""

    __slots__ = ("_answer", "_call", "_held", "_loop", "_on_end", "_paused", "_steps", "_timer", "_transport")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        call: Call,
        answer: Answer,
        on_end: Callable[[Ending], None],
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._call = call
        self._answer = answer
        self._on_end = on_end
        self._steps = iter(answer.steps)
        self._held: Step | None = None
        self._timer: asyncio.Handle | None = None
        self._paused = False

    def start(self) -> None:
        """Send the head, after its latency, and what may travel with it."""
        if self._answer.latency > 0:
            self._timer = self._loop.call_later(self._answer.latency, self._begin)
        else:
            self._begin()

    def pause(self) -> None:
        """The socket is full: nothing is generated until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """The socket has room again."""
        self._paused = False
        if self._timer is None and self._call.started:
            self._advance([])

    def stop(self) -> None:
        """The connection is lost: nothing more is generated."""
        if self._timer:
            self._timer.cancel()
        self._call.close(disconnected=True)

    def _begin(self) -> None:
        self._timer = None
        self._call.started = bool(self._answer.head)
        self._advance([self._answer.head])

    def _due(self) -> None:
        self._timer = None
        if not self._paused:
            self._advance([])

    def _advance(self, batch: list[bytes]) -> None:
        """Write until a step has to wait, the socket is full or no step is left; `batch` goes first."""
        size = 0
        if self._held:
            size = self._take(self._held, batch)
            self._held = None
        for step in self._steps:
            if step.wait is not None:
                self._hold(step, batch)
                return
            size += self._take(step, batch)
            if size >= WRITE_AT_ONCE:
                self._transport.write(b"".join(batch))
                if self._paused:
                    return
                batch, size = [], 0
        self._end(batch)

    def _take(self, step: Step, batch: list[bytes]) -> int:
        if self._answer.meter and step.tokens is not None:
            self._answer.meter.generated(step.tokens)
        self._call.delivered += len(step.data)
        if self._answer.chunked:
            batch += (b"%x\r\n" % len(step.data), step.data, b"\r\n")
        else:
            batch.append(step.data)
        return len(step.data)

    def _hold(self, step: Step, batch: list[bytes]) -> None:
        self._held = step
        self._timer = self._loop.call_later(step.wait or 0.0, self._due)
        self._transport.write(b"".join(batch))

    def _end(self, batch: list[bytes]) -> None:
        ending = self._answer.ending
        if self._answer.chunked and ending is Ending.COMPLETE:
            batch.append(LAST_CHUNK)
        self._transport.write(b"".join(batch))
        if ending is not Ending.STALL:
            self._call.close()
            self._on_end(ending)
