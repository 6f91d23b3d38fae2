"""What the model says in a conversation, whatever the dialect: decided by the request and the script alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from hive_testing.simulator import prompt, schema, text, tokens, tools
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.prompt import Message
from hive_testing.simulator.reply import Counts, InvalidRequest, StreamOptions, count
from hive_testing.simulator.tools import Tool, ToolCall, ToolChoice

CALL_PREFIX = "call_"


class JsonSchema(msgspec.Struct):
    name: str
    schema: dict[str, Any] | None = None


class ResponseFormat(msgspec.Struct):
    type: str
    json_schema: JsonSchema | None = None


class Asked(msgspec.Struct):
    """What the model is asked, in the words of chat completions: the fields that change the answer."""

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


@dataclass(slots=True)
class Choice:
    """One of the answers to a request.

    content: None where tools are called and nothing is said before. finish: in chat's words, or the script's.
    sequence: the stop sequence that ended it.
    """

    index: int
    content: str | None
    reasoning: str
    calls: list[ToolCall]
    finish: str
    refusal: str = ""
    sequence: str | None = None

    @property
    def tokens(self) -> int:
        """Completion tokens, reasoning included."""
        counted = tokens.count(self.content) if self.content else 0
        if self.reasoning or self.refusal:
            counted += tokens.count(self.reasoning) + tokens.count(self.refusal)
        return counted + tools.count(self.calls) if self.calls else counted


def choices(asked: Asked, behaviour: Behaviour, number: int) -> list[Choice]:
    """The answers, `n` of them; raises `InvalidRequest`. number: of the call, for ids."""
    return [choice(asked, behaviour, number, index) for index in range(asked.n or 1)]


def choice(asked: Asked, behaviour: Behaviour, number: int, index: int = 0) -> Choice:
    """One answer."""
    left = asked.limit
    reasoning = behaviour.thoughts
    if reasoning:
        reasoning, _ = text.limited(reasoning, left)
        left = None if left is None else left - tokens.count(reasoning)
    if behaviour.refusal:
        words, _ = text.limited(behaviour.refusal, left)
        made = Choice(index, None, reasoning, [], "stop", words)
    elif calls := _calls(asked, behaviour, number, index):
        made = _calling(calls, behaviour.content, left, Choice(index, None, reasoning, [], "tool_calls"))
    else:
        said, sequence = text.stopped(_content(asked, behaviour, index), asked.stop)
        content, finish = text.limited(text.sized(said, behaviour), left)
        made = Choice(index, content, reasoning, [], finish, sequence=sequence if finish == "stop" else None)
    made.finish = behaviour.finish_reason or made.finish
    return made


def counts(asked: Asked, made: list[Choice], behaviour: Behaviour) -> Counts:
    """What the answers cost."""
    completion = sum(each.tokens for each in made)
    reasoning = sum(tokens.count(each.reasoning) for each in made)
    return count(prompt.count(asked.messages), completion, reasoning, behaviour)


def _calling(calls: list[ToolCall], said: str | None, left: int | None, choice: Choice) -> Choice:
    """The choice with calls, and with what is said before them, within the tokens that are left."""
    choice.content, choice.calls = said, calls
    if left is not None:
        choice.content = None if said is None else tokens.cut(said, left)
        choice.calls = tools.cut(calls, left - tokens.count(said or ""))
        if (choice.content, choice.calls) != (said, calls):
            choice.finish = "length"
    return choice


def _content(asked: Asked, behaviour: Behaviour, index: int) -> str:
    if behaviour.content is not None:
        said = behaviour.content
    elif asked.response_format and asked.response_format.type != "text":
        return _structured(asked, asked.response_format)
    else:
        said = prompt.echo(asked.messages)
    return f"{said} #{index + 1}" if index else said


def _structured(asked: Asked, wanted: ResponseFormat) -> str:
    value: Any = {"echo": prompt.last_text(asked.messages)}
    if wanted.json_schema:
        try:
            value = schema.smallest(wanted.json_schema.schema or {"type": "object"})
        except ValueError as error:
            raise InvalidRequest(str(error), "response_format") from error
    return msgspec.json.encode(value).decode()


def _calls(asked: Asked, behaviour: Behaviour, number: int, index: int) -> list[ToolCall]:
    return [
        ToolCall(f"{CALL_PREFIX}sim{number}_{index}_{place}", call.name, call.arguments, call.kind)
        for place, call in enumerate(_made(asked, behaviour))
    ]


def _made(asked: Asked, behaviour: Behaviour) -> list[tools.Call]:
    if behaviour.tool_calls is not None:
        return [tools.Call("function", tool.name, tool.arguments) for tool in behaviour.tool_calls]
    if not asked.tools or behaviour.content is not None:
        return []
    last = asked.messages[-1]
    said = last.text() if last.role == "user" else ""
    return tools.chosen(asked.tools, asked.tool_choice, asked.parallel_tool_calls is not False, said)
