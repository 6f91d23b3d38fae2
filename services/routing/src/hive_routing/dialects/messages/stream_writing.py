"""A stream of Anthropic's messages, written from events of the form.

Its blocks follow each other: of parts that grow at once, the first goes out as it comes and the others wait until
those before them are complete. A block begins with the first words of its part, as only then it is sure that there is
one; so the seal of a call, which stands in its id, may come right after the call was opened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Event,
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
from hive_routing.dialects.messages.answers import answered, behind, head_of, reason_of
from hive_routing.dialects.messages.blocks import thinking_block
from hive_routing.dialects.messages.parts import NAME, Block
from hive_routing.dialects.messages.usages import figures_of
from hive_routing.dialects.seals import packed, sealed_id
from hive_routing.usage import Usage

_DELTAS: dict[type[Part], tuple[str, str]] = {
    Text: ("text_delta", "text"),
    Refusal: ("text_delta", "text"),
    Thinking: ("thinking_delta", "thinking"),
    Call: ("input_json_delta", "partial_json"),
}


class _Growing:
    """A part that is not complete, or waits for those before it. pieces: what of it has not gone out."""

    def __init__(self, number: int, part: Part) -> None:
        self.number = number
        self.part = part
        self.pieces: list[str] = []
        self.seal: Seal | None = getattr(part, "seal", None)
        self.has_started = False
        self.is_sealed_in_id = False
        self.is_closed = False


class MessagesWriter:
    """Writes one stream; a message has one choice, the first."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._has_begun = False
        self._growing: deque[_Growing] = deque()
        self._index = 0
        self._usage: Usage | None = None
        self._stopped = Stopped(0, Stop.END)
        self._has_refused = False

    def write(self, event: Event) -> bytes:
        return b"".join(self._written(event))

    def finish(self, usage: Usage | None) -> bytes:
        return b"".join(self._finished(usage or self._usage))

    def _written(self, event: Event) -> Iterator[bytes]:
        match event:
            case Began(id, model, _, usage):
                self._usage = usage
                yield from self._begin(id, model)
            case Opened(0, number, part):
                yield from self._begin()
                self._has_refused = self._has_refused or isinstance(part, Refusal)
                self._growing.append(_Growing(number, part))
            case Said(0, number, text):
                growing = self._part(number)
                growing.pieces.append(text)
                yield from self._go()
            case Sealed(0, number, seal):
                self._part(number).seal = seal
            case Closed(0, number):
                self._part(number).is_closed = True
                yield from self._go()
            case Stopped(0):
                self._stopped = event
            case Spent(usage):
                self._usage = usage
            case _:
                pass

    def _finished(self, usage: Usage | None) -> Iterator[bytes]:
        yield from self._begin()
        for growing in self._growing:
            growing.is_closed = True
        yield from self._go()
        stopped = self._stopped
        delta = {
            "stop_reason": reason_of(stopped.stop, self._has_refused),
            "stop_sequence": stopped.sequence,
        }
        yield _event("message_delta", delta=delta, usage=figures_of(usage))
        yield _event("message_stop")

    def _begin(self, id: str = "", model: str = "") -> Iterator[bytes]:
        if self._has_begun:
            return
        self._has_begun = True
        message = head_of(id, model or self._prompt.model)
        yield _event("message_start", message=message | {"usage": figures_of(self._usage)})

    def _go(self) -> Iterator[bytes]:
        """What can go: all of the parts that are complete, and what has come of the first that is not."""
        growing = self._growing
        while growing:
            first = growing[0]
            yield from self._grown(first)
            if not first.is_closed:
                return
            yield from self._ended(first)
            growing.popleft()

    def _grown(self, growing: _Growing) -> Iterator[bytes]:
        delta = _DELTAS.get(type(growing.part))
        text = "".join(growing.pieces)
        growing.pieces.clear()
        if delta is None or not text:
            return
        yield from self._start(growing)
        kind, member = delta
        yield _event("content_block_delta", index=self._index, delta={"type": kind, member: text})

    def _ended(self, growing: _Growing) -> Iterator[bytes]:
        part, seal = growing.part, growing.seal
        if isinstance(part, Call):
            yield from self._start(growing)
        elif not growing.has_started:
            complete = msgspec.structs.replace(part, seal=seal) if isinstance(part, Text | Thinking) else part
            for block in answered(complete):
                yield from self._whole(block)
            return
        if isinstance(part, Thinking) and seal is not None:
            signature = {"type": "signature_delta", "signature": packed(seal, NAME)}
            yield _event("content_block_delta", index=self._index, delta=signature)
        yield self._stop()
        if seal is not None and not isinstance(part, Thinking) and not growing.is_sealed_in_id:
            yield from self._whole(behind(seal))

    def _start(self, growing: _Growing) -> Iterator[bytes]:
        if growing.has_started:
            return
        growing.has_started = True
        part = growing.part
        if not isinstance(part, Call):
            yield self._block_start(
                thinking_block("", None) if isinstance(part, Thinking) else {"type": "text", "text": ""}
            )
            return
        growing.is_sealed_in_id = growing.seal is not None
        id = part.id if growing.seal is None else sealed_id(part.id, growing.seal)
        yield self._block_start({"type": "tool_use", "id": id, "name": part.name, "input": {}})
        empty = {"type": "input_json_delta", "partial_json": ""}
        yield _event("content_block_delta", index=self._index, delta=empty)

    def _whole(self, block: Block) -> Iterator[bytes]:
        """A block that does not grow. Clients build thinking and text from deltas alone."""
        if block["type"] == "thinking":
            yield self._block_start(thinking_block("", None))
            signature = {"type": "signature_delta", "signature": block["signature"]}
            yield _event("content_block_delta", index=self._index, delta=signature)
        elif block["type"] == "text":
            yield self._block_start({"type": "text", "text": ""})
            delta = {"type": "text_delta", "text": block["text"]}
            yield _event("content_block_delta", index=self._index, delta=delta)
        else:
            yield self._block_start(block)
        yield self._stop()

    def _block_start(self, block: Block) -> bytes:
        return _event("content_block_start", index=self._index, content_block=block)

    def _stop(self) -> bytes:
        event = _event("content_block_stop", index=self._index)
        self._index += 1
        return event

    def _part(self, number: int) -> _Growing:
        return next(growing for growing in self._growing if growing.number == number)


def _event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **members}))
