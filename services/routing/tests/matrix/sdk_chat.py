"""OpenAI's SDK, asking for chat completions."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from hive_routing.dialects.form import Stop
from hive_runtime.dialects import Dialect
from services.routing.tests.matrix.asking import PDF, PNG, PNG_URL, Ask, Called, Figures, Given, Heard
from services.routing.tests.matrix.sdk_transport import ADDRESS, Door, client_on

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
"""What every tool takes."""


class ChatAsker:
    name = "chat"
    stops: ClassVar = {
        Stop.END: "stop",
        Stop.LENGTH: "length",
        Stop.SEQUENCE: "stop",
        Stop.TOOLS: "tool_calls",
        Stop.FILTERED: "content_filter",
    }

    def __init__(self, door: Door) -> None:
        self._http = client_on(door, Dialect.OPENAI)
        self._sdk = openai.AsyncOpenAI(
            api_key="sk-hive", base_url=f"{ADDRESS}/v1", http_client=self._http, max_retries=0
        )

    async def close(self) -> None:
        await self._http.aclose()

    def first(self, model: str, ask: Ask) -> dict[str, Any]:
        system = [{"role": "system", "content": ask.system}] if ask.system else []
        body: dict[str, Any] = {
            "model": model,
            "messages": [*system, {"role": "user", "content": _content(ask)}],
            "max_completion_tokens": ask.max_output,
        }
        if ask.tools:
            body["tools"] = [_tool(name) for name in ask.tools]
        if ask.schema is not None:
            named = {"name": "weather", "schema": ask.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        if ask.thinks:
            body["reasoning_effort"] = "medium"
        if ask.stop:
            body["stop"] = list(ask.stop)
        if ask.answers > 1:
            body["n"] = ask.answers
        if ask.logprobs:
            body["logprobs"] = True
        rest = {"seed": ask.seed, "presence_penalty": ask.penalty}
        return body | {name: value for name, value in rest.items() if value is not None}

    async def ask(self, body: dict[str, Any], stream: bool) -> Heard:
        create: Any = self._sdk.chat.completions.create
        if not stream:
            return _heard(await create(**body))
        state: Any = ChatCompletionStreamState()
        async for chunk in await create(**body, stream=True, stream_options={"include_usage": True}):
            state.handle_chunk(chunk)
        heard = _heard(state.current_completion_snapshot)
        heard.said = _plain(heard.said)
        return heard

    def next(self, body: dict[str, Any], heard: Heard, given: tuple[Given, ...]) -> dict[str, Any]:
        told: list[Any] = [
            {"role": "tool", "tool_call_id": call.id, "content": each.text}
            for call, each in zip(heard.calls, given, strict=True)
        ]
        more = told or [{"role": "user", "content": "And then?"}]
        return {**body, "messages": [*body["messages"], heard.said, *more]}


def _content(ask: Ask) -> Any:
    parts: list[Any] = []
    if ask.image:
        url = PNG_URL if ask.image == "url" else f"data:image/png;base64,{PNG}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    if ask.document:
        file = {"filename": "bee.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
        parts.append({"type": "file", "file": file})
    mark = {"cache_control": {"type": "ephemeral"}} if ask.marks_cache else {}
    return [*parts, {"type": "text", "text": ask.text, **mark}] if parts or mark else ask.text


def _tool(name: str) -> Any:
    return {"type": "function", "function": {"name": name, "description": f"To {name}", "parameters": CITY}}


def _plain(message: Any) -> Any:
    """What is sent back of a message that was put together from pieces: without what was parsed of it."""
    said = message.model_dump(exclude_none=True, exclude={"parsed"})
    for call in said.get("tool_calls") or ():
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return said


def _heard(completion: Any) -> Heard:
    choice, *others = completion.choices
    message, usage = choice.message, completion.usage
    prompt, output = usage.prompt_tokens_details, usage.completion_tokens_details
    return Heard(
        text=message.content or "",
        stop=choice.finish_reason,
        usage=Figures(
            usage.prompt_tokens,
            usage.completion_tokens,
            (prompt and prompt.cached_tokens) or 0,
            (prompt and getattr(prompt, "cache_write_tokens", 0)) or 0,
            (output and output.reasoning_tokens) or 0,
        ),
        said=message,
        thinking=getattr(message, "reasoning_content", None) or "",
        refusal=message.refusal or "",
        calls=[
            Called(each.id, each.function.name, msgspec.json.decode(each.function.arguments))
            for each in message.tool_calls or ()
        ],
        others=[each.message.content for each in others],
        logprobs=len(choice.logprobs.content or ()) if choice.logprobs else 0,
    )
