"""The guards of a session: what a client's events say before they go on, what the model says before it is read.

Texts of a client have what must not leave taken out for good: nothing is put back into what is spoken. Texts of the
model are held until they are decided; where something in them is found, the whole response ends, for nothing can be
taken out of what is heard. Sound itself is not held: it goes once its transcript is not refused yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hive_routing.dialects.places import Slot
from hive_routing.guarding.gates import STEP, blocked, mask
from hive_routing.guarding.port import Asker, Decision, Guards, Origin, Text, Verdict
from hive_routing.realtime.events import ClientEvent, ServerEvent, values_of
from hive_routing.realtime.port import Message
from hive_routing.realtime.texts import SPOKEN
from hive_runtime.errors import HiveError

_DELTAS = frozenset(
    {
        "response.output_text.delta", "response.text.delta", "response.function_call_arguments.delta",
        "response.output_audio_transcript.delta", "response.audio_transcript.delta",
    }
)  # fmt: skip
_WHOLE = {each.removesuffix("delta") + "done" for each in _DELTAS}


@dataclass(slots=True)
class _Saying:
    """One text on its way: what came of it, and the events that wait. Each with the length of the text then."""

    text: str = ""
    scanned: int = 0
    waiting: list[tuple[int, Message]] = field(default_factory=list)


class SessionGuard:
    """Of one session. names: guards that ran. verdict: the heaviest so far."""

    def __init__(self, guards: Guards, asker: Asker) -> None:
        self._guards = guards
        self._asker = asker
        self._output: Sequence[str] = ()
        self._overlap = 0
        self._sayings: dict[tuple[Any, ...], _Saying] = {}
        self._silenced: set[str] = set()
        self.names: list[str] = []
        self.verdict = Verdict.NONE

    async def begin(self) -> None:
        """Learn what will run. Raises HiveError `invalid` for a header that names no guard, `unavailable`."""
        self._learn(await self._guards.on_input(self._asker, []))

    async def check_event(self, event: ClientEvent, data: bytes) -> bytes:
        """The event as it may go on. Raises HiveError `blocked`."""
        if (spoken := SPOKEN.get(event.type)) is None:
            return data
        name, texts = spoken
        value = event.value(name)
        slots = list(texts(value))
        if not slots:
            return data
        decision = await self._guards.on_input(self._asker, slots)
        self._learn(decision)
        if decision.verdict is Verdict.BLOCKED:
            raise blocked(decision, "event")
        if not decision.found:
            return data
        _mask(decision, slots)
        return event.with_value(name, value)

    async def check_transcript(self, text: Any) -> None:
        """What the client said aloud, written down. Raises HiveError `blocked`."""
        if isinstance(text, str) and text:
            decision = await self._guards.on_input(self._asker, [Text(text, Origin.USER)])
            self._learn(decision)
            if decision.verdict is Verdict.BLOCKED:
                raise blocked(decision, "transcript")

    async def released(self, event: ServerEvent, message: Message) -> list[Message]:
        """What may go to the client now. Raises Refused where a response must not be read on."""
        if not self._output:
            return [message]
        if self._is_silenced(event):
            return [_emptied(message)] if event.type == "response.done" else []
        if event.type in _DELTAS:
            return await self._held(event, message)
        if event.type in _WHOLE:
            return await self._ended(event, message)
        return [message]

    async def _held(self, event: ServerEvent, message: Message) -> list[Message]:
        saying = self._sayings.setdefault(_place(event), _Saying())
        saying.text += event.delta if isinstance(event.delta, str) else ""
        saying.waiting.append((len(saying.text), message))
        if len(saying.text) - saying.scanned < STEP:
            return []
        final = await self._scan(event, saying, more=True)
        free = [each for size, each in saying.waiting if size <= final]
        saying.waiting = saying.waiting[len(free) :]
        return free

    async def _ended(self, event: ServerEvent, message: Message) -> list[Message]:
        saying = self._sayings.pop(_place(event), None) or _Saying()
        whole = next(
            (each for each in (event.text, event.transcript, event.arguments) if isinstance(each, str)), ""
        )
        if not whole.startswith(
            saying.text
        ):  # what was read piece by piece is not what is said to be the whole
            saying.scanned = 0
        saying.text = whole or saying.text
        await self._scan(event, saying, more=False)
        return [*(each for _, each in saying.waiting), message]

    async def _scan(self, event: ServerEvent, saying: _Saying, *, more: bool) -> int:
        """Characters that are decided for good; raises Refused."""
        start = max(0, saying.scanned - self._overlap)
        text = Text(saying.text[start:], Origin.MODEL, saying.scanned - start)
        decision = await self._guards.on_output(self._asker, [text], more=more)
        self.verdict = max(self.verdict, decision.verdict)
        if decision.verdict is Verdict.BLOCKED or decision.found:
            for place in [each for each in self._sayings if each[0] == event.response_id]:
                del self._sayings[place]
            self._silenced.update(
                str(each) for each in (event.response_id, event.item_id) if each is not None
            )
            raise Refused(str(event.response_id), blocked(decision, "answer"))
        saying.scanned = len(saying.text)
        return saying.scanned - (decision.open[0] if more and decision.open else 0)

    def _is_silenced(self, event: ServerEvent) -> bool:
        if not self._silenced:
            return False
        names = [event.response_id, event.item_id]
        names += [values_of(each).get("id") for each in (event.item, event.response)]
        return any(str(each) in self._silenced for each in names if each is not None)

    def _learn(self, decision: Decision) -> None:
        self.names = list(dict.fromkeys((*self.names, *decision.ran, *decision.output)))
        self.verdict = max(self.verdict, decision.verdict)
        if decision.verdict is not Verdict.BLOCKED:
            self._output, self._overlap = decision.output, decision.overlap


class Refused(Exception):
    """A response whose words must not go on."""

    def __init__(self, response_id: str, error: HiveError) -> None:
        super().__init__(error.message)
        self.response_id = response_id
        self.error = error


def _place(event: ServerEvent) -> tuple[Any, ...]:
    """Where a text belongs."""
    return (event.response_id, event.item_id, event.content_index)


def _mask(decision: Decision, slots: Sequence[Slot]) -> None:
    for number, slot in enumerate(slots):
        text, until = slot.text, len(slot.text)
        mine = [each for each in decision.found if each.text == number]
        for found in sorted(mine, key=lambda each: each.start, reverse=True):
            text = text[: found.start] + mask(found.category) + text[min(found.end, until) :]
            until = found.start
        slot.put(text)


def _emptied(message: Message) -> Message:
    """The end of a response without its words."""
    event = msgspec.json.decode(message.data)
    event["response"]["output"] = []
    return Message(msgspec.json.encode(event), message.is_text)
