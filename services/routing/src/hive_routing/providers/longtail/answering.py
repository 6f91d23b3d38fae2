"""What the library answers, as a provider that speaks OpenAI's dialect would have sent it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec


class Model(Protocol):
    """A model of Pydantic: an answer, or a chunk of one."""

    def model_dump(self, *, mode: str, exclude_none: bool) -> dict[str, Any]: ...


class Chunks(Protocol):
    """A stream of the library's. Closing it ends the provider's work."""

    def __aiter__(self) -> AsyncIterator[Model]: ...

    async def __anext__(self) -> Model: ...

    async def aclose(self) -> None: ...


DONE = b"data: [DONE]\n\n"


class Writer:
    """One answer, whole or event by event: of some providers, each chunk comes with another id and without a role.

    now: when it was asked for, in seconds, where the provider does not say when it was made.
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self._same: dict[str, Any] = {}
        self._begun: set[int] = set()

    def whole(self, answer: Model) -> bytes:
        """The body of an answer."""
        fields = _fields(answer)
        fields["created"] = fields.get("created") or self._now
        for choice in fields["choices"]:
            choice["message"].setdefault("content", None)
        return msgspec.json.encode(fields)

    def event(self, chunk: Model) -> bytes:
        """A server-sent event."""
        fields = _fields(chunk)
        if not self._same:
            self._same = {"id": fields["id"], "created": fields.get("created") or self._now}
        for choice in fields["choices"]:
            if choice["index"] not in self._begun:
                self._begun.add(choice["index"])
                choice["delta"].setdefault("role", "assistant")
        return b"data: %b\n\n" % msgspec.json.encode(fields | self._same)


def _fields(model: Model) -> dict[str, Any]:
    """Without the members that are null: the library names every one that it knows, OpenAI two of them."""
    fields = model.model_dump(mode="json", exclude_none=True)
    for choice in fields["choices"]:
        choice.setdefault("finish_reason", None)
    return fields
