"""The store on a server: its blocking client in two threads of this process, one that writes and one that reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from hive_analytics.olap.port import Arrived
from hive_runtime.errors import HiveError, Kind

if TYPE_CHECKING:
    from hive_analytics.olap.warehouse import Warehouse

log = structlog.get_logger(__name__)

T = TypeVar("T")


class ThreadOlap:
    """open: connects and makes the tables; called by the writing thread, at the first call and until it works."""

    def __init__(self, open: Callable[[], Warehouse]) -> None:
        self._open = open
        self._warehouse: Warehouse | None = None
        self._writing = ThreadPoolExecutor(1, "analytics-writing")
        self._reading = ThreadPoolExecutor(1, "analytics-reading")
        self._failure: str | None = None
        self._closed = False

    @property
    def opened(self) -> bool:
        return self._warehouse is not None

    @property
    def failure(self) -> str | None:
        return self._failure

    async def insert(self, family: str, rows: Sequence[bytes]) -> Arrived:
        return await self._run(self._writing, lambda warehouse: warehouse.insert(family, rows))

    async def refresh(self, hours: int) -> int:
        return await self._run(self._writing, lambda warehouse: warehouse.refresh(hours))

    async def select(
        self, sql: str, parameters: Mapping[str, Any], seconds: float, *, alone: bool = False
    ) -> list[list[Any]]:
        if alone:
            return await self._run(
                self._writing, lambda warehouse: warehouse.select_alone(sql, parameters, seconds)
            )
        return await self._run(self._reading, lambda warehouse: warehouse.select(sql, parameters, seconds))

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._writing.shutdown)
        await asyncio.to_thread(self._reading.shutdown)
        if self._warehouse is not None:
            self._warehouse.close()
            self._warehouse = None

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[Warehouse], T]) -> T:
        if self._closed:
            raise HiveError(Kind.UNAVAILABLE, "the analytical store is shutting down")
        loop = asyncio.get_running_loop()
        try:
            warehouse = self._warehouse
            if warehouse is None:
                warehouse = await loop.run_in_executor(self._writing, self._opened)
            result = await loop.run_in_executor(threads, work, warehouse)
        except HiveError as error:
            self._failure = error.message if error.kind is Kind.UNAVAILABLE else None
            raise
        except Exception as error:
            log.error("the analytical store failed", exc_info=error)
            self._failure = f"the analytical store failed: {type(error).__name__}"
            raise HiveError(Kind.UNAVAILABLE, self._failure) from error
        self._failure = None
        return result

    def _opened(self) -> Warehouse:
        if self._warehouse is None:
            self._warehouse = self._open()
        return self._warehouse
