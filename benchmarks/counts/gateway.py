"""The `modelhive` command that counts what it does: `python -m benchmarks.counts.gateway SOCKET serve`.

Whoever connects to the Unix socket gets a line of JSON for each line sent: `calls`, `opcodes` and `nothing` say what
is counted from then on, `counts` asks for the counts so far, `blocks` for the memory blocks in use after a garbage
collection, `thread` for the id of the thread that answers.

From the first line on timers of more than `LONGEST` seconds do not fire any more, so that periodic work stays out of
the counts: what a request leaves to be done later is done by shorter ones.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from types import FrameType
from typing import Any, TypeVarTuple
from weakref import WeakSet

import uvloop

LONGEST = 0.24
"""Seconds: more than what anything waits for others of its kind (billing 0.2), less than any look at a clock (0.25)."""
NEVER = 86_400.0

Ts = TypeVarTuple("Ts")


class Counting:
    """What all threads do, but those that stand aside."""

    def __init__(self) -> None:
        self.loop: Counter[str] = Counter()
        self._wanted = "nothing"
        self._python: Counter[tuple[str, str]] = Counter()
        self._built_in: Counter[tuple[str | type, str]] = Counter()
        self._opcodes: Counter[tuple[str, str]] = Counter()

    def install(self) -> None:
        """Count in this thread and in all that start later."""
        for module in (sys, threading):
            module.setprofile(self._profile)
            module.settrace(self._trace)

    @staticmethod
    def stand_aside() -> None:
        sys.setprofile(None)
        sys.settrace(None)

    def want(self, what: str) -> None:
        self._wanted = what

    def counts(self) -> dict[str, dict[str, int]]:
        """By kind and name: `file:function` of Python, `owner.function` of what is built in."""
        built_in: Counter[str] = Counter()
        for (owner, name), count in list(self._built_in.items()):
            place = owner if isinstance(owner, str) else f"{owner.__module__}.{owner.__qualname__}"
            built_in[f"{place}.{name}"] += count
        return {
            "python": {f"{file}:{name}": count for (file, name), count in list(self._python.items())},
            "built in": built_in,
            "opcodes": {f"{file}:{name}": count for (file, name), count in list(self._opcodes.items())},
            "loop": dict(self.loop),
        }

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if self._wanted != "calls":
            return
        if event == "call":
            code = frame.f_code
            self._python[code.co_filename, code.co_qualname] += 1
        elif event == "c_call":
            self._built_in[argument.__module__ or type(argument.__self__), argument.__name__] += 1

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self._wanted != "opcodes":
            return None
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._opcode

    def _opcode(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            code = frame.f_code
            self._opcodes[code.co_filename, code.co_qualname] += 1
        return self._opcode


class CountedLoop(uvloop.Loop):
    """Counts what is asked of it. `hold`: from then on no long timer fires, whenever it was set."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._held = False
        self._long: WeakSet[asyncio.TimerHandle] = WeakSet()

    def hold(self) -> None:
        """May be called from any thread."""
        self._held = True
        super().call_soon_threadsafe(self._cancel)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self._counts["call_soon"] += 1
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self._counts["call_soon_threadsafe"] += 1
        return super().call_soon_threadsafe(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self._counts["call_later"] += 1
        return self._timer(delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self._counts["call_at"] += 1
        return self._timer(when - self.time(), callback, *args, context=context)

    def create_task(self, *args: Any, **more: Any) -> asyncio.Task[Any]:
        self._counts["create_task"] += 1
        return super().create_task(*args, **more)

    def _timer(self, delay: float, *args: Any, **more: Any) -> asyncio.TimerHandle:
        long = delay > LONGEST
        handle = super().call_later(NEVER if long and self._held else delay, *args, **more)
        if long and not self._held:
            self._long.add(handle)
        return handle

    def _cancel(self) -> None:
        while self._long:
            self._long.pop().cancel()


def answer(counting: Counting, loops: list[CountedLoop], listener: socket.socket) -> None:
    """Serve the one who asks, in a thread of its own."""
    counting.stand_aside()
    connection, _ = listener.accept()
    with connection, connection.makefile("rw") as lines:
        for line in lines:
            said: object = None
            match line.strip():
                case "counts":
                    said = counting.counts()
                case "blocks":
                    gc.collect()
                    said = sys.getallocatedblocks()
                case "thread":
                    said = threading.get_native_id()
                case wanted:
                    for loop in loops:
                        loop.hold()
                    counting.want(wanted)
            lines.write(json.dumps(said) + "\n")
            lines.flush()


def main(path: str, arguments: list[str]) -> None:
    counting = Counting()
    loops: list[CountedLoop] = []

    def new_event_loop() -> CountedLoop:
        loops.append(CountedLoop(counting.loop))
        return loops[-1]

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    threading.Thread(target=answer, args=(counting, loops, listener), daemon=True).start()
    uvloop.new_event_loop = new_event_loop
    from hive_embedded.cli import main as modelhive

    counting.install()
    sys.argv = ["modelhive", *arguments]
    modelhive()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
