"""Makes one answer in the background: what a client would have been sent goes to the log of its events."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import structlog

from hive_routing.pipeline import Pipeline
from hive_routing.request import Request
from hive_routing.spending import Payer
from hive_routing.stored.keeping import item_ids, said_in
from hive_routing.stored.kept import Kept, Run
from hive_routing.stored.log import EventLog
from hive_routing.stored.port import Truth, Wire
from hive_routing.stored.queue import End, Queue
from hive_routing.stored.rewriting import Rewriting, is_stream
from hive_routing.visit import Caller
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind

log = structlog.get_logger(__name__)


class Making:
    """One run."""

    def __init__(
        self,
        run: Run,
        kept: Kept,
        wire: Wire,
        pipeline: Pipeline,
        queue: Queue,
        events: EventLog,
        clock: Clock,
    ) -> None:
        self._run = run
        self._kept = kept
        self._wire = wire
        self._pipeline = pipeline
        self._queue = queue
        self._events = events
        self._clock = clock
        truth = Truth(kept.id, True, True, kept.previous, kept.conversation)
        self._rewriting = Rewriting(wire, truth, numbered=True)
        self._streams = False
        self._parts: list[bytes] = []
        self._answer: bytes | None = None
        self._last: bytes | None = None

    async def end(self) -> End:
        """How it ends: with the answer, or with what kept it from being made. Raises nothing but CancelledError."""
        try:
            if not self._wire.is_whole:
                asked = Request.parse(self._wire.endpoint, self._run.job.body)
                self._rewriting.prompt = asked.prompt()
            await self._pipeline.answer(self._wire.endpoint, self._run.job.body, self._caller(), self._send)
            await self._events.flush()
            if self._answer is not None:
                return self._ended(self._answer)
            error = HiveError(Kind.UPSTREAM_FAILED, "The model gave no answer that could be kept.")
        except HiveError as refused:
            await self._events.flush()
            error = refused
        except Exception as failure:
            log.exception("an answer in the background failed", id=self._run.id, error=repr(failure))
            error = HiveError(Kind.INTERNAL, "Something went wrong on our side while the answer was made.")
        return failed(self._wire, self._kept, error, self._rewriting.number)

    def _ended(self, answer: bytes) -> End:
        whole = replace(self._kept, answer=answer)
        return End(answer, item_ids(self._wire, answer), said_in(self._wire, whole), self._last)

    def _caller(self) -> Caller:
        job = self._run.job
        return Caller(
            request_id=job.request_id,
            attempt=self._run.epoch,
            payer=Payer(job.tenant_id, job.key_id, job.tags),
            allowed=None if job.models is None else frozenset(job.models),
            deadline=self._clock.monotonic() + job.deadline_ms / 1000 - self._clock.now(),
            go=self._go,
            headers=job.headers,
            guard=job.guard,
            look_up=job.look_up,
            wishes=job.wishes,
        )

    async def _go(self) -> None:
        """From here on no other process may make it: a provider may hear of it."""
        if not await self._queue.dispatched(self._run):
            raise HiveError(Kind.CONFLICT, "The answer is not wanted any more, or another process makes it.")

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._streams = is_stream(message)
        elif self._streams:
            for raw in self._rewriting.split(message.get("body", b"")):
                self._note(raw)
        else:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body"):
                self._answer = self._rewriting.plain(b"".join(self._parts))

    def _note(self, raw: bytes) -> None:
        event, number = self._rewriting.event(raw), self._rewriting.number
        self._rewriting.next(raw)
        if event.answer is not None:
            self._answer, self._last = event.answer, event.raw
        elif self._rewriting.number > number:  # no comment
            self._events.add(event.raw)


def failed(wire: Wire, kept: Kept, error: HiveError, number: int) -> End:
    """number: of the event that says so."""
    answer = wire.failed(kept.answer, error)
    return End(answer, event=wire.failure(answer, error, number) if kept.streamed else None)
