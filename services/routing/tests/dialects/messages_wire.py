"""Bodies, answers and streams of Anthropic's messages, as tests write and read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.dialects.form import Event, Part, Prompt, Seal, Text, Turn
from hive_routing.dialects.messages import dialect
from hive_routing.dialects.port import Frame
from hive_routing.providers.sse import EventSplitter
from hive_testing.simulator.messages import types

USER = {"role": "user", "content": "Hello"}
SIGNATURE = Seal("messages", "signature", "EqQB")
FOREIGN = Seal("gemini", "signature", "c2VhbA==")


def body(**members: Any) -> dict[str, Any]:
    return {"model": "bee", "max_tokens": 100, "messages": [USER], **members}


def read(**members: Any) -> Prompt:
    return dialect.read_prompt(fields(body(**members)))


def fields(value: dict[str, Any]) -> dict[str, Raw]:
    return msgspec.json.decode(msgspec.json.encode(value), type=dict[str, Raw])


def written(prompt: Prompt) -> dict[str, Any]:
    """The body as the provider decodes it."""
    value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dialect.write_prompt(prompt)))
    return value


def other(*turns: Turn, **members: Any) -> Prompt:
    """A prompt that a client said in another dialect."""
    return Prompt("chat", "claude-sonnet-4-20250514", list(turns) or [said("Hello")], **members)


def checked(prompt: Prompt) -> dict[str, Any]:
    """The body for the provider, which fits the types of its SDK."""
    value = written(prompt)
    types.check(value)
    return value


def said(*parts: str | Part) -> Turn:
    return Turn("user", [Text(part) if isinstance(part, str) else part for part in parts])


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event)) for event in events
    )


def frames(pieces: Iterable[bytes]) -> list[Frame]:
    splitter = EventSplitter()
    found = []
    for piece in pieces:
        for event in splitter.feed(piece):
            name, data = event.removeprefix(b"event: ").split(b"\n", 1)
            found.append(Frame(name.decode(), data.removeprefix(b"data: ").strip()))
    assert not splitter.rest()
    return found


def events(*pieces: bytes) -> list[Event]:
    """What a provider's stream says."""
    reader = dialect.reader()
    return [event for frame in frames(pieces) for event in reader.feed(frame)] + reader.end()


def stream_of(said: Iterable[Event], prompt: Prompt | None = None) -> list[dict[str, Any]]:
    """What a client reads; each event is named as its data is."""
    writer = dialect.writer(prompt or Prompt("messages", "bee", stream=True))
    data = b"".join([*(writer.write(event) for event in said), writer.finish(None)])
    found = []
    for frame in frames([data]):
        value = msgspec.json.decode(frame.data)
        assert value["type"] == frame.name
        found.append(value)
    return found
