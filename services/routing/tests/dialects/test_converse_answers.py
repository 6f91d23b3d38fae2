"""Whole answers of Converse, both ways; what is written fits Amazon's own model of one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.dialects.converse import dialect
from hive_routing.dialects.form import (
    Answer,
    Call,
    Choice,
    Media,
    Opaque,
    Part,
    Prompt,
    Refusal,
    Seal,
    Stop,
    Text,
    Thinking,
)
from hive_routing.usage import Usage
from services.routing.tests.dialects.converse_wire import FOREIGN, SIGNATURE, check_answer

PROMPT = Prompt("converse")


def answer(*content: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
        "metrics": {"latencyMs": 12},
        **members,
    }


def read(body: dict[str, Any]) -> Answer:
    check_answer(body)
    return dialect.read_answer(msgspec.json.encode(body))


def written(
    *parts: Part, stop: Stop = Stop.END, sequence: str | None = None, usage: Usage | None = None
) -> Any:
    said = Answer("chatcmpl-1", "bee", 1, [Choice(list(parts), stop, sequence)], usage)
    body = msgspec.json.decode(dialect.write_answer(said, PROMPT))
    check_answer(body)
    return body


def test_an_answer_with_all_there_is() -> None:
    got = read(
        answer(
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EqQB"}}},
            {"reasoningContent": {"redactedContent": "c2VhbA=="}},
            {"text": "Let me see."},
            {"toolUse": {"toolUseId": "t1", "name": "look_up", "input": {"city": "Rom"}}},
            {"toolUse": {"toolUseId": "t2", "name": "look_up", "input": {}}},
            stopReason="tool_use",
        )
    )
    assert got.choices == [
        Choice(
            [
                Thinking("hm", SIGNATURE),
                Thinking("", Seal("converse", "redacted", "c2VhbA==")),
                Text("Let me see."),
                Call("t1", "look_up", '{"city":"Rom"}'),
                Call("t2", "look_up", "{}"),
            ],
            Stop.TOOLS,
        )
    ]
    assert got.usage == Usage(3, 2, {"prompt": 3, "completion": 2})


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", Stop.END),
        ("tool_use", Stop.TOOLS),
        ("max_tokens", Stop.LENGTH),
        ("stop_sequence", Stop.SEQUENCE),
        ("guardrail_intervened", Stop.FILTERED),
        ("content_filtered", Stop.FILTERED),
        ("model_context_window_exceeded", Stop.CONTEXT),
    ],
)
def test_why_it_ended(reason: str, stop: Stop) -> None:
    got = read(
        answer({"text": "Hi"}, stopReason=reason, additionalModelResponseFields={"stop_sequence": None})
    )
    assert (got.choices[0].stop, got.choices[0].sequence) == (stop, None)


def test_a_reason_of_tomorrow_is_an_end() -> None:
    body = msgspec.json.encode(answer({"text": "Hi"}, stopReason="newest"))
    assert dialect.read_answer(body).choices[0].stop is Stop.END


def test_calls_are_the_reason_where_none_other_is_said() -> None:
    call = {"toolUse": {"toolUseId": "t1", "name": "look_up", "input": {}}}
    assert read(answer(call)).choices[0].stop is Stop.TOOLS
    assert read(answer(call, stopReason="max_tokens")).choices[0].stop is Stop.LENGTH


def test_the_sequence_that_ended_it() -> None:
    fields = {"stop_sequence": "\n\n"}
    got = read(answer({"text": "Hi"}, stopReason="stop_sequence", additionalModelResponseFields=fields))
    assert got.choices[0].sequence == "\n\n"


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_a_malformed_answer_is_none(reason: str) -> None:
    with pytest.raises(msgspec.DecodeError, match="malformed"):
        read(answer({"text": "Hi"}, stopReason=reason))


@pytest.mark.parametrize(
    ("figures", "usage"),
    [
        (
            {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20},
            Usage(125, 7, {"prompt": 5, "completion": 7, "cached_prompt": 100, "cache_write_5m": 20}),
        ),
        (
            {
                "inputTokens": 5,
                "outputTokens": 7,
                "cacheWriteInputTokens": 20,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 15}, {"ttl": "5m", "inputTokens": 5}],
            },
            Usage(25, 7, {"prompt": 5, "completion": 7, "cache_write_5m": 5, "cache_write_1h": 15}),
        ),
        ({"inputTokens": 5, "outputTokens": 0}, Usage(5, 0, {"prompt": 5, "completion": 0})),
    ],
)
def test_input_tokens_are_those_that_no_cache_had(figures: dict[str, Any], usage: Usage) -> None:
    total = usage.prompt_tokens + usage.completion_tokens
    body = answer({"text": "Hi"}, usage=figures | {"totalTokens": total})
    assert read(body).usage == usage
    back = written(Text("Hi"), usage=usage)["usage"]
    assert read(answer({"text": "Hi"}, usage=back)).usage == usage
    assert back.items() >= (figures | {"totalTokens": total}).items()


@pytest.mark.parametrize("usage", [{}, {"inputTokens": -1, "outputTokens": 2}, {"inputTokens": 10**12}])
def test_figures_that_cannot_be_are_none(usage: dict[str, Any]) -> None:
    assert dialect.read_answer(msgspec.json.encode(answer({"text": "Hi"}, usage=usage))).usage is None


def test_what_a_client_reads() -> None:
    body = written(
        Thinking("hm", SIGNATURE),
        Thinking("hm", FOREIGN),
        Thinking("hm"),
        Thinking(),
        Refusal("No."),
        Text(),
        Call("call|1", "look_up", '{"a'),
        Media("image", "image/png", "aGl2ZQ=="),
        Media("audio", "audio/wav", "aGl2ZQ=="),
        Opaque("chat", "annotation", {}),
        stop=Stop.SEQUENCE,
        sequence="X",
    )
    content = body["output"]["message"]["content"]
    assert content[0] == {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EqQB"}}}
    assert content[1]["reasoningContent"]["reasoningText"]["signature"].startswith("hive1.gemini.signature.")
    assert content[2:4] == [{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "No."}]
    assert content[4]["toolUse"]["input"] == {"INVALID_JSON": '{"a'}
    assert content[5:] == [
        {"image": {"format": "png", "source": {"bytes": "aGl2ZQ=="}}},
        {"text": "[audio](data:audio/wav;base64,aGl2ZQ==)"},
    ]
    assert (body["stopReason"], body["additionalModelResponseFields"]) == (
        "stop_sequence",
        {"stop_sequence": "X"},
    )


@pytest.mark.parametrize("stop", list(Stop))
def test_every_end_has_a_reason(stop: Stop) -> None:
    written(Text("Hi"), stop=stop)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"output":{"message":{}},"stopReason":"end_turn"}', b'{"message":"x"}']
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        dialect.read_answer(body)
