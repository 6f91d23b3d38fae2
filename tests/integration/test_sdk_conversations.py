"""The official SDKs of Python, each in a conversation of two turns with a tool, streamed, whoever provides the model.

Providers refuse what the real ones would: thoughts, for example, that come back without their signature.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.integration.official_sdks import Sdks

PROVIDERS = ("openai", "compatible", "anthropic", "gemini", "bedrock")
MODELS = [name + suffix for name in PROVIDERS for suffix in ("", "-thinks")]
SYSTEM, QUESTION, RESULT = "Be brief.", "Use get_weather for Rome.", "sunny, 23 degrees"
ANSWER = f"Echo: {RESULT}"
NAME, ARGUMENTS, DESCRIPTION = "get_weather", {"city": "Rome"}, "The weather of a city."
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Rome"]}},
    "required": ["city"],
}

every_model = pytest.mark.parametrize("model", MODELS)


class Turn(NamedTuple):
    """What the SDK made of a streamed answer. pieces: its text, as it came."""

    whole: Any
    pieces: list[str]


def thinks(model: str) -> bool:
    return model.endswith("-thinks")


def is_told(turn: Turn) -> bool:
    """Whether it says what came of the call, piece by piece."""
    return "".join(turn.pieces) == ANSWER and len(turn.pieces) > 1


def chat(client: openai.OpenAI, model: str, messages: list[Any]) -> Turn:
    function: Any = {"name": NAME, "description": DESCRIPTION, "parameters": SCHEMA}
    effort: dict[str, Any] = {"reasoning_effort": "low"} if thinks(model) else {}
    with client.chat.completions.stream(
        model=model,
        messages=messages,
        tools=[{"type": "function", "function": function}],
        stream_options={"include_usage": True},
        **effort,
    ) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
        return Turn(stream.get_final_completion(), pieces)


def as_sent(message: Any) -> dict[str, Any]:
    """A message without what the SDK puts into it for its caller, and what only streams have."""
    kept = message.to_dict(exclude_none=True)
    for call in kept["tool_calls"]:
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return {name: value for name, value in kept.items() if name != "parsed"}


@every_model
def test_chats(sdks: Sdks, model: str) -> None:
    client = sdks.openai()
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    [asked] = chat(client, model, messages).whole.choices
    assert asked.finish_reason == "tool_calls"
    [call] = asked.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == (NAME, ARGUMENTS)

    result = {"role": "tool", "tool_call_id": call.id, "content": RESULT}
    told = chat(client, model, [*messages, as_sent(asked.message), result])
    assert is_told(told)
    assert told.whole.choices[0].finish_reason == "stop"
    assert told.whole.usage.total_tokens > 0


def respond(client: openai.OpenAI, model: str, input: list[Any], **fields: Any) -> Turn:
    if thinks(model):
        fields["reasoning"] = {"effort": "low", "summary": "auto"}
    tool: Any = {"type": "function", "name": NAME, "description": DESCRIPTION, "parameters": SCHEMA}
    stream: Any = client.responses.create(
        model=model,
        instructions=SYSTEM,
        input=input,
        tools=[tool | {"strict": False}],
        stream=True,
        **fields,
    )
    events = list(stream)
    assert events[-1].type == "response.completed"
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    return Turn(events[-1].response, pieces)


@every_model
@pytest.mark.parametrize("chained", [False, True], ids=["sent again", "chained"])
def test_responses(sdks: Sdks, model: str, chained: bool) -> None:
    """chained: the second one names the first; else nothing is stored, and all is sent again."""
    client = sdks.openai()
    fields: dict[str, Any] = {} if chained else {"store": False, "include": ["reasoning.encrypted_content"]}
    question = {"role": "user", "content": QUESTION}
    asked = respond(client, model, [question], **fields).whole
    [call] = [item for item in asked.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == (NAME, ARGUMENTS)
    assert any(item.type == "reasoning" and item.summary for item in asked.output) is thinks(model)

    result = {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}
    if chained:
        told = respond(client, model, [result], previous_response_id=asked.id)
    else:
        told = respond(client, model, [question, *asked.output, result], **fields)
    assert is_told(told)
    assert told.whole.output_text == ANSWER
    assert told.whole.usage.total_tokens > 0


def message(client: anthropic.Anthropic, model: str, messages: list[Any]) -> Turn:
    thinking: dict[str, Any] = (
        {"thinking": {"type": "enabled", "budget_tokens": 1024}} if thinks(model) else {}
    )
    with client.messages.stream(
        model=model,
        max_tokens=4096,
        system=SYSTEM,
        messages=messages,
        tools=[{"name": NAME, "description": DESCRIPTION, "input_schema": SCHEMA}],
        **thinking,
    ) as stream:
        pieces = list(stream.text_stream)
        return Turn(stream.get_final_message(), pieces)


@every_model
def test_messages(sdks: Sdks, model: str) -> None:
    client = sdks.anthropic()
    question = {"role": "user", "content": QUESTION}
    asked = message(client, model, [question]).whole
    assert asked.stop_reason == "tool_use"
    [call] = [block for block in asked.content if block.type == "tool_use"]
    assert (call.name, call.input) == (NAME, ARGUMENTS)
    assert any(block.type == "thinking" and block.thinking for block in asked.content) is thinks(model)

    result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
    said = [{"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    told = message(client, model, [question, *said])
    assert is_told(told)
    assert told.whole.stop_reason == "end_turn"
    assert told.whole.usage.input_tokens > 0 and told.whole.usage.output_tokens > 0


def generate(client: genai.Client, model: str, contents: Any) -> tuple[list[types.Part], Any]:
    """The parts of all frames, and the last frame."""
    tool = types.FunctionDeclaration(name=NAME, description=DESCRIPTION, parameters_json_schema=SCHEMA)
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
    config = types.GenerateContentConfig(
        system_instruction=SYSTEM,
        tools=[types.Tool(function_declarations=[tool])],
        thinking_config=thinking if thinks(model) else None,
    )
    frames: list[Any] = list(
        client.models.generate_content_stream(model=model, contents=contents, config=config)
    )
    contained = [frame.candidates[0].content for frame in frames]
    return [part for content in contained if content for part in content.parts or ()], frames[-1]


@every_model
def test_generated_content(sdks: Sdks, model: str) -> None:
    client = sdks.google()
    contents = [types.Content(role="user", parts=[types.Part(text=QUESTION)])]
    asked, _ = generate(client, model, contents)
    [call] = [part.function_call for part in asked if part.function_call]
    assert (call.name, call.args) == (NAME, ARGUMENTS)
    assert any(part.thought and part.text for part in asked) is thinks(model)

    result = types.FunctionResponse(id=call.id, name=NAME, response={"output": RESULT})
    contents.append(types.Content(role="model", parts=asked))
    contents.append(types.Content(role="user", parts=[types.Part(function_response=result)]))
    told, last = generate(client, model, contents)
    pieces = [part.text for part in told if part.text and not part.thought]
    assert RESULT in "".join(pieces) and len(pieces) > 1
    assert last.candidates[0].finish_reason == "STOP"
    assert last.usage_metadata.total_token_count > 0
