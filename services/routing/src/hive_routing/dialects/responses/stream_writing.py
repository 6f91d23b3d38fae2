"""A stream for a client: the events of the form, in the exact order of this dialect.

Texts that follow each other share a message, which is complete when something else follows. Thinking is told as
a summary; as it is (`reasoning_text`) where it came so from a provider of this dialect. A seal that comes after its
call has been told comes too late: it would have to be in the call's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hive_routing.dialects.form import (
    Answer,
    Began,
    Call,
    Closed,
    Event,
    Failed,
    Opened,
    Part,
    Prompt,
    Refusal,
    Said,
    Seal,
    Sealed,
    Spent,
    Stop,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.dialects.responses.answers import own_id
from hive_routing.dialects.responses.ids import NewId, random_id
from hive_routing.dialects.responses.item_reading import Place
from hive_routing.dialects.responses.output import (
    INCOMPLETE,
    call_item,
    is_told_as_summary,
    logprobs_of,
    message,
    reasoning_item,
    seal_item,
    write_item,
)
from hive_routing.dialects.responses.parts import NAME, Item
from hive_routing.dialects.responses.response import ended, failure, response_object
from hive_routing.dialects.responses.stream_reading import StreamReader
from hive_routing.dialects.responses.usages import write_usage
from hive_routing.dialects.seals import packed
from hive_routing.providers.failures import Words
from hive_routing.usage import Usage
from hive_runtime.clock import Clock, SystemClock

Number = tuple[int, int]
"""Of a part: its choice, and its place in that."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a growing text is told.

    part: the type of the content part it stands in. word: the member of that with the text. event, around: what the
    types of the events begin with that tell the text, and the part. index: the member of them that says which part.
    items: the member of the item that holds the parts.
    """

    part: str
    word: str
    event: str
    around: str
    index: str
    items: str


_IN_CONTENT = ("response.content_part", "content_index", "content")
_TEXT = _Kind("output_text", "text", "response.output_text", *_IN_CONTENT)
_REFUSAL = _Kind("refusal", "refusal", "response.refusal", *_IN_CONTENT)
_THOUGHT = _Kind("reasoning_text", "text", "response.reasoning_text", *_IN_CONTENT)
_SUMMARY = _Kind(
    "summary_text",
    "text",
    "response.reasoning_summary_text",
    "response.reasoning_summary_part",
    "summary_index",
    "summary",
)
_encode = msgspec.json.encode
_ARGUMENTS = "response.function_call_arguments"


@dataclass(slots=True)
class _Told:
    """An item. value: as it will be when it is complete, as far as it has come. open: parts of it that grow."""

    index: int
    value: Item
    open: int = 0
    is_done: bool = False

    @property
    def where(self) -> Item:
        """How events name it."""
        return {"item_id": self.value["id"], "output_index": self.index}


@dataclass(slots=True)
class _Growing:
    """A part that is open.

    kind: None for the arguments of a call. place: in its item, as soon as it stands there. where: how events name it.
    seal: of a text, whose item has no place for it.
    """

    item: _Told
    kind: _Kind | None
    place: int | None = None
    where: Item = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    seal: Seal | None = None


class StreamWriter:
    """sequence: the number of the next event. extra: members of the response that stand instead of the prompt's."""

    def __init__(
        self,
        prompt: Prompt,
        *,
        id: str = "",
        extra: Mapping[str, Any] | None = None,
        new_id: NewId = random_id,
        clock: Clock | None = None,
    ) -> None:
        """id: of the response; where it is empty, it is the provider's or a new one."""
        self.sequence = 0
        self._prompt = prompt
        self._id = id
        self._extra = extra
        self._new_id = new_id
        self._clock = clock or SystemClock()
        self._response: Item = {}
        self._items: dict[int, _Told] = {}
        self._last: _Told | None = None
        self._growing: dict[Number, _Growing] = {}
        self._waiting: tuple[Number, Call] | None = None
        self._places: list[Place] = []
        self._stop = Stop.END
        self._usage: Usage | None = None
        self._failure: Words | None = None
        self._out: list[bytes] = []

    def write(self, event: Event) -> bytes:
        self._note(event)
        return self._taken()

    def finish(self, usage: Usage | None) -> bytes:
        """The terminal event; `response.failed` where a `Failed` was written before."""
        self._begin(Began())
        self._tell_waiting()
        self._settle()
        usage = usage or self._usage
        response = self._response
        response["output"] = [item.value for _, item in sorted(self._items.items())]
        response["usage"] = None if usage is None else write_usage(usage)
        response["status"] = status = "failed" if self._failure is not None else ended(self._stop)
        if self._failure is not None:
            response["error"] = failure(self._failure.code, self._failure.message)
        elif status == "incomplete":
            response["incomplete_details"] = {"reason": INCOMPLETE[self._stop]}
        else:
            response["completed_at"] = max(int(self._clock.now()), response["created_at"])
        self._emit(f"response.{status}", {"response": response})
        return self._taken()

    def go_on(self, reader: StreamReader, events: Iterable[Event]) -> None:
        """The client has had these events already, in the words of the provider, as `reader` read them.

        What is written from here on fits to that: it has the ids that the client knows, and the numbers that follow.
        """
        self._places = reader.places
        for event in events:
            self._note(event)
        self._tell_waiting()
        self._out.clear()
        self.sequence = reader.sequence + 1
        for index in reader.done & self._items.keys():
            self._items[index].is_done = True

    def _note(self, event: Event) -> None:
        if self._waiting is not None and not isinstance(event, Sealed | Spent):
            self._tell_waiting()
        match event:
            case Said(choice, number, text, logprobs):
                self._say(self._growing.get((choice, number)), text, logprobs)
            case Began():
                self._begin(event)
            case Opened(choice, number, part):
                self._open((choice, number), part)
            case Sealed(choice, number, seal):
                self._seal((choice, number), seal)
            case Closed(choice, number):
                self._close((choice, number), self._growing.pop((choice, number), None))
            case Stopped(_, stop):
                self._stop = stop
                self._settle()
            case Spent(usage):
                self._usage = usage
            case Failed(words):
                self._failure = Words.of(words)
            case _:
                pass

    def _begin(self, began: Began) -> None:
        if self._response:
            return
        id = self._id or (began.id if self._places else own_id(began.id, self._new_id))
        self._response = response_object(
            self._prompt,
            Answer(model=began.model),
            id=id,
            created_at=began.created or int(self._clock.now()),
            status="in_progress",
            extra=self._extra,
        )
        self._emit("response.created", {"response": self._response})
        self._emit("response.in_progress", {"response": self._response})

    def _open(self, number: Number, part: Part) -> None:
        match part:
            case Text() | Refusal():
                growing = _Growing(self._message(number), _TEXT if isinstance(part, Text) else _REFUSAL)
                self._growing[number] = growing
                self._place(growing)
                self._say(growing, part.text, None)
            case Thinking(text):
                bare = msgspec.structs.replace(part, text="")
                item = self._add(number, reasoning_item(bare, self._new_id))
                self._growing[number] = _Growing(item, _SUMMARY if is_told_as_summary(part) else _THOUGHT)
                item.open += 1
                self._say(self._growing[number], text, None)
            case Call(arguments=arguments):
                self._waiting = number, msgspec.structs.replace(part, arguments="")
                if arguments:
                    self._tell_waiting()
                    self._say(self._growing[number], arguments, None)
            case _:
                if (value := write_item(part, self._new_id)) is not None:
                    self._finish_item(self._add(number, value))

    def _message(self, number: Number) -> _Told:
        """The one that came last, or else a new one; where the client has had it already, as it did."""
        last = self._last
        fits = not self._places or (last is not None and self._places[number[1]].output_index == last.index)
        if last is None or last.is_done or last.value["type"] != "message" or not fits:
            last = self._add(number, message(self._new_id("msg")))
        last.open += 1
        return last

    def _add(self, number: Number, value: Item) -> _Told:
        """Begin another item."""
        self._settle()
        index = max(self._items, default=-1) + 1
        if self._places:
            index, id = self._places[number[1]]
            value = value | ({"id": id} if id else {})
        item = self._last = self._items[index] = _Told(index, value)
        status = {"status": "in_progress"} if "status" in value else {}
        self._emit("response.output_item.added", {"output_index": index, "item": value | status})
        return item

    def _settle(self) -> None:
        """Nothing is added any more to the message that came last."""
        last, self._last = self._last, None
        if last is not None and last.value["type"] == "message" and not last.open:
            self._finish_item(last)

    def _finish_item(self, item: _Told) -> None:
        if item.is_done:
            return
        item.is_done = True
        if item.value["type"] == "message" and self._stop in INCOMPLETE:
            item.value["status"] = "incomplete"
        self._emit("response.output_item.done", {"output_index": item.index, "item": item.value})

    def _place(self, growing: _Growing) -> None:
        """Its part begins."""
        kind = growing.kind
        assert kind is not None, "a call has no parts"
        parts = growing.item.value.setdefault(kind.items, [])
        growing.place = len(parts)
        growing.where = growing.item.where | {kind.index: growing.place}
        parts.append(self._part(growing, ""))
        self._emit(f"{kind.around}.added", growing.where | {"part": parts[-1]})

    def _say(self, growing: _Growing | None, text: str, logprobs: Any) -> None:
        if growing is None or not text:
            return
        growing.pieces.append(text)
        kind = growing.kind
        if kind is None:
            self._emit(f"{_ARGUMENTS}.delta", growing.where | {"delta": text})
            return
        if growing.place is None:
            self._place(growing)
        said = growing.where | {"delta": text}
        if kind is _TEXT:
            said["logprobs"] = tokens = logprobs_of(logprobs)
            growing.logprobs += tokens
        self._emit(f"{kind.event}.delta", said)

    def _seal(self, number: Number, seal: Seal) -> None:
        if self._waiting is not None and self._waiting[0] == number:
            self._waiting[1].seal = seal
        elif (growing := self._growing.get(number)) is not None and growing.kind in (_THOUGHT, _SUMMARY):
            growing.item.value["encrypted_content"] = packed(seal, NAME)
        elif growing is not None and growing.kind is _TEXT:
            growing.seal = seal

    def _tell_waiting(self) -> None:
        """The call that has been opened: by now its seal would have come."""
        if self._waiting is not None:
            (number, call), self._waiting = self._waiting, None
            item = self._add(number, call_item(call, self._new_id))
            self._growing[number] = _Growing(item, None, where=item.where)

    def _close(self, number: Number, growing: _Growing | None) -> None:
        if growing is None:
            return
        item, kind, text = growing.item, growing.kind, "".join(growing.pieces)
        if kind is None:
            item.value["arguments"] = text
            told = growing.where | {"arguments": text, "name": item.value["name"]}
            self._emit(f"{_ARGUMENTS}.done", told)
            self._finish_item(item)
            return
        if growing.place is not None:
            self._close_part(growing, kind, text)
        item.open -= 1
        if not item.open and (item is not self._last or item.value["type"] != "message"):
            self._finish_item(item)
        if growing.seal is not None:
            self._finish_item(self._add(number, seal_item(growing.seal, self._new_id)))

    def _close_part(self, growing: _Growing, kind: _Kind, text: str) -> None:
        assert growing.place is not None
        part = growing.item.value[kind.items][growing.place] = self._part(growing, text)
        told = growing.where | {kind.word: text}
        if kind is _TEXT:
            told["logprobs"] = part["logprobs"]
        self._emit(f"{kind.event}.done", told)
        self._emit(f"{kind.around}.done", growing.where | {"part": part})

    def _part(self, growing: _Growing, text: str) -> Item:
        kind = growing.kind
        assert kind is not None, "a call has no parts"
        part: Item = {"type": kind.part, kind.word: text}
        return part | {"annotations": [], "logprobs": growing.logprobs} if kind is _TEXT else part

    def _emit(self, type: str, members: Item) -> None:
        data = _encode({"type": type, "sequence_number": self.sequence} | members)
        self.sequence += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (type.encode(), data))

    def _taken(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out


def error_event(sequence: int, code: str | None, message: str, param: str | None = None) -> bytes:
    """How a stream ends that breaks: the flat form, which SDKs give out as an event. sequence: its number."""
    said = {"type": "error", "code": code, "message": message, "param": param, "sequence_number": sequence}
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(said)
