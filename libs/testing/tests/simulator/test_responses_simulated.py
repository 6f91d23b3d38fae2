"""OpenAI's SDK takes the simulator for OpenAI's responses, and what OpenAI refuses is refused."""

from __future__ import annotations

import copy
from typing import Any

import httpx2
import openai
import pytest

from hive_testing.simulator import SimulatorThread

MODEL = "gpt-5"
CLOSED = {
    "type": "object",
    "properties": {"at": {"type": "string"}},
    "required": ["at"],
    "additionalProperties": False,
}
LOOK = {"type": "function", "name": "look", "parameters": CLOSED, "strict": True}
CALLS = [{"name": "look", "arguments": '{"at":"ä"}'}, {"name": "look", "arguments": '{"at":"b"}'}]
HELLO = {"role": "user", "content": "hello"}
THINKS: dict[str, Any] = {
    "model": MODEL,
    "tools": [LOOK],
    "reasoning": {"effort": "high", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "store": False,
}


@pytest.fixture
def thought(provider: SimulatorThread, gpt: openai.OpenAI) -> list[Any]:
    """Reasoning, words and two calls, and what the tools gave."""
    provider.script(thinking="let me see", content="I look.", tool_calls=CALLS)
    items = [item.to_dict() for item in gpt.responses.create(**THINKS, input="hello").output]
    provider.reset()
    calls = [item["call_id"] for item in items if item["type"] == "function_call"]
    outputs = [{"type": "function_call_output", "call_id": each, "output": "42"} for each in calls]
    return [HELLO, *items, *outputs]


def test_plain(gpt: openai.OpenAI, provider: SimulatorThread) -> None:
    response = gpt.responses.create(
        model=MODEL, instructions="be brief", input="hello", extra_headers={"x-client-request-id": "try-1"}
    )

    assert (response.output_text, response.status) == ("Echo: hello", "completed")
    assert response.usage and (response.usage.input_tokens, response.usage.output_tokens) == (10, 3)
    (line,) = provider.bill
    assert (line.attempt_id, line.prompt_tokens, line.completion_tokens) == ("try-1", 10, 3)


def test_input_tokens_cost_nothing(gpt: openai.OpenAI, provider: SimulatorThread) -> None:
    assert gpt.responses.input_tokens.count(model=MODEL, input="hello").input_tokens == 5
    assert provider.bill == []


def test_the_stream_grows_to_the_plain_answer(gpt: openai.OpenAI, provider: SimulatorThread) -> None:
    provider.script(
        thinking="let me see", content="I look.", tool_calls=CALLS, cached_tokens=7, cache_write_tokens=5
    )
    plain = gpt.responses.create(**THINKS, input="hello")
    with gpt.responses.stream(**THINKS, input="hello") as stream:
        events = list(stream)
        whole = stream.get_final_response()

    assert [item.type for item in plain.output] == ["reasoning", "message", "function_call", "function_call"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for one, other in zip(plain.output, whole.output, strict=True):
        known = one.to_dict()
        grown = {name: other.to_dict().get(name) for name in known}
        assert {**grown, "id": 0, "call_id": 0, "content": 0} == {
            **known,
            "id": 0,
            "call_id": 0,
            "content": 0,
        }
    assert whole.output_text == plain.output_text == "I look."
    assert whole.usage == plain.usage and whole.usage
    assert whole.usage.input_tokens_details.cached_tokens == 7
    assert whole.usage.input_tokens_details.cache_write_tokens == 5
    assert whole.usage.output_tokens_details.reasoning_tokens == 3
    assert [(line.prompt_tokens, line.finished) for line in provider.bill] == [(17, True)] * 2


def test_order_of_events(gpt: openai.OpenAI, provider: SimulatorThread) -> None:
    provider.script(content="one two")
    with gpt.responses.create(model=MODEL, input="hello", stream=True) as stream:
        kinds = [event.type.removeprefix("response.") for event in stream]

    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_reasoning_round_trip(gpt: openai.OpenAI, thought: list[Any]) -> None:
    assert gpt.responses.create(**THINKS, input=thought).output_text == "Echo: 42"


def test_reasoning_that_was_stored_comes_back_by_its_name(
    gpt: openai.OpenAI, provider: SimulatorThread
) -> None:
    provider.script(thinking="let me see", once=True)
    first = gpt.responses.create(model=MODEL, input="hello")
    reasoning = first.output[0].to_dict()

    assert reasoning == {"id": "rs_sim1", "type": "reasoning", "summary": []}
    again: Any = [HELLO, *(item.to_dict() for item in first.output), HELLO]
    assert gpt.responses.create(model=MODEL, input=again).output_text == "Echo: hello"


@pytest.mark.parametrize(
    ("scripted", "status", "reason"),
    [
        ({"finish_reason": "length"}, "incomplete", "max_output_tokens"),
        ({"content": "x" * 1000}, "incomplete", "max_output_tokens"),
        ({"finish_reason": "content_filter"}, "incomplete", "content_filter"),
        ({"finish_reason": "failed"}, "failed", None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_ends(
    gpt: openai.OpenAI,
    provider: SimulatorThread,
    scripted: dict[str, Any],
    status: str,
    reason: str | None,
    stream: bool,
) -> None:
    provider.script(**scripted)
    answer: Any = gpt.responses.create(model=MODEL, input="hello", max_output_tokens=16, stream=stream)
    if stream:
        last = list(answer)[-1]
        assert last.type == f"response.{status}"
        answer = last.response

    assert answer.status == status
    assert (answer.incomplete_details.reason if answer.incomplete_details else None) == reason
    assert bool(answer.error) == (status == "failed")


@pytest.mark.parametrize("stream", [False, True])
def test_refusal(gpt: openai.OpenAI, provider: SimulatorThread, stream: bool) -> None:
    provider.script(refusal="I will not.")
    answer: Any = gpt.responses.create(model=MODEL, input="hello", stream=stream)
    response = list(answer)[-1].response if stream else answer

    assert response.output[0].content[0].to_dict() == {"type": "refusal", "refusal": "I will not."}


def test_custom_tools_and_log_probabilities(gpt: openai.OpenAI) -> None:
    custom = gpt.responses.create(
        model=MODEL, input="use shell", tools=[{"type": "custom", "name": "shell"}], stream=True
    )
    done = [event for event in custom if event.type == "response.custom_tool_call_input.done"]
    scored = gpt.responses.create(
        model=MODEL, input="hi", include=["message.output_text.logprobs"], top_logprobs=1
    )

    assert done[0].input == "input of shell"
    said: Any = scored.output[0].to_dict()
    scores = said["content"][0]["logprobs"]
    assert [(each["token"], len(each["top_logprobs"])) for each in scores] == [("Echo", 1), (": hi", 1)]


def refusal(raw: httpx2.Client, status: int = 400, **fields: Any) -> dict[str, Any]:
    """The error that the request is answered with."""
    answer = raw.post("/v1/responses", json={"model": MODEL, "input": "hello", **fields})
    assert answer.status_code == status, answer.text
    return dict(answer.json()["error"])


CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"foo": 1}, "foo", "unknown_parameter"),
        ({"input": None}, "input", "invalid_type"),
        ({"input": []}, "input", "missing_required_parameter"),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
        ({"temperature": 2.5}, "temperature", "decimal_above_max_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options", None),
        ({"previous_response_id": "resp_0"}, "previous_response_id", "previous_response_not_found"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value"),
        ({"input": user({"type": "text", "text": "x"})}, "input[0].content[0].type", "invalid_value"),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
            "input[0].content[0]",
            "invalid_value",
        ),
        (
            {
                "input": user(
                    {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,!"}
                )
            },
            "input[0].content[0].image_url",
            "invalid_value",
        ),
        ({"input": [HELLO, OUTPUT]}, "input", None),
        ({"input": [HELLO, CALL]}, "input", None),
        ({"input": [HELLO, {**CALL, "id": "msg_1"}, OUTPUT]}, "input[1].id", "invalid_value"),
        ({"input": [HELLO, {**CALL, "call_id": "c" * 65}]}, "input[1].call_id", "string_above_max_length"),
        (
            {"tools": [{"type": "function", "function": {"name": "look"}}]},
            "tools[0].name",
            "missing_required_parameter",
        ),
        ({"tools": [{**LOOK, "name": "a b"}]}, "tools[0].name", "invalid_value"),
        (
            {"tools": [{**LOOK, "parameters": {"type": "object"}}]},
            "tools[0].parameters",
            "invalid_function_parameters",
        ),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "name": "see"}}, "tool_choice", None),
        ({"text": {"format": {"type": "json_object"}}}, "input", None),
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "n",
                        "strict": True,
                        "schema": {"type": "object"},
                    }
                }
            },
            "text.format.schema",
            "invalid_json_schema",
        ),
        ({"metadata": {"k" * 65: "v"}}, "metadata", "string_above_max_length"),
    ],
)
def test_refused(raw: httpx2.Client, fields: dict[str, Any], param: str, code: str | None) -> None:
    error = refusal(raw, **fields)

    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")


def test_reasoning_comes_back_as_it_was(raw: httpx2.Client, thought: list[Any]) -> None:
    changed = copy.deepcopy(thought)
    changed[1]["encrypted_content"] = "AAAA" + changed[1]["encrypted_content"][4:]
    unsealed = copy.deepcopy(thought)
    del unsealed[1]["encrypted_content"]
    alone = [*thought[:2], HELLO]
    lost = [thought[0], *thought[2:]]

    assert refusal(raw, **THINKS, input=changed)["code"] == "invalid_encrypted_content"
    assert "not persisted" in refusal(raw, 404, **THINKS, input=unsealed)["message"]
    assert "required following item" in refusal(raw, **THINKS, input=alone)["message"]
    assert "required 'reasoning' item" in refusal(raw, **THINKS, input=lost)["message"]
