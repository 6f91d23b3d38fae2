"""An application that is made for the first request to it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from hive_host import Later
from hive_relay.asgi import App, Receive, Scope, Send

SCOPE: dict[str, Any] = {"type": "http", "path": "/"}


async def nothing(*_: object) -> Any:
    """Neither asked nor told anything."""


class Making:
    def __init__(self, failures: int = 0) -> None:
        self.made = 0
        self.threads: set[int] = set()
        self.answered = 0
        self._failures = failures

    def __call__(self) -> App:
        self.made += 1
        self.threads.add(threading.get_ident())
        if self.made <= self._failures:
            raise OSError("not now")
        return self.app

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.answered += 1


async def test_it_is_made_once_and_not_by_the_event_loop() -> None:
    making = Making()
    later = Later(making)
    assert making.made == 0
    await asyncio.gather(*(later(SCOPE, nothing, nothing) for _ in range(3)))
    await later(SCOPE, nothing, nothing)
    assert (making.made, making.answered) == (1, 4)
    assert threading.get_ident() not in making.threads


async def test_what_could_not_be_made_is_tried_again() -> None:
    making = Making(failures=1)
    later = Later(making)
    with pytest.raises(OSError, match="not now"):
        await later(SCOPE, nothing, nothing)
    await later(SCOPE, nothing, nothing)
    assert (making.made, making.answered) == (2, 1)


async def test_a_client_that_leaves_meanwhile_breaks_nothing() -> None:
    making, let_go = Making(), threading.Event()

    def slow() -> App:
        let_go.wait(10)
        return making()

    later = Later(slow)
    first = asyncio.ensure_future(later(SCOPE, nothing, nothing))
    await asyncio.sleep(0.01)
    first.cancel()
    let_go.set()
    await asyncio.gather(first, return_exceptions=True)
    await later(SCOPE, nothing, nothing)
    assert making.answered == 1
