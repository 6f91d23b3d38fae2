"""POST /v1/chat/completions: what the model says, decided by the request and the script alone."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_testing.simulator import chat_wire, prompt, schema, text, tokens, tools
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.chat_wire import Choice
from hive_testing.simulator.prompt import Message
from hive_testing.simulator.reply import (
    Endpoint,
    InvalidRequest,
    Reply,
    StreamOptions,
    count_usage,
    sends_usage_chunk,
)
from hive_testing.simulator.tools import Tool, ToolCall, ToolChoice

MAX_CHOICES = 128


class JsonSchema(msgspec.Struct):
    name: str
    schema: dict[str, Any] | None = None


class ResponseFormat(msgspec.Struct):
    type: str
    json_schema: JsonSchema | None = None


class ChatRequest(msgspec.Struct):
    """The fields that change the answer; the others are recorded with the call and ignored."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None

    @property
    def limit(self) -> int | None:
        """The bound of one choice's tokens, reasoning included."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


def answer(request: ChatRequest, behaviour: Behaviour, number: int) -> Reply:
    """The answer; raises `InvalidRequest`."""
    _check(request)
    choices = [_choice(request, behaviour, number, index) for index in range(request.n or 1)]
    completion = sum(choice.tokens for choice in choices)
    reasoning = sum(tokens.count(choice.reasoning) for choice in choices if choice.reasoning)
    usage = count_usage(prompt.count(request.messages), completion, reasoning, behaviour)
    reply = Reply(usage.prompt_tokens, usage.completion_tokens, expected=completion)
    rendering = chat_wire.Rendering(
        id=f"chatcmpl-sim{number}",
        model=request.model,
        usage=usage,
        behaviour=behaviour,
        top_logprobs=request.top_logprobs or 0 if request.logprobs else None,
        usage_chunk=sends_usage_chunk(request.stream_options, behaviour),
    )
    if request.stream:
        reply.events = rendering.events(choices)
    else:
        reply.body = rendering.body(choices)
    return reply


def _check(request: ChatRequest) -> None:
    if not request.messages:
        raise InvalidRequest("messages must hold at least one message", "messages")
    if request.stream_options and not request.stream:
        raise InvalidRequest("stream_options is only allowed when stream is true", "stream_options")
    if not 1 <= (request.n or 1) <= MAX_CHOICES:
        raise InvalidRequest(f"n must be 1 to {MAX_CHOICES}, not {request.n}", "n")
    if request.limit is not None and request.limit < 1:
        raise InvalidRequest(f"the bound of tokens must be at least 1, not {request.limit}", "max_tokens")
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs to be true", "top_logprobs")


def _choice(request: ChatRequest, behaviour: Behaviour, number: int, index: int) -> Choice:
    reasoning, _ = text.limited(behaviour.reasoning_content or "", request.limit)
    left = None if request.limit is None else request.limit - tokens.count(reasoning)
    if calls := _calls(request, behaviour, number, index):
        kept = calls if left is None else tools.cut(calls, left)
        choice = Choice(index, None, reasoning, kept, "tool_calls" if kept == calls else "length")
    else:
        said = text.sized(text.stopped(_content(request, behaviour, index), request.stop), behaviour)
        content, finish = text.limited(said, left)
        choice = Choice(index, content, reasoning, [], finish)
    choice.finish = behaviour.finish_reason or choice.finish
    return choice


def _content(request: ChatRequest, behaviour: Behaviour, index: int) -> str:
    if behaviour.content is not None:
        said = behaviour.content
    elif request.response_format and request.response_format.type != "text":
        return _structured(request, request.response_format)
    else:
        said = prompt.echo(request.messages)
    return f"{said} #{index + 1}" if index else said


def _structured(request: ChatRequest, wanted: ResponseFormat) -> str:
    value: Any = {"echo": prompt.last_text(request.messages)}
    if wanted.json_schema:
        try:
            value = schema.smallest(wanted.json_schema.schema or {"type": "object"})
        except ValueError as error:
            raise InvalidRequest(str(error), "response_format") from error
    return msgspec.json.encode(value).decode()


def _calls(request: ChatRequest, behaviour: Behaviour, number: int, index: int) -> list[ToolCall]:
    return [
        ToolCall(f"call_sim{number}_{index}_{place}", call.name, call.arguments, call.kind)
        for place, call in enumerate(_made(request, behaviour))
    ]


def _made(request: ChatRequest, behaviour: Behaviour) -> list[tools.Call]:
    if behaviour.tool_calls is not None:
        return [tools.Call("function", tool.name, tool.arguments) for tool in behaviour.tool_calls]
    if not request.tools or behaviour.content is not None:
        return []
    last = request.messages[-1]
    said = last.text() if last.role == "user" else ""
    return tools.chosen(request.tools, request.tool_choice, request.parallel_tool_calls is not False, said)


ENDPOINT = Endpoint(msgspec.json.Decoder(ChatRequest), answer)
