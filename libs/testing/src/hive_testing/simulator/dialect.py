"""How a provider answers, apart from what its model says: its heads, errors, frames of streams and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hive_testing.simulator import errors
from hive_testing.simulator.answer import EVENT_STREAM
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.calls import Call
from hive_testing.simulator.reply import Event, InvalidRequest

NO_HEADERS: Mapping[str, str] = {}


class Dialect:
    """OpenAI's way; the others say what they do differently."""

    stream_type = EVENT_STREAM

    def frame(self, event: Event, crlf: bool) -> bytes:
        """An event as it goes over the wire."""
        if not event.name:
            return b"data: %b\r\n\r\n" % event.data if crlf else b"data: %b\n\n" % event.data
        form = b"event: %b\r\ndata: %b\r\n\r\n" if crlf else b"event: %b\ndata: %b\n\n"
        return form % (event.name.encode(), event.data)

    def keep_alive(self, crlf: bool) -> bytes:
        """What keeps the connection of a stream open; empty where the dialect has no such thing."""
        return b": keep-alive\r\n\r\n" if crlf else b": keep-alive\n\n"

    def error(self, status: int, message: str, param: str | None = None, code: str | None = None) -> Any:
        """What is wrong, as the value that `error_body` takes."""
        return errors.error(status, message, param, code)

    def scripted(self, status: int, behaviour: Behaviour) -> Any:
        """The error that the script asks for."""
        return behaviour.error or self.error(status, told(status))

    def error_body(self, error: Any, number: int) -> bytes:
        """The body of an answer to call `number` that is an error."""
        return errors.body(error)

    def error_event(self, status: int, error: Any, place: int) -> Event:
        """The error as the event of a stream that comes after `place` others."""
        return Event(errors.body(error), None)

    def headers(self, status: int, number: int) -> Mapping[str, str]:
        """What the provider says in its heads beside `x-request-id`."""
        return NO_HEADERS

    def check_key(self, call: Call, key: str) -> None:
        """Raises `InvalidRequest` where the call does not show the key."""
        if bearer(call) != key:
            wrong = f"Incorrect API key provided: {call.header(b'authorization')!r}."
            raise InvalidRequest(wrong, status=401)


class Overlaid(Dialect):
    """A dialect whose scripted errors are laid over the usual ones."""

    def scripted(self, status: int, behaviour: Behaviour) -> Any:
        return {**self.error(status, told(status)), **(behaviour.error or {})}


OPENAI = Dialect()


def told(status: int) -> str:
    """The message of an error that the script asked for."""
    return f"The simulator was told to answer {status}."


def bearer(call: Call) -> str:
    """The token of the authorization header, or an empty text."""
    scheme, _, token = call.header(b"authorization").partition(" ")
    return token if scheme == "Bearer" else ""


def decoded(call: Call) -> dict[str, Any]:
    """The body of a call; raises `msgspec.DecodeError`, and `InvalidRequest` where it is not an object."""
    value = msgspec.json.decode(call.body)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value
