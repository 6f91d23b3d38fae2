"""So many connections as there may be, their hostile ones among them, and the start and the end of a listener."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref

import httpx2
import pytest
from structlog.testing import capture_logs

from hive_host.listener import CannotListen, Listener
from hive_host.protocol import Limits
from hive_relay import asgi
from hive_relay.asgi import Receive, Scope, Send
from libs.host.tests.listening import (
    CHUNKED,
    CLOSE,
    HASTY,
    HEAD,
    SMUGGLED,
    Echo,
    answer,
    begin,
    both_loops,
    chunk,
    client,
    failures,
    listening,
    request,
    until,
)


@both_loops
async def test_connections_above_the_limit_are_told_503_and_later_ones_are_served() -> None:
    async with listening(Echo(), Limits(connections=2)) as listener:
        async with client(listener) as a, client(listener) as b:
            assert [(await a.ask()).status, (await b.ask()).status] == [200, 200]
            async with client(listener) as c:
                await c.send(request())
                answer = await c.answer()
                assert (answer.status, answer.error["type"]) == (503, "server_error")
                assert answer.headers["retry-after"] == "1"
                assert await c.closed()
            assert (await a.ask()).status == 200
        await until(lambda: listener.connections == 0, "all have left")
        async with client(listener) as d:
            assert (await d.ask()).status == 200
            assert listener.connections == 1


HOSTILE: list[bytes] = [
    HEAD,
    b"G",
    b"",
    b"\0" * 1000,
    HEAD + b"A: b\r\n" * 50_000,
    HEAD + b"A: " + b"b" * 200_000,
    HEAD + b"Content-Length: 900000000\r\n\r\n" + bytes(200_000),
    CHUNKED + b"1\r\na\r\n" * 20_000,
    CHUNKED + b"1;" + b"a" * 200_000,
    request("/many") * 3000,
]


@both_loops
async def test_200_hostile_connections_do_not_keep_a_good_request_from_its_answer() -> None:
    async def attack(listener: Listener, data: bytes) -> None:
        async with client(listener, read_buffer=4096) as c:
            await c.send(data)
            await over.wait()

    over = asyncio.Event()
    async with listening(Echo()) as listener:
        attacks = [asyncio.ensure_future(attack(listener, HOSTILE[n % len(HOSTILE)])) for n in range(200)]
        await until(lambda: listener.connections >= 100, "the attack is under way")
        async with httpx2.AsyncClient(base_url=listener.url, timeout=10) as http:
            for n in range(20):
                assert (await http.post(f"/good/{n}", content=b"x")).text == f"POST /good/{n} x"
        over.set()
        await asyncio.gather(*attacks)


GOOD: list[bytes] = [
    request("/a"),
    request("/b", bytes(100_000)),
    CHUNKED + b"3\r\nabc\r\n0\r\nA: b\r\n\r\n",
    HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nab",
    HEAD + b"Content-Length: 3\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nabc",
    b"GET /old HTTP/1.0\r\n\r\n",
]
SPLINTERS: list[bytes] = [b"\r\n", b"\n", b"\0", b" ", b"0\r\n\r\n", CLOSE, b"Transfer-Encoding: chunked\r\n"]


def broken(chance: random.Random) -> bytes:
    """A few good requests with a few bytes too many or too few."""
    data = bytearray(b"".join(chance.choices(GOOD, k=3)))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data))
        data[at : at + chance.choice([0, 0, 1, 3])] = chance.choice(SPLINTERS)
    return bytes(data)


@both_loops
async def test_whatever_is_sent_the_answers_are_whole() -> None:
    async def exchange(listener: Listener, seed: int) -> None:
        chance = random.Random(seed)
        data = broken(chance)
        async with client(listener) as c:
            while data:
                size = chance.choice([1, 10, 1000, 200_000])
                await c.send(data[:size])
                data = data[size:]
            try:
                while (answer := await c.answer()).status in (100, 200):
                    continue
                assert answer.error["code"] in (400, 408)
                assert await c.closed()
            except asyncio.IncompleteReadError as end:
                assert end.partial == b""

    async with listening(Echo(), HASTY) as listener:
        await asyncio.gather(*(exchange(listener, seed) for seed in range(150)))


# Start and end


@both_loops
async def test_a_taken_port_is_named_with_the_setting_to_change() -> None:
    async with listening(Echo()) as listener:
        for name, setting in (("public", "HIVE_PORT"), ("internal", "HIVE_INTERNAL_PORT")):
            second = Listener(Echo(), "127.0.0.1", listener.port, name=name)
            with pytest.raises(CannotListen, match=rf"127\.0\.0\.1:{listener.port}: .* {setting}\."):
                await second.start()
            await second.close()


@both_loops
async def test_an_address_of_another_machine_is_named_with_the_setting_to_change() -> None:
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:1: .*HIVE_HOST"):
        await Listener(Echo(), "192.0.2.1", 1, name="public").start()


@both_loops
async def test_closing_ends_running_calls_and_may_be_done_twice() -> None:
    ended = []
    running = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(scope["path"])

    with capture_logs() as logs:
        async with listening(app) as listener, client(listener) as c, client(listener) as d:
            await d.send(HEAD)
            await c.send(request("/hangs"))
            await running.wait()
            await listener.close()
            await listener.close()
            assert await c.closed()
            assert await d.closed()
    assert (ended, failures(logs)) == (["/hangs"], [])


@both_loops
async def test_a_stream_reaches_its_end_while_draining_and_another_listener_answers() -> None:
    draining = asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        for n in range(30):
            await chunk(send, f"data: {n}\n\n".encode())
            if n == 5:
                await draining.wait()
            await asyncio.sleep(0.005)
        await chunk(send, b"data: [DONE]\n\n", more=False)

    async with (
        listening(stream) as public,
        listening(Echo()) as internal,
        client(public) as c,
        client(public) as idle,
    ):
        await c.send(request("/stream"))
        await c.reader.readuntil(b"data: 5\n\n")
        drained = asyncio.ensure_future(public.drain(20))
        assert await idle.closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", public.port)
        async with httpx2.AsyncClient(base_url=internal.url) as http:
            assert (await http.get("/livez")).status_code == 200
        assert not drained.done()
        draining.set()
        assert b"data: 29\n\n" in await c.reader.readuntil(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert await c.closed()
        assert await drained is True


@both_loops
async def test_a_request_that_is_being_sent_while_draining_is_served_and_no_other() -> None:
    echo = Echo()
    limits = Limits(linger_seconds=0.2)
    async with (
        listening(echo, limits) as listener,
        client(listener) as c,
        client(listener) as d,
        client(listener) as idle,
    ):
        await d.send(HEAD)
        await c.send(HEAD + b"Content-Length: 6\r\n\r\nabc")
        await until(lambda: bool(echo.scopes), "the later of the two is running")
        drained = asyncio.ensure_future(listener.drain(20))
        assert await idle.closed()
        await c.send(b"def" + SMUGGLED)
        answer = await c.answer()
        assert (answer.body, answer.headers["connection"]) == (b"POST /first abcdef", "close")
        assert await c.closed()
        await d.send(b"\r\n" + SMUGGLED)
        assert (await d.answer()).status == 200
        assert await d.closed()
        assert await drained is True
    assert echo.heard == ["/first", "/first"]


@both_loops
async def test_nothing_runs_behind_the_rest_of_an_answered_request_while_draining() -> None:
    heard = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope["path"])
        await answer(send, b"no", 413)

    async with listening(app) as listener, client(listener) as c, client(listener) as idle:
        await c.send(HEAD + b"Content-Length: 6\r\n\r\nabc")
        assert (await c.answer()).status == 413
        drained = asyncio.ensure_future(listener.drain(20))
        assert await idle.closed()
        await c.send(b"def" + SMUGGLED)
        assert await c.closed()
        assert await drained is True
    assert heard == ["/first"]


@both_loops
async def test_what_answered_a_request_is_not_left_to_the_garbage_collector() -> None:
    class Visit:
        def __init__(self, client: asgi.Client) -> None:
            self.client = client

        def leave(self) -> None:
            """Nobody leaves here."""

    visits: list[weakref.ref[Visit]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(scope["hive.client"])
        visits.append(weakref.ref(visit))
        visit.client.watch(visit.leave)
        visit.client.start(200, [(b"content-length", b"2")])
        visit.client.write(b"ok", False)

    gc.disable()
    try:
        async with listening(app) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await until(lambda: visits[0]() is None, "the visit was gone")
            writer.close()
    finally:
        gc.enable()


@both_loops
async def test_draining_ends_after_its_time_and_says_so() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        await chunk(send, b"for ever")
        await asyncio.Event().wait()

    async with listening(app) as listener, client(listener) as c:
        await c.send(request())
        await c.reader.readuntil(b"for ever\r\n")
        assert await listener.drain(0.1) is False
        assert await c.closed()
