"""Whole answers of chat completions: of all kinds of providers, for clients, and back from them in the next prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given

from hive_routing.dialects.chat import Chat, dialect
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
from services.routing.tests.dialects.can_chat import CAN
from services.routing.tests.dialects.chat_wire import checked_answer, fields_of
from services.routing.tests.dialects.conversations import answers, few

HEARD = Seal("chat", "reasoning_content", "")
SIGNED = Seal("messages", "signature", "c2VhbA==")
ASKED = Prompt("chat", "bee")
FUNCTION = {"name": "f", "arguments": "{}"}


class StoppedClock:
    def now(self) -> float:
        return 1763800000.9

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError


def read(message: Any, finish_reason: str | None = "stop", **members: Any) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return dialect.read_answer(msgspec.json.encode({"id": "x", "choices": [choice], **members}))


def parts(message: Any) -> list[Part]:
    return read(message).choices[0].parts


def written(*parts: Part, stop: Stop = Stop.END, asked: Prompt = ASKED) -> dict[str, Any]:
    """The choice that a client gets."""
    body = dialect.write_answer(Answer(choices=[Choice(list(parts), stop)]), asked)
    checked_answer(body)
    choice: dict[str, Any] = msgspec.json.decode(body)["choices"][0]
    return choice


def echoed(message: dict[str, Any]) -> list[Part]:
    """The message as a client sends it back in its next prompt."""
    fields = fields_of({"model": "bee", "messages": [message]})
    turns = dialect.read_prompt(fields).turns
    return turns[0].parts if turns else []


@few
@given(answer=answers(CAN))
def test_openais_sdk_reads_what_is_written(answer: Answer) -> None:
    read = checked_answer(dialect.write_answer(answer, ASKED))
    assert (read.id, read.model, read.created) == (answer.id, answer.model, answer.created)
    choice = answer.choices[0]
    texts = [part.text for part in choice.parts if isinstance(part, Text)]
    assert read.choices[0].message.content == ("".join(texts) or None)
    calls = [part.name for part in choice.parts if isinstance(part, Call)]
    assert [
        call.function.name for call in read.choices[0].message.tool_calls or () if call.type == "function"
    ] == calls


@few
@given(answer=answers(replace(CAN, answer_media=None)))
def test_all_of_an_answer_comes_back_in_the_next_prompt(answer: Answer) -> None:
    message = msgspec.json.decode(dialect.write_answer(answer, ASKED))["choices"][0]["message"]
    assert echoed(message) == answer.choices[0].parts


def test_the_seal_of_a_call_survives_frameworks_that_keep_its_id_only() -> None:
    call = Call("call_1", "f", "{}", seal=Seal("gemini", "signature", "Eq/+AA=="))
    message = written(call, stop=Stop.TOOLS)["message"]
    kept = {key: message["tool_calls"][0][key] for key in ("id", "type", "function")}
    assert echoed({"role": "assistant", "tool_calls": [kept]}) == [call]


def test_the_result_of_a_call_is_known_by_the_id_with_the_seal() -> None:
    call = Call("call_1", "f", "{}", seal=SIGNED)
    message = written(call)["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "1"}
    prompt = dialect.read_prompt(fields_of({"messages": [message, result]}))
    assert prompt.turns[1].parts[0].call_id == "call_1"  # type: ignore[union-attr]


def test_googles_own_signature_is_googles_again() -> None:
    call = {"id": "call_1", "type": "function", "function": FUNCTION}
    signed = {**call, "extra_content": {"google": {"thought_signature": "Eq/+AA=="}}}
    assert echoed({"role": "assistant", "tool_calls": [signed]}) == [
        Call("call_1", "f", "{}", seal=Seal("gemini", "signature", "Eq/+AA=="))
    ]
    assert written(Call("call_1", "f", "{}", seal=Seal("gemini", "signature", "Eq/+AA==")))["message"][
        "tool_calls"
    ][0]["extra_content"] == {"google": {"thought_signature": "Eq/+AA=="}}


def test_a_seal_counts_only_for_the_words_that_it_was_made_for() -> None:
    message = written(Thinking("My key is 1234.", SIGNED), Text("Done."))["message"]
    assert echoed(message)[0] == Thinking("My key is 1234.", SIGNED)
    message["reasoning_content"] = "My key is ****."
    assert echoed(message) == [Thinking("My key is ****.", HEARD), Text("Done.")]
    del message["reasoning_content"]
    assert echoed(message) == [Text("Done.")]


def test_thoughts_are_told_apart() -> None:
    said: list[Part] = [
        Thinking("aé", SIGNED),
        Thinking("", Seal("messages", "redacted", "c2VhbA==")),
        Thinking("b"),
        Thinking("c", Seal("responses", "encrypted", "c2VhbA=="), is_summary=True, id="rs_1"),
        Text("d"),
        Text("e", seal=Seal("gemini", "signature", "c2VhbA==")),
    ]
    message = written(*said)["message"]
    assert message["reasoning_content"] == "aébc"
    assert message["content"] == "de"
    assert echoed(message) == [*said[:2], Thinking("b"), *said[3:]]


def test_what_only_another_dialect_can_say_goes_through() -> None:
    part = Opaque("messages", "server_tool_use", {"input": {"query": "bees"}})
    message = written(part, Text("Bees."))["message"]
    assert message["content"] == "Bees."
    assert b"bees" not in msgspec.json.encode(message)
    assert echoed(message) == [Text("Bees."), part]


def test_an_id_and_a_time_are_given_where_the_provider_said_none() -> None:
    body = Chat(StoppedClock()).write_answer(Answer("msg_1", choices=[Choice([Text("a")])]), ASKED)
    answer = checked_answer(body)
    assert answer.id.startswith("chatcmpl-")
    assert answer.id != "chatcmpl-"
    assert (answer.created, answer.model) == (1763800000, "bee")


def test_the_message_is_openais() -> None:
    assert written(Text("Rome is sunny.")) == {
        "index": 0,
        "message": {"role": "assistant", "content": "Rome is sunny.", "refusal": None, "annotations": []},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert written(Call("call_a1", "f", "{}"), stop=Stop.TOOLS) == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "annotations": [],
            "tool_calls": [{"id": "call_a1", "type": "function", "function": FUNCTION}],
        },
        "logprobs": None,
        "finish_reason": "tool_calls",
    }
    assert written(Refusal("No."))["message"]["refusal"] == "No."
    assert written()["message"]["content"] == ""


def test_pictures_and_sounds() -> None:
    message = written(Media("image", "image/png", "aGl2ZQ=="), Media("audio", "audio/wav", "AAEC"))["message"]
    assert message["images"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGl2ZQ=="}}
    ]
    assert message["audio"]["data"] == "AAEC"


def test_who_asked_with_functions_is_answered_with_a_function_call() -> None:
    fields = fields_of({"messages": [{"role": "user", "content": "Hi"}], "functions": [{"name": "f"}]})
    asked = dialect.read_prompt(fields)
    choice = written(Call("call_1", "f", "{}"), Call("call_2", "g", "{}"), stop=Stop.TOOLS, asked=asked)
    assert choice["message"]["function_call"] == FUNCTION
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["call_2"]
    assert choice["finish_reason"] == "function_call"


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (Stop.END, "stop"),
        (Stop.SEQUENCE, "stop"),
        (Stop.PAUSED, "stop"),
        (Stop.LENGTH, "length"),
        (Stop.CONTEXT, "length"),
        (Stop.FILTERED, "content_filter"),
        (Stop.TOOLS, "tool_calls"),
    ],
)
def test_why_it_ended(stop: Stop, reason: str) -> None:
    assert written(Text("a"), stop=stop)["finish_reason"] == reason


# ---- of providers


@pytest.mark.parametrize(
    ("message", "parts_read"),
    [
        ({"content": "a", "refusal": None, "annotations": []}, [Text("a")]),
        ({"content": None, "refusal": "No."}, [Refusal("No.")]),
        ({"content": "a", "reasoning_content": "Hm"}, [Thinking("Hm", HEARD), Text("a")]),
        ({"content": "a", "reasoning": "Hm"}, [Thinking("Hm", Seal("chat", "reasoning", "")), Text("a")]),
        ({"content": "a", "reasoning": "Hm", "reasoning_content": "Hm"}, [Thinking("Hm", HEARD), Text("a")]),
        (
            {
                "content": "a",
                "reasoning": "Hm",
                "reasoning_details": [{"type": "reasoning.text", "text": "Hm", "signature": "x", "index": 0}],
            },
            [Thinking("Hm", Seal("chat", "reasoning", "")), Text("a")],
        ),
        (
            {
                "content": [
                    {
                        "type": "thinking",
                        "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m"}],
                    },
                    {"type": "text", "text": "a"},
                    {"type": "reference", "reference_ids": [1]},
                ]
            },
            [
                Thinking("Hm", Seal("chat", "thinking", "")),
                Text("a"),
                Opaque("chat", "reference", {"type": "reference", "reference_ids": [1]}),
            ],
        ),
        (
            {
                "content": "",
                "tool_calls": [{"id": "call_1", "function": {"name": "f", "arguments": {"a": 1}}}],
            },
            [Call("call_1", "f", '{"a":1}')],
        ),
        (
            {
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": FUNCTION,
                        "extra_content": {"google": {"thought_signature": "Eq/+AA=="}},
                    }
                ]
            },
            [Call("call_1", "f", "{}", seal=Seal("chat", "google", "Eq/+AA=="))],
        ),
        (
            {"tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "c", "input": "x"}}]},
            [
                Opaque(
                    "chat",
                    "custom",
                    {"id": "call_1", "type": "custom", "custom": {"name": "c", "input": "x"}},
                )
            ],
        ),
        (
            {
                "content": "a",
                "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
            },
            [Text("a"), Media("image", "image/png", "AA==")],
        ),
        (
            {"content": None, "audio": {"id": "audio_1", "data": "AA==", "transcript": "a"}},
            [Opaque("chat", "audio", {"id": "audio_1", "data": "AA==", "transcript": "a"})],
        ),
    ],
)
def test_what_providers_answer(message: Any, parts_read: list[Part]) -> None:
    assert parts(message) == parts_read


@pytest.mark.parametrize("message", [{"tool_calls": [{"function": FUNCTION}]}, {"function_call": FUNCTION}])
def test_a_call_without_an_id_gets_one(message: Any) -> None:
    answer = read(message)
    call = answer.choices[0].parts[0]
    assert isinstance(call, Call)
    assert call.id.startswith("call_")
    assert answer.choices[0].stop is Stop.TOOLS


@pytest.mark.parametrize(
    ("reason", "has_call", "stop"),
    [
        ("stop", False, Stop.END),
        ("stop", True, Stop.TOOLS),
        (None, False, Stop.END),
        (None, True, Stop.TOOLS),
        ("eos", False, Stop.END),
        ("tool_calls", True, Stop.TOOLS),
        ("function_call", True, Stop.TOOLS),
        ("length", True, Stop.LENGTH),
        ("model_length", False, Stop.LENGTH),
        ("content_filter", False, Stop.FILTERED),
        ("content_filter: SAFETY", False, Stop.FILTERED),
    ],
)
def test_why_a_provider_ended(reason: str | None, has_call: bool, stop: Stop) -> None:
    message = {"tool_calls": [{"id": "call_1", "function": FUNCTION}]} if has_call else {"content": "a"}
    assert read(message, reason).choices[0].stop is stop


def test_usage_and_who_answered() -> None:
    answer = read(
        {"content": "a"},
        model="bee-2",
        created=1763800000,
        usage={"prompt_tokens": 10, "completion_tokens": 4, "prompt_cache_hit_tokens": 6},
    )
    assert (answer.id, answer.model, answer.created) == ("x", "bee-2", 1763800000)
    assert answer.usage == Usage(10, 4, {"prompt": 4, "cached_prompt": 6, "completion": 4})


def test_usage_says_what_is_known() -> None:
    units = {
        "prompt": 1,
        "cached_prompt": 2,
        "cache_write_5m": 3,
        "cache_write_1h": 4,
        "completion": 5,
        "reasoning": 0,
    }
    body = dialect.write_answer(Answer(choices=[Choice([Text("a")])], usage=Usage(10, 5, units)), ASKED)
    assert checked_answer(body).usage is not None
    assert msgspec.json.decode(body)["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"error":{"message":"overloaded"}}',
        b'{"choices":[{}]}',
        b'{"choices":[{"message":{"content":7}}]}',
        b'{"choices":[{"message":{"content":"a"},"finish_reason":"error"}]}',
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        dialect.read_answer(body)
