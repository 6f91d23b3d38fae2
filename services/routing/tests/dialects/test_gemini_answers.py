"""Answers of generateContent, read from Google and written for its clients."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from google.genai import types

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
from hive_routing.dialects.gemini import dialect
from hive_routing.usage import Usage

OWN = Seal("gemini", "signature", "c2Vh/A==")
FOREIGN = Seal("messages", "signature", "é~")


def read(response: dict[str, Any]) -> Answer:
    return dialect.read_answer(msgspec.json.encode(response))


def read_candidate(**candidate: Any) -> Choice:
    return read({"candidates": [candidate]}).choices[0]


def write(*choices: Choice, **said: Any) -> dict[str, Any]:
    body = dialect.write_answer(Answer(choices=list(choices), **said), Prompt("gemini", "bee"))
    types.GenerateContentResponse.model_validate_json(body)
    return msgspec.json.decode(body, type=dict[str, Any])


def write_parts(*parts: Part) -> list[Any]:
    content: list[Any] = write(Choice(list(parts)))["candidates"][0]["content"]["parts"]
    return content


def test_an_answer() -> None:
    answer = read(
        {
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [
                            {"text": "hm", "thought": True},
                            {"text": "I look.", "thoughtSignature": "c2Vh/A=="},
                            {
                                "functionCall": {"name": "f", "args": {"a": [1]}, "id": "x"},
                                "thoughtSignature": "c2Vh/A==",
                            },
                            {"functionCall": {"name": "g"}},
                            {"executableCode": {"language": "PYTHON", "code": "1"}},
                        ],
                    },
                    "finishReason": "STOP",
                    "index": 0,
                    "safetyRatings": [],
                },
                {"content": {"parts": [{"text": "or"}]}, "finishReason": "MAX_TOKENS", "index": 1},
            ],
            "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 5},
            "modelVersion": "gemini-3-pro",
            "responseId": "r8Zk",
        }
    )
    one, other = answer.choices
    made = one.parts[3]
    assert isinstance(made, Call)
    assert made.id.startswith("call_")
    assert len(made.id) > 20
    assert one == Choice(
        [
            Thinking("hm", is_summary=True),
            Text("I look.", seal=OWN),
            Call("x", "f", '{"a":[1]}', seal=OWN),
            Call(made.id, "g", "{}"),
            Opaque("gemini", "executableCode", {"executableCode": {"language": "PYTHON", "code": "1"}}),
        ],
        Stop.TOOLS,
    )
    assert other == Choice([Text("or")], Stop.LENGTH)
    assert (answer.id, answer.model, answer.created) == ("r8Zk", "gemini-3-pro", 0)
    assert answer.usage == Usage(4, 1, {"prompt": 4, "completion": 1})


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("STOP", Stop.END),
        ("MAX_TOKENS", Stop.LENGTH),
        ("SAFETY", Stop.FILTERED),
        ("RECITATION", Stop.FILTERED),
        ("BLOCKLIST", Stop.FILTERED),
        ("PROHIBITED_CONTENT", Stop.FILTERED),
        ("SPII", Stop.FILTERED),
        ("IMAGE_SAFETY", Stop.FILTERED),
        ("CONTINUATION", Stop.PAUSED),
        ("LANGUAGE", Stop.END),
        ("OTHER", Stop.END),
        ("MALFORMED_FUNCTION_CALL", Stop.END),
        ("SOMETHING_NEW", Stop.END),
    ],
)
def test_why_it_ended(reason: str, stop: Stop) -> None:
    assert read_candidate(content={"parts": [{"text": "a"}]}, finishReason=reason).stop is stop
    with_call = read_candidate(content={"parts": [{"functionCall": {"name": "f"}}]}, finishReason=reason)
    assert with_call.stop is (Stop.TOOLS if stop is Stop.END else stop)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (Stop.END, "STOP"),
        (Stop.SEQUENCE, "STOP"),
        (Stop.TOOLS, "STOP"),
        (Stop.LENGTH, "MAX_TOKENS"),
        (Stop.CONTEXT, "MAX_TOKENS"),
        (Stop.FILTERED, "SAFETY"),
        (Stop.PAUSED, "CONTINUATION"),
    ],
)
def test_why_it_ended_for_clients(stop: Stop, reason: str) -> None:
    assert write(Choice([Text("a")], stop))["candidates"][0]["finishReason"] == reason


def test_a_prompt_that_was_blocked() -> None:
    answer = read({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}})
    assert answer.choices == [Choice(stop=Stop.FILTERED)]
    assert answer.usage == Usage(4, 0, {"prompt": 4})


def test_an_answer_that_was_taken_back() -> None:
    assert read_candidate(finishReason="SAFETY", index=0) == Choice(stop=Stop.FILTERED)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"candidates":[]}',
        b'{"candidates":[{"content":{"parts":[3]}}]}',
        b'{"candidates":[{"content":{"parts":[{"text":3}]}}]}',
        b'{"error":{"code":500}}',
        b'{"promptFeedback":{}}',
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        dialect.read_answer(body)


USAGES: list[tuple[dict[str, Any], Usage]] = [
    ({"promptTokenCount": 9, "candidatesTokenCount": 3}, Usage(9, 3, {"prompt": 9, "completion": 3})),
    (
        {
            "promptTokenCount": 9,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 3,
            "thoughtsTokenCount": 5,
            "totalTokenCount": 17,
        },
        Usage(9, 8, {"cached_prompt": 4, "prompt": 5, "completion": 3, "reasoning": 5}),
    ),
    (
        {
            "promptTokenCount": 9,
            "candidatesTokenCount": 3,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 2},
                {"modality": "AUDIO", "tokenCount": 7},
            ],
            "candidatesTokensDetails": [
                {"modality": "TEXT", "tokenCount": 2},
                {"modality": "AUDIO", "tokenCount": 1},
            ],
        },
        Usage(9, 3, {"prompt": 2, "audio_in": 7, "completion": 2, "audio_out": 1}),
    ),
]


@pytest.mark.parametrize(("figures", "usage"), USAGES)
def test_usage(figures: dict[str, Any], usage: Usage) -> None:
    said = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}
    assert read(said | {"usageMetadata": figures}).usage == usage
    written = write(Choice([Text("a")]), usage=usage)["usageMetadata"]
    assert written == figures | {"totalTokenCount": usage.prompt_tokens + usage.completion_tokens}


@pytest.mark.parametrize(
    ("figures", "usage"),
    [
        ({}, None),
        ({"promptTokenCount": -1}, None),
        ({"promptTokenCount": 4}, Usage(4, 0, {"prompt": 4})),
        (
            {"promptTokenCount": 4, "toolUsePromptTokenCount": 3, "thoughtsTokenCount": 2},
            Usage(7, 2, {"prompt": 7, "reasoning": 2, "completion": 0}),
        ),
        (
            {
                "promptTokenCount": 9,
                "cachedContentTokenCount": 6,
                "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 8}],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 6}],
            },
            Usage(9, 0, {"cached_prompt": 6, "audio_in": 2, "prompt": 1}),
        ),
    ],
)
def test_usage_that_is_read_only(figures: dict[str, Any], usage: Usage | None) -> None:
    said = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}
    assert read(said | {"usageMetadata": figures}).usage == usage


def test_usage_of_others_keeps_its_sums() -> None:
    usage = Usage(9, 3, {"prompt": 2, "cache_write_5m": 3, "cached_prompt": 4, "completion": 3})
    assert write(Choice([Text("a")]), usage=usage)["usageMetadata"] == {
        "promptTokenCount": 9,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 3,
        "totalTokenCount": 12,
    }


def test_an_answer_for_a_client() -> None:
    written = write(
        Choice([Text("hello")]), Choice([Text("hi")], Stop.LENGTH), id="chatcmpl-1", model="gpt-5"
    )
    assert written == {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "hello"}]}, "index": 0, "finishReason": "STOP"},
            {
                "content": {"role": "model", "parts": [{"text": "hi"}]},
                "index": 1,
                "finishReason": "MAX_TOKENS",
            },
        ],
        "modelVersion": "gpt-5",
        "responseId": "chatcmpl-1",
    }
    nameless = write(Choice([Text("hello")]))
    assert nameless["modelVersion"] == "bee"
    assert nameless["responseId"]


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Text("a", seal=OWN), {"text": "a", "thoughtSignature": "c2Vh/A=="}),
        (Refusal("no"), {"text": "no"}),
        (Thinking("hm"), {"text": "hm", "thought": True}),
        (
            Thinking("hm", FOREIGN),
            {"text": "hm", "thought": True, "thoughtSignature": packed("hive1.messages.signature.w6l-")},
        ),
        (
            Thinking("", Seal("messages", "redacted", "é~")),
            {"text": "", "thought": True, "thoughtSignature": packed("hive1.messages.redacted.w6l-")},
        ),
        (Call("x", "f", '{"a":1}'), {"functionCall": {"id": "x", "name": "f", "args": {"a": 1}}}),
        (Call("x", "f", ""), {"functionCall": {"id": "x", "name": "f", "args": {}}}),
        (Call("x", "f", '{"cut'), {"functionCall": {"id": "x", "name": "f", "args": {"_raw": '{"cut'}}}),
        (Media("image", "image/png", data="AA=="), {"inlineData": {"mimeType": "image/png", "data": "AA=="}}),
        (Media("image", url="https://a.example/b"), {"fileData": {"fileUri": "https://a.example/b"}}),
        (
            Opaque("gemini", "executableCode", {"executableCode": {"code": "1"}}),
            {"executableCode": {"code": "1"}},
        ),
    ],
)
def test_parts_for_clients(part: Part, written: Any) -> None:
    assert write_parts(part) == [written]


def test_what_only_others_can_say_is_left_out() -> None:
    assert write_parts(Text("a"), Opaque("messages", "server_tool_use", {})) == [{"text": "a"}]


@pytest.mark.parametrize("alphabet", [base64.b64encode, base64.urlsafe_b64encode])
def test_foreign_signatures_come_back_as_whose_they_are(alphabet: Any) -> None:
    [written] = write_parts(Thinking("hm", FOREIGN))
    signature = alphabet(base64.b64decode(written["thoughtSignature"])).decode()
    prompt = dialect.read_prompt(
        {
            "contents": msgspec.Raw(
                msgspec.json.encode({"role": "model", "parts": [written | {"thoughtSignature": signature}]})
            )
        }
    )
    assert prompt.turns[0].parts == [Thinking("hm", FOREIGN, is_summary=True)]


def test_what_only_looks_packed_is_googles_own() -> None:
    choice = read_candidate(
        content={"parts": [{"text": "a", "thoughtSignature": "aGl2ZTEu*"}]}, finishReason="STOP"
    )
    assert choice.parts == [Text("a", seal=Seal("gemini", "signature", "aGl2ZTEu*"))]


LOGPROBS = {
    "content": [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [101]}],
        }
    ],
    "refusal": None,
}
LOGPROBS_RESULT = {
    "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
    "topCandidates": [{"candidates": [{"token": "e", "logProbability": -1.5}]}],
}


def test_logprobs() -> None:
    read_back = read_candidate(
        content={"parts": [{"text": "é"}]}, finishReason="STOP", logprobsResult=LOGPROBS_RESULT
    )
    assert read_back == Choice([Text("é")], logprobs=LOGPROBS)
    assert write(read_back)["candidates"][0]["logprobsResult"] == LOGPROBS_RESULT
