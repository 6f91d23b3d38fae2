"""Whether a broker answers: asked every few seconds, and at once where something went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from hive_bus.kafka.address import Address
from hive_bus.kafka.library import ABSENCE
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

ASK_SECONDS = 2.0
AGAIN_SECONDS = 0.25
PATIENCE_MS = 2_000


class Reach:
    """One small connection that is asked for the metadata of no topic.

    trouble: words about a broker that does not answer, None while one does. `known` is set once that was found
    out for the first time; `there` is set while one answers. `lost` are called when none answers any more.
    """

    def __init__(self, address: Address, client_id: str, clock: Clock) -> None:
        self.trouble: str | None = None
        self.since: float | None = None
        """When the trouble began, in monotonic seconds."""
        self.known = asyncio.Event()
        self.there = asyncio.Event()
        self.lost: list[Callable[[], None]] = []
        self._address = address
        self._client_id = client_id
        self._clock = clock
        self._connection: Any = None
        self._others: list[tuple[str, int]] = []
        self._ask = asyncio.Event()

    def doubt(self) -> None:
        """Something went wrong: ask at once."""
        self._ask.set()

    def error(self) -> HiveError:
        """What a publisher is told."""
        words = self.trouble or f"the connection to {self._address.words} is being made again"
        return HiveError(Kind.UNAVAILABLE, f"The bus cannot pass this on: {words}.")

    async def watch(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                self._ask.clear()
                self._conclude(await self._answer())
                with suppress(TimeoutError):
                    async with asyncio.timeout(ASK_SECONDS if self.trouble is None else AGAIN_SECONDS):
                        await self._ask.wait()
        finally:
            await self._close()

    def _conclude(self, error: Exception | None) -> None:
        if error is None:
            self.trouble = self.since = None
            self.there.set()
        else:
            was_there = self.there.is_set() or not self.known.is_set()
            self.trouble = f"no broker answers at {self._address.words}: {_words(error)}"
            self.there.clear()
            if was_there:
                self.since = self._clock.monotonic()
                for tell in self.lost:
                    tell()
        self.known.set()

    async def _answer(self) -> Exception | None:
        """Ask the connection that there is, else each server in turn; the last error where none answers."""
        if self._connection is not None and await self._asked(self._connection) is None:
            return None
        await self._close()
        error: Exception | None = None
        # Brokers that were heard of may be there where those of the URL are not.
        for host, port in dict.fromkeys([*self._servers(), *self._others]):
            try:
                connection = await create_conn(host, port, **self._arguments())
            except ABSENCE as failed:
                error = failed
                continue
            error = await self._asked(connection)
            if error is None:
                self._connection = connection
                return None
            connection.close()
        return error

    async def _asked(self, connection: Any) -> Exception | None:
        try:
            answer = await connection.send(MetadataRequest([]))
        except ABSENCE as error:
            return error
        self._others = [(host, port) for _, host, port, *_ in answer.brokers]
        return None

    def _servers(self) -> Iterator[tuple[str, int]]:
        for server in self._address.servers:
            host, _, port = server.rpartition(":")
            yield host.strip("[]"), int(port)

    def _arguments(self) -> dict[str, Any]:
        found = self._address.connection(self._client_id)
        del found["bootstrap_servers"], found["metadata_max_age_ms"]
        return found | {
            "request_timeout_ms": PATIENCE_MS,
            "on_close": self._ended,
        }

    def _ended(self, connection: Any, reason: object) -> None:
        if connection is self._connection:
            self.doubt()

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection._on_close_cb = None
            closing = connection.close()
            if closing is not None:
                with suppress(Exception):
                    await asyncio.wait_for(closing, 1.0)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
