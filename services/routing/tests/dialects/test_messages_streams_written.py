"""Streams of Anthropic's messages, written in the one order that clients expect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Ended,
    Event,
    Failed,
    Media,
    Opaque,
    Opened,
    Part,
    Prompt,
    Refusal,
    Said,
    Seal,
    Sealed,
    Spent,
    Stop,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.dialects.messages import dialect
from hive_routing.dialects.seals import packed, sealed_id
from hive_routing.usage import Usage
from services.routing.tests.dialects.messages_streams import (
    CANONICAL,
    HEARD,
    OVER,
    PING,
    delta,
    json,
    start,
    stop,
    text,
)
from services.routing.tests.dialects.messages_wire import FOREIGN, SIGNATURE, sse, stream_of

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def told(*parts: tuple[Part, list[str]]) -> Iterator[Event]:
    """Parts one after the other, each with what is said of it."""
    yield Began("msg_1", "bee")
    for number, (part, pieces) in enumerate(parts):
        yield Opened(0, number, part)
        for piece in pieces:
            yield Said(0, number, piece)
        yield Closed(0, number)
    yield Stopped(0, Stop.END)
    yield Ended()


def kinds(stream: list[dict[str, Any]]) -> list[str]:
    return [
        f"{event['type']} {event['index']}" if "index" in event else str(event["type"]) for event in stream
    ]


def blocks(*parts: tuple[Part, list[str]]) -> list[dict[str, Any]]:
    """The events of the blocks alone."""
    stream = stream_of(told(*parts))
    assert kinds([stream[0], *stream[-2:]]) == ["message_start", "message_delta", "message_stop"]
    return stream[1:-2]


class TestWriting:
    def test_what_was_read_is_written_again(self) -> None:
        """Spelled as Anthropic does, but for pings, texts of no characters and figures that it leaves out."""
        stream = stream_of(HEARD)
        for event in stream:
            EVENT.validate_python(event, strict=True)
        said = [event for event in stream if event.get("delta", {}).get("partial_json") not in ("", "{}")]
        expected = [event for event in CANONICAL if event != PING and event != json(3, "")]
        assert said[1:-2] == expected[1:-2]
        figures = {"input_tokens": 9, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 3}
        thinking = {"output_tokens_details": {"thinking_tokens": 20}}
        assert stream[0]["message"] == CANONICAL[0]["message"] | {"usage": figures | {"output_tokens": 1}}
        assert stream[-2]["usage"] == figures | {"output_tokens": 70} | thinking

    def test_a_text(self) -> None:
        assert blocks((Text(), ["He", "llo"])) == [
            start(0, type="text", text=""),
            text(0, "He"),
            text(0, "llo"),
            stop(0),
        ]

    def test_a_call(self) -> None:
        assert blocks((Call("call_1", "f"), ['{"a":', "1}"])) == [
            start(0, type="tool_use", id="call_1", name="f", input={}),
            json(0, ""),
            json(0, '{"a":'),
            json(0, "1}"),
            stop(0),
        ]

    def test_a_call_without_arguments(self) -> None:
        assert blocks((Call("call_1", "f"), [])) == [
            start(0, type="tool_use", id="call_1", name="f", input={}),
            json(0, ""),
            stop(0),
        ]

    @pytest.mark.parametrize("part", [Text(), Refusal(), Thinking(), Opaque("gemini", "x")])
    def test_parts_that_say_nothing_are_no_blocks(self, part: Part) -> None:
        assert blocks((part, []), (Text(), ["x"]))[0] == start(0, type="text", text="")

    @pytest.mark.parametrize(
        ("part", "said"),
        [
            (
                Thinking(seal=SIGNATURE),
                [
                    start(0, type="thinking", thinking="", signature=""),
                    delta(0, type="signature_delta", signature="EqQB"),
                ],
            ),
            (
                Thinking(seal=Seal("messages", "redacted", "Emw")),
                [start(0, type="redacted_thinking", data="Emw")],
            ),
            (
                Text(seal=FOREIGN),
                [
                    start(0, type="thinking", thinking="", signature=""),
                    delta(0, type="signature_delta", signature=packed(FOREIGN, "messages")),
                ],
            ),
            (
                Media("image", url="https://a/b"),
                [start(0, type="text", text=""), text(0, "![image](https://a/b)")],
            ),
            (
                Opaque("messages", "container_upload", {"type": "container_upload", "file_id": "f"}),
                [start(0, type="container_upload", file_id="f")],
            ),
        ],
    )
    def test_parts_that_come_whole(self, part: Part, said: list[dict[str, Any]]) -> None:
        assert blocks((part, [])) == [*said, stop(0)]

    def test_a_seal_is_the_last_of_its_thinking(self) -> None:
        stream = stream_of(
            [
                Opened(0, 0, Thinking()),
                Sealed(0, 0, Seal("messages", "signature", "old")),
                Said(0, 0, "Hm"),
                Sealed(0, 0, FOREIGN),
                Closed(0, 0),
            ]
        )
        assert stream[1:-2] == [
            start(0, type="thinking", thinking="", signature=""),
            delta(0, type="thinking_delta", thinking="Hm"),
            delta(0, type="signature_delta", signature=packed(FOREIGN, "messages")),
            stop(0),
        ]

    @pytest.mark.parametrize("is_late", [False, True])
    def test_the_seal_of_a_call(self, is_late: bool) -> None:
        """In its id; behind it where that has gone out."""
        said: list[Event] = [Sealed(0, 0, FOREIGN), Said(0, 0, "{}")]
        if is_late:
            said.reverse()
        stream = stream_of([Opened(0, 0, Call("c", "f")), *said, Closed(0, 0)])
        assert stream[1]["content_block"]["id"] == ("c" if is_late else sealed_id("c", FOREIGN))
        behind = [delta(1, type="signature_delta", signature=packed(FOREIGN, "messages"))]
        assert [event for event in stream if event.get("index") == 1][1:-1] == (behind if is_late else [])

    def test_parts_that_grow_at_once_follow_each_other(self) -> None:
        stream = stream_of(
            [
                Began("chatcmpl-1", "bee"),
                Opened(0, 0, Text()),
                Opened(0, 1, Call("a", "f")),
                Said(0, 1, '{"a":'),
                Said(0, 0, "He"),
                Opened(0, 2, Call("b", "g")),
                Said(0, 2, '{"b":2'),
                Said(0, 1, "1"),
                Said(0, 0, "llo"),
                Said(0, 2, "}"),
                Closed(0, 2),
                Closed(0, 0),
                Said(0, 1, "}"),
                Closed(0, 1),
                Stopped(0, Stop.TOOLS),
            ]
        )
        assert stream[1:-2] == [
            start(0, type="text", text=""),
            text(0, "He"),
            text(0, "llo"),
            stop(0),
            start(1, type="tool_use", id="a", name="f", input={}),
            json(1, ""),
            json(1, '{"a":1'),
            json(1, "}"),
            stop(1),
            start(2, type="tool_use", id="b", name="g", input={}),
            json(2, ""),
            json(2, '{"b":2}'),
            stop(2),
        ]

    def test_what_can_go_goes_at_once(self) -> None:
        writer = dialect.writer(Prompt("messages", "bee"))
        assert writer.write(Began("msg_1", "bee")).startswith(b"event: message_start\n")
        assert writer.write(Opened(0, 0, Text())) == b""
        assert writer.write(Said(0, 0, "x")).count(b"event: ") == 2
        assert writer.write(Said(0, 0, "y")).count(b"event: ") == 1
        assert writer.write(Closed(0, 0)) == sse(stop(0))
        for event in (Stopped(0, Stop.END), Spent(Usage(1, 2, {})), Failed("x"), Ended()):
            assert writer.write(event) == b""

    def test_the_head(self) -> None:
        usage = Usage(12, 1, {"prompt": 9, "cached_prompt": 3, "completion": 1})
        head = stream_of([Began("chatcmpl-1", "bee", usage=usage)])[0]["message"]
        Message.model_validate(head, strict=True)
        assert head.pop("id").startswith("msg_")
        assert head == {
            "type": "message",
            "role": "assistant",
            "model": "bee",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 9,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 3,
                "output_tokens": 1,
            },
        }

    def test_the_head_has_figures_where_none_are_known(self) -> None:
        usage = stream_of([Began()])[0]["message"]["usage"]
        assert (usage["input_tokens"], usage["output_tokens"]) == (0, 0)

    @pytest.mark.parametrize("told", [None, Usage(1, 2, {})])
    def test_the_usage_at_the_end(self, told: Usage | None) -> None:
        """What the gateway tells counts; else what the provider said last."""
        writer = dialect.writer(Prompt("messages", "bee"))
        for event in (Began(), Spent(Usage(5, 5, {})), Spent(Usage(6, 7, {})), Stopped(0, Stop.END)):
            writer.write(event)
        end = msgspec.json.decode(writer.finish(told).split(b"\n")[1].removeprefix(b"data: "))
        expected = (6, 7) if told is None else (1, 2)
        assert (end["usage"]["input_tokens"], end["usage"]["output_tokens"]) == expected

    @pytest.mark.parametrize(
        ("why", "reason"),
        [
            (Stop.END, "end_turn"),
            (Stop.LENGTH, "max_tokens"),
            (Stop.SEQUENCE, "stop_sequence"),
            (Stop.TOOLS, "tool_use"),
            (Stop.FILTERED, "refusal"),
            (Stop.PAUSED, "pause_turn"),
            (Stop.CONTEXT, "model_context_window_exceeded"),
        ],
    )
    def test_why_it_stopped(self, why: Stop, reason: str) -> None:
        *_, end, over = stream_of([Began(), Stopped(0, why, "END")])
        assert end["delta"] == {"stop_reason": reason, "stop_sequence": "END"}
        assert over == OVER

    def test_a_refusal(self) -> None:
        stream = stream_of(told((Refusal(), ["No."])))
        assert stream[2] == text(0, "No.")
        assert stream[-2]["delta"]["stop_reason"] == "refusal"

    def test_one_that_says_nothing_is_complete(self) -> None:
        assert kinds(stream_of([])) == ["message_start", "message_delta", "message_stop"]

    def test_what_is_still_open_is_closed(self) -> None:
        stream = stream_of([Opened(0, 0, Text()), Said(0, 0, "x"), Opened(0, 1, Call("c", "f"))])
        assert kinds(stream)[-4:] == [
            "content_block_delta 1",
            "content_block_stop 1",
            "message_delta",
            "message_stop",
        ]

    def test_other_choices_have_no_place(self) -> None:
        stream = stream_of(
            [Began(), Opened(1, 0, Text()), Said(1, 0, "x"), Closed(1, 0), Stopped(1, Stop.LENGTH)]
        )
        assert len(stream) == 3
        assert stream[1]["delta"]["stop_reason"] == "end_turn"


class TestWithTheSdk:
    def test_the_final_message(self) -> None:
        writer = dialect.writer(Prompt("messages", "bee"))
        data = b"".join([*map(writer.write, HEARD), writer.finish(None)])
        with client(data).messages.stream(
            model="bee", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ) as stream:
            words = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert words == "I look 🐝."
        assert [block.model_dump(exclude_unset=True) for block in final.content] == [
            {"type": "thinking", "thinking": "Let me sée.", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "Emw"},
            {"type": "text", "text": "I look 🐝."},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"city": "Rome"}},
            {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
        ]
        assert final.stop_reason == "tool_use"
        usage = final.usage
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (9, 3, 70)

    def test_parts_that_came_whole(self) -> None:
        said = told(
            (Media("image", url="https://a/b"), []), (Text(seal=FOREIGN), ["Hi"]), (Call("c", "f"), [])
        )
        writer = dialect.writer(Prompt("messages", "bee"))
        data = b"".join([*map(writer.write, said), writer.finish(None)])
        with client(data).messages.stream(
            model="bee", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ) as stream:
            final = stream.get_final_message()
        assert [block.model_dump(exclude_unset=True) for block in final.content] == [
            {"type": "text", "text": "![image](https://a/b)"},
            {"type": "text", "text": "Hi"},
            {"type": "thinking", "thinking": "", "signature": packed(FOREIGN, "messages")},
            {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        ]


def client(data: bytes) -> anthropic.Anthropic:
    """An SDK whose server answers so."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data)

    http = anthropic.DefaultHttpxClient(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(
        api_key="sk-x", base_url="http://hive.example", http_client=http, max_retries=0
    )
