"""An answer of the pipeline on its way to a client: put right, and kept before the client hears its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from hive_routing.answers import Send
from hive_routing.dialects.form import Gathering, Prompt
from hive_routing.dialects.port import Frame
from hive_routing.providers.sse import EventSplitter, read_named
from hive_routing.stored.port import Event, Truth, Wire

Keep = Callable[[bytes], Awaitable[bool]]
"""Keeps an answer; false where it cannot be."""

_LENGTH = b"content-length"


class Rewriting:
    """Puts an answer right, whole or event by event. numbered: clients may ask to go on behind an event.

    prompt: what was asked, where the end of a stream does not hold the whole answer.
    """

    def __init__(
        self, wire: Wire, truth: Truth, prompt: Prompt | None = None, *, numbered: bool = False
    ) -> None:
        self.number = 0
        """Of the next event."""
        self._wire = wire
        self._truth = truth
        self.prompt = prompt
        self._numbered = numbered
        self._splitter = EventSplitter()
        self._gathering = Gathering()
        self._reader = None
        if not wire.is_whole and wire.endpoint.dialect is not None:
            self._reader = wire.endpoint.dialect.reader()

    def disown(self) -> None:
        """It cannot be kept: from now on it says so."""
        self._truth = self._truth._replace(store=False)

    def plain(self, body: bytes) -> bytes:
        return self._wire.plain(body, self._truth)

    def is_of_no_concern(self, data: bytes) -> bool:
        """Whether it is whole events that nothing has to be done with."""
        if self._numbered or self._reader is not None or not data.endswith(b"\n\n"):
            return False
        return self._wire.about not in data and not self._splitter.rest()

    def split(self, data: bytes) -> list[bytes]:
        """The events that are complete with this."""
        return self._splitter.feed(data)

    def rest(self) -> bytes:
        return self._splitter.rest()

    def event(self, raw: bytes) -> Event:
        """One event; may be asked again, until `next` says that it has left."""
        event = self._wire.event(raw, self._truth, self.number if self._numbered else None)
        if event.answer is None or self.prompt is None or self._wire.is_whole:
            return event
        answer = self._wire.completed(event.answer, self.prompt, self._gathering.settle())
        return event._replace(answer=answer)

    def next(self, raw: bytes) -> None:
        """The event has left."""
        name, data = read_named(raw)
        if data is None or data.startswith(b"[DONE]"):
            return
        self.number += 1
        if self._reader is not None:
            for each in self._reader.feed(Frame(name, data)):
                self._gathering.add(each)


class Recording:
    """A way to send that keeps what passes. keep: is given the whole answer before its end goes out."""

    def __init__(self, send: Send, rewriting: Rewriting, keep: Keep) -> None:
        self._send = send
        self._rewriting = rewriting
        self._keep = keep
        self._start: MutableMapping[str, Any] | None = None
        self._parts: list[bytes] = []

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            if is_stream(message):
                await self._send(message)
            else:
                self._start = message
        elif self._start is None:
            await self._send({**message, "body": await self._events(message)})
        else:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body"):
                await self._whole(self._start, b"".join(self._parts))

    async def _whole(self, start: MutableMapping[str, Any], body: bytes) -> None:
        answer = self._rewriting.plain(body)
        if not await self._keep(answer):
            self._rewriting.disown()
            answer = self._rewriting.plain(body)
        headers = [each for each in start["headers"] if each[0] != _LENGTH]
        await self._send({**start, "headers": [*headers, (_LENGTH, b"%d" % len(answer))]})
        await self._send({"type": "http.response.body", "body": answer, "more_body": False})

    async def _events(self, message: MutableMapping[str, Any]) -> bytes:
        body: bytes = message.get("body", b"")
        if message.get("more_body") and self._rewriting.is_of_no_concern(body):
            return body
        out = [await self._event(raw) for raw in self._rewriting.split(body)]
        if not message.get("more_body"):
            out.append(self._rewriting.rest())
        return b"".join(out)

    async def _event(self, raw: bytes) -> bytes:
        event = self._rewriting.event(raw)
        if event.answer is not None and not await self._keep(event.answer):
            self._rewriting.disown()
            event = self._rewriting.event(raw)
        self._rewriting.next(raw)
        return event.raw


def is_stream(start: MutableMapping[str, Any]) -> bool:
    return any(name == b"content-type" and b"event-stream" in value for name, value in start["headers"])
