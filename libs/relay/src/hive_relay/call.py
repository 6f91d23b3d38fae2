"""One request in flight, as its caller sees it: what came of the answer, and what the client took of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context, copy_context
from typing import Protocol

from hive_relay.frames import CREDIT_STEP_BYTES, HeaderPairs
from hive_relay.link import Link
from hive_relay.replies import NOBODY, Teller
from hive_relay.request import Request
from hive_relay.summary import Summary
from hive_runtime.errors import HiveError, Kind
from modelhive.relay.v1.relay_pb2 import CancelReason

HELD_BYTES = 128 * 1024
"""A preamble longer than this is passed on: holding it would use up the service's credit."""


class Taker(Protocol):
    """Whoever an answer is passed on to."""

    @property
    def is_full(self) -> bool:
        """It wants nothing more for now."""
        ...

    async def room(self) -> None:
        """Return once it takes more."""
        ...

    def take(self, data: bytes) -> bool:
        """Never waits. True: now it is full."""
        ...


class Keeper(Protocol):
    """Whoever keeps the calls that are in flight."""

    def forget(self, call: Call) -> None:
        """It has ended."""
        ...

    def gives_elsewhere(self, call: Call) -> bool:
        """The process that was to answer gave it back: start over with another; false where there is none."""
        ...


class Call:
    """The answer of one request. `head`, then `read` or `pass_on` until the answer ended.

    Until content came nothing is shown, so that another process may still answer in place of a lost one.
    `started` and `deadline` are in the event loop's time; `request` is there until the answer is shown.
    due: when its caller looks at it next: nobody has accepted it by then, or its deadline has come.
    context: of whoever called. losses: processes that were lost with it. silences: attempts that were made because
    nobody accepted. is_bound: no process but the one that it was given to can answer.
    """

    link: Link | None = None
    handed: Link | None = None
    """Whom it was handed, until somebody accepts it."""
    losses = 0
    silences = 0
    is_bound = False
    finished = False
    """Nothing more comes."""
    tried: frozenset[str] = frozenset()
    """Instances that earlier attempts were given to."""
    fingerprint = b""
    usage: Summary | None = None
    delivered = 0
    _head: tuple[int, HeaderPairs] | None = None
    _held = 0
    _uncredited = 0
    _shown = False
    _error: HiveError | None = None
    _waiter: asyncio.Future[None] | None = None
    _teller: Teller | None = None
    """The run that answers, where it is in this process."""
    _taker: Taker | None = None
    """Whoever takes what comes: there while `pass_on` waits and nothing has happened that it has to see to."""
    _passing: asyncio.Handle | None = None

    def __init__(self, request: Request, started: float, keeper: Keeper) -> None:
        self.request_id = request.request_id
        self.service = request.service
        self.request: Request | None = request
        self.attempt = request.attempt
        self.started = started
        self.deadline = self.due = request.deadline
        self.context: Context = copy_context()
        self._parts: list[bytes] = []
        self._keeper = keeper

    @property
    def shown(self) -> bool:
        """The client may have seen a part of the answer: nobody else can answer any more."""
        return self._shown

    # What the client's side asks.

    async def head(self) -> tuple[int, HeaderPairs]:
        """Status and headers, once content came or the answer ended; raises HiveError where there is none."""
        while not (self._shown or self.finished):
            await self._changed()
        if self._head is None or (self._error is not None and not self._shown):
            raise self._error or HiveError(Kind.INTERNAL, "The answer ended before it began.")
        self._shown = True
        return self._head

    async def read(self) -> tuple[bytes, bool]:
        """All bytes that are ready (maybe none), and whether the answer is complete with them.

        Raises HiveError where the answer broke off, after what had come was read.
        """
        while not (self._parts or self.finished):
            await self._changed()
        return self.ready()

    def ready(self) -> tuple[bytes, bool]:
        """What `read` gives where it has nothing to wait for, as right after `head`."""
        data = self._taken_out()
        self.delivered += len(data)
        if self._error is not None and not data:
            raise self._error
        return data, self.finished and self._error is None

    async def pass_on(self, taker: Taker) -> bytes:
        """Give `taker` all but the last of the answer as it comes, and credit for it; return what came with its end.

        Nobody is woken for it. What a run of this process says is followed by more is taken while it says so; all
        else that comes within one turn of the event loop is taken together in the next one, an end with it.
        Raises HiveError where the answer broke off, after what had come was taken.
        """
        while True:
            while not (taker.is_full or self._parts or self.finished):
                await self._passed_to(taker)
            data, complete = await self.read()
            if complete:
                return data
            if taker.is_full:
                await taker.room()
            taker.take(data)
            self.taken(len(data))

    async def body(self) -> AsyncIterator[bytes]:
        """The whole body, credit given as it is taken; closing it early cancels the request."""
        complete = False
        try:
            while not complete:
                data, complete = await self.read()
                if data:
                    yield data
                    self.taken(len(data))
        finally:
            self.close(CancelReason.CANCEL_REASON_CLIENT_GONE)

    def taken(self, size: int) -> None:
        """The client took so many bytes: the service may send as many more."""
        self._uncredited = uncredited = self._uncredited + size
        if uncredited >= CREDIT_STEP_BYTES and self.link is not None and not self.finished:
            self.link.credit(self.request_id, self.attempt, uncredited)
            self._uncredited = 0

    def close(self, reason: CancelReason.ValueType = CancelReason.CANCEL_REASON_CLIENT_GONE) -> None:
        """Forget the request; the service is told to stop where it has not ended. May be called twice."""
        if not self.finished:
            self.give_up(reason, HiveError(Kind.UNAVAILABLE, "The request was given up."))

    # What the service's side brings: it is a `Listener` of one attempt at a time.

    def listen_to(self, teller: Teller) -> None:
        """Hear what a run of this process tells, until the call has ended or starts over."""
        self._teller = teller
        teller.listener = self

    def on_head(self, status: int, headers: HeaderPairs) -> None:
        if self._head is None:
            self._head = status, headers

    def on_piece(self, data: bytes) -> bool:
        taker = self._taker
        if taker is None or self._passing is not None:
            return False
        self.delivered += len(data)
        try:
            if taker.take(data):
                self._wake()  # where it cannot go on so, whoever waits in `pass_on` does
        except Exception as error:
            self._wake(error)
        return True

    def on_chunk(self, data: bytes, content: bool, more: bool = False) -> bool:
        if more and self.on_piece(data):
            return True
        taker = self._taker
        self._parts.append(data)
        if not self._shown:
            self._held += len(data)
            if not (content or self._held > HELD_BYTES):
                return False
            self._shown = True
            self.request = None  # nobody else will need it, and a stream may go on for long
        if taker is None:
            self._wake()
        elif self._passing is None:
            self._passing = asyncio.get_running_loop().call_soon(self._pass)
        return False

    def on_end(self, error: HiveError | None, usage: Summary | None, given_back: bool = False) -> None:
        if given_back and not self._shown and self._keeper.gives_elsewhere(self):
            return
        self.usage = usage
        self._settle(error)

    def give_up(self, reason: CancelReason.ValueType, error: HiveError) -> None:
        """Tell the service to stop, and the client's side why."""
        if self.link is not None and not self.finished:
            self.link.cancel(self.request_id, self.attempt, reason)
        self.fail(error)

    def fail(self, error: HiveError) -> None:
        """The answer will not come, or not to its end."""
        if not self.finished:
            self._settle(error)

    def try_with(self, link: Link) -> None:
        """An attempt goes to this process: none of the next ones does."""
        self.tried |= {link.peer.instance}

    def unhand(self) -> None:
        """Whoever was handed it needs it no more, or runs it."""
        if self.handed is not None:
            self.handed.handed.discard(self)
            self.handed = None

    def restart(self, attempt: int) -> None:
        """Forget what a lost process had sent: nobody saw it."""
        self._listen_no_more()
        if self.handed is not None:
            self.try_with(self.handed)
            self.unhand()
        self.attempt = attempt
        if self.link is not None:
            self.try_with(self.link)
            self.link = None
        self._head = None
        self._parts.clear()
        self._held = 0

    def _settle(self, error: HiveError | None) -> None:
        self.finished = True
        self._error = error
        if error is not None and not self._shown:
            self._parts.clear()
        self._listen_no_more()
        self._keeper.forget(self)
        self._wake()

    def _listen_no_more(self) -> None:
        if self._teller is not None:
            self._teller.listener = NOBODY
            self._teller = None

    def _taken_out(self) -> bytes:
        """All bytes that are ready."""
        parts = self._parts
        if len(parts) == 1:
            return parts.pop()
        data = b"".join(parts)
        parts.clear()
        return data

    def _pass(self) -> None:
        self._passing = None
        if self._taker is not None:
            data = self._taken_out()
            self.on_piece(data)
            self.taken(len(data))

    async def _passed_to(self, taker: Taker) -> None:
        """Return when it is full, or the answer has ended."""
        self._taker = taker
        try:
            await self._changed()
        finally:
            self._taker = None
            if self._passing is not None:
                self._passing.cancel()
                self._passing = None

    def _changed(self) -> asyncio.Future[None]:
        """Done with the next `_wake`."""
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        return waiter

    def _wake(self, error: Exception | None = None) -> None:
        self._taker = None
        if self._waiter is not None and not self._waiter.done():
            if error is None:
                self._waiter.set_result(None)
            else:
                self._waiter.set_exception(error)
