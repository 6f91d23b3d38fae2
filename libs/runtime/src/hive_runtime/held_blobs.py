"""Blobs that one process writes and reads itself: in memory while there is room, else where all others lie."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from hive_runtime.blobs import Blobs
from hive_runtime.clock import Clock

HELD_BYTES = 64 * 1024 * 1024


class _Held(NamedTuple):
    """A blob in memory. written: Unix seconds."""

    content: bytes
    written: float


class HeldBlobs:
    """Nothing is copied to a file, and nothing read back, of what fits.

    Only for a process that is alone: another one would not find what lies here, and it does not outlast this one.
    So no other process may wait for what it writes, as none does for the body of a request that this one answers.
    """

    is_shared = False

    def __init__(self, beyond: Blobs, clock: Clock, most: int = HELD_BYTES) -> None:
        """beyond: takes what is too much. most: bytes of all blobs, and of what is being written."""
        self._beyond = beyond
        self._clock = clock
        self._most = most
        self._bytes = 0
        self._held: dict[str, _Held] = {}
        self._spilled: set[str] = set()

    @property
    def held_bytes(self) -> int:
        """Bytes in memory, of whole blobs and of those that are being written."""
        return self._bytes

    async def write(self, path: str, content: AsyncIterator[bytes]) -> int:
        parts: list[bytes] = []
        size = 0
        try:
            async for part in content:
                if self._bytes + len(part) > self._most:
                    return await self._spill(path, _behind(parts, part, content))
                parts.append(part)
                size += len(part)
                self._bytes += len(part)
            self._drop(path)
            self._held[path] = _Held(parts[0] if len(parts) == 1 else b"".join(parts), self._clock.now())
            self._bytes += size
        finally:
            self._bytes -= size
        return size

    async def read(self, path: str) -> AsyncIterator[bytes]:
        """In one part, what lies in memory."""
        held = self._held.get(path)
        if held is not None:
            yield held.content
            return
        async for part in self._beyond.read(path):
            yield part

    async def delete(self, path: str) -> None:
        if not self._drop(path) or path in self._spilled:
            self._spilled.discard(path)
            await self._beyond.delete(path)

    async def sweep(self, prefix: str, older_than: float) -> int:
        before = self._clock.now() - older_than
        old = [
            path
            for path, held in self._held.items()
            if path.startswith(f"{prefix}/") and held.written < before
        ]
        for path in old:
            self._drop(path)
        return len(old) + await self._beyond.sweep(prefix, older_than)

    async def _spill(self, path: str, content: AsyncIterator[bytes]) -> int:
        size = await self._beyond.write(path, content)
        self._drop(path)
        self._spilled.add(path)
        return size

    def _drop(self, path: str) -> bool:
        """Whether there was something in memory."""
        held = self._held.pop(path, None)
        if held is not None:
            self._bytes -= len(held.content)
        return held is not None


async def _behind(parts: list[bytes], part: bytes, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """All of it again, what was taken already first; `parts` is empty in the end."""
    parts.reverse()
    while parts:
        yield parts.pop()
    yield part
    async for each in content:
        yield each
