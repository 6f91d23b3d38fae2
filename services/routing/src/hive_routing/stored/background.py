"""Answers that are made in the background, as clients see them: queued, listened to, cancelled."""

from __future__ import annotations

from hive_routing.answers import Send, send_whole
from hive_routing.endpoints import invalid
from hive_routing.stored.kept import Job, Kept, State
from hive_routing.stored.port import Wire
from hive_routing.stored.queue import Queue
from hive_routing.stored.replaying import Replaying
from hive_routing.stored.runner import Runner
from hive_routing.stored.store import AnswerStore
from hive_routing.visit import Caller
from hive_runtime.clock import Clock

MOST_SECONDS = 3600.0
"""From when it is queued until it has to be made."""
FROM_THE_START = -1


class Background:
    """Raises HiveError."""

    def __init__(self, answers: AnswerStore, queue: Queue, runner: Runner, clock: Clock) -> None:
        self._answers = answers
        self._queue = queue
        self._runner = runner
        self._replaying = Replaying(answers, queue, runner.bells)
        self._clock = clock

    async def begin(self, kept: Kept, body: bytes, caller: Caller, send: Send) -> None:
        """Queue it, and say so: with the object as it is now, or with the stream. body: what the pipeline is asked."""
        await caller.go()
        await self._queue.add(kept, self._job(body, caller))
        self._runner.wake()
        if kept.streamed:
            await self._replaying.send(kept.id, FROM_THE_START, send)
        else:
            await send_whole(send, kept.answer, [])

    async def listen(self, kept: Kept, after: int, send: Send) -> None:
        """The events behind the one of this number."""
        if not (kept.background and kept.streamed):
            message = "Only what was asked for with `background` and `stream` can be listened to again."
            raise invalid("stream", message)
        await self._replaying.send(kept.id, after, send)

    async def cancel(self, wire: Wire, kept: Kept) -> Kept:
        """As it is afterwards: one that has ended stays as it is."""
        if not kept.background:
            raise invalid("id", f"`{kept.id}` cannot be cancelled: it was not made in the background.")
        answer = wire.cancelled(kept.answer)
        if kept.state is not State.ENDED and await self._queue.cancel(kept.id, answer):
            self._runner.stop(kept.id)
            kept.state, kept.answer = State.ENDED, answer
            return kept
        return await self._answers.get(kept.id, kept.tenant_id, kept.wire) or kept

    async def delete(self, wire: Wire, id: str, tenant_id: str) -> bool:
        """Whether there was one, made or not."""
        deleted = await self._answers.delete(id, tenant_id, wire.name)
        if deleted:
            self._runner.stop(id)
        return deleted

    def _job(self, body: bytes, caller: Caller) -> Job:
        return Job(
            body=body,
            tenant_id=caller.payer.tenant_id,
            key_id=caller.payer.key_id,
            request_id=caller.request_id,
            deadline_ms=int((self._clock.now() + MOST_SECONDS) * 1000),
            tags=tuple(caller.payer.tags),
            models=None if caller.allowed is None else tuple(sorted(caller.allowed)),
            headers=caller.headers,
            guard=caller.guard,
            look_up=caller.look_up,
            wishes=caller.wishes,
        )
