"""Google's own SDK as the client of interactions: what it asks is read, what is written for it is what it expects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
from google import genai
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
from hive_routing.dialects.interactions import dialect
from hive_routing.usage import Usage

SEAL = Seal("gemini", "signature", "c2Vh/A==")
USAGE = Usage(9, 8, {"cached_prompt": 4, "prompt": 5, "completion": 5, "reasoning": 3})
STREAM: list[Event] = [
    Began("v1_abc", "bee-2", 1767323045),
    Opened(0, 0, Thinking()),
    Said(0, 0, "hm"),
    Sealed(0, 0, SEAL),
    Closed(0, 0),
    Opened(0, 1, Text()),
    Said(0, 1, "It is "),
    Said(0, 1, "sunny."),
    Closed(0, 1),
    Opened(0, 2, Call("x", "weather", seal=SEAL)),
    Said(0, 2, '{"city":'),
    Said(0, 2, '"Rome"}'),
    Closed(0, 2),
    Stopped(0, Stop.TOOLS),
]


class Gateway:
    """Answers the SDK with what the dialect writes. prompts: what it asked."""

    def __init__(self, *answers: Answer | list[Event]) -> None:
        self.prompts: list[Prompt] = []
        self._answers = iter(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/interactions"
        prompt = dialect.read_prompt(msgspec.json.decode(request.content, type=dict[str, Raw]))
        self.prompts.append(prompt)
        answer = next(self._answers)
        if isinstance(answer, Answer):
            body = dialect.write_answer(answer, prompt)
            return httpx.Response(200, content=body, headers={"content-type": "application/json"})
        writer = dialect.writer(prompt)
        stream = b"".join([*(writer.write(event) for event in answer), writer.finish(USAGE)])
        return httpx.Response(200, content=stream, headers={"content-type": "text/event-stream"})


@contextmanager
def asking(gateway: Callable[[httpx.Request], httpx.Response]) -> Iterator[Any]:
    with httpx.Client(transport=httpx.MockTransport(gateway)) as transport:
        options: Any = {"base_url": "http://hive.example", "api_version": "v1", "httpx_client": transport}
        with genai.Client(api_key="sk-hive", http_options=options) as client:
            yield client.interactions


def test_everything_that_can_be_asked() -> None:
    gateway = Gateway(Answer("v1_abc", "bee-2", 1767323045, [Choice([Text("hi")])], USAGE))
    with asking(gateway) as interactions:
        interaction = interactions.create(
            model="bee",
            input=[
                {"type": "text", "text": "what is this?"},
                {"type": "image", "data": "+/8=", "mime_type": "image/png"},
            ],
            system_instruction="be brief",
            tools=[{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
            generation_config={
                "max_output_tokens": 64,
                "seed": 7,
                "stop_sequences": ["a"],
                "temperature": 0.5,
                "thinking_level": "low",
                "thinking_summaries": "auto",
                "tool_choice": {"allowed_tools": {"mode": "any", "tools": ["weather"]}},
            },
            response_format={"type": "text", "mime_type": "application/json", "schema": {"type": "object"}},
            store=False,
        )
    assert gateway.prompts == [
        Prompt(
            "interactions",
            "bee",
            turns=[
                Turn("system", [Text("be brief")]),
                Turn("user", [Text("what is this?"), Media("image", "image/png", data="+/8=")]),
            ],
            tools=[Tool("weather", schema={"type": "object"})],
            choice=ToolChoice("named", ["weather"]),
            format=Format("schema", schema={"type": "object"}),
            reasoning=Reasoning(effort="low", summary="auto", visible=True),
            sampling=Sampling(temperature=0.5, seed=7),
            max_output=64,
            stop=["a"],
            rest={"store": False},
        )
    ]
    assert interaction.output_text == "hi"
    assert (interaction.id, interaction.model, interaction.status) == ("v1_abc", "bee-2", "completed")
    assert interaction.created == "2026-01-02T03:04:05Z"
    assert interaction.usage.total_input_tokens == 9
    assert interaction.usage.total_output_tokens == 5
    assert interaction.usage.total_thought_tokens == 3
    assert interaction.usage.total_cached_tokens == 4
    assert interaction.usage.total_tokens == 17


def test_a_stream() -> None:
    with asking(Gateway(STREAM)) as interactions:
        events = list(interactions.create(model="bee", input="weather?", stream=True))
    assert [event.event_type for event in events] == [
        "interaction.created",
        "interaction.status_update",
        "step.start",
        "step.delta",
        "step.delta",
        "step.stop",
        "step.start",
        "step.delta",
        "step.delta",
        "step.stop",
        "step.start",
        "step.delta",
        "step.stop",
        "step.start",
        "step.delta",
        "step.delta",
        "step.stop",
        "interaction.completed",
    ]
    deltas = [event.delta for event in events if event.event_type == "step.delta"]
    assert [delta.type for delta in deltas] == [
        "thought_summary",
        "thought_signature",
        "text",
        "text",
        "thought_signature",
        "arguments_delta",
        "arguments_delta",
    ]
    assert "".join(delta.text for delta in deltas if delta.type == "text") == "It is sunny."
    starts = [event.step.type for event in events if event.event_type == "step.start"]
    assert starts == ["thought", "model_output", "thought", "function_call"]
    last = events[-1].interaction
    assert (last.id, last.status, last.usage.total_tokens) == ("v1_abc", "requires_action", 17)


def test_a_function_is_called_and_answered() -> None:
    called = Answer(
        "v1_abc",
        "bee-2",
        choices=[
            Choice([Thinking("hm", SEAL), Text("I look."), Call("x", "f", '{"a":1}', seal=SEAL)], Stop.TOOLS)
        ],
    )
    gateway = Gateway(called, Answer("v1_abd", "bee-2", choices=[Choice([Text("sunny")])]))
    with asking(gateway) as interactions:
        first = interactions.create(model="bee", input="weather?")
        assert first.status == "requires_action"
        assert [step.type for step in first.steps] == ["thought", "model_output", "thought", "function_call"]
        question = {"type": "user_input", "content": [{"type": "text", "text": "weather?"}]}
        result = {"type": "function_result", "call_id": first.steps[-1].id, "name": "f", "result": "sunny"}
        second = interactions.create(model="bee", input=[question, *first.steps, result])
    assert second.output_text == "sunny"
    assert gateway.prompts[1].turns == [
        Turn("user", [Text("weather?")]),
        Turn(
            "assistant",
            [Thinking("hm", SEAL, is_summary=True), Text("I look."), Call("x", "f", '{"a":1}', seal=SEAL)],
        ),
        Turn("tool", [Result("x", [Text("sunny")], name="f")]),
    ]
