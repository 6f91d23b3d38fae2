"""Taking a request's body in: small ones whole, larger ones straight to blob storage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from zlib import crc32

from hive_relay.asgi import Receive
from hive_relay.frames import INLINE_BODY_BYTES
from hive_runtime.blobs import Blobs
from hive_runtime.errors import HiveError, Kind
from modelhive.relay.v1.relay_pb2 import BlobReference


class ClientGone(Exception):
    """The client closed its connection while it sent the body."""


async def read_body(
    whole: bytes | None, receive: Receive, blobs: Blobs, request_id: str, most: int
) -> bytes | BlobReference:
    """The body, or where it lies. Raises HiveError `too_large` above `most` bytes, ClientGone.

    whole: all of it, where it is here already; None: `receive` brings it.
    """
    parts, more = [whole or b""], whole is None
    size = len(parts[0])
    while more and size <= INLINE_BODY_BYTES:
        part, more = await _next(receive)
        parts.append(part)
        size += len(part)
    if not more and size <= INLINE_BODY_BYTES:
        return b"".join(parts)
    path = f"requests/{request_id}"
    content = _parts(parts, more, receive, most)
    if not blobs.is_shared:  # no other process can be lost with it
        return BlobReference(path=path, size_bytes=await blobs.write(path, content))
    checksum = _Checksum()
    size = await blobs.write(path, checksum.of(content))
    return BlobReference(path=path, size_bytes=size, digest=checksum.digest(size))


class _Checksum:
    """Tells apart what a tenant sends. Nobody gains by two bodies with the same one, so it need not be strong."""

    def __init__(self) -> None:
        self._value = 0

    async def of(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The content, seen."""
        async for part in content:
            self._value = crc32(part, self._value)
            yield part

    def digest(self, size: int) -> bytes:
        return self._value.to_bytes(4, "big") + size.to_bytes(8, "big")


async def _parts(start: list[bytes], more: bool, receive: Receive, most: int) -> AsyncIterator[bytes]:
    size = 0
    for part in start:
        size += len(part)
        yield part
    start.clear()
    while more:
        part, more = await _next(receive)
        size += len(part)
        if size > most:
            raise too_large(most)
        yield part


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


def too_large(most: int) -> HiveError:
    return HiveError(
        Kind.TOO_LARGE, f"The body is larger than the {most // (1024 * 1024)} MiB that are allowed here."
    )
