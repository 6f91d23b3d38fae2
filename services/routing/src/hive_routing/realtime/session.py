"""One session: what the client says goes to the provider, what the provider says goes to the client, as it came.

Before an event goes on it is asked: is it something that the guards refuse, is there money for what it starts. What
is refused becomes an `error` event, and the session goes on. Where the provider started something by itself that
there is no money for, the session ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from hive_routing.attempts import Outcome
from hive_routing.realtime.charges import Charges, stated_usage
from hive_routing.realtime.events import ClientEvent, ServerEvent, values_of
from hive_routing.realtime.guarding import Refused, SessionGuard
from hive_routing.realtime.port import Closed, Line, Message
from hive_runtime.errors import HiveError, Kind
from hive_runtime.realtime import BROKEN, NORMAL, REFUSED, error_event, sendable
from hive_runtime.tasks import Tasks

_SETTINGS = frozenset({"session.update", "transcription_session.update"})
_TEXT_DELTAS = frozenset(
    {"response.output_text.delta", "response.text.delta", "response.function_call_arguments.delta"}
)
"""Transcripts are none: what is said aloud is counted by its sound."""
_SOUND_DELTAS = frozenset({"response.output_audio.delta", "response.audio.delta"})
_WRITTEN_DOWN = "conversation.item.input_audio_transcription.completed"
_ENDED_BY_US = HiveError(
    Kind.TIMEOUT, "The session has reached its longest duration.", reason="session_expired"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session ends. error: that the client is told of before."""

    code: int
    reason: str = ""
    error: HiveError | None = None
    outcome: Outcome = Outcome.ABANDONED


class Session:
    """client, provider: the two lines. public, own: the model's names, as clients call it and as the provider does."""

    def __init__(
        self,
        client: Line,
        provider: Line,
        charges: Charges,
        guard: SessionGuard,
        public: Collection[str],
        own: str,
        tasks: Tasks,
    ) -> None:
        self._client = client
        self._provider = provider
        self._charges = charges
        self._guard = guard
        self._public = public
        self._own = own
        self._tasks = tasks
        self._stopped = asyncio.Event()
        self._stopping = Ending(NORMAL)

    def stop(self, code: int, reason: str) -> None:
        """End it from outside."""
        self._stopping = Ending(code, reason)
        self._stopped.set()

    async def run(self, seconds: float, opening: Sequence[bytes] = ()) -> Ending:
        """Until one side leaves, at most so long. opening: events that come before those of the client.

        Everything is settled when it returns; the client's line is left open for the close.
        """
        ending = Ending(BROKEN)
        try:
            ending = await self._converse(seconds, opening)
        finally:
            self._charges.close(ending.outcome)
            await self._provider.close(sendable(ending.code), ending.reason)
        if ending.error is not None:
            await self._tell(ending.error, None)
        return ending

    async def _converse(self, seconds: float, opening: Sequence[bytes]) -> Ending:
        running = [
            self._tasks.spawn(self._from_client(opening), "realtime client"),
            self._tasks.spawn(self._from_provider(), "realtime provider"),
            self._tasks.spawn(self._until_stopped(), "realtime stop"),
        ]
        try:
            done, _ = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if not done:
            return Ending(NORMAL, "The session has reached its longest duration.", _ENDED_BY_US)
        task = next(task for task in running if task in done)
        if task.cancelled() or task.exception() is not None:
            return Ending(BROKEN, "The session failed.", HiveError(Kind.INTERNAL, "The session failed."))
        return task.result()

    async def _until_stopped(self) -> Ending:
        await self._stopped.wait()
        return self._stopping

    # What the client says

    async def _from_client(self, opening: Sequence[bytes]) -> Ending:
        try:
            for event in opening:
                if not await self._pass_on(Message(event)):
                    return Ending(REFUSED, "The settings of this session were refused.")
            while True:
                await self._pass_on(await self._client.receive())
        except Closed as closed:
            return Ending(closed.code, closed.reason)

    async def _pass_on(self, message: Message) -> bool:
        """False where it went no further; the client was told why. Raises Closed where one side has left."""
        if not message.is_text and message.data.lstrip()[:1] != b"{":
            await self._to_provider(message)  # sound, at providers that take it bare
            return True
        event_id = None
        try:
            event = ClientEvent.read(message.data)
            event_id = event.event_id
            data = await self._checked(event, message.data)
        except HiveError as error:
            await self._tell(error, event_id)
            return False
        if event.type != "response.create":
            await self._to_provider(Message(data, message.is_text))
            return True
        try:
            await self._to_provider(Message(data, message.is_text))
        except BaseException:
            self._charges.withdraw()
            raise
        return True

    async def _to_provider(self, message: Message) -> None:
        try:
            await self._provider.send(message)
        except Closed:
            await asyncio.Event().wait()  # whoever listens to the provider says how it ended

    async def _checked(self, event: ClientEvent, data: bytes) -> bytes:
        """The event as it may go on, with the money held for what it starts. Raises HiveError."""
        if event.type in _SETTINGS:
            data = self._with_own_model(event, data)
        data = await self._guard.check_event(event, data)
        conversation = self._charges.conversation
        if event.type == "input_audio_buffer.append":
            conversation.add_audio(len(event.fields.get("audio", b'""')) - 2)
        elif event.type == "conversation.item.create":
            conversation.add_item(event.value("item"))
        elif event.type == "response.create":
            wish = event.value("response")
            await self._charges.ask(event.event_id, wish if isinstance(wish, dict) else {})
        return data

    def _with_own_model(self, event: ClientEvent, data: bytes) -> bytes:
        """A session keeps its model; its name becomes the provider's. Raises HiveError `invalid`."""
        session = event.value("session")
        model = session.get("model") if isinstance(session, dict) else None
        if model is None or model == self._own:
            return data
        if model not in self._public:
            said = "A session keeps its model: open another session for another one."
            raise HiveError(Kind.INVALID, said, "session.model")
        return event.with_value("session", {**session, "model": self._own})

    # What the provider says

    async def _from_provider(self) -> Ending:
        try:
            while True:
                message = await self._provider.receive()
                event = ServerEvent.read(message.data)
                ending = None if event is None else await self._note(event)
                if ending is not None:
                    return ending
                await self._hear(event, message)
        except Closed as closed:
            return _left_by_provider(closed)

    async def _hear(self, event: ServerEvent | None, message: Message) -> None:
        """Give the client what it may hear now."""
        try:
            free = [message] if event is None else await self._guard.released(event, message)
        except Refused as refused:
            await self._cancel(refused.response_id)
            await self._tell(refused.error, None)
            return
        for each in free:
            await self._client.send(each)

    async def _note(self, event: ServerEvent) -> Ending | None:
        """What an event means for the money; how the session ends where there is none."""
        charges, kind = self._charges, event.type
        if kind in _TEXT_DELTAS:
            charges.came(event.response_id, text=len(event.delta) if isinstance(event.delta, str) else 0)
        elif kind in _SOUND_DELTAS:
            charges.came(event.response_id, sound=len(event.delta) if isinstance(event.delta, str) else 0)
        elif kind == "response.created":
            return await self._begun(event)
        elif kind == "response.done":
            charges.done(values_of(event.response))
        elif kind in ("session.created", "session.updated"):
            charges.conversation.set_up(values_of(event.session))
        elif kind == "error":
            event_id = values_of(event.error).get("event_id")
            charges.refused(event_id if isinstance(event_id, str) else None)
        elif kind == _WRITTEN_DOWN:
            return await self._written_down(event)
        return None

    async def _begun(self, event: ServerEvent) -> Ending | None:
        response = values_of(event.response)
        try:
            await self._charges.began(response)
        except HiveError as error:
            await self._cancel(str(response.get("id")))
            return Ending(REFUSED, error.message, error)
        return None

    async def _written_down(self, event: ServerEvent) -> Ending | None:
        usage = stated_usage(values_of(event.usage))
        try:
            if usage is not None:
                await self._charges.heard(usage)
            await self._guard.check_transcript(event.transcript)
        except HiveError as error:
            if error.kind is not Kind.BLOCKED:
                return Ending(REFUSED, error.message, error)
            await self._forget(event)
            await self._tell(error, None)
        return None

    async def _forget(self, event: ServerEvent) -> None:
        """Something was said that the model must not answer."""
        for response_id in self._charges.under_way:
            await self._cancel(response_id)
        if isinstance(event.item_id, str):
            await self._command("conversation.item.delete", item_id=event.item_id)

    async def _cancel(self, response_id: str) -> None:
        await self._command("response.cancel", response_id=response_id)

    async def _command(self, kind: str, **fields: str) -> None:
        """An event of our own to the provider."""
        await self._provider.send(Message(msgspec.json.encode({"type": kind, **fields})))

    async def _tell(self, error: HiveError, event_id: str | None) -> None:
        await self._client.send(Message(error_event(error, event_id)))


def _left_by_provider(closed: Closed) -> Ending:
    if closed.code in (1005, 1006):
        error = HiveError(Kind.UPSTREAM_FAILED, "The connection to the provider broke off.")
        return Ending(BROKEN, error.message, error, Outcome.BROKEN)
    return Ending(closed.code, closed.reason, outcome=Outcome.BROKEN)
