"""Bodies too large for an envelope: streamed in, streamed out, deleted when used, swept when forgotten.

What reads and writes them is imported for the first one: it is 5 MB and three threads, and most processes see none.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

if TYPE_CHECKING:
    from obstore import AsyncWritableFile, Bytes, GetResult
    from obstore.store import ObjectStore, S3Store

T = TypeVar("T")

PART_BYTES = 1024 * 1024
"""What is read or written at once: each time is a step of threads that are not ours, and few are cheaper."""
S3_PART_BYTES = 5 * 1024 * 1024
"""S3 takes no smaller part of an upload, but for the last one."""
S3_PARTS_AT_ONCE = 2
STALL_SECONDS = 20.0
"""How long the storage may take for one step: a part in, a part out."""


class Blobs(Protocol):
    """Every method raises HiveError `unavailable` where the storage is away, or does not answer.

    is_shared: other processes may read what this one writes.
    """

    is_shared: bool

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


def blobs_of(url: str, data_dir: Path, clock: Clock) -> ObjectBlobs:
    """What the URL names: `file:///folder`, `s3://bucket/prefix?endpoint=…&region=…`, or nothing: the data folder.

    S3's credentials are those of its own variables (`AWS_ACCESS_KEY_ID`, …) or of the machine. ValueError for
    anything else.
    """
    if not url:
        return ObjectBlobs.in_folder(data_dir / "blobs", clock)
    parts = urlsplit(url)
    folder = Path(unquote(parts.path))
    if parts.scheme == "file" and not parts.netloc and folder.is_absolute():
        return ObjectBlobs.in_folder(folder, clock)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme == "s3" and parts.hostname and not parts.username and options.keys() <= _S3_OPTIONS:
        store = _s3(parts.netloc, unquote(parts.path).strip("/"), **options)
        return ObjectBlobs(lambda: store, clock, S3_PART_BYTES)
    raise ValueError("give file:///<folder> or s3://<bucket>/<prefix>?endpoint=<url>&region=<name>")


_S3_OPTIONS = {"endpoint", "region"}


def _s3(bucket: str, prefix: str, endpoint: str | None = None, region: str = "us-east-1") -> S3Store:
    from obstore.store import S3Store

    return S3Store(
        bucket,
        prefix=prefix or None,
        endpoint=endpoint,
        region=region,
        virtual_hosted_style_request=endpoint is None,
        # `timeout` is for a whole object; each step has a bound of its own.
        client_options={"allow_http": True, "connect_timeout": "3s", "timeout": "10m"},
        retry_config={
            "max_retries": 2,
            "retry_timeout": timedelta(seconds=10),
            "backoff": {
                "init_backoff": timedelta(seconds=0.1),
                "max_backoff": timedelta(seconds=1),
                "base": 2,
            },
        },
    )


class ObjectBlobs:
    """Blobs in an object store; of none is more than a part in memory."""

    is_shared = True

    def __init__(
        self,
        open: Callable[[], ObjectStore],
        clock: Clock,
        part_bytes: int = PART_BYTES,
        folder: Path | None = None,
    ) -> None:
        """open: the store, when the first blob is asked for. part_bytes: what is written at once.

        folder: where the store keeps its files, if it is a local one.
        """
        self._open = open
        self._clock = clock
        self._part_bytes = part_bytes
        self._folder = folder

    @classmethod
    def in_folder(cls, folder: Path, clock: Clock) -> ObjectBlobs:
        folder.mkdir(parents=True, exist_ok=True)

        def store() -> ObjectStore:
            from obstore.store import LocalStore

            return LocalStore(folder)

        return cls(store, clock, folder=folder)

    @cached_property
    def _store(self) -> ObjectStore:
        return self._open()

    async def write(self, path: str, content: AsyncIterator[bytes]) -> int:
        parts = _gathered(content, self._part_bytes)
        first = await anext(parts, b"")
        if len(first) < self._part_bytes:
            async with _in_time():
                await self._store.put_async(path, first, use_multipart=False)
            return len(first)
        async with self._writer(path) as writer:
            size = await _written(writer, first)
            del first
            async for part in parts:
                size += await _written(writer, part)
        return size

    async def read(self, path: str) -> AsyncIterator[bytes]:
        try:
            async with _in_time():
                found = await self._store.get_async(path)
            async for part in self._parts(path, found):
                yield bytes(part)
        except FileNotFoundError:
            raise HiveError(Kind.NOT_FOUND, f"there is no blob {path!r}") from None

    async def delete(self, path: str) -> None:
        try:
            async with _in_time():
                await self._store.delete_async(path)
        except FileNotFoundError:
            return

    async def sweep(self, prefix: str, older_than: float) -> int:
        before = self._clock.now() - older_than
        if self._folder is not None:
            with _away_in_words():
                return await asyncio.to_thread(_sweep_folder, self._folder / prefix, before)
        limit = datetime.fromtimestamp(before, UTC)
        old = [
            meta["path"]
            async for page in _each_in_time(self._store.list(prefix))
            for meta in page
            if meta["last_modified"] < limit
        ]
        for path in old:
            await self.delete(path)
        return len(old)

    async def _parts(self, path: str, found: GetResult) -> AsyncIterator[bytes | Bytes]:
        size = found.meta["size"]
        if size <= PART_BYTES:
            async with _in_time():
                whole = await found.bytes_async()
            yield whole
        elif self._folder is None:
            async for part in _each_in_time(found.stream(min_chunk_size=PART_BYTES)):
                yield part
        else:  # the stream of a file comes in steps of 8 KiB
            for start in range(0, size, PART_BYTES):
                end = min(start + PART_BYTES, size)
                async with _in_time():
                    piece = await self._store.get_range_async(path, start=start, end=end)
                yield piece

    @asynccontextmanager
    async def _writer(self, path: str) -> AsyncIterator[AsyncWritableFile]:
        """What is written to it is there at the end, whole; nothing of it where it raises."""
        from obstore import open_writer_async

        writer = open_writer_async(
            self._store, path, buffer_size=self._part_bytes, max_concurrency=S3_PARTS_AT_ONCE
        )
        await writer.__aenter__()
        try:
            yield writer
        except BaseException:
            await writer.__aexit__(*sys.exc_info())
            raise
        async with _in_time():
            await writer.close()


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Around one step of the storage."""
    with _away_in_words():
        async with asyncio.timeout(STALL_SECONDS):
            yield


@contextmanager
def _away_in_words() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        if not (isinstance(error, OSError | TimeoutError) or _is_of_store(error)):
            raise
        message = "The storage for large bodies is not available just now. Try again in a moment."
        raise HiveError(Kind.UNAVAILABLE, message, retry_after=1) from error


def _is_of_store(error: Exception) -> bool:
    from obstore.exceptions import BaseError

    return isinstance(error, BaseError)


async def _written(writer: AsyncWritableFile, part: bytes) -> int:
    async with _in_time():
        await writer.write(part)
    return len(part)


async def _gathered(content: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same in parts of at least so many bytes, but for the last one."""
    gathered: list[bytes] = []
    count = 0
    async for part in content:
        gathered.append(part)
        count += len(part)
        if count >= size:
            yield gathered[0] if len(gathered) == 1 else b"".join(gathered)
            gathered.clear()
            count = 0
    if gathered:
        yield gathered[0] if len(gathered) == 1 else b"".join(gathered)


async def _each_in_time(found: AsyncIterable[T]) -> AsyncIterator[T]:
    steps = found.__aiter__()
    while True:
        try:
            async with _in_time():
                each = await steps.__anext__()
        except StopAsyncIteration:
            return
        yield each


def _sweep_folder(folder: Path, before: float) -> int:
    """Delete the files that are older, and count them.

    Also what a killed process had begun to write: a store keeps it as `name#number`, and lists it not.
    """
    count = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # others sweep too
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                count += 1
    return count
