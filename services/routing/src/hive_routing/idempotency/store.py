"""The records of requests with an `Idempotency-Key`, in a table that all processes of routing share."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Insert, and_, delete, select, update

from hive_routing.idempotency.records import (
    KEPT_MS,
    Claim,
    Found,
    Fresh,
    Outcome,
    Record,
    Scope,
    State,
    answered,
    is_expired,
    refused,
    replay,
    take_over,
)
from hive_routing.idempotency.tables import records
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_sql import AsyncConnection, Database, insert_into

MIGRATIONS = Path(__file__).parent / "migrations"
TRIES = 10

IsAlive = Callable[[str], bool | Awaitable[bool]]

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Outcome).decode


class IdempotencyStore:
    """Claims scopes, each for one request at a time, and keeps how it ended for 24 hours.

    is_alive: whether a start of a process, by its owner's name, still runs. It is not asked about the owner that
    claims: of its own requests a store knows which ones run.
    """

    def __init__(self, database: Database, is_alive: IsAlive, clock: Clock) -> None:
        self.running: set[str] = set()
        """Claims of requests that this store has given out and that have not ended."""
        self._database = database
        self._is_alive = is_alive
        self._clock = clock

    async def claim(self, scope: Scope, body_hash: bytes, owner: str, now_ms: int) -> Claim:
        """Fresh, for one caller of all that ask at the same time, or the answer that was given before.

        Raises HiveError: what `replay` and `take_over` raise, `unavailable` where the database is busy.
        """
        record = Record(scope.hash, secrets.token_hex(16), owner)
        # Before the row can be seen: who finds it has to find that its request runs.
        self.running.add(record.claim)
        try:
            found = await self._claim(record, body_hash, now_ms)
        except BaseException:
            self.running.discard(record.claim)
            raise
        if not isinstance(found, Fresh):
            self.running.discard(record.claim)
        return found

    async def dispatched(self, record: Record) -> None:
        """A provider is about to be called: from here on the request cannot be run again unless it is released.

        May be called for every call of one. Raises HiveError `conflict` where another process took it over.
        """
        if not await self._change(record, {"state": State.DISPATCHED}):
            message = "Another process took this request over. Ask again for its answer."
            raise HiveError(Kind.CONFLICT, message, retry_after=1)

    async def done(
        self,
        record: Record,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        chunks: Iterable[bytes],
        streamed: bool,
    ) -> None:
        """Keep the answer for those who ask again; one above 1 MiB is only known to have been given."""
        await self._end(record, answered(status, headers, chunks, streamed))

    async def done_error(self, record: Record, error: HiveError) -> None:
        """Keep an error that is final, for those who ask again."""
        await self._end(record, refused(error))

    async def release(self, record: Record) -> None:
        """The request failed in a way that a retry may mend: whoever asks again runs it anew."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(delete(records).where(_is(record)))
        finally:
            self.running.discard(record.claim)

    async def sweep(self, now_ms: int) -> int:
        """Forget what is older than 24 hours; returns how many records that were."""
        async with self._database.transaction() as connection:
            gone = await connection.execute(delete(records).where(records.c.changed_ms <= now_ms - KEPT_MS))
        return int(gone.rowcount)

    async def _claim(self, record: Record, body_hash: bytes, now_ms: int) -> Claim:
        for _ in range(TRIES):
            found = await self._insert(record, body_hash, now_ms)
            if found is None:
                return Fresh(record)
            if not is_expired(found, now_ms):
                if (answer := replay(found, body_hash)) is not None:
                    return answer
                alive = await self._runs(found.record, record.owner)
                if not alive and await self._has_moved(found):
                    continue  # it ended after it was found, and before it was asked for
                take_over(found, alive)
            if await self._replace(found, record, body_hash, now_ms):
                return Fresh(record)
        message = "Too many requests with this `Idempotency-Key` at a time. Try again in a moment."
        raise HiveError(Kind.UNAVAILABLE, message, retry_after=1)

    async def _insert(self, record: Record, body_hash: bytes, now_ms: int) -> Found | None:
        """None: the scope was free, and is taken now. Else who has it."""
        row = _row(record, body_hash, now_ms)
        async with self._database.transaction() as connection:
            while True:
                if (await connection.execute(_insert_unless_there(connection, row))).rowcount:
                    return None
                if (found := await _find(connection, record.scope)) is not None:
                    return found

    async def _replace(self, found: Found, record: Record, body_hash: bytes, now_ms: int) -> bool:
        """Take what was found, unless somebody changed it since."""
        return await self._change(found.record, _row(record, body_hash, now_ms), found.state)

    async def _has_moved(self, found: Found) -> bool:
        async with self._database.read() as connection:
            now = await _find(connection, found.record.scope)
        return now is None or (now.record.claim, now.state) != (found.record.claim, found.state)

    async def _runs(self, record: Record, asking: str) -> bool:
        if record.claim in self.running:
            return True
        if record.owner == asking:
            return False
        alive = self._is_alive(record.owner)
        return await alive if inspect.isawaitable(alive) else bool(alive)

    async def _end(self, record: Record, outcome: Outcome) -> None:
        """One that was taken over meanwhile is left to its new owner."""
        changed_ms = int(self._clock.now() * 1000)
        values = {"state": State.DONE, "outcome": _encode(outcome), "changed_ms": changed_ms}
        try:
            await self._change(record, values)
        finally:
            self.running.discard(record.claim)

    async def _change(self, record: Record, values: dict[str, Any], state: State | None = None) -> bool:
        """Whether the claim had its record still, in this state (None: in any)."""
        same = _is(record) if state is None else and_(_is(record), records.c.state == state)
        async with self._database.transaction() as connection:
            changed = await connection.execute(update(records).where(same).values(values))
        return bool(changed.rowcount)


def _is(record: Record) -> ColumnElement[bool]:
    return and_(records.c.scope == record.scope, records.c.claim == record.claim)


def _row(record: Record, body_hash: bytes, now_ms: int) -> dict[str, Any]:
    return {
        "scope": record.scope,
        "body_hash": body_hash,
        "claim": record.claim,
        "owner": record.owner,
        "state": State.CLAIMED,
        "changed_ms": now_ms,
        "outcome": None,
    }


def _insert_unless_there(connection: AsyncConnection, row: dict[str, Any]) -> Insert:
    return insert_into(connection, records).values(row).on_conflict_do_nothing(index_elements=["scope"])


async def _find(connection: AsyncConnection, scope: bytes) -> Found | None:
    row = (await connection.execute(select(records).where(records.c.scope == scope))).one_or_none()
    if row is None:
        return None
    return Found(
        record=Record(row.scope, row.claim, row.owner),
        body_hash=row.body_hash,
        state=State(row.state),
        changed_ms=row.changed_ms,
        outcome=None if row.outcome is None else _decode(row.outcome),
    )
