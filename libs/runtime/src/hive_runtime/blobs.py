"""Bodies too large for an envelope: streamed in, streamed out, deleted when used, swept when forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import obstore
from obstore.store import LocalStore, ObjectStore

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

PART_BYTES = 256 * 1024


class Blobs(Protocol):
    async def write(self, path: str, content: AsyncIterator[bytes]) -> int:
        """Store the whole of `content`, or nothing where it raises; returns its size in bytes."""
        ...

    def read(self, path: str) -> AsyncIterator[bytes]:
        """The content in parts; raises HiveError `not_found` where there is none."""
        ...

    async def delete(self, path: str) -> None:
        """Remove the blob; no error where there is none."""
        ...

    async def sweep(self, prefix: str, older_than: float) -> int:
        """Delete what lies below `prefix` and is older than so many seconds; returns how many."""
        ...


class ObjectBlobs:
    """Blobs in an object store; nothing is ever held whole in memory."""

    def __init__(self, store: ObjectStore, clock: Clock, folder: Path | None = None) -> None:
        """folder: where the store keeps its files, if it is a local one."""
        self._store = store
        self._clock = clock
        self._folder = folder

    @classmethod
    def in_folder(cls, folder: Path, clock: Clock) -> ObjectBlobs:
        folder.mkdir(parents=True, exist_ok=True)
        return cls(LocalStore(folder), clock, folder)

    async def write(self, path: str, content: AsyncIterator[bytes]) -> int:
        size = 0
        async with obstore.open_writer_async(self._store, path, buffer_size=PART_BYTES) as writer:
            async for part in content:
                await writer.write(part)
                size += len(part)
        return size

    async def read(self, path: str) -> AsyncIterator[bytes]:
        try:
            found = await self._store.get_async(path)
        except FileNotFoundError:
            raise HiveError(Kind.NOT_FOUND, f"there is no blob {path!r}") from None
        async for part in found.stream(min_chunk_size=PART_BYTES):
            yield bytes(part)

    async def delete(self, path: str) -> None:
        try:
            await self._store.delete_async(path)
        except FileNotFoundError:
            return

    async def sweep(self, prefix: str, older_than: float) -> int:
        limit = datetime.fromtimestamp(self._clock.now() - older_than, UTC)
        old = [
            meta["path"]
            async for page in self._store.list(prefix)
            for meta in page
            if meta["last_modified"] < limit
        ]
        for path in old:
            await self.delete(path)
        drafts = 0
        if self._folder is not None:
            drafts = await asyncio.to_thread(_drop_drafts, self._folder / prefix, limit.timestamp())
        return len(old) + drafts


def _drop_drafts(folder: Path, before: float) -> int:
    """Delete what a killed process had begun to write: the store keeps it as `name#number` and lists it not."""
    drafts = [path for path in folder.rglob("*#*") if path.stat().st_mtime < before]
    for path in drafts:
        path.unlink(missing_ok=True)
    return len(drafts)
