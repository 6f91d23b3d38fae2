"""A provider's stream, read as events of the form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.form import Began, Ended, Event, Failed, Spent, Stopped
from hive_routing.dialects.port import Frame
from hive_routing.dialects.responses.answers import Response
from hive_routing.dialects.responses.item_reading import ARGUMENTS, ItemReading, Place, Telling
from hive_routing.dialects.responses.parts import Item
from hive_routing.dialects.responses.usages import read_usage

_BEGINNING = frozenset({"response.created", "response.queued", "response.in_progress"})
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_KINDS: Mapping[str, str] = {
    "response.output_text": "output_text",
    "response.refusal": "refusal",
    "response.reasoning_text": "reasoning_text",
    "response.reasoning_summary_text": "summary_text",
    "response.function_call_arguments": "",
}
"""What the events whose types begin like this (and end with `.delta` or `.done`) tell pieces of."""


class _Event(msgspec.Struct):
    type: str = ""
    sequence_number: int | None = None
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: Any = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    logprobs: list[Any] | None = None
    part: Raw = Raw()
    item: Raw = Raw()
    response: Raw = Raw()
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_object = msgspec.json.Decoder(dict[str, Any] | None).decode
_decode_response = msgspec.json.Decoder(Response).decode


class StreamReader:
    """sequence: the number of the last event, -1 where none was numbered."""

    def __init__(self) -> None:
        self.sequence = -1
        self._telling = Telling()
        self._items: dict[int, ItemReading] = {}
        self._begun = self._over = False

    @property
    def places(self) -> list[Place]:
        """Where each part of the answer stands in the stream, by its number."""
        return self._telling.places

    @property
    def done(self) -> frozenset[int]:
        """The output indexes of the items that are complete."""
        return frozenset(index for index, item in self._items.items() if item.is_done)

    def feed(self, frame: Frame) -> list[Event]:
        if self._over or frame.data.startswith(b"[DONE]"):
            return []
        event = _decode(frame.data)
        if event.sequence_number is not None:
            self.sequence = event.sequence_number
        self._read(event.type or frame.name, event)
        told, self._telling.events = self._telling.events, []
        return told

    def end(self) -> list[Event]:
        return []

    def _read(self, kind: str, event: _Event) -> None:
        name, _, step = kind.rpartition(".")
        if kind == "error" or event.error:
            words = {"message": event.message, "code": event.code, "param": event.param}
            self._fail(event.error or words)
        elif kind in _BEGINNING:
            self._begin(_decode_response(event.response))
        elif kind in _TERMINAL:
            self._end(_decode_response(event.response))
        elif name in _KINDS:
            self._say(name, step, event)
        elif kind == "response.output_item.added" and (item := _decode_object(event.item)):
            self._item(event).begin(item)
        elif kind == "response.output_item.done" and (item := _decode_object(event.item)):
            self._item(event).finish(item)
        elif kind == "response.content_part.done" and (part := _decode_object(event.part)):
            self._item(event).finish_part(("content", event.content_index or 0), part)

    def _say(self, name: str, step: str, event: _Event) -> None:
        item, kind = self._item(event), _KINDS[name]
        if kind == "summary_text":
            key = ("summary", event.summary_index or 0)
        else:
            key = ("content", event.content_index or 0) if kind else ARGUMENTS
        if step == "delta":
            item.say(key, kind, event.delta, event.logprobs)
        elif step == "done":
            whole = event.refusal if kind == "refusal" else event.text
            item.say_whole(key, kind, whole if kind else event.arguments, event.logprobs)

    def _begin(self, response: Response) -> None:
        if not self._begun:
            self._begun = True
            self._telling.events.append(Began(response.id, response.model, response.created))

    def _end(self, response: Response) -> None:
        self._begin(response)
        if response.status == "failed":
            self._fail(response.error)
            return
        self._catch_up(response.output or [])
        for item in self._items.values():
            item.close_all()
        if (usage := read_usage(response.usage)) is not None:
            self._telling.events.append(Spent(usage))
        stop = response.stop(has_calls=self._telling.has_calls)
        self._telling.events += [Stopped(0, stop), Ended()]
        self._over = True

    def _fail(self, words: Any) -> None:
        self._telling.events.append(Failed(words))
        self._over = True

    def _catch_up(self, output: list[Item]) -> None:
        """What of them was told nowhere but in the whole response."""
        known = {item.id: item for item in self._items.values() if item.id}
        has_more = len(self._items) < len(output)
        for index, item in enumerate(output):
            if (reading := known.get(str(item.get("id")))) is not None:
                reading.finish(item)
            elif has_more and index not in self._items:
                self._item_at(index).finish(item)

    def _item(self, event: _Event) -> ItemReading:
        item = self._item_at(event.output_index or 0)
        item.id = item.id or event.item_id or ""
        return item

    def _item_at(self, index: int) -> ItemReading:
        if index not in self._items:
            self._items[index] = ItemReading(self._telling, index)
        return self._items[index]
