"""From the bytes of a request to one that the local models can serve, or to an error that names the field."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from hive_routing.providers.local.limits import MAX_CHOICES, REFUSED, REFUSED_COMBINATIONS, REFUSED_PARTS
from hive_routing.providers.local.wire import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    Message,
    RerankRequest,
    Sampling,
    Tool,
    invalid,
)
from hive_runtime.errors import HiveError, Kind

T = TypeVar("T")

_chat = msgspec.json.Decoder(ChatRequest)
_completion = msgspec.json.Decoder(CompletionRequest)
_embedding = msgspec.json.Decoder(EmbeddingRequest)
_rerank = msgspec.json.Decoder(RerankRequest)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_chat(body: bytes, stream: bool) -> ChatRequest:
    """Raises HiveError `invalid` with the field that is to blame, like those below."""
    request = _read(body, "chat", _chat)
    _check_sampling(request, stream)
    for place, message in enumerate(request.messages):
        _check_message(f"messages[{place}]", message)
    _check_tool_answers(request.messages)
    _check_tools(request.tools or [])
    _check_format(request)
    return request


def read_completion(body: bytes, stream: bool) -> CompletionRequest:
    request = _read(body, "completions", _completion)
    _check_sampling(request, stream)
    prompts = request.prompts()
    if (choices := len(prompts) * (request.n or 1)) > MAX_CHOICES:
        raise invalid("prompt", f"{choices} answers (prompts * n) are too many: {MAX_CHOICES} at most")
    if request.echo and not all(isinstance(prompt, str) for prompt in prompts):
        raise invalid("echo", REFUSED_COMBINATIONS["echo"])
    return request


def read_embedding(body: bytes) -> EmbeddingRequest:
    return _read(body, "embeddings", _embedding)


def read_rerank(body: bytes) -> RerankRequest:
    return _read(body, "rerank", _rerank)


def _read(body: bytes, endpoint: str, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        fields = _fields.decode(body)
        _refuse(endpoint, fields)
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _unreadable(str(error)) from None
    except msgspec.DecodeError as error:
        raise HiveError(Kind.INVALID, f"the body is not JSON: {error}") from None


def _refuse(endpoint: str, fields: dict[str, msgspec.Raw]) -> None:
    for refusal in REFUSED[endpoint]:
        if refusal.param in fields and msgspec.json.decode(fields[refusal.param]) not in refusal.harmless:
            raise invalid(refusal.param, f"not possible with this local model: {refusal.reason}")


def _unreadable(message: str) -> HiveError:
    """msgspec writes "Expected … - at `$.messages[0].role`" and "… missing required field `prompt`"."""
    what, _, where = message.partition(" - at `$")
    path = where.rstrip("`").removeprefix(".")
    if missing := re.search(r"missing required field `(\w+)`", what):
        path = f"{path}.{missing[1]}".removeprefix(".")
    return HiveError(Kind.INVALID, f"{path or 'body'}: {what[:1].lower()}{what[1:]}", path or None)


def _check_sampling(request: Sampling, stream: bool) -> None:
    if request.stream_options is not None and not stream:
        raise invalid("stream_options", "is for streams only; leave it out or set `stream`")
    request.biases()


def _check_message(path: str, message: Message) -> None:
    if message.content is None and message.role != "assistant":
        raise invalid(f"{path}.content", f"is required for the role {message.role!r}")
    if message.content is None and not message.tool_calls:
        raise invalid(f"{path}.content", "is required for an assistant message without `tool_calls`")
    for place, part in enumerate(message.content if isinstance(message.content, list) else ()):
        if part.type not in ("text", "refusal"):
            reason = REFUSED_PARTS.get(part.type, "only text parts are understood")
            raise invalid(f"{path}.content[{place}]", f"no part of type {part.type!r}: {reason}")


def _check_tool_answers(messages: list[Message]) -> None:
    known: set[str] = set()
    for place, message in enumerate(messages):
        if message.role == "tool" and message.tool_call_id not in known:
            path = f"messages[{place}].tool_call_id"
            raise invalid(path, "must be the id of a tool call in a message before it")
        known.update(call.id for call in message.tool_calls or ())


def _check_tools(tools: list[Tool]) -> None:
    for place, tool in enumerate(tools):
        if tool.type != "function":
            raise invalid(f"tools[{place}].type", f"{tool.type!r}: {REFUSED_COMBINATIONS['tools[].type']}")
        if tool.function is None:
            raise invalid(f"tools[{place}].function", "is required")


def _check_format(request: ChatRequest) -> None:
    form = request.response_format
    if form is None or form.type == "text":
        return
    if form.type == "json_schema" and form.json_schema is None:
        raise invalid("response_format.json_schema", "is required for the type `json_schema`")
    if request.stops:
        raise invalid("stop", REFUSED_COMBINATIONS["stop"])
