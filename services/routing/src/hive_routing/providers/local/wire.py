"""What callers may ask of the local models: the three requests of the OpenAI dialect."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hive_routing.providers.local.limits import (
    CHAT_VOCABULARY,
    EMBEDDING_SIZE,
    MAX_CHOICES,
    MAX_INPUTS,
    MAX_STOPS,
    MAX_TOOLS,
    REFUSED_COMBINATIONS,
)
from hive_runtime.errors import HiveError, Kind

MOST = 2**31 - 1
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Token = Annotated[int, Meta(ge=0, le=MOST)]
Choices = Annotated[int, Meta(ge=1, le=MAX_CHOICES)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Stop = str | Annotated[list[str], Meta(max_length=MAX_STOPS)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
FunctionName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Part(msgspec.Struct):
    type: str
    text: str = ""
    refusal: str = ""


class CalledFunction(msgspec.Struct):
    name: FunctionName
    arguments: str


class ToolCall(msgspec.Struct):
    id: str
    function: CalledFunction


class Message(msgspec.Struct):
    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """All text parts, one per line."""
        if isinstance(self.content, list):
            return "\n".join(part.text or part.refusal for part in self.content)
        return self.content or ""


class Function(msgspec.Struct):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct):
    type: str = "function"
    function: Function | None = None


class NamedFunction(msgspec.Struct):
    name: str


class NamedTool(msgspec.Struct):
    function: NamedFunction
    type: Literal["function"] = "function"


class AllowedTools(msgspec.Struct):
    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class ToolChoice(msgspec.Struct):
    type: Literal["function", "allowed_tools"]
    function: NamedFunction | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(msgspec.Struct):
    schema: dict[str, Any]


class ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class Sampling(msgspec.Struct, kw_only=True):
    """What chat and text completions have in common."""

    n: Choices | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Whole | None = None
    stop: Stop | None = None
    logit_bias: dict[str, Bias] | None = None
    stream_options: StreamOptions | None = None

    @property
    def stops(self) -> list[str]:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in stops if stop]

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def biases(self) -> dict[int, float]:
        """Raises HiveError where a key is no token id of the chat model."""
        biases = {}
        for key, bias in (self.logit_bias or {}).items():
            if not key.isascii() or not key.isdigit() or int(key) >= CHAT_VOCABULARY:
                raise invalid("logit_bias", f"{key!r} is no token id: {REFUSED_COMBINATIONS['logit_bias']}")
            biases[int(key)] = bias
        return biases


class ChatRequest(Sampling, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None


class CompletionRequest(Sampling, kw_only=True):
    prompt: str | list[str | Token | list[Token]] | None
    max_tokens: Annotated[int, Meta(ge=0, le=MOST)] | None = None
    echo: bool | None = None

    def prompts(self) -> list[str | list[int]]:
        """One entry per prompt; an array of numbers is one prompt. Raises HiveError."""
        if self.prompt is None:
            return ["<|endoftext|>"]
        return _one_or_many(self.prompt, "prompt")


class EmbeddingRequest(msgspec.Struct, kw_only=True):
    input: str | list[str | Token | list[Token]]
    dimensions: Annotated[int, Meta(ge=1, le=EMBEDDING_SIZE)] | None = None
    encoding_format: Literal["float", "base64"] | None = None

    def inputs(self) -> list[str | list[int]]:
        """One entry per vector; an array of numbers is one text. Raises HiveError."""
        items = _one_or_many(self.input, "input")
        if len(items) > MAX_INPUTS:
            raise invalid("input", f"{len(items)} items are too many: {MAX_INPUTS} at most")
        return items


def invalid(param: str, message: str) -> HiveError:
    """The error for a field that is wrong."""
    return HiveError(Kind.INVALID, f"{param}: {message}", param)


def _one_or_many(value: str | list[str | int | list[int]], param: str) -> list[str | list[int]]:
    items: list[Any] = [value] if isinstance(value, str) else value
    if items and all(isinstance(item, int) for item in items):
        items = [items]
    if not items or not all(items):
        raise invalid(param, "must not be empty, nor hold an empty item")
    if len({type(item) for item in items}) > 1:
        raise invalid(param, "must be text, texts, token ids or arrays of token ids, not a mixture")
    return items


class RerankRequest(msgspec.Struct):
    """What a reranker is asked, in Cohere's second version."""

    query: str
    documents: list[str]
    top_n: int | None = None
