"""The HTTP client against servers that do as they please; each test runs on both event loops."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from hive_routing.providers.http1 import Client, Response
from hive_routing.providers.http1.connection import Connection
from hive_routing.providers.http1.response import MAX_BUFFERED_BYTES, MAX_INFLATED_BYTES
from hive_routing.providers.port import Timeouts
from hive_runtime.errors import HiveError, Kind
from hive_testing.certificates import self_signed

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
PATIENT = Timeouts(connect=2, first_byte=2, idle=2, total=5)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

Handler = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's side of one connection."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.asked = False
        self.closed = asyncio.Event()
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        head = await self._reader.readuntil(b"\r\n\r\n")
        body = await self._reader.readexactly(2)
        self.asked = True
        return head + body

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def cut(self) -> None:
        if not self._writer.is_closing():  # both ends may have gone at the same moment
            self._writer.transport.abort()

    async def until_left(self) -> None:
        """Wait until the client closes its end."""
        while await self._reader.read(65_536):
            pass
        self.closed.set()


class Server:
    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.handlers: list[asyncio.Task[None] | None] = []
        self.port = 0


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(server.peers) + 1, reader, writer)
        server.peers.append(peer)
        server.handlers.append(asyncio.current_task())
        try:
            await handler(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            peer.closed.set()
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for peer in server.peers:
            peer.cut()
        async with asyncio.timeout(2):
            await asyncio.gather(*filter(None, server.handlers), return_exceptions=True)


async def call(client: Client, timeouts: Timeouts = PATIENT) -> bytes:
    response = await client.send(REQUEST, b"{}", timeouts)
    return await read(response)


async def read(response: Response) -> bytes:
    return b"".join([part async for part in response])


async def failing(client: Client, timeouts: Timeouts = PATIENT) -> HiveError:
    with pytest.raises(HiveError) as raised:
        await call(client, timeouts)
    return raised.value


async def asked(server: Server) -> None:
    """Wait until a first request has arrived."""
    async with asyncio.timeout(2):
        while not server.peers or not server.peers[0].asked:
            await asyncio.sleep(0.001)


async def gone(peer: Peer) -> None:
    async with asyncio.timeout(1):
        await peer.closed.wait()


async def test_a_connection_is_kept_for_the_next_call() -> None:
    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(OK)

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        assert [await call(client) for _ in range(3)] == [b"ok"] * 3
        assert len(server.peers) == 1
        client.close()
        await gone(server.peers[0])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        OK + b"surplus",
    ],
)
async def test_a_connection_that_cannot_be_kept_is_not(answer: bytes) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer)
        await peer.until_left()

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        assert [await call(client) for _ in range(2)] == [b"ok"] * 2
        assert len(server.peers) == 2


async def test_a_call_that_was_perhaps_heard_is_not_made_again() -> None:
    """The server takes the second request and closes: it may have worked on it."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number == 1:
            await peer.request()
        else:
            await peer.until_left()

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        assert await call(client) == b"ok"
        with pytest.raises(HiveError) as caught:
            await call(client)
        assert caught.value.kind is Kind.UPSTREAM_FAILED and len(server.peers) == 1
        client.close()


async def test_a_fresh_connection_that_is_closed_is_a_failure() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()

    async with serving(handler) as server:
        error = await failing(Client("sim", "127.0.0.1", server.port))
        assert error.kind is Kind.UPSTREAM_FAILED
        assert "without an answer" in error.message
        assert len(server.peers) == 1


@pytest.mark.parametrize("begun", [False, True])
async def test_leaving_closes_the_socket_at_once(begun: bool) -> None:
    """Both while waiting for the head and while reading the body."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        if begun:
            await peer.say(CHUNKED + b"2\r\nok\r\n")
        await peer.until_left()

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        task = asyncio.create_task(call(client))
        await asked(server)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone(server.peers[0])


async def test_closing_the_body_early_closes_the_socket() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"2\r\nok\r\n")
        await peer.until_left()

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        assert await response.__anext__() == b"ok"
        await response.aclose()
        await gone(server.peers[0])


async def in_two_parts(more: asyncio.Event, peer: Peer) -> None:
    """Answer with `a`, and with `b` once there is more."""
    await peer.request()
    await peer.say(CHUNKED + b"1\r\na\r\n")
    await more.wait()
    await peer.say(b"1\r\nb\r\n0\r\n\r\n")
    await peer.until_left()


async def test_the_first_bytes_are_given_before_the_rest_has_come() -> None:
    more = asyncio.Event()

    async with serving(partial(in_two_parts, more)) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        assert await response.__anext__() == b"a"
        more.set()
        assert await read(response) == b"b"
        client.close()


async def test_a_body_is_whole_once_its_end_has_come() -> None:
    more = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await in_two_parts(more, peer)

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        assert response.whole == await read(response) == b"ok"
        response = await client.send(REQUEST, b"{}", PATIENT)
        assert response.whole is None
        more.set()
        assert await read(response) == b"ab"
        client.close()


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (CHUNKED + b"5\r\nabc", "in the middle"),
        (CHUNKED + b"2\r\nok\r\n", "in the middle"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "in the middle"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "malformed HTTP"),
        (CHUNKED + b"zz\r\n", "malformed HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 70_000, "too many headers"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc", "broken compression"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 3\r\n\r\nabc", "not asked for"),
    ],
)
async def test_what_is_no_whole_answer_is_a_failure(answer: bytes, word: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer)

    async with serving(handler) as server:
        error = await failing(Client("sim", "127.0.0.1", server.port))
        assert error.kind is Kind.UPSTREAM_FAILED
        assert word in error.message


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (CHUNKED + b"2;x=y\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_unusual_answers_are_understood(answer: bytes, body: bytes) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer)

    async with serving(handler) as server:
        assert await call(Client("sim", "127.0.0.1", server.port)) == body


async def test_compressed_answers_are_unpacked() -> None:
    packed = gzip.compress(b"hello" * 100)

    async def handler(peer: Peer) -> None:
        await peer.request()
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
        await peer.say(head)
        for byte in packed:
            await peer.say(bytes([byte]))

    async with serving(handler) as server:
        assert await call(Client("sim", "127.0.0.1", server.port)) == b"hello" * 100


async def test_a_bomb_is_not_unpacked() -> None:
    packed = gzip.compress(b"\0" * 40_000_000)

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + packed)

    async with serving(handler) as server:
        error = await failing(Client("sim", "127.0.0.1", server.port))
        assert "more compressed data" in error.message


@pytest.mark.parametrize(
    ("says", "timeouts", "word"),
    [
        (b"", Timeouts(2, 0.05, 2, 5), "did not answer within 0.05 s"),
        (CHUNKED + b"2\r\nok\r\n", Timeouts(2, 2, 0.05, 5), "sent nothing more within 0.05 s"),
        (b"", Timeouts(2, 2, 2, 0.05), "did not finish within 0.05 s"),
        (CHUNKED + b"2\r\nok\r\n", Timeouts(2, 2, 2, 0.05), "did not finish within 0.05 s"),
    ],
)
async def test_every_phase_has_its_time(says: bytes, timeouts: Timeouts, word: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(says)
        await peer.until_left()

    async with serving(handler) as server:
        error = await failing(Client("sim", "127.0.0.1", server.port), timeouts)
        assert error.kind is Kind.TIMEOUT
        assert word in error.message
        await gone(server.peers[0])


async def test_every_call_over_a_connection_has_its_own_time() -> None:
    """Whatever the calls before it allowed: longer than they did, and shorter."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await asyncio.sleep(0.3)
        await peer.say(OK)
        await peer.request()
        await peer.until_left()

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        assert await call(client, Timeouts(2, 0.2, 2, 5)) == b"ok"
        assert await call(client, Timeouts(2, 2, 2, 5)) == b"ok"
        error = await failing(client, Timeouts(2, 0.05, 2, 5))
        assert "did not answer within 0.05 s" in error.message
        assert len(server.peers) == 1


async def test_keep_alives_do_not_prolong_the_whole_time() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        while True:
            await peer.say(b"1\r\n\n\r\n")
            await asyncio.sleep(0.005)

    async with serving(handler) as server:
        error = await failing(Client("sim", "127.0.0.1", server.port), Timeouts(2, 2, 2, 0.1))
        assert error.kind is Kind.TIMEOUT


async def test_nobody_listens() -> None:
    async with serving(lambda peer: peer.until_left()) as server:
        port = server.port
    error = await failing(Client("sim", "127.0.0.1", port))
    assert error.kind is Kind.UNAVAILABLE
    assert "`sim`" in error.message
    assert str(port) not in error.message


async def test_a_name_that_leads_nowhere() -> None:
    error = await failing(Client("sim", "nowhere.invalid", 80))
    assert (error.kind, "cannot be resolved" in error.message) == (Kind.UNAVAILABLE, True)


async def test_the_number_of_sockets_has_a_bound() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.until_left()

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port, max_connections=1)
        first = asyncio.create_task(call(client))
        await asked(server)
        error = await failing(client)
        assert (error.kind, error.retry_after) == (Kind.UNAVAILABLE, 1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_a_fast_server_waits_for_a_slow_reader() -> None:
    sent = 0

    async def handler(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1000):
            await peer.say(b"x" * 65_536)
            sent += 65_536

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        async with asyncio.timeout(2):
            while response.buffered_bytes < MAX_BUFFERED_BYTES or sent < response.buffered_bytes:
                await asyncio.sleep(0.001)
        assert response.buffered_bytes < MAX_BUFFERED_BYTES + 300_000
        assert sent < 40_000_000
        assert len(await read(response)) == 65_536_000


async def test_a_connection_is_read_again_after_a_large_answer() -> None:
    size = 8 * MAX_BUFFERED_BYTES

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size)

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        for _ in range(3):
            assert len(await call(client)) == size
        assert len(server.peers) == 1
        client.close()


async def test_a_large_body_arrives_whole() -> None:
    body = b"z" * 3_000_000

    async def handler(peer: Peer) -> None:
        await peer._reader.readuntil(b"\r\n\r\n")
        assert await peer._reader.readexactly(len(body)) == body
        await peer.say(OK)

    async with serving(handler) as server:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        response = await Client("sim", "127.0.0.1", server.port).send(head, body, PATIENT)
        assert await read(response) == b"ok"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody else trusts, with its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = self_signed(folder)
    path = folder / "both.pem"
    path.write_bytes(key.read_bytes() + certificate.read_bytes())
    return path


async def test_tls_with_an_authority_that_is_trusted(certificate: Path) -> None:
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(certificate)

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(OK)

    async with serving(handler, server_side) as server:
        trusting = ssl.create_default_context(cafile=certificate)
        client = Client("sim", "localhost", server.port, trusting)
        assert [await call(client) for _ in range(2)] == [b"ok"] * 2
        assert len(server.peers) == 1
        client.close()
        error = await failing(Client("sim", "localhost", server.port, ssl.create_default_context()))
        assert error.kind is Kind.UNAVAILABLE
        assert "TLS failed" in error.message


async def test_trailers_without_end_are_cut_off() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"2\r\nok\r\n0\r\n")
        with suppress(ConnectionError):
            for number in range(5_000):
                await peer.say(b"x-trailer-%d: %s\r\n" % (number, b"y" * 100))
        await peer.until_left()

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        assert (await failing(client)).kind is Kind.UPSTREAM_FAILED
        client.close()


async def test_what_follows_a_compressed_answer_is_a_failure() -> None:
    packed = gzip.compress(b"ok") + b"more" * 1000
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(head + packed)
        await peer.until_left()

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        assert "compressed" in (await failing(client)).message
        client.close()


async def test_small_parts_of_a_large_inflation_are_bounded() -> None:
    packed = gzip.compress(b"\0" * 200_000_000, compresslevel=1)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(head)
        with suppress(ConnectionError):
            for start in range(0, len(packed), 8192):
                await peer.say(packed[start : start + 8192])
        await peer.until_left()

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        largest = 0
        with suppress(HiveError):
            async for _ in response:
                largest = max(largest, response.buffered_bytes)
                await asyncio.sleep(0)
        assert largest <= MAX_INFLATED_BYTES
        client.close()


def part(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def test_a_body_is_passed_on_for_as_long_as_it_is_wanted() -> None:
    heard = asyncio.Queue[bytes]()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + part(b"0"))
        for number in range(1, 4):
            await heard.get()
            await peer.say(part(b"%d" % number))
        await peer.say(b"0\r\n\r\n")

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        took: list[bytes] = []

        def take(data: bytes) -> bool:
            took.append(data)
            heard.put_nowait(data)
            return data != b"1"

        await response.pass_on(take)
        assert took == [b"0", b"1"]
        with pytest.raises(StopAsyncIteration):
            await response.pass_on(take)
        assert b"".join(took) == b"0123"
        client.close()


async def test_a_body_that_ends_with_its_connection_is_passed_on_to_its_end() -> None:
    heard = asyncio.Queue[bytes]()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\n0")
        for number in range(1, 4):
            await heard.get()
            await peer.say(b"%d" % number)
        await heard.get()

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        took: list[bytes] = []

        def take(data: bytes) -> bool:
            took.append(data)
            heard.put_nowait(data)
            return True

        async with asyncio.timeout(10):
            with pytest.raises(StopAsyncIteration):
                await response.pass_on(take)
        assert b"".join(took) == b"0123"
        client.close()


async def test_what_a_body_is_passed_on_to_may_fail() -> None:
    """Only the first part is given by whoever reads, the next one by the socket: the reader hears of both."""
    heard = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + part(b"0"))
        await heard.wait()
        await peer.say(part(b"1"))
        await peer.until_left()

    def take(data: bytes) -> bool:
        if data == b"1":
            raise HiveError(Kind.INTERNAL, "It cannot be taken.")
        heard.set()
        return True

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        with pytest.raises(HiveError, match="cannot be taken"):
            await response.pass_on(take)
        await gone(server.peers[0])


@pytest.mark.parametrize("ending", ["cut", "malformed", "silence", "leaving"])
async def test_a_body_that_is_passed_on_ends_as_one_that_is_read(ending: str) -> None:
    words = {"cut": "in the middle", "malformed": "malformed", "silence": "sent nothing more"}
    heard = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + part(b"0"))
        await heard.wait()
        await peer.say(part(b"1"))
        if ending == "malformed":
            await peer.say(b"no number")
        if ending == "cut":
            peer.cut()
        await peer.until_left()

    took: list[bytes] = []

    def take(data: bytes) -> bool:
        took.append(data)
        heard.set()
        return True

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", Timeouts(connect=2, first_byte=2, idle=0.2, total=5))
        reading = asyncio.ensure_future(response.pass_on(take))
        if ending == "leaving":
            await heard.wait()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        else:
            with pytest.raises(HiveError, match=words[ending]):
                await reading
            assert b"".join(took) == b"01"
        await gone(server.peers[0])


async def test_each_part_that_is_passed_on_gives_time_for_the_next() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        for _ in range(8):
            await asyncio.sleep(0.1)
            await peer.say(part(b"x"))
        await peer.say(b"0\r\n\r\n")

    took: list[bytes] = []

    def take(data: bytes) -> bool:
        took.append(data)
        return True

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", Timeouts(connect=2, first_byte=2, idle=0.5, total=5))
        with pytest.raises(StopAsyncIteration):
            await response.pass_on(take)
        assert b"".join(took) == b"x" * 8
        client.close()


async def test_what_comes_in_bits_is_passed_on_and_its_frames_are_no_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bits that hold nothing of the body give time for the next one, too."""
    monkeypatch.setattr("hive_routing.providers.http1.connection.MAX_HEAD_BYTES", 100)

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        for number in range(20):
            for bit in (b"2", b"\r\n", b"x%d" % (number % 10), b"\r", b"\n"):
                await asyncio.sleep(0.002)
                await peer.say(bit)
        for bit in (b"1", b"0", b"\r\n", b"the last of all\n", b"\r\n0\r\n\r\n"):
            await asyncio.sleep(0.15)
            await peer.say(bit)

    took: list[bytes] = []

    def take(data: bytes) -> bool:
        took.append(data)
        return True

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", Timeouts(connect=2, first_byte=2, idle=0.5, total=5))
        with pytest.raises(StopAsyncIteration):
            await response.pass_on(take)
        assert (
            b"".join(took) == b"".join(b"x%d" % (number % 10) for number in range(20)) + b"the last of all\n"
        )
        client.close()


async def test_what_comes_between_two_turns_of_the_reader_is_passed_on_in_one_step() -> None:
    """Nobody is woken for it: it is taken within the read that brings it, all parts of that together."""
    heard = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + part(b"0"))
        await heard.wait()
        await peer.say(part(b"1") + part(b"2") + part(b"3"))
        await peer.until_left()

    took: list[tuple[bytes, bool]] = []

    def take(data: bytes) -> bool:
        took.append((data, asyncio.current_task() is None))
        heard.set()
        return data != b"123"

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        await response.pass_on(take)
        assert took == [(b"0", False), (b"123", True)]
        client.close()


@pytest.mark.parametrize("ending", ["end", "cut"])
async def test_an_end_that_came_before_it_was_asked_for_is_told_behind_what_is_passed_on(ending: str) -> None:
    """Nothing more comes then that could wake who waits for it."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + part(b"01") + (b"0\r\n\r\n" if ending == "end" else b""))
        if ending == "cut":
            peer.cut()

    took: list[bytes] = []

    def take(data: bytes) -> bool:
        took.append(data)
        return True

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        async with asyncio.timeout(2):
            while not (response.has_ended or response.error):
                await asyncio.sleep(0.001)
            with pytest.raises(StopAsyncIteration if ending == "end" else HiveError):
                await response.pass_on(take)
        assert took == [b"01"]
        client.close()


async def test_a_long_compressed_stream_is_passed_on_whole() -> None:
    """The bound is for what nobody has taken yet."""
    heard = asyncio.Queue[bytes]()
    packed = zlib.compressobj(wbits=31)

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
        for _ in range(20):
            await peer.say(part(packed.compress(bytes(1024 * 1024)) + packed.flush(zlib.Z_SYNC_FLUSH)))
            await heard.get()
        await peer.say(part(packed.flush()) + b"0\r\n\r\n")

    size = 0

    def take(data: bytes) -> bool:
        nonlocal size
        size += len(data)
        if not size % (1024 * 1024):
            heard.put_nowait(data)
        return True

    async with serving(handler) as server:
        client = Client("sim", "127.0.0.1", server.port)
        response = await client.send(REQUEST, b"{}", PATIENT)
        with pytest.raises(StopAsyncIteration):
            await response.pass_on(take)
        assert size == 20 * 1024 * 1024 > MAX_INFLATED_BYTES
        client.close()


async def test_headers_behind_an_interim_answer_are_those_of_the_answer() -> None:
    """Without them half of a body would be taken for all of it, and nobody could tell what it is."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 4\r\n\r\n"

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n")
        await peer.say(head + b"ok")

    async with serving(handler) as server:
        response = await Client("sim", "127.0.0.1", server.port).send(REQUEST, b"{}", PATIENT)
        assert response.headers == {"content-type": "text/event-stream", "content-length": "4"}
        with pytest.raises(HiveError, match="in the middle"):
            await read(response)


@pytest.mark.parametrize("how", ["fails", "left", "left before the head"])
async def test_a_reader_that_ends_with_its_answer_leaves_the_connection_to_the_next_call(how: str) -> None:
    """By then the connection is kept, and may be another call's already."""
    heard, go_on = asyncio.Event(), asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        if how != "left before the head":
            await peer.say(CHUNKED + part(b"0"))
            await heard.wait()
        await go_on.wait()
        await peer.say(part(b"1") + b"0\r\n\r\n" if how != "left before the head" else OK)
        await peer.request()
        await peer.say(OK)

    def take(data: bytes) -> bool:
        heard.set()
        if data == b"1" and how == "fails":
            raise HiveError(Kind.INTERNAL, "It cannot be taken.")
        return True

    async def run() -> None:
        response = await client.send(REQUEST, b"{}", PATIENT)
        await response.pass_on(take)

    async with serving(handler) as server, asyncio.timeout(5):
        client = Client("sim", "127.0.0.1", server.port)
        kept = client.put_back

        def put_back(connection: Connection) -> None:
            kept(connection)
            if how != "fails":
                reading.cancel()

        client.put_back = put_back  # type: ignore[method-assign]
        reading = asyncio.ensure_future(run())
        await asked(server)
        if how != "left before the head":
            await heard.wait()
        go_on.set()
        with pytest.raises(HiveError if how == "fails" else asyncio.CancelledError):
            await reading
        client.put_back = kept  # type: ignore[method-assign]
        assert await call(client) == b"ok"
        assert len(server.peers) == 1
        client.close()
