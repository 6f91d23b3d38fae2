"""Taking a request's body in: small ones whole, larger ones straight to blob storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from hashlib import blake2b

from hive_relay.asgi import Receive
from hive_relay.frames import INLINE_BODY_BYTES
from hive_runtime.blobs import Blobs
from hive_runtime.errors import HiveError, Kind
from modelhive.relay.v1.relay_pb2 import BlobReference


class ClientGone(Exception):
    """The client closed its connection while it sent the body."""


async def read_body(
    receive: Receive, blobs: Blobs, request_id: str, declared: int | None, most: int
) -> bytes | BlobReference:
    """The body, or where it lies. Raises HiveError `too_large` above `most` bytes, ClientGone.

    declared: the client's Content-Length, where it gave one.
    """
    if declared is not None and declared > most:
        raise _too_large(most)
    message = await _next(receive)
    if not message[1] and len(message[0]) <= INLINE_BODY_BYTES:
        return message[0]
    start = bytearray(message[0])
    more = message[1]
    while more and len(start) <= INLINE_BODY_BYTES:
        part, more = await _next(receive)
        start += part
    if not more and len(start) <= INLINE_BODY_BYTES:
        return bytes(start)
    path = f"requests/{request_id}"
    digest = blake2b(digest_size=16)
    size = await blobs.write(path, _parts(bytes(start), more, receive, most, digest.update))
    return BlobReference(path=path, size_bytes=size, digest=digest.digest())


async def _parts(
    start: bytes, more: bool, receive: Receive, most: int, see: Callable[[bytes], None]
) -> AsyncIterator[bytes]:
    size = len(start)
    see(start)
    yield start
    while more:
        part, more = await _next(receive)
        size += len(part)
        if size > most:
            raise _too_large(most)
        see(part)
        yield part


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


def _too_large(most: int) -> HiveError:
    return HiveError(
        Kind.TOO_LARGE, f"The body is larger than the {most // (1024 * 1024)} MiB that are allowed here."
    )
