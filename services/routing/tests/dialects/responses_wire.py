"""Bodies, answers and streams of OpenAI's responses, as tests write and read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, get_args

import msgspec
from msgspec import Raw
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from hive_routing.dialects.form import Began, Closed, Event, Opened, Part, Prompt, Said, Stop, Stopped
from hive_routing.dialects.port import Frame
from hive_routing.dialects.responses import Responses, dialect
from hive_routing.dialects.responses.stream_reading import StreamReader
from hive_routing.providers.sse import EventSplitter

_EVENTS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(ResponseStreamEvent)[0])
}
NOW = 1_763_800_000


class Clock:
    def now(self) -> float:
        return NOW + 2.5

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits here")


def counted() -> Responses:
    """The dialect with ids that are numbered: `msg_1`, `fc_2`."""
    numbers = count(1)
    return Responses(lambda prefix: f"{prefix}_{next(numbers)}", Clock())


def fields(value: dict[str, Any]) -> dict[str, Raw]:
    return msgspec.json.decode(msgspec.json.encode(value), type=dict[str, Raw])


def read(**members: Any) -> Prompt:
    return dialect.read_prompt(fields({"model": "bee", "input": "Hello", **members}))


def written(prompt: Prompt) -> dict[str, Any]:
    """The body as the provider decodes it."""
    value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dialect.write_prompt(prompt)))
    return value


def response(**members: Any) -> dict[str, Any]:
    """A provider's response object, as far as it is read."""
    head = {"id": "resp_p", "object": "response", "created_at": NOW, "model": "gpt", "status": "completed"}
    return {**head, "output": [], "usage": None, **members}


def told(part: Part, *pieces: str, number: int = 0) -> list[Event]:
    """A part of a stream, from its opening to its end."""
    said = [Said(0, number, piece) for piece in pieces]
    return [Opened(0, number, part), *said, Closed(0, number)]


def whole(*parts: list[Event], stop: Stop = Stop.END) -> list[Event]:
    return [Began("", "bee-2", NOW), *(event for part in parts for event in part), Stopped(0, stop)]


def sse(*events: dict[str, Any]) -> bytes:
    numbered = ({"sequence_number": number, **event} for number, event in enumerate(events))
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
        for event in numbered
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


def heard(*pieces: bytes, reader: StreamReader | None = None) -> list[Event]:
    """What a provider's stream says."""
    reader = reader or dialect.reader()
    return [event for frame in frames(pieces) for event in reader.feed(frame)] + reader.end()


def stream_of(said: Sequence[Event], prompt: Prompt | None = None, **told: Any) -> bytes:
    writer = counted().writer(prompt or Prompt("responses", "bee", stream=True), **told)
    return b"".join([*(writer.write(event) for event in said), writer.finish(None)])


def check_event(value: dict[str, Any]) -> None:
    """It is as the SDK has it."""
    _EVENTS[value["type"]].model_validate(value, strict=True)
    if "response" in value:
        Response.model_validate(value["response"], strict=True)


def checked(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream for a client, each of which is as the SDK has it, in their order."""
    found = []
    for number, frame in enumerate(frames([stream])):
        value = msgspec.json.decode(frame.data)
        assert value["type"] == frame.name
        assert value["sequence_number"] == number
        check_event(value)
        found.append(value)
    return found


# ---- a provider's stream, as OpenAI sends it

TOKEN: dict[str, Any] = {"token": "I", "logprob": -0.5, "top_logprobs": []}
STATED: dict[str, Any] = {
    "input_tokens": 9,
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 2},
}

SUMMARY = [{"type": "summary_text", "text": "Let me "}, {"type": "summary_text", "text": "sée."}]
REASONING: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_p",
    "summary": SUMMARY,
    "encrypted_content": "gAAA",
}
TEXT: dict[str, Any] = {"type": "output_text", "text": "I look 🐝.", "annotations": [], "logprobs": [TOKEN]}
MESSAGE: dict[str, Any] = {
    "type": "message",
    "id": "msg_p",
    "status": "completed",
    "role": "assistant",
    "content": [TEXT],
}
CALL: dict[str, Any] = {
    "type": "function_call",
    "id": "fc_p",
    "call_id": "call_1",
    "name": "f",
    "arguments": '{"a":1}',
}
OUTPUT: list[dict[str, Any]] = [REASONING, MESSAGE, CALL]


def created(**members: Any) -> dict[str, Any]:
    return {"type": "response.created", "response": response(status="in_progress", **members)}


def done(*output: dict[str, Any], kind: str = "completed", **members: Any) -> dict[str, Any]:
    members = {"status": kind, "usage": STATED, **members}
    return {"type": f"response.{kind}", "response": response(output=list(output), **members)}


def event(kind: str, index: int, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "item_id": OUTPUT[index]["id"], "output_index": index, **members}


def item(kind: str, index: int, **members: Any) -> dict[str, Any]:
    return event(f"output_item.{kind}", index, item=OUTPUT[index] | members)


_PART = {"type": "output_text", "text": "", "annotations": []}
CANONICAL = [
    created(),
    {"type": "response.in_progress", "response": response(status="in_progress")},
    item("added", 0, summary=[], encrypted_content=None),
    event("reasoning_summary_part.added", 0, summary_index=0, part={"type": "summary_text", "text": ""}),
    event("reasoning_summary_text.delta", 0, summary_index=0, delta="Let "),
    event("reasoning_summary_text.delta", 0, summary_index=0, delta="me ", obfuscation="x"),
    event("reasoning_summary_text.done", 0, summary_index=0, text="Let me "),
    event("reasoning_summary_part.done", 0, summary_index=0, part=SUMMARY[0]),
    event("reasoning_summary_part.added", 0, summary_index=1, part={"type": "summary_text", "text": ""}),
    event("reasoning_summary_text.delta", 0, summary_index=1, delta="sée."),
    event("reasoning_summary_text.done", 0, summary_index=1, text="sée."),
    event("reasoning_summary_part.done", 0, summary_index=1, part=SUMMARY[1]),
    item("done", 0),
    item("added", 1, content=[], status="in_progress"),
    event("content_part.added", 1, content_index=0, part=_PART),
    event("output_text.delta", 1, content_index=0, delta="I look", logprobs=[TOKEN]),
    event("output_text.delta", 1, content_index=0, delta=" 🐝.", logprobs=[]),
    event("output_text.annotation.added", 1, content_index=0, annotation_index=0, annotation={}),
    event("output_text.done", 1, content_index=0, text=TEXT["text"], logprobs=[TOKEN]),
    event("content_part.done", 1, content_index=0, part=TEXT),
    item("done", 1),
    item("added", 2, arguments="", status="in_progress"),
    event("function_call_arguments.delta", 2, delta='{"a"'),
    event("function_call_arguments.delta", 2, delta=":1}"),
    event("function_call_arguments.done", 2, arguments='{"a":1}', name="f"),
    item("done", 2),
    done(*OUTPUT),
]
