"""An answer that is passed on to a reader as it comes: in order, no further ahead than its credit, and to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from hive_relay import exchange_of, frames
from hive_relay.asgi import App, Receive, Scope, Send, Sent
from hive_relay.call import Call
from hive_runtime.errors import HiveError, Kind
from libs.relay.tests.rig import (
    request,
    rig_of,
    until,
)

pytestmark = pytest.mark.usefixtures("way")


class Reader:
    """Takes parts of an answer, and wants no more after each `most` of them until it is let go on."""

    def __init__(self, most: int = 1000) -> None:
        self.parts: list[bytes] = []
        self.is_full = False
        self.go_on = asyncio.Event()
        self._most = most

    def take(self, data: bytes) -> bool:
        assert not self.is_full
        self.parts.append(data)
        self.is_full = len(self.parts) % self._most == 0
        return self.is_full

    async def room(self) -> None:
        await self.go_on.wait()
        self.go_on.clear()
        self.is_full = False

    async def read(self, call: Call, holds: Callable[[], bool] = lambda: True) -> bytes:
        """The whole answer, let go on again and again; `holds` is true all the time."""
        passing = asyncio.create_task(call.pass_on(self))
        while not passing.done():
            await asyncio.sleep(0.005)
            assert holds()
            self.go_on.set()
        return b"".join(self.parts) + await passing


def paced(*parts: bytes, error: HiveError | None = None) -> App:
    """Each part in turns of the event loop of its own, but the last one, which the end follows at once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await exchange_of(scope).go()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number, part in enumerate(parts, 1):
            await asyncio.sleep(0.002)
            more = number < len(parts) or error is not None
            await send({"type": "http.response.body", "body": part, "more_body": more})
        if error is not None:
            raise error

    return app


async def test_an_answer_is_passed_on_as_it_comes_but_for_what_ends_it(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        await rig.instance(paced(b"1", b"2", b"3", b"4"))
        call, reader = await rig.caller.call(request()), Reader()
        await call.head()
        assert await call.pass_on(reader) == b"4"
        assert reader.parts == [b"1", b"2", b"3"] and call.delivered == 4


async def test_a_part_is_with_the_client_when_its_neighbour_has_sent_it_but_for_the_last(
    tmp_path: Path, way: str
) -> None:
    reader, ended, seen = Reader(), asyncio.Event(), list[list[bytes]]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number, part in enumerate((b"1", b"2", b"3", b"4")):
            await send({"type": "http.response.body", "body": part, "more_body": number < 3})
            seen.append([*reader.parts])
            if number == 0:
                await until(lambda: reader.parts == [b"1"])
                await asyncio.sleep(0.01)  # until somebody waits in `pass_on`
        await ended.wait()

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        call = await rig.caller.call(request())
        await call.head()
        reader.take((await call.read())[0])
        passing = asyncio.create_task(call.pass_on(reader))
        await until(lambda: len(reader.parts) > (3 if way == "beside" else 1))
        if way == "beside":
            assert seen == [[], [b"1", b"2"], [b"1", b"2", b"3"], [b"1", b"2", b"3"]]
        ended.set()
        assert await passing == b""
        assert b"".join(reader.parts) == b"1234"


async def test_an_answer_that_breaks_off_is_passed_on_until_there(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        await rig.instance(paced(b"1", b"2", error=HiveError(Kind.UPSTREAM_FAILED, "cut")))
        call, reader = await rig.caller.call(request()), Reader()
        with pytest.raises(HiveError, match="cut"):
            await call.pass_on(reader)
        assert b"".join(reader.parts) == b"12"


async def test_a_reader_that_wants_no_more_is_given_none_until_it_does(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        await rig.instance(paced(*(b"%d" % number for number in range(9))))
        call, reader = await rig.caller.call(request()), Reader(most=2)
        passing = asyncio.create_task(call.pass_on(reader))
        await until(lambda: reader.is_full)
        await asyncio.sleep(0.02)
        assert reader.parts == [b"0", b"1"]
        while not passing.done():
            reader.go_on.set()
            await asyncio.sleep(0.001)
        assert b"".join(reader.parts) + await passing == b"012345678"


async def test_a_service_is_never_further_ahead_of_a_reader_than_its_credit(tmp_path: Path) -> None:
    sent, size = 0, 32_768

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
            sent += size
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        call, reader = await rig.caller.call(request()), Reader(most=5)
        await call.head()
        whole = await reader.read(call, lambda: sent - sum(map(len, reader.parts)) <= frames.CREDIT_BYTES)
        assert len(whole) == 64 * size == call.delivered


async def test_who_writes_without_waiting_is_told_where_that_cannot_be_done(tmp_path: Path, way: str) -> None:
    """What is refused was not sent; sent as a message it comes behind what was written."""
    size, refused = 32_768, 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal refused
        begun = send({"type": "http.response.start", "status": 200, "headers": []})
        assert isinstance(begun, Sent)
        await begun
        for number in range(64):
            part = b"%02d" % number * (size // 2)
            if not begun.write(part):
                refused += 1
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)
        assert not begun.write(b"x" * (frames.CREDIT_BYTES + 1)) or way == "beside"
        await send({"type": "http.response.body", "body": b""})

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        call, reader = await rig.caller.call(request()), Reader(most=5)
        await call.head()
        whole = await reader.read(call)
        assert whole[: 64 * size] == b"".join(b"%02d" % number * (size // 2) for number in range(64))
        assert refused > 0


async def test_what_a_reader_raises_ends_the_passing(tmp_path: Path) -> None:
    class Broken(Reader):
        def take(self, data: bytes) -> bool:
            raise RuntimeError("broken")

    async with rig_of(tmp_path) as rig:
        await rig.instance(paced(b"1", b"2"))
        call = await rig.caller.call(request())
        with pytest.raises(RuntimeError, match="broken"):
            await call.pass_on(Broken())
        call.close()
