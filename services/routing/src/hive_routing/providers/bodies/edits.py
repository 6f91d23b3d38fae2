"""Changes to bodies for providers that refuse what OpenAI takes: members left out or renamed, the others untouched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec
from msgspec import Raw

Fields = dict[str, Raw]

_object = msgspec.json.Decoder(Fields).decode
_objects = msgspec.json.Decoder(list[Fields]).decode
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Edits:
    """drops: members that are left out; message_drops: of each message. renames: by the name that they have.

    message: a further change of each message.
    """

    drops: frozenset[str] = frozenset()
    message_drops: frozenset[str] = frozenset()
    renames: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    message: Callable[[Fields], Fields] | None = None

    def __bool__(self) -> bool:
        return bool(self.drops or self.message_drops or self.renames or self.message)

    def made(self, body: bytes) -> bytes:
        """The body as the provider takes it."""
        fields = _object(body)
        for name in self.drops:
            fields.pop(name, None)
        if self.renames:
            fields = {self.renames.get(name, name): value for name, value in fields.items()}
        if (self.message_drops or self.message is not None) and "messages" in fields:
            fields["messages"] = self._messages(fields["messages"])
        return _encode(fields)

    def _messages(self, raw: Raw) -> Raw:
        try:
            messages = _objects(raw)
        except msgspec.ValidationError:
            return raw  # what is no list of messages the provider refuses in its own words
        return Raw(_encode([self._message(message) for message in messages]))

    def _message(self, message: Fields) -> Fields:
        kept = {name: value for name, value in message.items() if name not in self.message_drops}
        return kept if self.message is None else self.message(kept)
