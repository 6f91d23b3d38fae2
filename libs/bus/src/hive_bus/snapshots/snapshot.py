"""One topic as this process follows it: over the bus, from its owner, and on disk for its next life."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Generic

from hive_bus.memory.state import StateTopic
from hive_bus.port import Bus, M, Options, Retry, StateChange, Subscription
from hive_bus.snapshots import file
from hive_bus.snapshots.merge import Merge
from hive_bus.snapshots.source import Portion, Record, Source
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import OnFailure, Tasks

# Between two writings of the file; it takes at most a tenth of the time.
SAVE_SECONDS = 1.0
# A file that says what is still the newest state says so again after this time.
RENEW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Patience:
    """start: seconds for bus and owner, before what the disk holds has to do. silence: of an owner that is followed.

    bus, owner: the pauses between the attempts to reach them.
    """

    start: float = 3.0
    silence: float = 3.0
    bus: Retry = Retry(first_pause=0.1, longest_pause=5.0)
    owner: Retry = Retry(first_pause=0.05, longest_pause=1.0)


class Snapshot(Generic[M]):
    """`settled` is set once subscribers can be told a state: `topic` has it.

    `stale_since` is the age, in Unix seconds, of what came from the disk alone; None once bus or owner told all.
    """

    def __init__(
        self,
        topic: StateTopic,
        kind: type[M],
        options: Options,
        inner: Bus,
        source: Source[M] | None,
        path: Path,
        clock: Clock,
        on_failure: OnFailure,
        patience: Patience,
    ) -> None:
        self.topic = topic
        self.settled = asyncio.Event()
        self.tasks = Tasks(on_failure)
        self._kind = kind
        self._options = options
        self._inner = inner
        self._watch = None if source is None else source.watch
        self._path = path
        self._clock = clock
        self._on_failure = on_failure
        self._patience = patience
        revision, reused = (None, False) if source is None else (source.revision, source.reused)
        self._merge = Merge(self._tell, clock.monotonic, revision, reused=reused)
        self._over_bus: Subscription | None = None
        self._loaded: float | None = None
        self._bus_told = self._owner_told = False
        self._owner_tried = self._watch is None
        self._impatient = False
        self._changed = asyncio.Event()
        self._write_alone = Lock()

    @property
    def failure(self) -> Exception | None:
        """Why the bus's subscription stopped by itself."""
        return None if self._over_bus is None else self._over_bus.failure

    @property
    def stale_since(self) -> float | None:
        return None if self._is_told else self._loaded

    async def start(self) -> None:
        """Read the file, then follow; returns at once."""
        await self._load()
        self.tasks.spawn(self._follow_bus(), f"{self.topic.name} over the bus")
        if self._watch is not None:
            self.tasks.spawn(self._follow_owner(), f"{self.topic.name} from its owner")
        self.tasks.spawn(self._lose_patience(), f"{self.topic.name} from disk")
        self.tasks.spawn(self._keep(), f"{self.topic.name} to disk")

    async def close(self) -> None:
        """Follow no more, and leave the file as new as it can be."""
        await self.tasks.close()
        if self._over_bus is not None:
            await self._over_bus.close()
        if self.settled.is_set() and (self._is_told or self._changed.is_set()):
            await self._save()

    @property
    def _is_told(self) -> bool:
        return self._bus_told or self._owner_told

    def _tell(self, key: str, message: M | None) -> None:
        self.topic.change(key, message)
        self._changed.set()

    def _consider(self) -> None:
        """The owner's word is enough. The bus's may be older, so the owner is given a moment."""
        bus_is_enough = self._bus_told and (self._owner_tried or self._impatient)
        if self._owner_told or bus_is_enough or (self._impatient and self._loaded is not None):
            self.settled.set()

    async def _lose_patience(self) -> None:
        await self._clock.sleep(self._patience.start)
        self._impatient = True
        self._consider()

    # The bus

    async def _follow_bus(self) -> None:
        failures = 0
        while not await self._hears_all_of_bus():
            await self._clock.sleep(self._patience.bus.pause_after(failures))
            failures += 1

    async def _hears_all_of_bus(self) -> bool:
        self._merge.bus_begins()
        try:
            self._over_bus = await self._inner.subscribe_state(self._kind, self._hear, self._options)
            await self._over_bus.caught_up()
        except Exception as error:
            if not (isinstance(error, HiveError) and error.kind is Kind.UNAVAILABLE):
                self._on_failure(f"{self.topic.name} over the bus", error)
            if self._over_bus is not None:
                await self._over_bus.close()
                self._over_bus = None
            return False
        self._merge.bus_told_all()
        self._bus_told = True
        self._consider()
        return True

    async def _hear(self, change: StateChange[M]) -> None:
        self._merge.bus_tells(change.key, change.message)

    # The owner

    async def _follow_owner(self) -> None:
        failures, said = 0, ""
        while True:
            self._merge.owner_begins()
            try:
                await self._listen()
                error: Exception = HiveError(Kind.UNAVAILABLE, "The owner ended the stream.")
            except Exception as raised:
                error = raised
            was_heard = self._merge.following
            self._merge.owner_leaves()
            self._owner_tried = True
            self._consider()
            if was_heard or repr(error) != said:
                self._on_failure(f"{self.topic.name} from its owner", error)
            said, failures = repr(error), 0 if was_heard else failures
            await self._clock.sleep(self._patience.owner.pause_after(failures))
            failures += 1

    async def _listen(self) -> None:
        """Take in what the owner tells, until it ends. HiveError `unavailable` where it is silent."""
        assert self._watch is not None
        whole, held = True, list[Record[M]]()
        async with aclosing(self._watch()) as portions:
            while (portion := await self._next(portions)) is not None:
                held.extend(portion.records)
                if portion.through is None:
                    continue
                self._merge.owner_tells(held, portion.through, whole=whole)
                whole, held = False, []
                self._owner_told = True
                self._consider()

    async def _next(self, portions: Any) -> Portion[M] | None:
        seconds = self._patience.silence
        try:
            async with asyncio.timeout(seconds):
                portion: Portion[M] | None = await anext(portions, None)
        except TimeoutError:
            raise HiveError(Kind.UNAVAILABLE, f"The owner said nothing for {seconds:g} s.") from None
        return portion

    # The disk

    async def _load(self) -> None:
        try:
            saved = await asyncio.to_thread(file.read, self._path, self.topic.name, self._kind)
        except (file.CannotRead, OSError) as error:
            self._on_failure(f"{self.topic.name} from disk", error)
            return
        if saved is not None:
            self._loaded = saved.saved
            self._merge.load(saved.belief)
            self._changed.clear()

    async def _keep(self) -> None:
        await self.settled.wait()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._changed.wait()
            if not self._is_told and not self._changed.is_set():
                continue
            began = self._clock.monotonic()
            await self._save()
            took = self._clock.monotonic() - began
            await self._clock.sleep(max(SAVE_SECONDS, 9 * took))

    async def _save(self) -> None:
        self._changed.clear()
        newest = self._clock.now() if self._is_told else self._loaded
        saved = file.Saved(self._merge.copy(), newest or 0.0)
        try:
            await asyncio.to_thread(self._write, saved)
        except OSError as error:
            self._on_failure(f"{self.topic.name} to disk", error)

    def _write(self, saved: file.Saved[M]) -> None:
        with self._write_alone:  # one whose waiting was cancelled is still at it
            file.write(self._path, self.topic.name, self._kind, saved)
