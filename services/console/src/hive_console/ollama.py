"""Asks an Ollama which models it has."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import msgspec

SECONDS = 2.0
MOST_BYTES = 1024 * 1024


class Listed(msgspec.Struct):
    id: str


class Answer(msgspec.Struct):
    data: list[Listed] | None = None


async def list_models(base_url: str) -> list[str] | None:
    """The names that `GET {base_url}/models` lists; None where nobody listens there.

    Raises TimeoutError after `SECONDS`, and ValueError for an answer that is no list of models.
    """
    try:
        async with asyncio.timeout(SECONDS):
            answer = await _get(f"{base_url}/models")
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0] + b" ":
        raise ValueError(f"{base_url} answered {head[:60]!r} to a request for its models")
    try:
        found = msgspec.json.decode(body, type=Answer)
    except msgspec.DecodeError as error:
        raise ValueError(f"{base_url} answered no list of models: {error}") from None
    return [model.id for model in found.data or ()]


async def _get(url: str) -> bytes:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        # HTTP/1.0: the answer comes in one piece and ends with the connection.
        writer.write(f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
        await writer.drain()
        return await _read(reader)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    while part := await reader.read(65_536):
        answer += part
        if len(answer) > MOST_BYTES:
            raise ValueError(f"the list of models is longer than {MOST_BYTES} bytes")
    return bytes(answer)
