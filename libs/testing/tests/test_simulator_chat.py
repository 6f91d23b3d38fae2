"""Chat completions of the simulator: what is said, streamed, called and refused, with the official SDK."""

from __future__ import annotations

import json
from typing import Any, Literal

import httpx2
import openai
import pydantic
import pytest

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "minLength": 2}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "get_time"}}


def asks(text: str, **fields: Any) -> dict[str, Any]:
    """A chat request with one user message."""
    return {"model": "sim-small", "messages": [{"role": "user", "content": text}], **fields}


def chunks(body: str) -> list[Any]:
    """The JSON of a stream's events; its last line has to be [DONE]."""
    *lines, done = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    assert done == "[DONE]"
    return [json.loads(line) for line in lines]


async def test_chat_echoes_the_last_words_and_states_its_usage(client: openai.AsyncOpenAI) -> None:
    first = await client.chat.completions.create(**asks("hello"))
    second = await client.chat.completions.create(**asks("hello"))

    assert first.choices[0].message.content == "Echo: hello"
    assert first.choices[0].finish_reason == "stop"
    assert first.usage and first.usage.completion_tokens_details and first.usage.prompt_tokens_details
    assert (first.usage.prompt_tokens, first.usage.completion_tokens, first.usage.total_tokens) == (5, 3, 8)
    assert first._request_id
    assert first.id != second.id
    assert first.choices == second.choices


async def test_chat_counts_its_choices_apart(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**asks("hello", n=2))

    assert [choice.message.content for choice in answer.choices] == ["Echo: hello", "Echo: hello #2"]
    assert answer.usage and answer.usage.completion_tokens == 3 + 4


@pytest.mark.parametrize("bound", ["max_tokens", "max_completion_tokens"])
async def test_chat_keeps_its_bound(client: openai.AsyncOpenAI, bound: str) -> None:
    answer = await client.chat.completions.create(**asks("a long story", **{bound: 2}))

    assert answer.choices[0].message.content == "Echo: a "
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage and answer.usage.completion_tokens == 2


async def test_chat_ends_before_a_stop_sequence(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**asks("one two three", stop=["four", " two"]))

    assert answer.choices[0].message.content == "Echo: one"


async def test_chat_scores_its_tokens(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**asks("é", logprobs=True, top_logprobs=2))

    scores = answer.choices[0].logprobs
    assert scores and scores.content
    assert [each.token for each in scores.content] == ["Echo", ": é"]
    assert scores.content[1].bytes == list(": é".encode())
    assert [each.token for each in scores.content[0].top_logprobs] == ["Echo", "Echo~"]


async def test_chat_names_what_is_attached(client: openai.AsyncOpenAI) -> None:
    content = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    messages: Any = [{"role": "user", "content": content}]
    answer = await client.chat.completions.create(model="sim-small", messages=messages)

    expected = "Echo: look [2 images: image/png, url] [1 file: application/pdf] [1 audio: wav]"
    assert answer.choices[0].message.content == expected
    assert answer.usage and answer.usage.prompt_tokens == 3 + 1 + 4 * 85


async def test_chat_streams_token_by_token(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**asks("hi", stream=True))
    got = [chunk async for chunk in stream]

    assert got[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in got[1:-1]] == ["Echo", ": hi"]
    assert got[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in got}) == 1
    assert all("usage" not in chunk.model_fields_set for chunk in got)


async def test_chat_streams_its_usage_when_asked(http: httpx2.AsyncClient) -> None:
    wanted = asks("hi", stream=True, stream_options={"include_usage": True})
    *before, last = chunks((await http.post("/v1/chat/completions", json=wanted)).text)

    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 2
    assert all(chunk["choices"] and chunk["usage"] is None for chunk in before)


async def test_chat_streams_choices_in_turn(http: httpx2.AsyncClient) -> None:
    wanted = asks("hi", stream=True, n=2, logprobs=True)
    got = chunks((await http.post("/v1/chat/completions", json=wanted)).text)

    assert [chunk["choices"][0]["index"] for chunk in got[:4]] == [0, 1, 0, 1]
    for index, expected in enumerate(["Echo: hi", "Echo: hi #2"]):
        own = [chunk["choices"][0] for chunk in got if chunk["choices"][0]["index"] == index]
        assert "".join(each["delta"].get("content", "") for each in own) == expected
        scored = [token["token"] for each in own if each["logprobs"] for token in each["logprobs"]["content"]]
        assert "".join(scored) == expected


@pytest.mark.parametrize(
    ("text", "fields", "called"),
    [
        ("what is the weather?", {}, []),
        ("use get_weather", {}, ["get_weather"]),
        ("use get_weather and get_time", {}, ["get_weather", "get_time"]),
        ("use get_weather and get_time", {"parallel_tool_calls": False}, ["get_weather"]),
        ("use get_weather", {"tool_choice": "none"}, []),
        ("anything", {"tool_choice": "required"}, ["get_weather"]),
        ("anything", {"tool_choice": {"type": "function", "function": {"name": "get_time"}}}, ["get_time"]),
        (
            "anything",
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [CLOCK]},
                }
            },
            ["get_time"],
        ),
    ],
)
async def test_chat_calls_the_tools_that_the_request_wants(
    client: openai.AsyncOpenAI, text: str, fields: dict[str, Any], called: list[str]
) -> None:
    answer = await client.chat.completions.create(**asks(text, tools=[WEATHER, CLOCK], **fields))

    calls: Any = answer.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == called
    assert answer.choices[0].finish_reason == ("tool_calls" if called else "stop")
    assert (answer.choices[0].message.content is None) == bool(called)
    assert len({call.id for call in calls}) == len(called)


async def test_chat_streams_parallel_tool_calls_in_fragments(client: openai.AsyncOpenAI) -> None:
    wanted = asks("get_weather, get_time", tools=[WEATHER, CLOCK], stream=True)
    names, arguments = {}, {0: "", 1: ""}
    async for chunk in await client.chat.completions.create(**wanted):
        for delta in chunk.choices[0].delta.tool_calls or []:
            assert delta.function
            if delta.id:
                names[delta.index] = delta.function.name
            arguments[delta.index] += delta.function.arguments or ""
        finish = chunk.choices[0].finish_reason

    assert names == {0: "get_weather", 1: "get_time"}
    assert [json.loads(each) for each in arguments.values()] == [{"city": "xx", "days": 0}, {}]
    assert finish == "tool_calls"


async def test_chat_answers_a_tools_result(client: openai.AsyncOpenAI) -> None:
    messages: Any = [{"role": "user", "content": "use get_weather"}]
    wanted: Any = {"model": "sim-small", "tools": [WEATHER]}
    called = (await client.chat.completions.create(messages=messages, **wanted)).choices[0].message
    assert called.tool_calls
    result = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "sunny"}
    messages += [called.model_dump(exclude_none=True), result]
    answer = await client.chat.completions.create(messages=messages, **wanted)

    assert answer.choices[0].message.content == "Echo: sunny"


async def test_chat_calls_custom_tools(http: httpx2.AsyncClient) -> None:
    custom = {"type": "custom", "custom": {"name": "shell"}}
    wanted = asks("x", tools=[custom], tool_choice={"type": "custom", "custom": {"name": "shell"}})
    answer = (await http.post("/v1/chat/completions", json=wanted)).json()

    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["type"] == "custom"
    assert call["custom"] == {"name": "shell", "input": "input of shell"}


async def test_chat_cuts_tool_calls_at_the_bound(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**asks("get_weather", tools=[WEATHER], max_tokens=5))

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage and answer.usage.completion_tokens == 5


class Address(pydantic.BaseModel):
    street: str
    number: int = pydantic.Field(gt=5, lt=20, multiple_of=4)


class Person(pydantic.BaseModel):
    kind: Literal["adult", "child"]
    age: int = pydantic.Field(ge=18)
    share: float = pydantic.Field(gt=0, le=1)
    married: bool
    nickname: str | None
    homes: list[Address] = pydantic.Field(min_length=2)


async def test_chat_fits_a_json_schema(client: openai.AsyncOpenAI) -> None:
    wanted: Any = asks("make one")
    answer = await client.chat.completions.parse(**wanted, response_format=Person)

    person = answer.choices[0].message.parsed
    assert person
    assert (person.kind, person.age, len(person.homes), person.homes[0].number) == ("adult", 18, 2, 8)


async def test_chat_answers_a_json_object(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**asks("as json", response_format={"type": "json_object"}))

    assert json.loads(answer.choices[0].message.content or "") == {"echo": "as json"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"n": 129}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"tools": [CLOCK], "tool_choice": {"type": "function", "function": {"name": "no"}}}, "tool_choice"),
        ({"tools": [{"type": "function"}], "tool_choice": "required"}, "tools"),
        ({"messages": "text"}, None),
        ({"model": None}, None),
    ],
)
async def test_chat_refuses_what_the_api_forbids(
    http: httpx2.AsyncClient, change: dict[str, Any], param: str | None
) -> None:
    answer = await http.post("/v1/chat/completions", json=asks("hello", **change))

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
