"""A stream is forwarded within the step that brings it, in order, and waits where its client does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from hive_relay.asgi import Sent
from hive_routing.answers import StreamAnswer
from hive_routing.ending import DONE
from hive_routing.stream import StreamRelay
from hive_runtime.errors import HiveError, Kind

NAMED = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **top: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return b"data: " + msgspec.json.encode(NAMED | {"choices": [choice]} | top) + b"\n\n"


SAYS = event({"content": "one "})


class Body:
    """A provider's body that tells what the test says, when it says so."""

    def __init__(self) -> None:
        self.waiting: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._parts: list[bytes] = []

    def come(self, data: bytes) -> None:
        """As a socket would tell it."""
        if self._take is None or self.waiting is None or self.waiting.done():
            self._parts.append(data)
        elif not self._take(data):
            self._take = None
            self.waiting.set_result(None)

    async def pass_on(self, take: Callable[[bytes], bool]) -> None:
        while self._parts:
            if not take(self._parts.pop(0)):
                return
        self._take, self.waiting = take, asyncio.get_running_loop().create_future()
        await self.waiting

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop(0)

    async def aclose(self) -> None:
        return


class Client(Sent):
    """Takes at once what is sent to it, unless it is `slow`."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.slow: asyncio.Event | None = None

    def send(self, message: Any) -> Awaitable[None]:
        return self if self.write(message.get("body", b"start")) else self._wait(message)

    def write(self, body: bytes) -> bool:
        if self.slow is None:
            self.got.append(body)
        return self.slow is None

    async def _wait(self, message: Any) -> None:
        assert self.slow is not None
        await self.slow.wait()
        self.got.append(message["body"])


class Money:
    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.asked = 0

    def note(self, tokens: int) -> bool:
        return tokens > self.most

    async def extend(self, tokens: int) -> bool:
        self.asked += 1
        return False


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Scene:
    def __init__(self, money: Money | None = None) -> None:
        self.body, self.client, self.money = Body(), Client(), money or Money()
        self.answer = StreamAnswer(self.body, StreamRelay("sim", 1, False), [])
        self.body.come(SAYS)
        self.task = asyncio.ensure_future(self.answer.relay(self.client.send, self.money, []))


async def test_what_comes_goes_on_within_the_step_that_brings_it() -> None:
    scene = Scene()
    await turns()
    for number in range(2, 6):
        scene.body.come(SAYS)
        assert scene.client.got == [b"start"] + [SAYS] * number
    scene.body.come(event(finish="stop"))
    scene.body.come(DONE)
    assert await scene.task
    assert b"".join(scene.client.got) == b"start" + SAYS * 5 + event(finish="stop")


async def test_nothing_overtakes_what_the_client_does_not_take_yet() -> None:
    scene = Scene()
    await turns()
    scene.client.slow = slow = asyncio.Event()
    first, second = event({"content": "first"}), event({"content": "second"})
    scene.body.come(first)
    await turns()
    scene.body.come(second)
    await turns()
    assert scene.client.got == [b"start", SAYS]
    scene.client.slow = None
    slow.set()
    await turns()
    assert scene.client.got == [b"start", SAYS, first, second]
    scene.body.come(event(finish="stop"))
    scene.body.come(DONE)
    assert await scene.task


async def test_who_leaves_before_a_slow_client_is_waited_for_leaves_nothing_behind() -> None:
    """The send that was to be waited for is given up with it: nobody would ever await it."""
    scene = Scene()
    await turns()
    scene.client.slow = asyncio.Event()
    scene.body.come(SAYS)
    scene.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.task
    assert scene.client.got == [b"start", SAYS]


async def test_the_chunk_for_which_there_is_no_money_is_the_last() -> None:
    scene = Scene(Money(most=3))
    await turns()
    for _ in range(3):
        scene.body.come(SAYS)
    assert scene.client.got == [b"start"] + [SAYS] * 3
    assert not await scene.task
    assert scene.money.asked == 1
    await scene.answer.finish(scene.client.send, b"")
    ending = b"".join(scene.client.got[4:])
    assert ending.startswith(SAYS) and b'"reason":"budget"' in ending


@pytest.mark.parametrize("bad", [b"data: {\n\n", event(error={"message": "no"})])
async def test_a_failure_ends_it_behind_what_came_before(bad: bytes) -> None:
    scene = Scene()
    await turns()
    scene.body.come(SAYS + bad)
    with pytest.raises(HiveError) as raised:
        await scene.task
    assert raised.value.kind is Kind.UPSTREAM_FAILED
    assert scene.client.got == [b"start", SAYS, SAYS]
