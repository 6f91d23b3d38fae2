"""The events of a session as far as the gateway reads them: what a client asks for, what a provider tells.

Events pass as they came; only what is read here decides anything. A client's event that cannot be read goes no further,
so that nobody can hide something in it from us that the provider would find.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hive_runtime.errors import HiveError, Kind

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_READ = frozenset({"type", "event_id", "item", "session", "response", "audio"})
_object = msgspec.json.Decoder(dict[str, Raw]).decode
_text = msgspec.json.Decoder(str).decode


class ClientEvent:
    """fields: its members as the client spelled them; the last one of a name counts."""

    __slots__ = ("event_id", "fields", "type")

    def __init__(self, type: str, event_id: str | None, fields: dict[str, Raw]) -> None:
        self.type = type
        self.event_id = event_id
        self.fields = fields

    @classmethod
    def read(cls, data: bytes) -> ClientEvent:
        """Raises HiveError `invalid` for what is no event."""
        try:
            if not data.isascii():
                data.decode()
            fields = _object(data)
        except UNREADABLE:
            raise HiveError(Kind.INVALID, "The event is not valid JSON: send an object.") from None
        for name in fields:  # some providers read names without regard to case
            if name not in _READ and name.casefold() in _READ:
                raise HiveError(Kind.INVALID, f"`{name}` is spelled `{name.casefold()}`.", name)
        kind, event_id = text_of(fields.get("type")), text_of(fields.get("event_id"))
        if kind is None:
            raise HiveError(Kind.INVALID, "`type` is missing: it names the event.", "type")
        return cls(kind, event_id, fields)

    def value(self, name: str) -> Any:
        """A member as plain values; raises HiveError `invalid` where it is nested too deeply."""
        raw = self.fields.get(name)
        try:
            return None if raw is None else msgspec.json.decode(raw)
        except UNREADABLE:
            raise HiveError(Kind.INVALID, f"`{name}` cannot be read.", name) from None

    def with_value(self, name: str, value: Any) -> bytes:
        """The event with another value of one member, from now on."""
        self.fields[name] = Raw(msgspec.json.encode(value))
        return msgspec.json.encode(self.fields)


_NONE = Raw()
"""A member that is not there."""


class ServerEvent(msgspec.Struct):
    """What a provider tells, as far as it matters here."""

    type: str = ""
    response_id: Any = None
    item_id: Any = None
    content_index: Any = None
    delta: Any = None
    text: Any = None
    transcript: Any = None
    arguments: Any = None
    response: Raw = _NONE
    item: Raw = _NONE
    session: Raw = _NONE
    error: Raw = _NONE
    usage: Raw = _NONE

    @classmethod
    def read(cls, data: bytes) -> ServerEvent | None:
        """None for what is no event: it passes all the same."""
        try:
            return _server_event(data)
        except UNREADABLE:
            return None


_server_event = msgspec.json.Decoder(ServerEvent).decode


def text_of(raw: Raw | None) -> str | None:
    """The value of a member that is a string."""
    try:
        return None if raw is None else _text(raw)
    except UNREADABLE:
        return None


def values_of(raw: Raw | None) -> Mapping[str, Any]:
    """The members of an object; none where it is no object."""
    try:
        value = None if raw is None else msgspec.json.decode(raw)
    except UNREADABLE:
        return {}
    return value if isinstance(value, dict) else {}


def object_in(value: Any, *names: str) -> Mapping[str, Any]:
    """The object at the end of a path of members; an empty one where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
