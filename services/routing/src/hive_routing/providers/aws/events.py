"""A stream of Amazon's framing as server-sent events: `{"<name>": {…}}`, and `{"error": {…}}` for an exception."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from hive_routing.providers.aws.eventstream import BrokenStream, Message, MessageDecoder
from hive_routing.providers.failures import broken_answer
from hive_routing.providers.port import Body


class EventBody:
    """The events of a stream, as its messages come. Raises HiveError `upstream_failed` where it is broken."""

    def __init__(self, body: Body, provider: str) -> None:
        self._body = body
        self._provider = provider
        self._decoder = MessageDecoder()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            try:
                messages = self._decoder.feed(await self._body.__anext__())
            except StopAsyncIteration:
                if not self._decoder.is_between_messages:
                    raise broken_answer(
                        self._provider, "ended its stream in the middle of an event"
                    ) from None
                raise
            except BrokenStream as error:
                await self._body.aclose()
                raise broken_answer(self._provider, f"sent a broken event stream: {error}") from None
            if events := b"".join([_event(message) for message in messages]):
                return events

    async def aclose(self) -> None:
        await self._body.aclose()


def _event(message: Message) -> bytes:
    headers = message.headers
    match headers.get(":message-type"):
        case "event":
            name, payload = headers.get(":event-type", ""), message.payload or b"{}"
            if name == "initial-response":
                return b""
            # Line ends are white space in JSON, but the end of a line of data here.
            payload = payload.replace(b"\r", b" ").replace(b"\n", b" ")
            return b"data: {" + msgspec.json.encode(name) + b":" + payload + b"}\n\n"
        case "exception":
            error = {"message": _words(message.payload), "type": headers.get(":exception-type", "")}
        case _:
            error = {"message": headers.get(":error-message", ""), "type": headers.get(":error-code", "")}
    return b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"


class _Exception(msgspec.Struct):
    message: str = ""
    originalMessage: str = ""


def _words(payload: bytes) -> str:
    """What an exception says; a model's own words where they are passed on."""
    try:
        said = msgspec.json.decode(payload, type=_Exception)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return said.originalMessage or said.message
