"""The connection to a Valkey server, against servers that do what real ones rarely do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError
from hive_runtime.valkey import connection
from hive_runtime.valkey.circuit import FAILURES
from hive_runtime.valkey.client import NetworkValkey
from hive_runtime.valkey.resp import Malformed, Refusal, Replies, command
from hive_testing.certificates import self_signed

BOUND = 20
"""Seconds, for what takes a fraction of one on an idle machine."""
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def heard(reader: asyncio.StreamReader) -> list[bytes]:
    """The next command."""
    count = int((await reader.readline())[1:])
    said = []
    for _ in range(count):
        size = int((await reader.readline())[1:])
        said.append((await reader.readexactly(size + 2))[:-2])
    return said


async def get(client: NetworkValkey, key: str) -> bytes | None:
    """Once it answers."""
    async with asyncio.timeout(BOUND):
        while True:
            try:
                return await client.get(key)
            except HiveError:
                await asyncio.sleep(0.01)


STREAM = (
    b"+OK\r\n+PONG\r\n:-7\r\n$-1\r\n$0\r\n\r\n$5\r\na\r\nbc\r\n*-1\r\n*3\r\n*0\r\n$1\r\nx\r\n:1\r\n"
    b"-ERR no\r\n$2\r\nno\r\n"
)
REPLIES = ["OK", b"PONG", -7, None, b"", b"a\r\nbc", None, [[], b"x", 1], "ERR no", b"no"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, len(STREAM)])
def test_replies_are_the_same_however_they_are_cut(size: int) -> None:
    replies = Replies()
    found = [each for at in range(0, len(STREAM), size) for each in replies.feed(STREAM[at : at + size])]
    assert [str(each) if isinstance(each, Refusal) else each for each in found] == REPLIES


@pytest.mark.parametrize("data", [b"?\r\n", b"$x\r\n", b"*1\r\n!\r\n", b"HTTP/1.1 400 Bad Request\r\n"])
def test_what_is_no_reply(data: bytes) -> None:
    with pytest.raises(Malformed):
        Replies().feed(data)


def test_a_command_is_made_of_bytes_and_text() -> None:
    assert command(["SET", b"\r\n", "ü"]) == b"*3\r\n$3\r\nSET\r\n$2\r\n\r\n\r\n$2\r\n\xc3\xbc\r\n"


async def test_an_answer_that_comes_too_late_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SILENT_SECONDS", BOUND)
    monkeypatch.setattr(connection, "LATE_SECONDS", BOUND)
    late = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"+OK\r\n")
        while True:
            _, key = await heard(reader)
            if key == b"slow":
                await late.wait()
            writer.write(b"$4\r\n" + key + b"\r\n")

    async with served(serve) as url:
        client = NetworkValkey(url, SystemClock(), call_seconds=0.2)
        assert await get(client, "fast") == b"fast"
        with pytest.raises(HiveError):
            await client.get("slow")
        late.set()
        assert await get(client, "next") == b"next"
        await client.close()


async def test_a_connection_that_says_nothing_more_is_replaced() -> None:
    number = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        is_first = number == 1
        await heard(reader)
        writer.write(b"+OK\r\n")
        while await heard(reader):
            if not is_first:
                writer.write(b"$-1\r\n")

    async with served(serve) as url:
        client = NetworkValkey(url, SystemClock(), call_seconds=0.2)
        assert await get(client, "key") is None
        assert number >= 2
        await client.close()


async def test_an_answer_that_takes_long_to_come_does_not_end_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(connection, "LATE_SECONDS", BOUND)
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await heard(reader)
        writer.write(b"+OK\r\n")
        await heard(reader)
        writer.write(b"$20\r\n")
        for _ in range(20):
            await asyncio.sleep(0.05)
            writer.write(b"x")
        writer.write(b"\r\n")
        while await heard(reader):
            writer.write(b"$-1\r\n")

    async with served(serve) as url:
        client = NetworkValkey(url, SystemClock(), call_seconds=0.1)
        with pytest.raises(HiveError):
            await client.get("large")
        assert await get(client, "key") is None
        assert connections == 1
        await client.close()


async def test_an_answer_that_never_ends_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LATE_SECONDS", 0.2)
    number = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        is_first = number == 1
        await heard(reader)
        writer.write(b"+OK\r\n")
        while await heard(reader):
            writer.write(b"$1000000\r\n" if is_first else b"$-1\r\n")
            while is_first:
                await asyncio.sleep(0.01)
                writer.write(b"x")
                await writer.drain()

    async with served(serve) as url:
        client = NetworkValkey(url, SystemClock(), call_seconds=0.1)
        assert await get(client, "key") is None
        assert number >= 2
        await client.close()


async def test_what_cannot_be_said_takes_nobodys_answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"+OK\r\n")
        while said := await heard(reader):
            writer.write(b"$1\r\n" + said[1] + b"\r\n")

    async with served(serve) as url:
        client = NetworkValkey(url, SystemClock(), call_seconds=BOUND)
        assert await client.get("a") == b"a"
        keys = ("a", "\ud800", "b", "c")
        a, error, b, c = await asyncio.gather(*map(client.get, keys), return_exceptions=True)
        assert isinstance(error, UnicodeEncodeError)
        assert (a, b, c) == (b"a", b"b", b"c")
        await client.close()


async def test_a_server_whose_certificate_a_private_authority_has_signed(tmp_path: Path) -> None:
    key, certificate = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    # As bundles of operating systems say whose each certificate is.
    certificate.write_text("# Főtanúsítvány\n" + certificate.read_text(), encoding="utf-8")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"+OK\r\n")
        while await heard(reader):
            writer.write(b"$-1\r\n")

    async with served(serve, tls) as url:
        url = url.replace("redis://127.0.0.1", "rediss://localhost")
        client = NetworkValkey(f"{url}?ca={certificate}", SystemClock(), call_seconds=BOUND)
        assert await client.get("key") is None
        await client.close()
        stranger = NetworkValkey(url, SystemClock(), call_seconds=BOUND)
        with pytest.raises(HiveError) as raised:
            await stranger.get("key")
        assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)
        await stranger.close()


async def test_what_makes_no_sense_ends_the_connection_and_what_is_under_way() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"+OK\r\n")
        await heard(reader)
        await heard(reader)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n")
        await reader.read()

    async with served(serve) as url:
        client = NetworkValkey(url, SystemClock(), call_seconds=BOUND)
        async with asyncio.timeout(BOUND):
            ended = await asyncio.gather(client.get("a"), client.get("b"), return_exceptions=True)
        assert {type(each) for each in ended} == {HiveError}
        await client.close()


async def test_all_first_calls_share_one_connection_which_outlives_who_asked_for_it() -> None:
    connections = 0
    ready = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await heard(reader)
        await ready.wait()
        writer.write(b"+OK\r\n")
        while await heard(reader):
            writer.write(b"$-1\r\n")

    async with served(serve) as url:
        client = NetworkValkey(url, SystemClock(), call_seconds=BOUND)
        calls = [asyncio.ensure_future(client.get("key")) for _ in range(10)]
        await asyncio.sleep(0)
        calls[0].cancel()
        ready.set()
        assert await asyncio.gather(*calls[1:]) == [None] * 9
        assert connections == 1
        await client.close()


async def test_whoever_is_not_let_in_is_as_one_whose_server_is_away() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await heard(reader):
            writer.write(b"-WRONGPASS invalid username-password pair\r\n")

    async with served(serve) as url:
        client = NetworkValkey(url.replace("//", "//:no@"), SystemClock(), call_seconds=BOUND)
        for _ in range(FAILURES):
            with pytest.raises(HiveError):
                await client.get("key")
        assert client.trouble == "WRONGPASS invalid username-password pair"
        await client.close()
