"""Chat completions as OpenAI's own SDK knows them: what it would not have sent, or could not read, fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsBase,
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

from hive_routing.dialects.chat import dialect
from hive_routing.dialects.form import Event, Prompt
from hive_routing.dialects.port import Frame
from hive_routing.providers.sse import EventSplitter, read_event
from hive_routing.usage import Usage

_PLAIN: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
_STREAMING: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsStreaming)
ASKED = Prompt("chat", "bee", stream=True, usage_asked=True)
USAGE = Usage(3, 2, {"prompt": 3, "completion": 2})
DONE = b"[DONE]"

_MEMBERS = {*CompletionCreateParamsBase.__annotations__, "stream"}


def checked_request(body: dict[str, Any]) -> dict[str, Any]:
    """The body, valid to the last member."""
    assert body.keys() <= _MEMBERS
    _read_all((_STREAMING if body.get("stream") else _PLAIN).validate_python(body, strict=False))
    return body


def checked_answer(body: bytes) -> ChatCompletion:
    return ChatCompletion.model_validate_json(body)


def chunks_of(stream: bytes) -> list[ChatCompletionChunk]:
    """Those of a whole stream, which ends as it has to."""
    *chunks, done = data_of(stream)
    assert done == DONE
    return [ChatCompletionChunk.model_validate_json(chunk) for chunk in chunks]


def data_of(stream: bytes) -> Iterator[bytes]:
    splitter = EventSplitter()
    for event in splitter.feed(stream):
        data, has_id = read_event(event)
        assert data is not None
        assert not has_id
        yield data
    assert not splitter.rest()


def fields_of(body: Any) -> dict[str, Raw]:
    """The members of a body as the pipeline has them."""
    return msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Raw])


def read_stream(*chunks: Any) -> list[Event]:
    """The events of a provider's stream."""
    reader = dialect.reader()
    frames = [each if isinstance(each, bytes) else msgspec.json.encode(each) for each in chunks]
    events = [event for data in frames for event in reader.feed(Frame("", data))]
    return [*events, *reader.end()]


def write_stream(events: Sequence[Event], asked: Prompt = ASKED, usage: Usage | None = USAGE) -> bytes:
    """A client's stream."""
    writer = dialect.writer(asked)
    return b"".join([*(writer.write(event) for event in events), writer.finish(usage)])


def _read_all(value: Any) -> None:
    """Arrays are validated while they are read."""
    if isinstance(value, dict):
        for each in value.values():
            _read_all(each)
    elif isinstance(value, list) or type(value).__name__ == "ValidatorIterator":
        for each in value:
            _read_all(each)
