"""Answers as bytes that come, and how long they may take to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from hive_routing.providers.longtail.answering import DONE, Chunks, Writer
from hive_routing.providers.port import Timeouts
from hive_runtime.errors import HiveError, Kind

T = TypeVar("T")


class Patience:
    """How long one call may still take, from now on."""

    def __init__(self, timeouts: Timeouts, provider: str) -> None:
        self.idle = timeouts.idle
        self._total = timeouts.total
        self._provider = provider
        self._ends_at = asyncio.get_running_loop().time() + self._total

    async def wait(self, work: Awaitable[T], seconds: float, what: str) -> T:
        """What comes within so many seconds; raises HiveError `timeout` that says what did not happen."""
        left = self._ends_at - asyncio.get_running_loop().time()
        told = seconds
        if left < seconds:
            seconds, told, what = left, self._total, "did not finish"
        scope = asyncio.timeout(max(0.0, seconds))
        try:
            async with scope:
                return await work
        except TimeoutError:
            if not scope.expired():
                raise
            message = f"The provider `{self._provider}` {what} within {told:g} s."
            raise HiveError(Kind.TIMEOUT, message) from None


class Once:
    """A body that is there already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data, self._data = self._data, b""
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        self._data = b""


class Events:
    """A stream as server-sent events, one at a time, `[DONE]` at its end."""

    def __init__(
        self,
        chunks: Chunks,
        first: bytes,
        writer: Writer,
        patience: Patience,
        meaning: Callable[[Exception], HiveError],
    ) -> None:
        """first: the event that has come already. meaning: of what the library raises."""
        self._chunks = chunks
        self._first = first
        self._writer = writer
        self._patience = patience
        self._meaning = meaning
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._over:
            raise StopAsyncIteration
        try:
            chunk = await self._patience.wait(anext(self._chunks), self._patience.idle, "sent nothing more")
            return self._writer.event(chunk)
        except StopAsyncIteration:
            self._over = True
            return DONE
        except BaseException as error:
            await self.aclose()
            if isinstance(error, HiveError) or not isinstance(error, Exception):
                raise
            raise self._meaning(error) from None

    async def aclose(self) -> None:
        """The library closes quietly, and only once."""
        self._first, self._over = b"", True
        await self._chunks.aclose()
