"""The two models as the provider uses them: each behind a waiting line, with the caller's time limits."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from hive_routing.providers.local.frames import Embed, Finished, FromWorker, Generate, Vectors, Work
from hive_routing.providers.local.limits import CHAT_MODEL, CONTEXT_TOKENS, EMBEDDING_MODEL, WAITING_CALLS
from hive_routing.providers.local.line import Line
from hive_routing.providers.local.process import ModelProcess
from hive_routing.providers.port import Timeouts
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks

_log = logging.getLogger(__name__)

#: (place in the list of works, what the worker says)
Event = tuple[int, FromWorker]
Events = asyncio.Queue[Event | Exception | None]


class Patience:
    """How long one call may still wait. Starts when it is made."""

    def __init__(self, timeouts: Timeouts) -> None:
        now = asyncio.get_running_loop().time()
        self._timeouts = timeouts
        self._first_at = now + timeouts.first_byte
        self._end_at = now + timeouts.total

    async def take(self, events: Events, answered: bool) -> Event | Exception | None:
        """The next item; `answered` says that there was one before. Raises HiveError `timeout`."""
        idle_at = asyncio.get_running_loop().time() + self._timeouts.idle
        until = min(self._end_at, idle_at if answered else self._first_at)
        try:
            async with asyncio.timeout_at(until):
                return await events.get()
        except TimeoutError:
            missed = self._missed(until, answered)
            raise HiveError(Kind.TIMEOUT, f"the local model did not {missed}") from None

    def _missed(self, until: float, answered: bool) -> str:
        if until == self._end_at:
            return f"finish its answer within {self._timeouts.total:g} s"
        if answered:
            return f"go on with its answer within {self._timeouts.idle:g} s"
        return f"begin its answer within {self._timeouts.first_byte:g} s"


class Lane:
    """One model: calls wait in line, and are read ahead of their callers: a slow one holds nobody up."""

    def __init__(self, role: str, name: str, threads: int, tasks: Tasks) -> None:
        self.process = ModelProcess(role, threads)
        self.line = Line(f"the local model {name}", WAITING_CALLS)
        self._tasks = tasks
        self._name = name

    async def run(self, works: Sequence[Work], patience: Patience) -> AsyncGenerator[Event, None]:
        """All works in one turn, one after another. Closing the generator ends the native work.

        Raises HiveError.
        """
        # One frame per token at most, so this bound is reached by a worker that has gone wrong only.
        events: Events = asyncio.Queue(len(works) * (CONTEXT_TOKENS + 2) + 1)
        pump = self._tasks.spawn(self._pump(works, events), f"local {self._name}")
        answered = False
        try:
            while (item := await patience.take(events, answered)) is not None:
                if isinstance(item, Exception):
                    raise item
                answered = True
                yield item
        finally:
            pump.cancel()

    async def _pump(self, works: Sequence[Work], events: Events) -> None:
        try:
            async with self.line.turn():
                for place, work in enumerate(works):
                    async with aclosing(self.process.run(work)) as frames:
                        async for frame in frames:
                            events.put_nowait((place, frame))
            events.put_nowait(None)
        except asyncio.CancelledError:
            events.put_nowait(HiveError(Kind.UNAVAILABLE, "the local models are shutting down"))
            raise
        except Exception as error:
            events.put_nowait(error)


class LocalModels:
    """Nothing starts before the first call of a model. threads: of each model's native code."""

    def __init__(self, threads: int | None) -> None:
        cores = os.cpu_count() or 1
        # llama.cpp's threads spin while they wait for each other. Of two cores, both make 100 tokens a second
        # while nothing else runs, but 2 to 20 beside other work; one makes 25 to 50 at any time. ONNX Runtime's
        # threads sleep.
        chat_threads = threads or max(1, cores - 1)
        self._tasks = Tasks(lambda name, error: _log.error("%s failed: %r", name, error))
        self._closed = False
        self.chat = Lane("chat", CHAT_MODEL, chat_threads, self._tasks)
        self.embeddings = Lane("embeddings", EMBEDDING_MODEL, threads or cores, self._tasks)

    def generate(self, works: Sequence[Generate], patience: Patience) -> AsyncGenerator[Event, None]:
        """Pieces and one `Finished` for each work. Raises HiveError."""
        self._require_open()
        return self.chat.run(works, patience)

    async def embed(self, work: Embed, patience: Patience) -> tuple[bytes, int]:
        """The vectors as little-endian float32, and the tokens used. Raises HiveError."""
        self._require_open()
        parts, tokens = [], 0
        async with aclosing(self.embeddings.run([work], patience)) as events:
            async for _, event in events:
                if isinstance(event, Vectors):
                    parts.append(event.data)
                elif isinstance(event, Finished):
                    tokens = event.prompt_tokens
        return b"".join(parts), tokens

    async def close(self) -> None:
        """Calls in flight fail with `unavailable`; returns when both processes are gone."""
        self._closed = True
        await self._tasks.close()
        await asyncio.gather(self.chat.process.close(), self.embeddings.process.close())

    def _require_open(self) -> None:
        if self._closed:
            raise HiveError(Kind.UNAVAILABLE, "the local models are shutting down")
