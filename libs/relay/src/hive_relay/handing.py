"""Requests that are handed to a process by its stream while few come, beside the queue (ADR 35)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from hive_bus import Bus
from hive_relay.call import Call
from hive_relay.frames import HANDED_BODY_BYTES
from hive_relay.link import Link, StreamLink
from hive_relay.request import Request, fill
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from hive_runtime.tasks import Tasks
from modelhive.relay.v1.relay_pb2 import BlobReference, CallerFrame, RequestEnvelope

LATEST = 16
"""Over so many calls it is told whether few come."""
QUEUED_AFTER = 0.01
"""Seconds until a request that was handed over is queued as well: the processors are its own until then."""


class Handing:
    """few: calls per second; while there are no more, each is handed over.

    is_refused: the queue did not take the last one; nothing is handed over until it takes something again. otherwise:
    what is done with a call that nobody has accepted, and the queue does not take.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        tasks: Tasks,
        few: float,
        otherwise: Callable[[Call, Request], None],
    ) -> None:
        self.is_refused = False
        self._bus = bus
        self._clock = clock
        self._tasks = tasks
        self._otherwise = otherwise
        self._seconds = LATEST / few if few else float("inf")
        self._latest = deque([float("-inf") if few else float("inf")] * LATEST, LATEST)
        self._turn = 0

    def whom(self, request: Request, links: Iterable[Link], now: float) -> StreamLink | None:
        """Who of them gets it; None where it is only to be queued. now: in the event loop's time."""
        body, latest = request.body, self._latest
        if isinstance(body, BlobReference) or len(body) > HANDED_BODY_BYTES:
            return None
        since = latest[0]
        latest.append(now)
        if now - since < self._seconds or self.is_refused:
            return None
        streams = [link for link in links if isinstance(link, StreamLink) and link.takes_more]
        if not streams:
            return None
        # Of those with as little to do each in turn: all that have nothing to do look alike.
        turn = self._turn = (self._turn + 1) % len(streams)
        return min(streams[turn:] + streams[:turn], key=lambda link: len(link.calls) + len(link.handed))

    def hand(self, call: Call, request: Request, link: StreamLink) -> None:
        """Queue it too, a little later: where this process hangs, another one takes it from there."""
        request.handed = True
        frame = CallerFrame()
        fill(frame.envelope, request, self._clock)
        link.hand(call, frame, frame.ByteSize())
        self._tasks.spawn(self._queue(call, request, frame.envelope), "relay queue")

    async def _queue(self, call: Call, request: Request, envelope: RequestEnvelope) -> None:
        await self._clock.sleep(QUEUED_AFTER)
        try:
            await self._bus.publish(envelope)
        except HiveError:
            self.is_refused = True
            if call.handed is not None and call.attempt == request.attempt:
                self._otherwise(call, request)
        except RuntimeError:
            pass  # the bus is closed: this process is going down
