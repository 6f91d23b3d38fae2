"""Makes the answers that nobody waits for: takes them from the queue, and looks that each of them ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hive_routing.pipeline import Pipeline
from hive_routing.stored.kept import Run
from hive_routing.stored.log import Bells, EventLog
from hive_routing.stored.making import Making, failed
from hive_routing.stored.port import Wire
from hive_routing.stored.queue import End, Queue
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from hive_sql import is_of_data

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""How often it is looked for what other processes have queued, cancelled or left behind."""
REST_SECONDS = 5.0
"""The same while nothing is made, by no process: what is queued then, is queued by one that makes it itself."""
MOST_TRIES = 5
"""Processes that may begin to make an answer, one after another."""

_DIED = (
    "The process that made the answer died while a model was asked. It is not asked again by itself, for it may have "
    "answered: ask once more."
)
_LOST = "The answer was made, but it could not be kept."
_NEVER = "Every process that began to make the answer died before it asked a model."
_STOPPED = "The gateway was stopped while the answer was made. It may be asked for again."

IsAlive = Callable[[str], Awaitable[bool]]


class Runner:
    """owner: the name of this start of this process. is_alive: whether another one, by its name, still runs.

    most: answers that are made at a time.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        queue: Queue,
        wires: Mapping[str, Wire],
        owner: str,
        is_alive: IsAlive,
        most: int,
        clock: Clock,
    ) -> None:
        self.bells = Bells()
        self._pipeline = pipeline
        self._queue = queue
        self._wires = wires
        self._owner = owner
        self._is_alive = is_alive
        self._most = most
        self._clock = clock
        self._making: dict[str, asyncio.Task[None]] = {}
        self._unended: dict[str, tuple[Run, End]] = {}
        """Ends that could not be written yet."""
        self._more = asyncio.Event()
        self._closing = False
        self._away = False

    @property
    def making(self) -> int:
        """Answers that are being made here."""
        return len(self._making)

    def wake(self) -> None:
        """Something was queued here."""
        self._more.set()

    def stop(self, id: str) -> None:
        """It is not wanted any more, if it is made here: the model is stopped, and what it said so far is paid."""
        if (task := self._making.get(id)) is not None:
            task.cancel()
        self.bells.ring(id)

    @asynccontextmanager
    async def running(self, tasks: Tasks, seconds: float) -> AsyncIterator[None]:
        """Entered: answers are made. Left: what is not made within `seconds` is given back, or ends with an error."""
        work = tasks.spawn(self._work(tasks), "answers in the background")
        try:
            yield
        finally:
            work.cancel()
            making = list(self._making.values())
            if making:
                _, late = await asyncio.wait(making, timeout=seconds)
                self._closing = True
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)

    async def _work(self, tasks: Tasks) -> None:
        while True:
            self._more.clear()
            pause = LOOK_SECONDS
            try:
                if not await self._look(tasks):
                    pause = REST_SECONDS
                self._away = False
            except (HiveError, SQLAlchemyError) as error:
                if not self._away:
                    log.warning("the queue of answers cannot be read", error=str(error))
                self._away = True
            except Exception:  # whatever it is: nobody else would take what waits
                if not self._away:
                    log.exception("the queue of answers cannot be worked off")
                self._away = True
            try:
                async with asyncio.timeout(pause):
                    await self._more.wait()
            except TimeoutError:
                pass

    async def _look(self, tasks: Tasks) -> bool:
        """Whether anything is being made, here or by another process, or is still to end."""
        await self._end_unended()
        owners = await self._queue.owners()
        for owner in owners:
            if owner == self._owner:
                await self._look_at_own()
            elif not await self._is_alive(owner):
                for left in await self._queue.runs_of(owner):
                    await self._leave(left, _DIED)
        while len(self._making) < self._most and (run := await self._queue.take(self._owner)) is not None:
            self._making[run.id] = task = tasks.spawn(self._make(run, tasks), f"answer {run.id}")
            task.add_done_callback(partial(self._made, run.id))
        return bool(owners or self._making or self._unended)

    async def _end_unended(self) -> None:
        """One that still cannot be written keeps nothing else from going on."""
        for id, (run, end) in list(self._unended.items()):
            try:
                await self._keep_end(run, end, is_again=True)
            except Exception as error:
                log.debug("the end of an answer cannot be kept yet", id=id, error=str(error))
            else:
                del self._unended[id]
                self.bells.ring(id)

    async def _look_at_own(self) -> None:
        """What is not wanted any more is stopped, and what was taken and is not being made is left to others."""
        held = await self._queue.held(self._owner)
        for id in self._making.keys() - held:
            self.stop(id)
        if lost := held - self._making.keys() - self._unended.keys():
            for run in await self._queue.runs_of(self._owner):
                if run.id in lost:
                    await self._leave(run, _DIED)

    def _made(self, id: str, task: asyncio.Task[None]) -> None:
        self._making.pop(id, None)
        self._more.set()

    async def _make(self, run: Run, tasks: Tasks) -> None:
        kept = await self._queue.kept(run)
        if kept is None:
            return
        wire = self._wires[kept.wire]
        if run.epoch > MOST_TRIES:
            await self._end(run, failed(wire, kept, HiveError(Kind.INTERNAL, _NEVER), 0))
            return
        events = EventLog(partial(self._note, run), self._clock)
        writing = tasks.spawn(events.run(), f"events of {run.id}")
        making = Making(run, kept, wire, self._pipeline, self._queue, events, self._clock)
        try:
            end = await making.end()
        except asyncio.CancelledError:
            if self._closing:
                await events.flush()
                await self._leave(run, _STOPPED)
            raise
        finally:
            writing.cancel()
        await self._end(run, end)

    async def _note(self, run: Run, number: int, said: list[bytes]) -> bool:
        noted = await self._queue.note_events(run, number, said)
        self.bells.ring(run.id)
        return noted

    async def _end(self, run: Run, end: End) -> None:
        try:
            await self._keep_end(run, end, is_again=False)
        except (HiveError, SQLAlchemyError) as error:
            log.warning("the end of an answer cannot be kept yet", id=run.id, error=str(error))
            self._unended[run.id] = run, end
        self.bells.ring(run.id)

    async def _keep_end(self, run: Run, end: End, *, is_again: bool) -> None:
        """An end that can never be written is an error instead, which adds nothing to a conversation.

        is_again: it has been tried before. Raises what may pass by itself.
        """
        try:
            await self._queue.end(run, end)
        except (HiveError, SQLAlchemyError) as error:
            if not _is_lasting(error, is_again):
                raise
            log.warning("the end of an answer cannot be kept", id=run.id, error=str(error))
            said = error if isinstance(error, HiveError) else HiveError(Kind.INTERNAL, _LOST)
            if (kept := await self._queue.kept(run)) is not None:
                number = await self._queue.next_number(run.id)
                await self._queue.end(run, failed(self._wires[kept.wire], kept, said, number))

    async def _leave(self, run: Run, why: str) -> None:
        """Let another process make it, or end it where a provider may have heard of it. why: told in that case.

        One that cannot be left keeps nothing else from going on.
        """
        try:
            await self._give_up(run, why)
        except Exception as error:
            log.warning("an answer cannot be left to others", id=run.id, error=str(error))

    async def _give_up(self, run: Run, why: str) -> None:
        if await self._queue.give_back(run) or (kept := await self._queue.kept(run)) is None:
            return
        number = await self._queue.next_number(run.id)
        await self._end(run, failed(self._wires[kept.wire], kept, HiveError(Kind.INTERNAL, why), number))


def _is_lasting(error: HiveError | SQLAlchemyError, is_again: bool) -> bool:
    """Whether trying once more is in vain. A database that is away or busy says so with a HiveError."""
    if isinstance(error, HiveError):
        return not error.kind.retryable
    return is_again or is_of_data(error)
