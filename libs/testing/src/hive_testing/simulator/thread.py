"""A simulator on an event loop of its own, in a thread, for tests that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.bill import BillLine
from hive_testing.simulator.calls import Call
from hive_testing.simulator.simulator import Simulator

T = TypeVar("T")

TIMEOUT = 5.0


class SimulatorThread:
    """`with SimulatorThread() as sim:`; the methods are the simulator's own, from any thread."""

    def __init__(self, **options: Any) -> None:
        """`options` are those of `Simulator`."""
        self._options = options
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop
        self._simulator: Simulator
        self._stop: asyncio.Event

    def __enter__(self) -> SimulatorThread:
        self._thread.start()
        if not self._ready.wait(TIMEOUT):
            raise TimeoutError(f"the simulator did not listen within {TIMEOUT} s")
        if self._failure:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT)
        if self._failure:
            raise self._failure

    @property
    def url(self) -> str:
        """The base address for clients, with `/v1`."""
        return self._simulator.url

    @property
    def control_url(self) -> str:
        """As `Simulator.control_url`."""
        return self._simulator.control_url

    @property
    def calls(self) -> list[Call]:
        """What arrived, oldest first; read them, but wait for them with `wait_closed`."""
        return self._ask(lambda: self._simulator.calls)

    @property
    def bill(self) -> list[BillLine]:
        """A line per call that generated anything."""
        return self._ask(lambda: self._simulator.bill)

    @property
    def bill_totals(self) -> dict[str, int]:
        """`calls`, `prompt_tokens` and `completion_tokens` of every line."""
        return self._ask(lambda: self._simulator.bill_totals)

    def script(
        self,
        behaviour: Behaviour | None = None,
        *,
        model: str | None = None,
        once: bool = False,
        **fields: object,
    ) -> None:
        """As `Simulator.script`."""
        self._ask(lambda: self._simulator.script(behaviour, model=model, once=once, **fields))

    def require_key(self, key: str | None) -> None:
        """As `Simulator.require_key`."""
        self._ask(lambda: self._simulator.require_key(key))

    def be_strict(self, strict: bool = True) -> None:
        """As `Simulator.be_strict`."""
        self._ask(lambda: self._simulator.be_strict(strict))

    def reset(self) -> None:
        """As `Simulator.reset`."""
        self._ask(self._simulator.reset)

    def wait_for_calls(self, count: int, timeout: float = TIMEOUT) -> list[Call]:
        """As `Simulator.wait_for_calls`."""
        return self._await(self._simulator.wait_for_calls(count, timeout), timeout)

    def wait_closed(self, call: Call, timeout: float = TIMEOUT) -> None:
        """Wait until nothing more will be sent for a call; raises `TimeoutError`."""
        self._await(call.wait_closed(timeout), timeout)

    def _ask(self, question: Callable[[], T]) -> T:
        async def asked() -> T:
            return question()

        return self._await(asked(), TIMEOUT)

    def _await(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout + 1.0)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with Simulator(**self._options) as self._simulator:
            self._ready.set()
            await self._stop.wait()
