"""A stream of chunks for a client, in OpenAI's order.

Of each choice: its role, deltas, and what finishes it; at last the usage, where it was asked for, and `[DONE]`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from hive_routing.dialects.chat.answers import answer_id, image, is_custom, shown_id, shown_seal, sound
from hive_routing.dialects.chat.details import Detail, Stretch, detail_of, packed_part
from hive_routing.dialects.chat.prompts_in import OLDER
from hive_routing.dialects.chat.spoken import NAME
from hive_routing.dialects.chat.stops import write_stop
from hive_routing.dialects.chat.usages import write_usage
from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Event,
    Media,
    Opaque,
    Opened,
    Part,
    Prompt,
    Refusal,
    Said,
    Seal,
    Sealed,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.usage import Usage

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.encode
_ROLE = {"role": "assistant", "content": ""}


@dataclass(slots=True)
class _Open:
    """A part. stretch: of the words of its kind. place: of a call among the calls; none until the call is told."""

    part: Part
    stretch: Stretch
    place: int | None = None


class _Choice:
    """details, calls, images: how many of them were told. ends: characters told, by kind of text.

    untold: calls that were opened.
    """

    __slots__ = ("calls", "details", "ends", "images", "open", "untold")

    def __init__(self) -> None:
        self.open: dict[int, _Open] = {}
        self.untold: deque[_Open] = deque()
        self.ends: dict[type[Part], int] = {}
        self.details = self.calls = self.images = 0


class ChatWriter:
    """One stream. now: Unix seconds, for an answer that does not say when it began."""

    def __init__(self, prompt: Prompt, now: int) -> None:
        self._prompt = prompt
        self._now = now
        self._older = OLDER in prompt.rest
        self._choices: dict[int, _Choice] = {}
        self._head = b""
        self._tail = b'}],"usage":null}\n\n' if prompt.usage_asked else b"}]}\n\n"
        self._begin(Began())

    def write(self, event: Event) -> bytes:
        match event:
            case Said(choice, number, text, logprobs):
                return self._said(choice, self._choices[choice].open[number], text, logprobs)
            case Opened(choice, number, part):
                return self._opened(choice, number, part)
            case Sealed(choice, number, seal):
                return self._sealed(choice, self._choices[choice].open[number], seal)
            case Closed(choice, number):
                return self._closed(choice, self._choices[choice].open.pop(number))
            case Stopped(choice, stop):
                begun = self._begun(choice)
                reason = _encode(write_stop(stop, older=self._older))
                return begun + self._chunk(choice, {}, reason)
            case Began():
                self._begin(event)
            case _:
                pass
        return b""

    def finish(self, usage: Usage | None) -> bytes:
        if not self._prompt.usage_asked:
            return DONE
        stated = _encode(write_usage(usage)) if usage is not None else b"null"
        return b"".join((self._head, b'],"usage":', stated, b"}\n\n", DONE))

    def _begin(self, event: Began) -> None:
        same = {
            "id": answer_id(event.id),
            "object": "chat.completion.chunk",
            "created": event.created or self._now,
            "model": event.model or self._prompt.model,
        }
        self._head = b"data: " + _encode(same)[:-1] + b',"choices":['

    def _begun(self, index: int) -> bytes:
        """What begins a choice, if it has not begun, and those before it: accumulators add them in their order."""
        begun = []
        for each in range(len(self._choices), index + 1):
            self._choices[each] = _Choice()
            begun.append(self._chunk(each, _ROLE))
        return b"".join(begun)

    def _chunk(self, choice: int, delta: Any, finish: bytes = b"null", logprobs: Any = None) -> bytes:
        said = b"" if logprobs is None else b',"logprobs":' + _encode(logprobs)
        return b'%b{"index":%d,"delta":%b%b,"finish_reason":%b%b' % (
            self._head,
            choice,
            _encode(delta),
            said,
            finish,
            self._tail,
        )

    def _said(self, index: int, open: _Open, text: str, logprobs: Any) -> bytes:
        match open.part:
            case Text():
                delta: dict[str, Any] = {"content": text}
            case Thinking():
                delta = {"reasoning_content": text}
            case Refusal():
                delta = {"refusal": text}
            case Call():
                told = self._told(index, open)
                return told + self._call(index, open, {"function": {"arguments": text}})
            case _:
                return b""
        open.stretch.grown(text)
        return self._chunk(index, delta, logprobs=logprobs)

    def _opened(self, index: int, number: int, part: Part) -> bytes:
        begun = self._begun(index)
        choice = self._choices[index]
        kept = msgspec.structs.replace(part)
        open = choice.open[number] = _Open(kept, Stretch(choice.ends.get(type(part), 0)))
        if isinstance(part, Call):
            choice.untold.append(open)
            return begun + (self._told(index, open) if part.seal is not None else b"")
        if isinstance(part, Text | Thinking | Refusal):
            return begun + (self._said(index, open, part.text, None) if part.text else b"")
        if isinstance(part, Media):
            return begun + self._media(index, part)
        return begun + self._opaque(index, open)

    def _told(self, index: int, open: _Open) -> bytes:
        """What begins a call, if it was not told yet, and those before it.

        It waits until something else is said of it: its seal, which stands in its id, may come after it.
        """
        choice = self._choices[index]
        told = []
        while open.place is None and choice.untold:
            first = choice.untold.popleft()
            call = first.part
            assert isinstance(call, Call)
            self._number_call(index, first)
            function = {"name": call.name, "arguments": call.arguments}
            said = {"id": shown_id(call), "type": "function", "function": function}
            told.append(self._call(index, first, said | shown_seal(call)))
        return b"".join(told)

    def _number_call(self, index: int, open: _Open) -> int:
        choice = self._choices[index]
        open.place = choice.calls
        choice.calls += 1
        return open.place

    def _call(self, index: int, open: _Open, said: dict[str, Any]) -> bytes:
        """A piece of a call. The first one is of the older kind where the caller wants that."""
        assert open.place is not None
        place = open.place - self._older
        if place < 0:
            return self._chunk(index, {"function_call": said["function"]})
        return self._chunk(index, {"tool_calls": [{"index": place, **said}]})

    def _media(self, index: int, media: Media) -> bytes:
        if media.kind == "audio":
            return self._chunk(index, {"audio": sound(media, self._now)})
        choice = self._choices[index]
        choice.images += 1
        return self._chunk(index, {"images": [{"index": choice.images - 1, **image(media)}]})

    def _opaque(self, index: int, open: _Open) -> bytes:
        part = open.part
        if isinstance(part, Opaque) and part.dialect == NAME:
            if is_custom(part):
                return self._chunk(
                    index, {"tool_calls": [{"index": self._number_call(index, open), **part.value}]}
                )
            return self._chunk(index, {part.kind: part.value})
        return self._detail(index, packed_part(part))

    def _detail(self, index: int, detail: Detail | None) -> bytes:
        if detail is None:
            return b""
        choice = self._choices[index]
        detail.index = choice.details
        choice.details += 1
        return self._chunk(index, {"reasoning_details": [detail]})

    def _sealed(self, index: int, open: _Open, seal: Seal) -> bytes:
        part = open.part
        if isinstance(part, Text | Thinking | Call):
            part.seal = seal
        if not isinstance(part, Call):
            return b""
        if open.place is None:
            return self._told(index, open)
        return self._call(index, open, {"function": {"arguments": ""}} | shown_seal(part))

    def _closed(self, index: int, open: _Open) -> bytes:
        part = open.part
        if isinstance(part, Call):
            return self._told(index, open)
        if not isinstance(part, Text | Thinking):
            return b""
        choice = self._choices[index]
        choice.ends[type(part)] = open.stretch.start + open.stretch.length
        return self._detail(index, detail_of(part, open.stretch))
