"""Requests that were let in by counters at a server, and those that nothing limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from hive_edge.limits import Limits, Standing, tokens_of
from hive_edge.valkey.replies import Bucket, Reply

MOST_TOKENS = 10**12
"""Of one request, whatever it says that it used."""

Weigh = Callable[["Counted", int], Awaitable[Reply | None]]
Leave = Callable[["Counted"], asyncio.Task[bool] | None]


class Unlimited:
    """An `Entry` of a key that has no limit."""

    __slots__ = ("used",)
    standing = Standing()
    reserved = 0

    def __init__(self) -> None:
        self.used = 0

    async def weigh(self, body_bytes: int) -> None:
        return None

    def leave(self) -> None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Counted:
    """An `Entry` that the server counts. name: its own, for the set of those that run.

    request, prompt: the buckets just after this request was taken from them. reserved: tokens of it.
    """

    __slots__ = (
        "_has_left",
        "_leave",
        "_weigh",
        "key_id",
        "limits",
        "name",
        "prompt",
        "request",
        "reserved",
        "standing",
        "used",
    )

    def __init__(
        self, key_id: str, name: str, limits: Limits, reply: Reply, reserved: int, weigh: Weigh, leave: Leave
    ) -> None:
        self.key_id = key_id
        self.name = name
        self.limits = limits
        self.request: Bucket | None = reply.requests
        self.prompt: Bucket | None = reply.tokens
        self.reserved = 0 if reply.tokens is None else reserved
        self.standing = reply.standing
        self.used = 0
        self._weigh = weigh
        self._leave = leave
        self._has_left = False

    async def weigh(self, body_bytes: int) -> None:
        if self.limits.tokens is None:
            return
        tokens = tokens_of(body_bytes)
        reply = await self._weigh(self, tokens)
        if reply is None:  # nobody can say now, and that is to stop nobody
            return
        if not reply.enters:
            raise reply.refusal(self.limits, 0, tokens)
        self.prompt, self.reserved, self.standing = reply.tokens, tokens, reply.standing

    def leave(self) -> Awaitable[object] | None:
        telling = self._left()
        # A call of the server has a bound, and ends at once while it is away.
        return None if telling is None else asyncio.wait([telling])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left()

    def _left(self) -> asyncio.Task[bool] | None:
        if self._has_left:
            return None
        self._has_left = True
        return self._leave(self)

    def settlement(self) -> list[str] | None:
        """Arguments for `LEAVE`; None where there is nothing to say."""
        used = min(self.used, MOST_TOKENS)
        if self.prompt is not None and used != self.reserved:
            return [self.name, str(self.reserved), str(used), *self.prompt.claim]
        return [self.name] if self.limits.concurrency is not None else None
