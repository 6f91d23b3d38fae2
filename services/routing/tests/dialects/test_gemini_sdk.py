"""Google's own SDK as the client: what it asks is read, what is written for it is what it expects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
from google import genai
from google.genai import types
from msgspec import Raw

from hive_routing.dialects.form import (
    Answer,
    Began,
    Call,
    Choice,
    Closed,
    Event,
    Format,
    Media,
    Opened,
    Prompt,
    Reasoning,
    Result,
    Said,
    Sampling,
    Seal,
    Sealed,
    Stop,
    Stopped,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from hive_routing.dialects.gemini import dialect
from hive_routing.usage import Usage

FOREIGN = Seal("messages", "signature", "é~")
USAGE = Usage(9, 8, {"cached_prompt": 4, "prompt": 5, "completion": 5, "reasoning": 3})
STREAM: list[Event] = [
    Began("r8Zk", "bee-2"),
    Opened(0, 0, Thinking()),
    Said(0, 0, "hm"),
    Sealed(0, 0, FOREIGN),
    Closed(0, 0),
    Opened(0, 1, Text()),
    Said(0, 1, "It is "),
    Said(0, 1, "sunny."),
    Closed(0, 1),
    Stopped(0, Stop.END),
]
CALLING: list[Event] = [
    Began("r8Zk", "bee-2"),
    Opened(0, 0, Call("x", "weather", seal=FOREIGN)),
    Said(0, 0, '{"city":'),
    Said(0, 0, '"Rome"}'),
    Closed(0, 0),
    Stopped(0, Stop.TOOLS),
]


class Gateway:
    """Answers the SDK with what the dialect writes. prompts: what it asked."""

    def __init__(self, *answers: Answer | list[Event]) -> None:
        self.prompts: list[Prompt] = []
        self._answers = iter(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        fields = msgspec.json.decode(request.content, type=dict[str, Raw])
        prompt = dialect.read_prompt(fields)
        self.prompts.append(prompt)
        answer = next(self._answers)
        if isinstance(answer, Answer):
            assert request.url.path.endswith(":generateContent")
            body = dialect.write_answer(answer, prompt)
            return httpx.Response(200, content=body, headers={"content-type": "application/json"})
        assert request.url.path.endswith(":streamGenerateContent")
        writer = dialect.writer(prompt)
        stream = b"".join([*(writer.write(event) for event in answer), writer.finish(USAGE)])
        return httpx.Response(200, content=stream, headers={"content-type": "text/event-stream"})


@contextmanager
def asking(gateway: Callable[[httpx.Request], httpx.Response]) -> Iterator[genai.Client]:
    with httpx.Client(transport=httpx.MockTransport(gateway)) as transport:
        options: Any = {"base_url": "http://hive.example", "httpx_client": transport}
        with genai.Client(api_key="sk-hive", http_options=options) as client:
            yield client


def test_everything_that_can_be_asked() -> None:
    gateway = Gateway(Answer("r8Zk", "bee-2", choices=[Choice([Text("hi")])], usage=USAGE))
    config = types.GenerateContentConfig(
        system_instruction="be brief",
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        candidate_count=2,
        max_output_tokens=64,
        stop_sequences=["a"],
        presence_penalty=0.5,
        frequency_penalty=0.25,
        seed=7,
        response_logprobs=True,
        logprobs=3,
        response_mime_type="application/json",
        response_json_schema={"type": "object"},
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.LOW),
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                threshold=types.HarmBlockThreshold.BLOCK_ONLY_HIGH,
            )
        ],
        tools=[
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name="weather",
                        description="tells it",
                        parameters=types.Schema(
                            type=types.Type.OBJECT,
                            properties={"city": types.Schema(type=types.Type.STRING, nullable=True)},
                        ),
                    )
                ]
            )
        ],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["weather"]
            )
        ),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    contents: Any = ["what is this?", types.Part.from_bytes(data=b"\xfb\xff", mime_type="image/png")]
    with asking(gateway) as client:
        response = client.models.generate_content(model="bee", contents=contents, config=config)
    assert gateway.prompts == [
        Prompt(
            "gemini",
            turns=[
                Turn("system", [Text("be brief")]),
                Turn("user", [Text("what is this?"), Media("image", "image/png", data="+/8=")]),
            ],
            tools=[
                Tool(
                    "weather",
                    "tells it",
                    {"type": "object", "properties": {"city": {"type": ["string", "null"]}}},
                )
            ],
            choice=ToolChoice("named", ["weather"]),
            format=Format("schema", schema={"type": "object"}),
            reasoning=Reasoning(effort="low", visible=True),
            sampling=Sampling(0.5, 0.9, 40, 7, 0.5, 0.25, None, True, 3),
            max_output=64,
            stop=["a"],
            choices=2,
            rest={
                "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}]
            },
        )
    ]
    assert response.text == "hi"
    assert response.model_version == "bee-2"
    assert response.response_id == "r8Zk"
    assert response.usage_metadata is not None
    assert response.usage_metadata.prompt_token_count == 9
    assert response.usage_metadata.cached_content_token_count == 4
    assert response.usage_metadata.candidates_token_count == 5
    assert response.usage_metadata.thoughts_token_count == 3
    assert response.usage_metadata.total_token_count == 17


def test_a_stream() -> None:
    with asking(Gateway(STREAM)) as client:
        chunks = list(client.models.generate_content_stream(model="bee", contents="weather?"))
    assert "".join(chunk.text or "" for chunk in chunks) == "It is sunny."
    parts = [part for chunk in chunks for part in chunk.parts or ()]
    assert "".join(part.text or "" for part in parts if part.thought) == "hm"
    assert [
        reason for chunk in chunks for each in chunk.candidates or () if (reason := each.finish_reason)
    ] == ["STOP"]
    last = chunks[-1].usage_metadata
    assert last is not None
    assert last.total_token_count == 17
    assert {chunk.response_id for chunk in chunks} == {"r8Zk"}


def test_a_chat_that_calls_a_function_keeps_its_history_and_its_seals() -> None:
    gateway = Gateway(CALLING, STREAM)
    with asking(gateway) as client:
        chat = client.chats.create(model="bee")
        chunks = list(chat.send_message_stream("weather in Rome?"))
        calls = [call for chunk in chunks for call in chunk.function_calls or ()]
        assert [(call.id, call.name, call.args) for call in calls] == [("x", "weather", {"city": "Rome"})]
        result = types.Part(
            function_response=types.FunctionResponse(id="x", name="weather", response={"result": "sunny"})
        )
        list(chat.send_message_stream([result]))
        assert len(chat.get_history(curated=True)) == len(chat.get_history())
    asked = gateway.prompts[1].turns
    assert asked[:3] == [
        Turn("user", [Text("weather in Rome?")]),
        Turn("assistant", [Call("x", "weather", '{"city":"Rome"}', seal=FOREIGN)]),
        Turn("tool", [Result("x", [Text("sunny")], name="weather")]),
    ]


def test_calls_of_a_whole_answer() -> None:
    answer = Answer(
        "r8Zk", "bee-2", choices=[Choice([Call("x", "f", '{"a":1}'), Call("y", "g", "{}")], Stop.TOOLS)]
    )
    with asking(Gateway(answer)) as client:
        response = client.models.generate_content(model="bee", contents="go")
    assert [(call.id, call.name, call.args) for call in response.function_calls or ()] == [
        ("x", "f", {"a": 1}),
        ("y", "g", {}),
    ]
