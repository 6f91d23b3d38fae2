"""Events of streams in Anthropic's messages; and one whole stream, with what it says."""

from __future__ import annotations

from typing import Any

from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Ended,
    Event,
    Opened,
    Said,
    Seal,
    Sealed,
    Spent,
    Stop,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.usage import Usage
from services.routing.tests.dialects.messages_wire import SIGNATURE


def begin(**usage: Any) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": []}
    nothing = {"stop_reason": None, "stop_sequence": None}
    return {"type": "message_start", "message": message | nothing | {"usage": usage or {"input_tokens": 9}}}


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def text(index: int, text: str) -> dict[str, Any]:
    return delta(index, type="text_delta", text=text)


def json(index: int, text: str) -> dict[str, Any]:
    return delta(index, type="input_json_delta", partial_json=text)


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def finish(reason: str = "end_turn", **usage: Any) -> dict[str, Any]:
    stopped = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": stopped, "usage": usage or {"output_tokens": 7}}


OVER = {"type": "message_stop"}
PING = {"type": "ping"}
CANONICAL = [
    begin(input_tokens=9, cache_read_input_tokens=3, cache_creation_input_tokens=2, output_tokens=1),
    start(0, type="thinking", thinking="", signature=""),
    PING,
    delta(0, type="thinking_delta", thinking="Let me "),
    delta(0, type="thinking_delta", thinking="sée."),
    delta(0, type="signature_delta", signature="EqQB"),
    stop(0),
    start(1, type="redacted_thinking", data="Emw"),
    stop(1),
    start(2, type="text", text=""),
    text(2, "I look"),
    text(2, " 🐝."),
    stop(2),
    start(3, type="tool_use", id="toolu_1", name="f", input={}),
    json(3, ""),
    json(3, '{"ci'),
    json(3, 'ty":"Rome"}'),
    stop(3),
    start(4, type="tool_use", id="toolu_2", name="g", input={}),
    stop(4),
    finish("tool_use", output_tokens=70, output_tokens_details={"thinking_tokens": 20}),
    OVER,
]
HEARD: list[Event] = [
    Began(
        "msg_1",
        "claude",
        usage=Usage(14, 1, {"prompt": 9, "cached_prompt": 3, "cache_write_5m": 2, "completion": 1}),
    ),
    Opened(0, 0, Thinking()),
    Said(0, 0, "Let me "),
    Said(0, 0, "sée."),
    Sealed(0, 0, SIGNATURE),
    Closed(0, 0),
    Opened(0, 1, Thinking(seal=Seal("messages", "redacted", "Emw"))),
    Closed(0, 1),
    Opened(0, 2, Text()),
    Said(0, 2, "I look"),
    Said(0, 2, " 🐝."),
    Closed(0, 2),
    Opened(0, 3, Call("toolu_1", "f")),
    Said(0, 3, '{"ci'),
    Said(0, 3, 'ty":"Rome"}'),
    Closed(0, 3),
    Opened(0, 4, Call("toolu_2", "g")),
    Said(0, 4, "{}"),
    Closed(0, 4),
    Spent(
        Usage(
            14, 70, {"prompt": 9, "cached_prompt": 3, "cache_write_5m": 2, "completion": 50, "reasoning": 20}
        )
    ),
    Stopped(0, Stop.TOOLS),
    Ended(),
]
