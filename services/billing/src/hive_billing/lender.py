"""Lends money to holders: tries, and where a scope is short asks other holders for idle money, then recharges."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import structlog

from hive_billing import leases
from hive_billing.accounts import Accounts
from hive_billing.books import Books, Why
from hive_billing.leases import Granted, Said, Short
from hive_billing.loading import Found
from hive_billing.recharges import Recharger
from hive_billing.writer import Writer
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks

log = structlog.get_logger(__name__)

RECALL_SECONDS = 0.1
RECHARGE_SECONDS = 5.0


class Asked(NamedTuple):
    """What a holder wants: of each scope what `wants` says, or where that is empty `wanted` of each.

    generation: the last of its leases that it knows of. through: the last usage that it has closed.
    """

    holder: str
    address: str
    tenant_id: str
    key_id: str
    wants: Mapping[str, int]
    wanted: int
    generation: int = 0
    through: int = 0


class Given(NamedTuple):
    """What a holder gives back, idle and off its leases already. generation: of those leases."""

    slices: Mapping[str, int]
    generation: int = 0


class Renewed(NamedTuple):
    """known: what the holder has is still its own. generation: of what it has or will have; 0: never had any."""

    known: bool
    generation: int = 0


class Recalled(NamedTuple):
    """freed: nano-dollars that came back. silent: the holders that did not answer."""

    freed: int
    silent: list[str]


class Holders(Protocol):
    """The way to the holders of leases."""

    async def recall(self, address: str, holder: str, scope: str, amount: int) -> Given:
        """At most so much of the scope. May raise anything."""
        ...


@dataclass(slots=True)
class Lender:
    """patience: seconds to wait for the control record of a key that is not known.

    recall_seconds: how long somebody waits for what others give back.
    fewest_holders: processes that will ask for money, whether they have been heard of or not: where there are
    several, none is lent all that is free, since what a dead one was lent is away for a while.
    """

    writer: Writer
    accounts: Accounts
    holders: Holders
    clock: Clock
    tasks: Tasks
    patience: float = 1.0
    recall_seconds: float = RECALL_SECONDS
    recharge_seconds: float = RECHARGE_SECONDS
    recharger: Recharger | None = None
    fewest_holders: int = 1
    _waiting: dict[str, int] = field(default_factory=dict)
    _asked: dict[tuple[str, str], dict[asyncio.Task[int | None], float]] = field(default_factory=dict)
    """Recalls that are under way, by holder and scope, and since when (monotonic seconds)."""

    async def acquire(self, asked: Asked) -> Granted | Short:
        """HiveError `not_found` for a key that is not known."""
        await self.accounts.key(asked.tenant_id, asked.key_id, self.patience)
        brought = self._brought()
        answer = await self._try(asked, {})
        if isinstance(answer, Granted):
            return answer
        needs = {
            scope: asked.wants.get(scope, 0) if asked.wants else asked.wanted for scope in answer.terms.scopes
        }
        with self._waits(needs):
            return await self._find(asked, needs, answer, brought)

    async def renew(self, holder: str, address: str, said: Said = Said()) -> Renewed:
        """Keep what the holder has."""

        def decide(books: Books, found: Found) -> Renewed:
            if holder not in books.holders and not said.generation:
                return Renewed(False)
            known = books.holder(holder)
            stays = leases.touch(
                books, known, address, self.writer.spans, said.generation, said.through
            ) and known.has(said.generation)
            if stays:
                asked = {scope for name, scope in self._asked if name == holder}
                leases.renew(books, known, said, asked)
            return Renewed(stays, known.generation)

        return await self.writer.ask(decide)

    async def give_back(
        self, holder: str, amounts: Mapping[str, int], *, last: bool, settled: bool, generation: int = 0
    ) -> None:
        def decide(books: Books, found: Found) -> None:
            known = books.holders.get(holder)
            if known is None:
                return
            if known.has(generation):
                leases.give_back(books, known, amounts, Why.RETURNED)
            if settled:
                leases.free_all(books, known, Why.SETTLED)
            if settled or last:
                leases.end(books, known)

        await self.writer.ask(decide)

    async def expire(self) -> None:
        await self.writer.ask(lambda books, found: leases.expire(books))

    async def recall(self, scope: str, amount: int, asker: str = "") -> int:
        """Ask all holders of a scope but the asker for idle money of it; how much is free by that."""
        return (await self._recall_all(scope, amount, asker)).freed

    async def _recall_all(self, scope: str, amount: int, asker: str) -> Recalled:
        def find(books: Books, found: Found) -> list[tuple[str, str]]:
            held = books.leased.get(scope)
            names = [name for name in held.by_holder if name != asker] if held else []
            return [(name, books.holders[name].address) for name in names if not books.holders[name].ended]

        asked = [(name, address) for name, address in await self.writer.ask(find) if address]
        freed = await asyncio.gather(*(self._recall(name, address, scope, amount) for name, address in asked))
        silent = [name for (name, _), given in zip(asked, freed, strict=True) if given is None]
        return Recalled(sum(given or 0 for given in freed), silent)

    async def _recall(self, name: str, address: str, scope: str, amount: int) -> int | None:
        """None where the holder did not answer in time: what it gives back later is free then."""
        now, under_way = self.clock.monotonic(), self._asked.setdefault((name, scope), {})
        if any(now - since >= self.recall_seconds for since in under_way.values()):
            return None  # it hangs, and more of the same would hang with it

        def ended() -> None:
            under_way.pop(asking, None)
            if not under_way:
                self._asked.pop((name, scope), None)

        asking = self.tasks.spawn(self._take_back(name, address, scope, amount), f"recall from {name}", ended)
        under_way[asking] = now
        done, _ = await asyncio.wait({asking}, timeout=self.recall_seconds)
        return asking.result() if done else None

    async def _take_back(self, name: str, address: str, scope: str, amount: int) -> int | None:
        """None where the holder did not answer."""

        def decide(books: Books, found: Found) -> int:
            holder = books.holders[name]
            if not holder.has(given.generation):
                return 0
            return leases.give_back(books, holder, given.slices, Why.RECALLED)

        try:
            given = await self.holders.recall(address, name, scope, amount)
            return await self.writer.ask(decide)
        except Exception as error:
            log.info("a holder did not answer a recall", holder=name, error=repr(error))
            return None

    async def _unless_silent(self, short: Short, silent: Sequence[str]) -> Short:
        """Raises HiveError `unavailable` where a holder that does not answer may have what is lacking.

        It died, or hangs: what it has is free when it comes back, or when its time is over. A refusal for lack of
        money would be untrue.
        """

        def has(books: Books, found: Found) -> int:
            return sum(books.lease(name, short.scope) for name in silent)

        if silent and await self.writer.ask(has) >= short.lacks:
            message = "A part of this budget is with a process that does not answer just now. Try again."
            raise HiveError(Kind.UNAVAILABLE, message, retry_after=2)
        return short

    async def _try(self, asked: Asked, needs: Mapping[str, int]) -> Granted | Short:
        """needs: what this one itself waits for."""

        def decide(books: Books, found: Found) -> Granted | Short:
            terms = self.accounts.terms(asked.tenant_id, asked.key_id, books.now_ms)
            books.require(terms.scopes)
            holder = books.holder(asked.holder)
            leases.touch(books, holder, asked.address, self.writer.spans, asked.generation, asked.through)
            waiting = {scope: self._waiting.get(scope, 0) - needs.get(scope, 0) for scope in terms.scopes}
            return leases.acquire(
                books, holder, terms, asked.wants, asked.wanted, waiting, self.fewest_holders
            )

        return await self.writer.ask(decide)

    async def _find(
        self, asked: Asked, needs: Mapping[str, int], answer: Granted | Short, brought: Mapping[str, int]
    ) -> Granted | Short:
        """brought: how many recharges there were when `answer` was not yet asked for."""
        recalled: set[str] = set()
        silent: list[str] = []
        until = self.clock.monotonic() + self.recharge_seconds
        while isinstance(answer, Short):
            if answer.scope not in recalled:
                recalled.add(answer.scope)
                silent += (await self._recall_all(answer.scope, answer.lacks, asked.holder)).silent
            elif self._brought().get(answer.scope) == brought.get(answer.scope) and not (
                await self._recharge(answer, until)
            ):
                return await self._unless_silent(answer, silent)
            brought = self._brought()
            answer = await self._try(asked, needs)
        return answer

    def _brought(self) -> Mapping[str, int]:
        return {} if self.recharger is None else dict(self.recharger.brought)

    async def _recharge(self, short: Short, until: float) -> bool:
        """Wait for the recharge of a scope, but not longer than that; true where money came."""
        left = until - self.clock.monotonic()
        if self.recharger is None or left <= 0 or not self.recharger.has_rule(short.scope):
            return False
        if not await self.recharger.could_bring(short.scope, short.lacks):
            return False
        try:
            async with asyncio.timeout(left):
                return await asyncio.shield(self.recharger.start(short.scope))
        except TimeoutError:
            return False

    @contextmanager
    def _waits(self, needs: Mapping[str, int]) -> Iterator[None]:
        for scope, amount in needs.items():
            self._waiting[scope] = self._waiting.get(scope, 0) + amount
        try:
            yield
        finally:
            for scope, amount in needs.items():
                self._waiting[scope] -= amount
                if not self._waiting[scope]:
                    del self._waiting[scope]
