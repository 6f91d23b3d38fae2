"""Equal requests that are under way share one call of a provider: one leads, the others follow what it hears.

    seat = flights.join(key)
    if isinstance(seat, Following):
        with seat:
            begun = await seat.start()       # an Opening: there is something to send; a Leading: lead instead
            async for piece in seat: ...     # from the beginning, then live
            seat.entry                       # what the leader's answer came to
    with seat:                               # a Leading
        seat.begin(...); seat.piece(...); seat.finish(entry)

Nobody waits for ever as long as everybody who joined leaves, as `with` does. A leader that leaves early hands the
call on to a follower that has sent nothing yet; those that have cannot begin anew, and break off. Everything here
runs in one event loop and changes between two awaits only: there are no tasks and no locks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType

import msgspec

from hive_routing.caching.store import Entry
from hive_runtime.errors import HiveError, Kind

OWN = frozenset({Kind.BUDGET_EXCEEDED, Kind.BLOCKED, Kind.FORBIDDEN, Kind.NOT_FOUND, Kind.INVALID})
"""What a leader is refused for reasons that need not be its followers'."""


class Opening(msgspec.Struct, frozen=True):
    """What is known of an answer before its first byte."""

    headers: tuple[tuple[bytes, bytes], ...]
    streamed: bool
    model_id: str
    provider: str
    deployment: str


class Flights:
    """One call at a time for a key. One that gets larger than `max_bytes` takes no new followers."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._flights: dict[bytes, _Flight] = {}

    def __len__(self) -> int:
        """How many calls can be followed."""
        return len(self._flights)

    def join(self, key: bytes) -> Leading | Following:
        """Lead, where nobody does; else follow. Whoever joins has to leave."""
        if (found := self._flights.get(key)) is not None:
            return Following(found)
        flight = self._flights[key] = _Flight(
            self._max_bytes, partial(self._flights.pop, key), self._max_bytes
        )
        return flight.lead()


class Leading(msgspec.Struct, eq=False):
    """Tells the followers what the provider answers."""

    _flight: _Flight
    _run: _Run
    _left: bool = False

    def begin(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        streamed: bool,
        model_id: str = "",
        provider: str = "",
        deployment: str = "",
    ) -> None:
        """An answer comes. Its followers hear of it with the first piece; until then they could still lead."""
        assert self._run.opening is None, "one leader begins once"
        self._run.opening = Opening(tuple(headers), streamed, model_id, provider, deployment)

    def piece(self, data: bytes) -> None:
        """The next bytes of the body."""
        run, flight = self._run, self._flight
        assert not self._left
        run.pieces.append(data)
        run.kept = kept = run.kept + len(data)
        if kept > flight.unminded_bytes:
            flight.mind(run, len(data))
        if run.readers or flight.pending:
            flight.tell()

    @property
    def told(self) -> list[bytes] | None:
        """All pieces so far; None where they came to more than is kept for followers."""
        run = self._run
        return run.pieces if not run.first and run.kept <= self._flight.max_bytes else None

    def finish(self, entry: Entry) -> None:
        """That was all. Where nothing was told before, the entry tells it."""
        if self._run.opening is None and self._flight.pending:
            self.begin(entry.headers, entry.streamed, entry.model_id, entry.provider, entry.deployment)
            for chunk in entry.chunks:
                self.piece(chunk)
        self._left = True
        self._flight.finish(entry)

    def fail(self, error: HiveError, shared: bool | None = None) -> None:
        """There will be no answer, or no more of it.

        shared: whether followers that have sent nothing get the same error, as they do by default where its kind
        is not in `OWN`. Else one of them leads.
        """
        if self._left:
            return
        if shared if shared is not None else error.kind not in OWN:
            self._left = True
            self._flight.fail(error)
        else:
            self.leave()

    def leave(self) -> None:
        """Hand the call on, where it has not ended; may be called twice."""
        if not self._left:
            self._left = True
            self._flight.hand_on()

    def __enter__(self) -> Leading:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, HiveError):
            self.fail(error)
        self.leave()


class Following:
    """Reads what a leader tells. `start` it, then iterate over it.

    opening, entry: of the answer that it follows, as soon as they are known.
    """

    def __init__(self, flight: _Flight) -> None:
        self.opening: Opening | None = None
        self.entry: Entry | None = None
        self.position = 0
        self._flight = flight
        self._run: _Run | None = None
        self._waiter: asyncio.Future[None] | None = None
        flight.pending[self] = None

    async def start(self) -> Opening | Leading:
        """Wait until there is something to send, or this request has to lead: then it follows no more.

        Raises HiveError where the leader failed in a way that it shares.
        """
        flight = self._flight
        try:
            while True:
                if flight.error is not None:
                    raise _same(flight.error)
                if flight.run is None:
                    del flight.pending[self]
                    return flight.lead()
                if flight.run.opening is not None and (flight.run.end or flight.run.entry is not None):
                    return self._follow(flight.run, flight.run.opening)
                await self._changed()
        except BaseException:
            self.leave()
            raise

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> bytes:
        run = self._run
        assert run is not None, "`start` comes first"
        try:
            while self.position == run.end and run.entry is None and not run.broken:
                await self._changed()
            if self.position < run.first or (self.position == run.end and run.broken):
                raise HiveError(Kind.UPSTREAM_FAILED, "The answer that this request shared broke off.")
        except BaseException:
            self.leave()
            raise
        if self.position == run.end:
            self.entry = run.entry
            self.leave()
            raise StopAsyncIteration
        self.position += 1
        return run.pieces[self.position - 1 - run.first]

    def leave(self) -> None:
        """Follow no more; disturbs nobody, and may be called twice."""
        if self._run is not None:
            self._run.readers.discard(self)
        elif self in self._flight.pending:
            del self._flight.pending[self]
            # Perhaps it was this one that the call was handed on to.
            self._flight.find_leader()

    def wake(self) -> bool:
        """Let it look again; false where it is not waiting, and will look by itself."""
        if self._waiter is None:
            return False
        if not self._waiter.done():
            self._waiter.set_result(None)
        return True

    def __enter__(self) -> Following:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def _follow(self, run: _Run, opening: Opening) -> Opening:
        del self._flight.pending[self]
        run.readers.add(self)
        self._run = run
        self.opening = opening
        return opening

    async def _changed(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class _Run(msgspec.Struct, eq=False):
    """What one leader tells.

    pieces: those that somebody may still read, the first of them being number `first`. kept: their bytes.
    readers: the followers that have sent something of it.
    """

    opening: Opening | None = None
    pieces: list[bytes] = []
    first: int = 0
    kept: int = 0
    entry: Entry | None = None
    broken: bool = False
    readers: set[Following] = set()

    @property
    def end(self) -> int:
        """How many pieces there were."""
        return self.first + len(self.pieces)

    def forget(self, pieces: int) -> None:
        """Let go of so many."""
        self.kept -= sum(map(len, self.pieces[:pieces]))
        del self.pieces[:pieces]
        self.first += pieces

    def wake_readers(self) -> None:
        for reader in self.readers:
            reader.wake()


class _Flight(msgspec.Struct, eq=False):
    """All that share one call.

    run: of the one who leads now, or has led to the end; None: somebody has to. error: what everybody shares.
    pending: who has sent nothing yet, in the order in which they came. unminded_bytes: so much may be kept before
    `mind` is needed, which is for every piece once nobody can join any more.
    """

    max_bytes: int
    _close: Callable[[], object]
    unminded_bytes: int
    _open: bool = True
    run: _Run | None = None
    error: HiveError | None = None
    pending: dict[Following, None] = {}

    def lead(self) -> Leading:
        self.run = _Run()
        return Leading(self, self.run)

    def mind(self, run: _Run, newest: int) -> None:
        """More is kept than all who may still come could need. newest: bytes of the piece that came last."""
        self._take_no_more()
        if not self.pending:
            self._trim(run, newest)

    def finish(self, entry: Entry) -> None:
        run = self._running()
        run.entry = entry
        self._take_no_more()
        self.tell()

    def fail(self, error: HiveError) -> None:
        run = self._running()
        run.broken = True
        self.error = error
        self._take_no_more()
        self.tell()

    def hand_on(self) -> None:
        run = self._running()
        run.broken = True
        self.run = None
        run.wake_readers()
        self.find_leader()

    def find_leader(self) -> None:
        """Where nobody leads, the first of those who wait is to do so; without any the call is over."""
        if self.run is not None or self.error is not None:
            return
        if not self.pending:
            self._take_no_more()
        for follower in self.pending:
            if follower.wake():
                return
        # Who has joined and does not wait yet leads when it starts, or leaves.

    def _running(self) -> _Run:
        assert self.run is not None, "who leads has a run"
        return self.run

    def _take_no_more(self) -> None:
        if self._open:
            self._open = False
            self.unminded_bytes = -1
            self._close()

    def tell(self) -> None:
        """Let all look who wait."""
        self._running().wake_readers()
        for follower in self.pending:
            follower.wake()

    def _trim(self, run: _Run, newest: int) -> None:
        """Keep what the slowest reader has not read; one that lags by more than the bound is given up."""
        slowest = min((reader.position for reader in run.readers), default=run.end)
        run.forget(max(0, slowest - run.first))
        while run.kept - newest > self.max_bytes:
            run.forget(1)


def _same(error: HiveError) -> HiveError:
    """One for each who raises it: an exception collects the places that it passes."""
    same = HiveError(
        error.kind,
        error.message,
        error.param,
        reason=error.reason,
        retry_after=error.retry_after,
        should_retry=error.should_retry,
    )
    same.status = error.status
    return same
