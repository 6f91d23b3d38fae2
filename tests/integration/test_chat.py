"""Chat completions with the official Python SDK: what is asked reaches the provider, what it says comes back."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from hive_testing.gateway import Gateway
from hive_testing.simulator import SimulatorThread

CHAT = "/v1/chat/completions"
PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7 a report").decode()
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG a picture").decode()


def user(content: Any) -> ChatCompletionMessageParam:
    return {"role": "user", "content": content}


def function(name: str, *required: str) -> ChatCompletionToolParam:
    properties = {field: {"type": "string", "minLength": 40} for field in required}
    parameters: dict[str, object] = {
        "type": "object",
        "properties": properties,
        "required": list(required),
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def asks(text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **fields}


# Plain


def test_a_plain_answer(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    answer = client.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "system", "content": "You are brief."}, user("hello")],
        temperature=0.7,
        max_tokens=500,
    )

    assert (answer.object, answer.model) == ("chat.completion", "gpt-4o")
    assert answer.id.startswith("chatcmpl-") and answer.created > 0
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "Echo: hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage and answer.usage.total_tokens == answer.usage.prompt_tokens + 3


def test_the_provider_sees_its_own_credential_only(
    gateway: Gateway, client: openai.OpenAI, simulator: SimulatorThread
) -> None:
    client.chat.completions.create(model="gpt-4o", messages=[user("hello")])

    (call,) = simulator.calls
    assert call.headers["authorization"] == "Bearer sk-sim"
    assert gateway.key not in str(call.raw_headers)
    assert call.headers["x-client-request-id"]


def test_several_choices(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=[user("hello")], n=2)

    assert [choice.index for choice in answer.choices] == [0, 1]
    assert [choice.message.content for choice in answer.choices] == ["Echo: hello", "Echo: hello #2"]


def test_stop_and_bound(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    stopped = client.chat.completions.create(model="gpt-4o", messages=[user("one two")], stop=" two")
    cut = client.chat.completions.create(model="gpt-4o", messages=[user("one two")], max_tokens=2)

    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("Echo: one", "stop")
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("Echo: on", "length")


def test_log_probabilities(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    answer = client.chat.completions.create(
        model="gpt-4o", messages=[user("hello")], logprobs=True, top_logprobs=2
    )

    found = answer.choices[0].logprobs
    assert found and found.content
    assert "".join(each.token for each in found.content) == "Echo: hello"
    assert all(len(each.top_logprobs) == 2 for each in found.content)


def test_every_answer_carries_its_id_three_times(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    answers = [
        client.chat.completions.with_raw_response.create(model="gpt-4o", messages=[user("hello")])
        for _ in range(2)
    ]

    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(id.startswith("req_") for id in ids) and len(set(ids)) == 2
    for id, answer in zip(ids, answers, strict=True):
        assert answer.headers["request-id"] == answer.headers["x-hive-request-id"] == id
        assert answer.parse()._request_id == id
        assert answer.headers["content-type"] == "application/json"


def test_a_failure_carries_its_id_too(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=[user("hello")])

    assert caught.value.request_id and caught.value.request_id.startswith("req_")
    assert caught.value.response.headers["x-hive-request-id"] == caught.value.request_id


async def test_many_at_once(async_client: openai.AsyncOpenAI, simulator: SimulatorThread) -> None:
    async def one(number: int) -> str | None:
        answer = await async_client.chat.completions.create(
            model="gpt-4o", messages=[user(f"number {number}")]
        )
        return answer.choices[0].message.content

    said = await asyncio.gather(*(one(number) for number in range(40)))
    assert said == [f"Echo: number {number}" for number in range(40)]


# Streams


def test_a_stream(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    """The loop of the API reference: it reads `choices[0]` of every chunk without asking."""
    said, ids, reasons = "", set(), []
    for chunk in client.chat.completions.create(model="gpt-4o", messages=[user("a poem")], stream=True):
        ids.add((chunk.id, chunk.created, chunk.model, chunk.object))
        reasons.append(chunk.choices[0].finish_reason)
        said += chunk.choices[0].delta.content or ""

    assert said == "Echo: a poem"
    assert len(ids) == 1 and reasons[-1] == "stop" and set(reasons[:-1]) == {None}


def test_the_usage_chunk_is_there_where_it_was_asked_for(
    client: openai.OpenAI, simulator: SimulatorThread
) -> None:
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o",
            messages=[user("a poem")],
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    assert chunks[-1].choices == [] and chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 3
    assert all(chunk.choices and chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}])
def test_the_usage_chunk_that_nobody_asked_for_stays_here(
    gateway: Gateway, simulator: SimulatorThread, options: dict[str, bool] | None
) -> None:
    wanted = asks(stream=True) | ({} if options is None else {"stream_options": options})
    answer = gateway.public.ask("POST", CHAT, wanted)

    assert simulator.calls[0].json["stream_options"] == {"include_usage": True}
    assert all(chunk["choices"] for chunk in answer.chunks)
    assert answer.events[-1] == "[DONE]" and answer.events.count("[DONE]") == 1


@pytest.mark.parametrize("usage_chunk", ["always", "in_finish"])
def test_a_provider_that_states_usage_in_its_own_way(
    gateway: Gateway, simulator: SimulatorThread, usage_chunk: str
) -> None:
    simulator.script(usage_chunk=usage_chunk)
    silent = gateway.public.ask("POST", CHAT, asks(stream=True))
    asked = gateway.public.ask("POST", CHAT, asks(stream=True, stream_options={"include_usage": True}))

    assert all(chunk["choices"] for chunk in silent.chunks)
    assert any((chunk.get("usage") or {}).get("completion_tokens") == 3 for chunk in asked.chunks)


def test_usage_that_the_provider_does_not_state_is_counted_here(
    client: openai.OpenAI, simulator: SimulatorThread
) -> None:
    simulator.script(no_usage=True)
    *_, last = client.chat.completions.create(
        model="gpt-4o", messages=[user("hello")], stream=True, stream_options={"include_usage": True}
    )

    assert last.choices == [] and last.usage
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens > 0


def test_the_head_of_a_stream(gateway: Gateway, simulator: SimulatorThread) -> None:
    answer = gateway.public.ask("POST", CHAT, asks(stream=True))

    assert answer.status == 200 and answer.complete
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-request-id"] == answer.headers["request-id"]


def test_several_choices_in_a_stream(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    said = {0: "", 1: ""}
    finished = []
    for chunk in client.chat.completions.create(model="gpt-4o", messages=[user("hello")], n=2, stream=True):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
            finished += [choice.index] if choice.finish_reason else []

    assert said == {0: "Echo: hello", 1: "Echo: hello #2"} and sorted(finished) == [0, 1]


async def test_a_stream_of_the_asynchronous_client(
    async_client: openai.AsyncOpenAI, simulator: SimulatorThread
) -> None:
    stream = await async_client.chat.completions.create(model="gpt-4o", messages=[user("hello")], stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Echo: hello"


def test_a_stream_is_not_held_back(gateway: Gateway, simulator: SimulatorThread, model: str) -> None:
    """The first words arrive while the provider has not written the others."""
    simulator.script(model=model, chunks=3, chunk_bytes=4, chunk_delay=0.2)
    with gateway.raw() as connection:
        connection.send(gateway.public.request("POST", CHAT, asks(model=model, stream=True)))
        connection.read_until(b'"content":"Echo"')
        assert not simulator.bill[0].finished
        assert connection.read_all().count(b"[DONE]") == 1


def test_the_stream_helper(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    with client.chat.completions.stream(model="gpt-4o", messages=[user("hello")]) as stream:
        events = list(stream)
        final = stream.get_final_completion()

    deltas = [event.delta for event in events if event.type == "content.delta"]
    (done,) = [event.content for event in events if event.type == "content.done"]
    assert "".join(deltas) == done == final.choices[0].message.content == "Echo: hello"
    assert {event.type for event in events} >= {"chunk", "content.delta", "content.done"}


# Tools and structure


def test_a_round_trip_with_a_tool(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    tools = [function("get_weather", "city")]
    messages = [user("get_weather in Rome")]
    asked = client.chat.completions.create(
        model="gpt-4o", messages=messages, tools=tools, tool_choice="auto"
    ).choices[0]
    assert asked.finish_reason == "tool_calls" and asked.message.content is None
    (call,) = asked.message.tool_calls or []
    assert call.type == "function" and call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"]

    told: list[ChatCompletionMessageParam] = [
        *messages,
        {"role": "assistant", "tool_calls": [call.model_dump()]},  # type: ignore[list-item]
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    answer = client.chat.completions.create(model="gpt-4o", messages=told, tools=tools)
    assert answer.choices[0].message.content == "Echo: sunny"


def test_fragments_of_parallel_calls(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    tools = [function("get_weather", "city"), function("get_time", "zone")]
    names: dict[int, str] = {}
    arguments = {0: "", 1: ""}
    fragments = 0
    for chunk in client.chat.completions.create(
        model="gpt-4o", messages=[user("get_weather and get_time")], tools=tools, stream=True
    ):
        for call in chunk.choices[0].delta.tool_calls or ():
            assert call.function
            if call.function.name:
                assert call.id and call.type == "function"
                names[call.index] = call.function.name
            arguments[call.index] += call.function.arguments or ""
            fragments += 1

    assert names == {0: "get_weather", 1: "get_time"}
    assert json.loads(arguments[0])["city"] and json.loads(arguments[1])["zone"]
    assert fragments > 10


def test_the_stream_helper_with_tools(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    with client.chat.completions.stream(
        model="gpt-4o", messages=[user("get_weather")], tools=[function("get_weather", "city")]
    ) as stream:
        events = list(stream)

    deltas = [
        event.arguments_delta for event in events if event.type == "tool_calls.function.arguments.delta"
    ]
    (done,) = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert done.name == "get_weather" and "".join(deltas) == done.arguments


class Capital(BaseModel):
    name: str
    inhabitants: int


def test_an_answer_parsed_by_a_schema(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    answer = client.chat.completions.parse(
        model="gpt-4o", messages=[user("a capital")], response_format=Capital
    )

    assert answer.choices[0].message.parsed == Capital(name="", inhabitants=0)
    assert simulator.calls[0].json["response_format"]["type"] == "json_schema"


def test_json_mode(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    answer = client.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "system", "content": "Respond in JSON format."}, user("capitals")],
        response_format={"type": "json_object"},
    )
    assert json.loads(answer.choices[0].message.content or "") == {"echo": "capitals"}


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("length", openai.LengthFinishReasonError),
        ("content_filter", openai.ContentFilterFinishReasonError),
    ],
)
def test_finish_reasons_that_spoil_a_parsed_answer(
    client: openai.OpenAI, simulator: SimulatorThread, model: str, reason: str, error: type[Exception]
) -> None:
    simulator.script(model=model, finish_reason=reason)
    with pytest.raises(error):
        client.chat.completions.parse(model=model, messages=[user("hello")], response_format=Capital)


# Attachments


@pytest.mark.parametrize("url", ["https://example.com/photo.jpg", PNG])
def test_pictures_arrive_as_they_were_sent(
    client: openai.OpenAI, simulator: SimulatorThread, url: str
) -> None:
    parts = [
        {"type": "text", "text": "Describe this image."},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    answer = client.chat.completions.create(model="gpt-4o", messages=[user(parts)], max_tokens=500)

    assert simulator.calls[0].json["messages"][0]["content"] == parts
    assert "[1 image: " in (answer.choices[0].message.content or "")


@pytest.mark.parametrize("stream", [False, True])
def test_a_pdf_arrives_as_a_file(gateway: Gateway, simulator: SimulatorThread, stream: bool) -> None:
    text = {"type": "text", "text": "Summarize this report."}
    picture = {"type": "image_url", "image_url": {"url": PNG}}
    parts = [text, {"type": "image_url", "image_url": {"url": PDF}}, picture]
    wanted = {"model": "gemini/gemini-2.5-pro", "messages": [user(parts)], "stream": stream}
    assert gateway.public.ask("POST", CHAT, wanted).status == 200

    sent = simulator.calls[0].json["messages"][0]["content"]
    assert sent[0] == text and sent[2] == picture
    assert sent[1]["type"] == "file" and "image_url" not in sent[1]
    assert sent[1]["file"]["file_data"] == PDF and sent[1]["file"]["filename"]


# Nothing is lost on the way

FIELDS: dict[str, Any] = {
    "temperature": 0.25,
    "top_p": 0.5,
    "max_tokens": 7,
    "max_completion_tokens": 7,
    "n": 2,
    "stop": ["a", "b"],
    "presence_penalty": -1.5,
    "frequency_penalty": 1.5,
    "logit_bias": {"50256": -100, "1": 3.5},
    "logprobs": True,
    "seed": 9007199254740993,
    "tools": [
        function("f", "x"),
        {"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}},
    ],
    "parallel_tool_calls": False,
    "functions": [{"name": "old", "parameters": {"type": "object"}}],
    "function_call": {"name": "old"},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "reasoning_effort": "xhigh",
    "verbosity": "low",
    "modalities": ["text", "audio"],
    "audio": {"voice": {"id": "v1"}, "format": "pcm16"},
    "prediction": {"type": "content", "content": [{"type": "text", "text": "so"}]},
    "store": True,
    "metadata": {"team": "a", "café": "ü"},
    "service_tier": "flex",
    "user": "u-1",
    "safety_identifier": "s-1",
    "prompt_cache_key": "k-1",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"mode": "explicit", "ttl": "1h"},
    "web_search_options": {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"city": "Rome"}},
    },
    "moderation": {"model": "omni", "policy": {"input": {"mode": "score"}}},
    "x_of_a_provider": {"deep": [1, None, {"er": "ü"}]},
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_arrives_unchanged(gateway: Gateway, simulator: SimulatorThread, name: str) -> None:
    wanted = asks() | {name: FIELDS[name]}
    answer = gateway.public.ask("POST", CHAT, wanted)

    assert answer.status == 200, answer
    assert simulator.calls[0].json == wanted


TOOL_CHOICES: list[Any] = [
    "none",
    "auto",
    "required",
    {"type": "function", "function": {"name": "f"}},
    {"type": "custom", "custom": {"name": "c"}},
    {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
    },
]


@pytest.mark.parametrize("choice", TOOL_CHOICES, ids=str)
def test_every_tool_choice_arrives_unchanged(
    gateway: Gateway, simulator: SimulatorThread, choice: Any
) -> None:
    wanted = asks(tools=FIELDS["tools"], tool_choice=choice)

    assert gateway.public.ask("POST", CHAT, wanted).status == 200
    assert simulator.calls[0].json == wanted


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.0}'}}
MESSAGES: dict[str, list[dict[str, Any]]] = {
    "developer": [{"role": "developer", "content": "brief"}, {"role": "user", "content": "hi"}],
    "system of parts": [
        {"role": "system", "content": [{"type": "text", "text": "brief"}], "name": "s"},
        {"role": "user", "content": "hi", "name": "u"},
    ],
    "assistant": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "done"}]},
    ],
    "refusal": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "audio": {"id": "a1"}},
        {"role": "user", "content": "why"},
    ],
    "legacy": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ],
    "cache marks": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                {"type": "text", "text": "short", "prompt_cache_breakpoint": {"mode": "explicit"}},
            ],
        }
    ],
    "sound and files": [
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "file", "file": {"file_data": PDF, "filename": "mine.pdf"}},
            ],
        }
    ],
    "text with /pdf in it": [{"role": "user", "content": "data:application/pdf;base64,AAAA"}],
    "characters": [{"role": "user", "content": '\u0000 🐝 \u2028 <script> \\ " é'}],
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_kind_of_message_arrives_unchanged(
    gateway: Gateway, simulator: SimulatorThread, kind: str
) -> None:
    wanted = {"model": "gpt-4o", "messages": MESSAGES[kind]}

    assert gateway.public.ask("POST", CHAT, wanted).status == 200
    assert simulator.calls[0].json == wanted


def test_numbers_keep_their_spelling(gateway: Gateway, simulator: SimulatorThread) -> None:
    body = (
        b'{"x_big": 123456789012345678901234567890, "model":"gpt-4o", "temperature": 1.50e-1 ,\n'
        b'"messages": [ {"role":"user", "content":"\\u0068i", "x": 1E400} ], "x_small": 0.10}'
    )
    assert gateway.public.ask("POST", CHAT, body).status == 200

    sent = simulator.calls[0].body
    for kept in (
        b"123456789012345678901234567890",
        b"1.50e-1",
        b'[ {"role":"user", "content":"\\u0068i", "x": 1E400} ]',
        b"0.10",
    ):
        assert kept in sent


def test_the_model_becomes_the_deployments_own(gateway: Gateway, simulator: SimulatorThread) -> None:
    answer = gateway.public.ask("POST", CHAT, asks(model="gemini/gemini-2.5-pro"))

    assert simulator.calls[0].json == asks(model="gemini-2.5-pro")
    assert answer.json["model"] == "gemini-2.5-pro"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_bound_travels_under_the_name_that_the_provider_knows(
    gateway: Gateway, simulator: SimulatorThread, name: str
) -> None:
    model = gateway.add_model(provider="renaming")
    gateway.public.ask("POST", CHAT, asks(model=model) | {name: 5})

    assert simulator.calls[0].json == asks(model=model, max_completion_tokens=5)


@pytest.mark.parametrize("stream", [False, True])
def test_unknown_fields_of_an_answer_come_back(
    gateway: Gateway, simulator: SimulatorThread, model: str, stream: bool
) -> None:
    simulator.script(model=model, extra={"x_cost": {"usd": 0.5}}, reasoning_content="hmm")
    answer = gateway.public.ask("POST", CHAT, asks(model=model, stream=stream))

    found = answer.chunks if stream else [answer.json]
    assert all(each["x_cost"] == {"usd": 0.5} for each in found)
    assert '"reasoning_content":"hmm"' in answer.body.decode()


def test_a_plain_answer_comes_back_byte_for_byte(
    gateway: Gateway, simulator: SimulatorThread, model: str
) -> None:
    body = (
        '{ "id":"x","choices" : [{"index":0,"message":{"role":"assistant","content":"\\u00e9"}}], "n":1.50 }'
    )
    simulator.script(model=model, body=body)

    assert gateway.public.ask("POST", CHAT, asks(model=model)).body.decode() == body


@pytest.mark.parametrize(
    "headers",
    [
        {"x-hive-cache": "false"},
        {"x-hive-guard": "none"},
        {"x-hive-guard": "prompt-injection,toxicity"},
        {"OpenAI-Beta": "assistants=v2"},
        {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1"},
        {"X-Client-Request-Id": "mine"},
    ],
    ids=str,
)
def test_headers_that_are_accepted(
    client: openai.OpenAI, simulator: SimulatorThread, headers: dict[str, str]
) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=[user("hello")], extra_headers=headers)
    assert answer.choices[0].message.content == "Echo: hello"
