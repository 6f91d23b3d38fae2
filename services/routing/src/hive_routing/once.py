"""A request that carries an Idempotency-Key is answered once: the same key again gets the same answer.

The key is claimed before anything is asked, noted as dispatched before a provider may hear of it, and its answer is
kept before the last byte of it leaves. So whatever dies in between, a second call is either answered from what is
kept, run again because nothing had been sent, or told that nobody knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from hive_routing.answers import Send
from hive_routing.idempotency import IdempotencyStore, Record, Replay, Scope, hash_body, read_key
from hive_routing.idempotency.records import MAX_BODY_BYTES
from hive_routing.visit import Caller
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

REPLAYED = (b"idempotent-replayed", b"true")
_FINAL = frozenset({Kind.INVALID, Kind.TOO_LARGE, Kind.UNSUPPORTED_MEDIA, Kind.METHOD_NOT_ALLOWED})
"""Errors that the same request meets again, once a provider has named them; all others may be gone by then."""


class Once:
    """owner: the name of this start of this process."""

    def __init__(self, store: IdempotencyStore, owner: str, clock: Clock) -> None:
        self._store = store
        self._owner = owner
        self._clock = clock

    @asynccontextmanager
    async def claim(self, caller: Caller, path: str, body: bytes, send: Send) -> AsyncIterator[Send | None]:
        """Gives the way to send the one answer, or None where the one of before was sent.

        Raises HiveError `invalid` where the key came with another body, `conflict` where it is being answered, and
        `internal` (`outcome_unknown`) where the process that answered it died with the answer.
        """
        assert caller.idempotency_key is not None
        key = read_key(caller.idempotency_key.encode("latin-1"))
        scope = Scope(caller.payer.key_id, "POST", path, key)
        now_ms = round(self._clock.now() * 1000)
        claim = await self._store.claim(scope, hash_body(body), self._owner, now_ms)
        if isinstance(claim, Replay):
            caller.handling.replayed = True
            await _replay(claim, caller, send)
            yield None
            return
        recording = _Recording(self._store, claim.record, send)
        caller.go = recording.after(caller.go)
        try:
            yield recording
        except BaseException as error:
            await asyncio.shield(recording.failed(error))
            raise


class _Recording:
    """A way to send that keeps what passes."""

    def __init__(self, store: IdempotencyStore, record: Record, send: Send) -> None:
        self._store = store
        self._record = record
        self._send = send
        self._status = 200
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._streamed = False
        self._dispatched = False
        self._kept = False

    def after(self, go: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """`go`, and the note that a provider may hear of the request from now on."""

        async def note() -> None:
            await go()
            if not self._dispatched:
                await self._store.dispatched(self._record)
                self._dispatched = True

        return note

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
        elif body := message.get("body", b""):
            if (
                self._size <= MAX_BODY_BYTES
            ):  # with the first byte too many the store knows that it is too large
                self._chunks.append(body)
            self._size += len(body)
        if message["type"] == "http.response.body":
            self._streamed = self._streamed or bool(message.get("more_body"))
            if not message.get("more_body"):
                await self._keep()
        await self._send(message)

    async def failed(self, error: BaseException) -> None:
        """Without an answer that was kept, the key is free again, but for what will not change."""
        if self._kept:
            return
        if isinstance(error, HiveError) and error.kind in _FINAL and self._dispatched:
            await self._store.done_error(self._record, error)
        else:
            await self._store.release(self._record)

    async def _keep(self) -> None:
        done = self._store.done(self._record, self._status, self._headers, self._chunks, self._streamed)
        self._kept = True  # a caller that leaves meanwhile finds it when it asks again
        await asyncio.shield(done)


async def _replay(claim: Replay, caller: Caller, send: Send) -> None:
    await caller.go()
    headers = [*claim.headers, REPLAYED]
    await send({"type": "http.response.start", "status": claim.status, "headers": headers})
    await send({"type": "http.response.body", "body": claim.body, "more_body": False})
