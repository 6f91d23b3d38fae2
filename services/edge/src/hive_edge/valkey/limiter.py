"""The limiter of many processes: no two of them together let in more than a key may."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque

from hive_edge.limits import Entry, Limiter, Limits, tokens_of
from hive_edge.valkey.entries import Counted, Unlimited
from hive_edge.valkey.replies import Reply, counted
from hive_edge.valkey.scripts import Scripts
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import OnFailure, Tasks
from hive_runtime.valkey import Valkey

LEASE_SECONDS = 15.0
"""How long a request counts as running whose process does not say that it still does."""
RENEW_SECONDS = 5.0
BATCH = 500
SETTLE_SECONDS = 1.0
DOUBTFUL = 10_000
NO_LIMITS = Limits()


class ValkeyLimiter:
    """A `Limiter` whose counters are at a server, by whose time they run.

    A key without limits is not asked about. A request of a limited one makes one call, and one more where it is
    left behind that it runs no more, or used other tokens than were reserved; its answer ends after that one.

    instead: counts in this process while the server is away, so that N processes let in N times as much at most.
    Without it limited requests are refused meanwhile, with HiveError `unavailable`.
    """

    def __init__(
        self,
        valkey: Valkey,
        clock: Clock,
        on_failure: OnFailure,
        instead: Limiter | None = None,
        scripts: Scripts | None = None,
    ) -> None:
        self._valkey = valkey
        self._clock = clock
        self._tasks = Tasks(on_failure)
        self._instead = instead
        self._scripts = scripts or Scripts()
        self._leased: dict[str, set[str]] = {}
        self._lease = str(round(LEASE_SECONDS * 1_000_000))
        self._doubtful: deque[tuple[str, str]] = deque(maxlen=DOUBTFUL)
        """Requests that a server which answered too late may have let in after all."""
        self._clearing = False
        self._closed = False

    async def enter(self, key_id: str, limits: Limits, body_bytes: int | None) -> Entry:
        if limits == NO_LIMITS:
            return Unlimited()
        name, tokens = secrets.token_hex(8), 0 if body_bytes is None else tokens_of(body_bytes)
        try:
            reply = await self._ask_in(key_id, limits, name, tokens)
        except HiveError as error:
            if limits.concurrency is not None:
                self._doubtful.append((key_id, name))
            if self._instead is None:
                raise _cannot_say(error) from error
            return await self._instead.enter(key_id, limits, body_bytes)
        if self._doubtful and not self._clearing and not self._closed:
            self._clearing = True
            self._tasks.spawn(self._clear(), "requests that nobody waits for")
        if not reply.enters:
            raise reply.refusal(limits, 1, tokens)
        if limits.concurrency is not None:
            self._leased.setdefault(key_id, set()).add(name)
        return Counted(key_id, name, limits, reply, tokens, self._weigh, self._leave)

    def drop(self, key_id: str) -> None:
        """What the server keeps of it goes by itself."""
        if self._instead is not None:
            self._instead.drop(key_id)

    @property
    def away(self) -> bool:
        return self._valkey.trouble is not None

    def __len__(self) -> int:
        """Keys of whom requests run that hold a lease."""
        return len(self._leased)

    async def settled(self, seconds: float = SETTLE_SECONDS) -> bool:
        """Wait until the server has heard of all who left, at most so long; true where it has."""
        return await self._tasks.settle(seconds)

    async def close(self) -> None:
        """Nobody enters any more; the server hears of those who left, where it answers."""
        self._closed = True
        await self.settled()
        await self._tasks.close()

    async def run(self) -> None:
        """Renew the leases of what runs, until cancelled."""
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """Once for all. Those that the server has forgotten while they ran are told to it again."""
        for key_id in list(self._leased):
            missing = await self._renewed(key_id, self._leased.get(key_id, ()), again=False)
            still = self._leased.get(key_id, set())
            await self._renewed(key_id, still & missing, again=True)

    async def _renewed(self, key_id: str, names: set[str] | tuple[()], *, again: bool) -> set[str]:
        """The entries that have no lease any more."""
        ordered, missing = sorted(names), set[str]()
        for start in range(0, len(ordered), BATCH):
            batch = ordered[start : start + BATCH]
            keys = _keys(key_id)[1:]
            try:
                reply = await self._valkey.run(
                    self._scripts.renew, keys, [self._lease, str(int(again)), *batch]
                )
            except HiveError:
                break  # the next round comes before the leases end
            missing.update(name.decode() for name in reply)
        return missing

    async def _ask_in(self, key_id: str, limits: Limits, name: str, tokens: int) -> Reply:
        arguments = [
            counted(limits.requests),
            counted(limits.tokens),
            counted(limits.concurrency),
            str(tokens),
            name,
            self._lease,
        ]
        try:
            found = await self._valkey.run(self._scripts.enter, _keys(key_id), arguments)
        except asyncio.CancelledError:
            if limits.concurrency is not None:  # perhaps it has been let in, and nobody is there to leave
                self._tell(key_id, [name])
            raise
        return Reply.of(found, limits)

    async def _weigh(self, entry: Counted, tokens: int) -> Reply | None:
        limits, request = entry.limits, entry.request
        arguments = [counted(limits.requests), counted(limits.tokens), str(tokens)]
        if request is not None:
            arguments += request.claim
        try:
            reply = await self._valkey.run(self._scripts.weigh, _keys(entry.key_id), arguments)
        except HiveError as error:
            if self._instead is None:
                raise _cannot_say(error) from error
            return None
        return Reply.of(reply, limits)

    def _leave(self, entry: Counted) -> asyncio.Task[bool] | None:
        """The task that tells the server of it, where there is something to tell."""
        if (names := self._leased.get(entry.key_id)) is not None:
            names.discard(entry.name)
            if not names:
                del self._leased[entry.key_id]
        arguments = entry.settlement()
        return None if arguments is None else self._tell(entry.key_id, arguments)

    def _tell(self, key_id: str, arguments: list[str]) -> asyncio.Task[bool] | None:
        return None if self._closed else self._tasks.spawn(self._told(key_id, arguments), "leave")

    async def _told(self, key_id: str, arguments: list[str]) -> bool:
        """Where the server does not hear of it, the lease ends by itself, and what was reserved flows back."""
        try:
            await self._valkey.run(self._scripts.leave, _keys(key_id), arguments)
        except HiveError:
            return False
        return True

    async def _clear(self) -> None:
        try:
            while self._doubtful:
                key_id, name = self._doubtful.popleft()
                if not await self._told(key_id, [name]):
                    self._doubtful.appendleft((key_id, name))
                    break
        finally:
            self._clearing = False


def _keys(key_id: str) -> list[str]:
    """In braces stands what decides where a server of several parts keeps them: together."""
    return [f"hive:limits:{{{key_id}}}:used", f"hive:limits:{{{key_id}}}:running"]


def _cannot_say(error: HiveError) -> HiveError:
    message = "The limits of this API key cannot be checked just now. Try again in a moment."
    return HiveError(Kind.UNAVAILABLE, message, retry_after=error.retry_after)
