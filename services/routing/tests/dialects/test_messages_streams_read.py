"""Streams of Anthropic's messages, read however they arrive."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.dialects.form import (
    Call,
    Choice,
    Closed,
    Ended,
    Failed,
    Opaque,
    Part,
    Refusal,
    Spent,
    Stop,
    Stopped,
    Text,
    Thinking,
    gather,
)
from hive_routing.dialects.messages import dialect
from hive_routing.dialects.port import Frame
from services.routing.tests.dialects.messages_streams import (
    CANONICAL,
    HEARD,
    OVER,
    PING,
    begin,
    delta,
    finish,
    json,
    start,
    stop,
    text,
)
from services.routing.tests.dialects.messages_wire import SIGNATURE, events, sse


def parts_of(*between: dict[str, Any]) -> list[Part]:
    return gather(events(sse(begin(), *between, finish(), OVER))).choices[0].parts


class TestReading:
    def test_all_of_it(self) -> None:
        assert events(sse(*CANONICAL)) == HEARD

    def test_however_it_is_cut(self) -> None:
        data = sse(*CANONICAL)
        for at in range(len(data)):
            assert events(data[:at], data[at:]) == HEARD
        assert events(*(data[at : at + 1] for at in range(len(data)))) == HEARD

    def test_it_stands_for_the_same_as_a_whole_answer(self) -> None:
        whole = {
            "id": "msg_1",
            "model": "claude",
            "stop_reason": "tool_use",
            "content": [
                {"type": "thinking", "thinking": "Let me sée.", "signature": "EqQB"},
                {"type": "redacted_thinking", "data": "Emw"},
                {"type": "text", "text": "I look 🐝."},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"city": "Rome"}},
                {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
            ],
            "usage": {
                "input_tokens": 9,
                "cache_read_input_tokens": 3,
                "cache_creation_input_tokens": 2,
                "output_tokens": 70,
                "output_tokens_details": {"thinking_tokens": 20},
            },
        }
        assert gather(events(sse(*CANONICAL))) == dialect.read_answer(msgspec.json.encode(whole))

    @pytest.mark.parametrize(
        ("between", "parts"),
        [
            ([start(0, type="text", text="He"), text(0, "llo"), stop(0)], [Text("Hello")]),
            ([start(0, type="text", text=""), text(0, ""), stop(0)], []),
            ([start(0, type="text", text="Hello")], [Text("Hello")]),
            (
                [start(0, type="thinking", thinking="Hm", signature="EqQB"), stop(0)],
                [Thinking("Hm", SIGNATURE)],
            ),
            (
                [
                    start(0, type="thinking", thinking="", signature=""),
                    delta(0, type="signature_delta", signature="EqQB"),
                    stop(0),
                ],
                [Thinking("", SIGNATURE)],
            ),
            (
                [start(0, type="tool_use", id="t", name="f", input={"a": 1}), json(0, ""), stop(0)],
                [Call("t", "f", '{"a":1}')],
            ),
            (
                [start(0, type="tool_use", id="t", name="f", input={"a": 1}), json(0, '{"a":2}'), stop(0)],
                [Call("t", "f", '{"a":2}')],
            ),
            (
                [
                    start(0, type="tool_use", id="t", name="f", input={}),
                    start(1, type="text", text=""),
                    text(1, "x"),
                    json(0, '{"a":2}'),
                    stop(1),
                    stop(0),
                ],
                [Call("t", "f", '{"a":2}'), Text("x")],
            ),
            (
                [
                    start(0, type="server_tool_use", id="s", name="web_search", input={}),
                    json(0, '{"query":'),
                    json(0, '"bees"}'),
                    stop(0),
                    start(1, type="text", text=""),
                    delta(1, type="citations_delta", citation={"cited_text": "b"}),
                    text(1, "x"),
                    stop(1),
                ],
                [
                    Opaque(
                        "messages",
                        "server_tool_use",
                        {
                            "type": "server_tool_use",
                            "id": "s",
                            "name": "web_search",
                            "input": {"query": "bees"},
                        },
                    ),
                    Text("x"),
                ],
            ),
            (
                [start(0, type="web_search_tool_result", content=[]), stop(0)],
                [
                    Opaque(
                        "messages",
                        "web_search_tool_result",
                        {"type": "web_search_tool_result", "content": []},
                    )
                ],
            ),
        ],
    )
    def test_blocks(self, between: list[dict[str, Any]], parts: list[Part]) -> None:
        assert parts_of(*between) == parts

    def test_figures_that_come_later_replace_those_before(self) -> None:
        found = events(
            sse(
                begin(input_tokens=9, output_tokens=1, cache_read_input_tokens=4),
                {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 3}},
                finish(input_tokens=20, output_tokens=8, cache_read_input_tokens=None),
                OVER,
            )
        )
        spent = [event.usage for event in found if isinstance(event, Spent)]
        assert [(usage.prompt_tokens, usage.completion_tokens) for usage in spent] == [(13, 3), (24, 8)]
        assert [event for event in found if isinstance(event, Stopped)] == [Stopped(0, Stop.END)]

    def test_what_says_nothing(self) -> None:
        more: list[dict[str, Any]] = [PING, {"type": "of_the_future", "delta": {"type": "x"}}, begin()]
        assert parts_of(*more) == []

    def test_nothing_is_said_behind_the_end(self) -> None:
        assert events(sse(begin(), finish(), OVER, begin(), OVER), b"data: [DONE]\n\n")[-1] == Ended()

    def test_what_was_refused(self) -> None:
        end = finish("refusal")
        end["delta"]["stop_details"] = {"type": "refusal", "category": None, "explanation": "Unsafe."}
        found = gather(events(sse(begin(), end, OVER)))
        assert found.choices == [Choice([Refusal("Unsafe.")], Stop.FILTERED)]

    def test_an_error(self) -> None:
        words = {"type": "overloaded_error", "message": "Overloaded"}
        broken = sse(begin(), start(0, type="text", text="x"), {"type": "error", "error": words}, stop(0))
        found = events(broken)
        assert found[-1] == Failed(words)
        assert not any(isinstance(event, Closed | Ended) for event in found)

    def test_a_stream_that_was_cut_has_no_end(self) -> None:
        for count in range(1, len(CANONICAL)):
            assert not any(isinstance(event, Ended) for event in events(sse(*CANONICAL[:count])))

    @pytest.mark.parametrize(
        "data",
        [
            b"oops",
            b"{}",
            b'{"type":"content_block_delta","index":4,"delta":{"type":"text_delta","text":"x"}}',
            b'{"type":"content_block_start","index":0,"content_block":{"type":"text"}}',
            b'{"type":"content_block_start","index":0}',
            b'{"type":"content_block_delta","index":"0"}',
        ],
    )
    def test_what_cannot_be_read(self, data: bytes) -> None:
        reader = dialect.reader()
        with pytest.raises(msgspec.DecodeError):
            reader.feed(Frame("", data))
