"""The stream of an answer that is made in the background: what was said so far, then what is said, to its end."""

from __future__ import annotations

import asyncio

from hive_routing.answers import Send, start_stream, stream_part
from hive_routing.stored.log import Bells
from hive_routing.stored.queue import Queue
from hive_routing.stored.store import AnswerStore

LOOK_SECONDS = 0.25
"""How often it is looked whether there is more, where another process makes the answer."""
QUIET_LOOKS = 40
"""So often nothing was found: then the client hears that the connection lives."""
_ALIVE = b": alive\n\n"


class Replaying:
    def __init__(self, answers: AnswerStore, queue: Queue, bells: Bells) -> None:
        self._answers = answers
        self._queue = queue
        self._bells = bells

    async def send(self, id: str, after: int, send: Send) -> None:
        """Send the events behind the one of this number, until the answer has ended or is deleted."""
        await start_stream(send, [])
        quiet = 0
        with self._bells.listening(id) as bell:
            while True:
                bell.clear()
                is_ended = await self._answers.is_ended(
                    id
                )  # asked first: then nothing comes behind the events
                found = await self._queue.events(id, after)
                if found:
                    after, quiet = found[-1][0], 0
                    await send(stream_part(b"".join([event for _, event in found])))
                if is_ended:
                    break
                quiet += 1
                if quiet % QUIET_LOOKS == 0:
                    await send(stream_part(_ALIVE, is_content=False))
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await bell.wait()
                except TimeoutError:
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})
