"""Tells all who must know what a journal has closed, until each of them says that it keeps it.

Three loops. What was written is made durable in groups. What is durable is published on the bus, in order; while
the bus is away, billing gets it by a call, and the bus again once it is back. And those who keep usage are asked
how far they are: what all of them keep is deleted here, what one of them seems to have missed is told again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from hive_bus import Bus
from hive_routing.journal import Journal
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError
from modelhive.billing.v1.leases_pb2 import ReturnResponse, SettleRequest, SettleResponse
from modelhive.events.v1.receipts_pb2 import KeptRequest, KeptResponse
from modelhive.events.v1.usage_pb2 import UsageRecorded

log = structlog.get_logger(__name__)

_CALL_SECONDS = 10.0
_TOGETHER = 64
"""So many events are published at a time; then others get a turn."""


class Receipts(Protocol):
    """As far as it is used here, the stub of `modelhive.events.v1.Receipts`."""

    @property
    def Kept(self) -> Callable[..., Awaitable[KeptResponse]]: ...


class Leases(Protocol):
    """As far as it is used here, the stub of `modelhive.billing.v1.Leases`."""

    @property
    def Settle(self) -> Callable[..., Awaitable[SettleResponse]]: ...

    @property
    def Return(self) -> Callable[..., Awaitable[ReturnResponse]]: ...


Event = tuple[int, UsageRecorded]
"""An event and its sequence."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds and bounds.

    sync: what power loss may take; ask: between two questions for receipts; patience: before what was told is told
    again, doubled each time up to `longest_patience`; first_pause, longest_pause: between tries while the bus is
    away. waiting: events in memory, the newer ones are read from the journal again; chunk: events at a time.
    made: of those in memory, so many are kept as they were made, for all who take them in this process; of the others
    the bytes are kept, a tenth of the size.
    """

    sync: float = 0.05
    ask: float = 2.0
    patience: float = 30.0
    longest_patience: float = 600.0
    first_pause: float = 0.25
    longest_pause: float = 5.0
    waiting: int = 20_000
    made: int = 1_000
    chunk: int = 500


@dataclass(slots=True)
class _Receiver:
    """through: every event up to it is kept; None: not heard yet. since: when it last came forward (monotonic)."""

    receipts: Receipts
    patience: float
    through: int | None = None
    since: float = 0.0


class Teller:
    """Tells one journal's events. told: the last one that was published; kept: the last one that all keep."""

    def __init__(
        self,
        journal: Journal,
        bus: Bus,
        receipts: Mapping[str, Receipts],
        leases: Leases,
        clock: Clock,
        pace: Pace = Pace(),
    ) -> None:
        self.told = 0
        self._journal = journal
        self._bus = bus
        self._leases = leases
        self._clock = clock
        self._pace = pace
        self._receivers = {name: _Receiver(stub, pace.patience) for name, stub in receipts.items()}
        self._waiting: dict[int, UsageRecorded | bytes] = {}
        self._settled = 0
        self._away = False
        self._freed: deque[Path] = deque()
        self._written = asyncio.Event()
        self._tellable = asyncio.Event()
        self._advanced = asyncio.Event()
        journal.wake = self._written.set

    @property
    def kept(self) -> int:
        return min((receiver.through or 0 for receiver in self._receivers.values()), default=self.told)

    @property
    def waiting(self) -> int:
        """Events in memory."""
        return len(self._waiting)

    @property
    def trouble(self) -> str:
        """Why events do not get to where they should for now; empty while they do."""
        return "the bus is away: usage is kept in the journal" if self._away else ""

    def offer(self, sequence: int, event: UsageRecorded, written: bytes) -> None:
        """An event was closed: it is told from memory where there is room, else from the journal.

        written: the same, serialized.
        """
        waiting, pace = self._waiting, self._pace
        count = len(waiting)
        if count < pace.made:
            waiting[sequence] = event
        elif count < pace.waiting:
            waiting[sequence] = written

    async def run(self) -> None:
        """Works until it is cancelled."""
        self._written.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_durable(), name="journal: sync")
            group.create_task(self._tell(), name="journal: tell")
            group.create_task(self._watch(), name="journal: receipts")

    def has_all(self, name: str) -> bool:
        """Whether all was told and a receiver keeps it, or what of it there still is: the journal may be damaged."""
        through = self._receivers[name].through
        if through is None:
            return False
        every = self._journal.sequence
        if through >= every:
            return max(self.told, self._settled) >= every
        return self.told >= every and through + 1 not in self._journal

    async def until_kept(self) -> None:
        """Returns once `has_all` is true of all receivers; while `run` runs."""
        while not all(map(self.has_all, self._receivers)):
            self._advanced.clear()
            await self._advanced.wait()

    async def drain(self, seconds: float) -> bool:
        """Tell what waits and hear that it is kept, at most so long; true where nothing is left. While `run` runs."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.make_durable()
                while self.kept < self._journal.sequence:
                    await self._clock.sleep(min(0.05, self._pace.ask))
                    await self.ask()
        return self.kept >= self._journal.sequence

    async def make_durable(self) -> None:
        """Sync once; what is durable then is told."""
        journal = self._journal
        journal.retry()
        if (sync := journal.begin_sync()) is not None:
            await asyncio.to_thread(sync.run)
            journal.end_sync(sync)
        if self.told < journal.tellable:
            self._tellable.set()

    async def ask(self) -> None:
        """Hear once how far every receiver is, and delete what all keep. One that cannot be reached is passed over."""
        for name, receiver in self._receivers.items():
            request = KeptRequest(holder=self._journal.holder)
            try:
                answer = await receiver.receipts.Kept(request, timeout=_CALL_SECONDS)
            except HiveError as error:
                log.debug("a receiver of usage cannot be asked", receiver=name, error=str(error))
                receiver.since = self._clock.monotonic()  # it is away: nothing speaks for a loss
                continue
            self._heard(receiver, min(answer.through_sequence, self._journal.sequence))
        self._freed += self._journal.release(self.kept)
        if self._freed:
            await asyncio.to_thread(_unlink, self._freed)
        self._advanced.set()

    def start_at(self, sequence: int) -> None:
        """Everything up to this event has been told before."""
        self.told = self._settled = sequence

    def _heard(self, receiver: _Receiver, through: int) -> None:
        if receiver.through is None or through > receiver.through or through >= self.told:
            receiver.since = self._clock.monotonic()
            receiver.patience = self._pace.patience
        # Less than before: it has lost something, and what is still here is told to it again.
        receiver.through = through

    async def _keep_durable(self) -> None:
        while True:
            await self._written.wait()
            await self._clock.sleep(self._pace.sync)
            self._written.clear()
            await self.make_durable()
            if self._journal.dirty:
                self._written.set()
            if self._journal.failure:
                self._written.set()
                await self._clock.sleep(self._pace.first_pause)

    async def _tell(self) -> None:
        while True:
            while self.told >= self._journal.tellable:
                self._tellable.clear()
                await self._tellable.wait()
            events = await self._events(self.told)
            while events:
                del events[: await self._publish(events[:_TOGETHER])]
                await asyncio.sleep(0)
            self._advanced.set()

    async def _events(self, after: int) -> list[Event]:
        """Some events behind a sequence that may be told, in order; at least one where there is one."""
        through = self._journal.tellable
        found: list[Event] = []
        for sequence in range(after + 1, min(through, after + self._pace.chunk) + 1):
            event = self._waiting.get(sequence)
            if event is None:
                break
            found.append((sequence, _read(event) if isinstance(event, bytes) else event))
        if found or after >= through:
            return found
        try:
            read = await asyncio.to_thread(self._journal.reading(after, self._pace.chunk).events)
        except OSError as error:
            log.error("the journal cannot be read", holder=self._journal.holder, error=str(error))
            await self._clock.sleep(self._pace.longest_pause)
            return []
        found = [(sequence, _read(event)) for sequence, event in read if sequence <= through]
        if not found:
            log.error(
                "the journal has lost events", holder=self._journal.holder, after=after, through=through
            )
            self.told = max(self.told, through)
        return found

    async def _publish(self, events: Sequence[Event]) -> int:
        """Returns once the bus has the first of them, how many it has."""
        failures = 0
        messages = [event for _, event in events]
        while True:
            try:
                taken = await self._bus.publish_all(messages)
            except HiveError as error:
                pause = error.retry_after
                if pause is None:
                    if not self._away:
                        log.warning("the bus is away: usage goes to billing directly", error=str(error))
                    self._away = True
                    await self._settle()
                    pause = min(self._pace.first_pause * 2.0 ** min(failures, 30), self._pace.longest_pause)
                failures += 1
                await self._clock.sleep(min(pause, self._pace.longest_pause))
            except RuntimeError as error:
                log.info("the bus is closed: usage stays in the journal", error=str(error))
                await asyncio.Event().wait()
            else:
                self._away = False
                for sequence, _ in events[:taken]:
                    self._waiting.pop(sequence, None)
                if taken:
                    self.told = events[taken - 1][0]
                return taken

    async def _settle(self) -> None:
        """Hand to billing what has not been told, as far as it was not handed over before."""
        self._settled = max(self._settled, self.told)
        while self._settled < self._journal.tellable:
            events = await self._events(self._settled)
            if not events:
                return
            request = SettleRequest(events=[event for _, event in events])
            try:
                await self._leases.Settle(request, timeout=_CALL_SECONDS)
            except HiveError as error:
                log.warning("billing is away too: usage waits in the journal", error=str(error))
                return
            self._settled = events[-1][0]
            self._advanced.set()

    async def _watch(self) -> None:
        """Ask while something was handed over and is not kept by all."""
        while True:
            while self._heard_all and self.kept >= max(self.told, self._settled):
                self._advanced.clear()
                await self._advanced.wait()
                for receiver in self._receivers.values():
                    receiver.since = self._clock.monotonic()
            await self._clock.sleep(self._pace.ask)
            await self.ask()
            await self._repeat()

    @property
    def _heard_all(self) -> bool:
        return all(receiver.through is not None for receiver in self._receivers.values())

    async def _repeat(self) -> None:
        """Tell again what a receiver that answers has not come to keep for so long that it must have missed it."""
        now = self._clock.monotonic()
        for name, receiver in self._receivers.items():
            through, told = receiver.through, self.told
            if through is None or through >= told or now - receiver.since < receiver.patience:
                continue
            log.warning(
                "usage that was told is not kept: telling it again",
                receiver=name,
                after=through,
                through=told,
            )
            receiver.since = now
            receiver.patience = min(receiver.patience * 2, self._pace.longest_patience)
            await self._tell_again(through, told)
            return  # all receivers have heard it

    async def _tell_again(self, after: int, through: int) -> None:
        while after < through:
            reading = self._journal.reading(after, self._pace.chunk)
            try:
                events = await asyncio.to_thread(reading.events)
                messages = [_read(event) for sequence, event in events if sequence <= through]
                while messages:
                    del messages[: await self._bus.publish_all(messages[:_TOGETHER])]
                    await asyncio.sleep(0)
            except (HiveError, OSError, RuntimeError) as error:
                log.warning("usage could not be told again", error=str(error))
                return
            after = events[-1][0] if events else through


_read = UsageRecorded.FromString


def _unlink(paths: deque[Path]) -> None:
    """In order, or not at all: what was opened in a file may have its end in a later one."""
    while paths:
        try:
            paths[0].unlink(missing_ok=True)
        except OSError as error:
            log.error("a segment of the journal cannot be deleted", path=str(paths[0]), error=str(error))
            return
        paths.popleft()
