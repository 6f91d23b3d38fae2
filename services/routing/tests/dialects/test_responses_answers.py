"""Whole answers in OpenAI's responses: read from a provider, and written for a client as the SDK's own type."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types.responses import Response

from hive_routing.dialects.form import (
    Answer,
    Call,
    Choice,
    Format,
    Media,
    Opaque,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Sampling,
    Seal,
    Stop,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from hive_routing.dialects.responses import dialect
from hive_routing.dialects.responses.response import failure, response_object
from hive_routing.dialects.seals import packed, sealed_id
from hive_routing.usage import Usage
from services.routing.tests.dialects.responses_wire import NOW, counted, fields, read, response

SIGNATURE = Seal("messages", "signature", "EqQB")
USAGE = Usage(
    19, 12, {"prompt": 10, "cached_prompt": 4, "cache_write_5m": 5, "completion": 9, "reasoning": 3}
)
STATED = {
    "input_tokens": 19,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 31,
}
MESSAGE = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant"}
TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}


def written(
    *parts: Part, prompt: Prompt | None = None, stop: Stop = Stop.END, **members: Any
) -> dict[str, Any]:
    """What a client gets, which the SDK knows."""
    answer = Answer("chatcmpl-1", "bee-2", NOW, [Choice(list(parts), stop)], **members)
    body = counted().write_answer(answer, prompt or Prompt("responses", "bee"))
    value: dict[str, Any] = msgspec.json.decode(body)
    Response.model_validate(value, strict=True)
    return value


def heard(*output: dict[str, Any], **members: Any) -> Answer:
    return dialect.read_answer(msgspec.json.encode(response(output=list(output), **members)))


def test_a_text() -> None:
    assert written(Text("Hi."), usage=USAGE) == {
        "id": "resp_1",
        "object": "response",
        "created_at": NOW,
        "completed_at": NOW + 2,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "bee-2",
        "previous_response_id": None,
        "conversation": None,
        "output": [
            MESSAGE
            | {
                "id": "msg_2",
                "content": [{"type": "output_text", "text": "Hi.", "annotations": [], "logprobs": []}],
            }
        ],
        "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": STATED,
        "user": None,
        "metadata": {},
    }


def test_what_was_asked_is_told_again() -> None:
    schema = {"type": "object"}
    asked = {
        "instructions": "Be brief.",
        "max_output_tokens": 20,
        "max_tool_calls": 2,
        "previous_response_id": "resp_0",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": "auto"},
        "service_tier": "flex",
        "store": False,
        "temperature": 0.5,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": schema}, "verbosity": "low"},
        "tool_choice": {"type": "function", "name": "f"},
        "tools": [
            {"type": "function", "name": "f", "parameters": schema, "strict": True},
            {"type": "web_search"},
        ],
        "top_logprobs": 2,
        "top_p": 0.5,
        "truncation": "auto",
        "user": "u",
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
        "safety_identifier": "s",
    }
    found = written(prompt=read(**asked))
    assert {name: found[name] for name in asked} == asked
    assert written(prompt=read(conversation="conv_1", background=True))["conversation"] == {"id": "conv_1"}
    assert written(prompt=read(service_tier="auto"))["service_tier"] == "default"


@pytest.mark.parametrize(
    ("parts", "output"),
    [
        (
            [
                Thinking("a", SIGNATURE),
                Thinking("c", id="rs_8"),
                Thinking("b", is_summary=True, id="rs_9"),
            ],
            [
                {
                    "type": "reasoning",
                    "id": "rs_2",
                    "summary": [{"type": "summary_text", "text": "a"}],
                    "encrypted_content": packed(SIGNATURE, "responses"),
                },
                {
                    "type": "reasoning",
                    "id": "rs_8",
                    "summary": [],
                    "content": [{"type": "reasoning_text", "text": "c"}],
                },
                {"type": "reasoning", "id": "rs_9", "summary": [{"type": "summary_text", "text": "b"}]},
            ],
        ),
        (
            [Text("a"), Refusal("b"), Call("call_1", "f", "{}"), Text("c")],
            [
                MESSAGE
                | {
                    "id": "msg_2",
                    "content": [
                        {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
                        {"type": "refusal", "refusal": "b"},
                    ],
                },
                {
                    "type": "function_call",
                    "id": "fc_3",
                    "call_id": "call_1",
                    "name": "f",
                    "arguments": "{}",
                    "status": "completed",
                },
                MESSAGE
                | {
                    "id": "msg_4",
                    "content": [{"type": "output_text", "text": "c", "annotations": [], "logprobs": []}],
                },
            ],
        ),
        (
            [Call("call_1", "f", "{}", seal=SIGNATURE)],
            [
                {
                    "type": "function_call",
                    "id": "fc_2",
                    "call_id": sealed_id("call_1", SIGNATURE),
                    "name": "f",
                    "arguments": "{}",
                    "status": "completed",
                }
            ],
        ),
        (
            [Media("image", "image/webp", "aGl2ZQ==")],
            [
                {
                    "type": "image_generation_call",
                    "id": "ig_2",
                    "status": "completed",
                    "output_format": "webp",
                    "result": "aGl2ZQ==",
                }
            ],
        ),
        ([Opaque("messages", "server_tool_use", {}), Media("image", url="https://a")], []),
        ([], []),
    ],
)
def test_parts_are_items(parts: list[Part], output: list[dict[str, Any]]) -> None:
    assert written(*parts)["output"] == output


@pytest.mark.parametrize(
    ("stop", "status", "reason"),
    [
        (Stop.END, "completed", None),
        (Stop.SEQUENCE, "completed", None),
        (Stop.TOOLS, "completed", None),
        (Stop.LENGTH, "incomplete", "max_output_tokens"),
        (Stop.CONTEXT, "incomplete", "max_output_tokens"),
        (Stop.PAUSED, "incomplete", "max_output_tokens"),
        (Stop.FILTERED, "incomplete", "content_filter"),
    ],
)
def test_how_an_answer_ends(stop: Stop, status: str, reason: str | None) -> None:
    found = written(Call("call_1", "f", "{}"), Text("Hi"), stop=stop)
    assert found["status"] == status
    assert (found["incomplete_details"] or {}).get("reason") == reason
    assert [item["status"] for item in found["output"]] == ["completed", status]
    assert (found["completed_at"] is None) is (status == "incomplete")


def test_an_image_is_never_incomplete() -> None:
    found = written(Media("image", "image/png", "aGl2ZQ=="), stop=Stop.LENGTH)
    assert (found["status"], found["output"][0]["status"]) == ("incomplete", "completed")


def test_logprobs_are_of_the_first_text() -> None:
    choice = Choice([Text("Hi"), Text("!")], logprobs={"content": [TOKEN], "refusal": None})
    body = dialect.write_answer(Answer(choices=[choice]), Prompt("responses"))
    content = msgspec.json.decode(body)["output"][0]["content"]
    assert [part["logprobs"] for part in content] == [[TOKEN], []]


def test_an_id_of_the_same_dialect_is_kept_and_a_time_is_given() -> None:
    found = msgspec.json.decode(counted().write_answer(Answer("resp_p"), read()))
    assert (found["id"], found["created_at"], found["completed_at"]) == ("resp_p", NOW + 2, NOW + 2)
    assert found["model"] == "bee"


def test_ids_cannot_be_guessed() -> None:
    bodies = [dialect.write_answer(Answer(choices=[Choice([Text("a")])]), read()) for _ in range(2)]
    ids = {msgspec.json.decode(body)["output"][0]["id"] for body in bodies}
    assert len(ids) == 2 and all(id.startswith("msg_") and len(id) > 40 for id in ids)


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", "failed"])
def test_a_response_without_an_answer(status: Any) -> None:
    error = failure("bee_stung", "Ouch.") if status == "failed" else None
    extra = {
        "background": True,
        "store": True,
        "conversation": {"id": "conv_1"},
        "previous_response_id": "resp_0",
    }
    found = response_object(read(), id="resp_1", created_at=NOW, status=status, error=error, extra=extra)
    Response.model_validate(found, strict=True)
    assert (found["status"], found["output"], found["usage"], found["completed_at"]) == (
        status,
        [],
        None,
        None,
    )
    assert {name: found[name] for name in extra} == extra
    assert found["error"] == ({"code": "server_error", "message": "Ouch."} if error else None)


def test_a_response_that_failed_tells_what_came() -> None:
    answer = Answer(model="bee-2", choices=[Choice([Text("Hi")])], usage=USAGE)
    error = failure("rate_limit_exceeded", "Slow down.")
    found = response_object(read(), answer, id="resp_1", created_at=NOW, status="failed", error=error)
    Response.model_validate(found, strict=True)
    assert found["error"]["code"] == "rate_limit_exceeded"
    assert found["output"][0]["content"][0]["text"] == "Hi"
    assert found["usage"] == STATED


# ---- read


def test_a_provider_answers() -> None:
    reasoning = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "a"}],
        "encrypted_content": "gAAA",
    }
    text = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": [TOKEN]}
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    answer = heard(
        reasoning,
        {"type": "reasoning", "id": "rs_2", "summary": []},
        MESSAGE | {"content": [text, {"type": "refusal", "refusal": "No"}]},
        search,
        call,
        usage=STATED,
    )
    assert answer == Answer(
        "resp_p",
        "gpt",
        NOW,
        [
            Choice(
                [
                    Thinking("a", Seal("responses", "encrypted", "gAAA"), is_summary=True, id="rs_1"),
                    Text("Hi"),
                    Refusal("No"),
                    Opaque("responses", "web_search_call", search),
                    Call("call_1", "f", "{}"),
                ],
                Stop.TOOLS,
                logprobs={"content": [TOKEN], "refusal": []},
            )
        ],
        USAGE,
    )


@pytest.mark.parametrize(
    ("members", "stop"),
    [
        ({"status": "completed"}, Stop.END),
        ({"status": None}, Stop.END),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, Stop.LENGTH),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, Stop.FILTERED),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, Stop.PAUSED),
        ({"status": "incomplete", "incomplete_details": None}, Stop.LENGTH),
    ],
)
def test_why_an_answer_ended(members: dict[str, Any], stop: Stop) -> None:
    assert heard(**members).choices[0].stop is stop


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"output":null}',
        b'{"output":[{"type":"message"}]}',
        b'{"output":[{"type":"message","role":"assistant","content":[{}]}]}',
        b'{"output":[{}]}',
        b'{"output":[],"status":"failed","error":{"code":"server_error","message":"Ouch."}}',
        b'{"output":[],"status":"cancelled"}',
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        dialect.read_answer(body)


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": -1, "output_tokens": 3}, "many"])
def test_usage_that_cannot_be_is_none(usage: Any) -> None:
    assert heard(usage=usage).usage is None


def test_what_a_client_got_it_can_send_back() -> None:
    """As clients do: the output of one turn becomes input of the next."""
    thinking = Thinking("hm", SIGNATURE, is_summary=True)
    others: list[Part] = [
        Text("Let me look."),
        Call("call_1", "f", '{"a":1}', seal=Seal("gemini", "signature", "c2VhbA==")),
    ]
    output = written(thinking, *others)["output"]
    prompt = dialect.read_prompt(fields({"model": "bee", "input": output}))
    thinking.id = output[0]["id"]
    assert prompt.turns == [Turn("assistant", [thinking, *others])]


def test_settings_that_no_client_of_this_dialect_said() -> None:
    prompt = Prompt(
        "responses",
        "bee",
        [Turn("system", [Text("a"), Text("b")])],
        tools=[Tool("f")],
        choice=ToolChoice("required", ["f"]),
        format=Format("json"),
        reasoning=Reasoning(is_off=True),
        sampling=Sampling(temperature=0.0),
    )
    found = written(prompt=prompt)
    assert found["instructions"] is None
    assert found["tool_choice"]["mode"] == "required"
    assert found["text"]["format"] == {"type": "json_object"}
    assert found["reasoning"]["effort"] == "none"
    assert found["temperature"] == 0.0
