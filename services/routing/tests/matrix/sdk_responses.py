"""OpenAI's SDK, asking for responses that nobody keeps."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import openai

from hive_routing.dialects.form import Stop
from hive_runtime.dialects import Dialect
from services.routing.tests.matrix.asking import (
    PDF,
    PDF_URL,
    PNG,
    PNG_URL,
    Ask,
    Called,
    Figures,
    Given,
    Heard,
)
from services.routing.tests.matrix.sdk_chat import CITY
from services.routing.tests.matrix.sdk_transport import ADDRESS, Door, client_on

_IMAGE = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
_ENDS = ("response.completed", "response.incomplete", "response.failed")


class ResponsesAsker:
    name = "responses"
    stops: ClassVar = {
        Stop.END: "completed",
        Stop.LENGTH: "max_output_tokens",
        Stop.TOOLS: "completed",
        Stop.FILTERED: "content_filter",
    }

    def __init__(self, door: Door) -> None:
        self._http = client_on(door, Dialect.RESPONSES)
        self._sdk = openai.AsyncOpenAI(
            api_key="sk-hive", base_url=f"{ADDRESS}/v1", http_client=self._http, max_retries=0
        )

    async def close(self) -> None:
        await self._http.aclose()

    def first(self, model: str, ask: Ask) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "input": [{"role": "user", "content": _content(ask)}],
            "max_output_tokens": ask.max_output,
            "store": False,
        }
        if ask.system:
            body["instructions"] = ask.system
        if ask.tools:
            body["tools"] = [_tool(name) for name in ask.tools]
        if ask.schema is not None:
            named = {"type": "json_schema", "name": "weather", "schema": ask.schema, "strict": True}
            body["text"] = {"format": named}
        if ask.thinks:
            body["reasoning"] = {"effort": "medium", "summary": "auto"}
            body["include"] = ["reasoning.encrypted_content"]
        if ask.logprobs:
            body["include"] = ["message.output_text.logprobs"]
        return body

    async def ask(self, body: dict[str, Any], stream: bool) -> Heard:
        create: Any = self._sdk.responses.create
        if not stream:
            return _heard(await create(**body))
        pieces: list[str] = []
        numbers: list[int] = []
        ended = None
        async for event in await create(**body, stream=True):
            numbers.append(event.sequence_number)
            if event.type == "response.output_text.delta":
                pieces.append(event.delta)
            elif event.type in _ENDS:
                ended = event.response
        assert ended is not None, "the stream did not end"
        assert numbers == list(range(len(numbers)))
        assert "".join(pieces) == ended.output_text
        return _heard(ended)

    def next(self, body: dict[str, Any], heard: Heard, given: tuple[Given, ...]) -> dict[str, Any]:
        told = [
            {"type": "function_call_output", "call_id": call.id, "output": _result(each)}
            for call, each in zip(heard.calls, given, strict=True)
        ]
        more = told or [{"role": "user", "content": "And then?"}]
        return {**body, "input": [*body["input"], *heard.said, *more]}


def _content(ask: Ask) -> Any:
    parts: list[Any] = []
    if ask.image:
        url = PNG_URL if ask.image == "url" else _IMAGE["image_url"]
        parts.append({"type": "input_image", "image_url": url, "detail": "auto"})
    if ask.document == "url":
        parts.append({"type": "input_file", "file_url": PDF_URL})
    elif ask.document:
        data = f"data:application/pdf;base64,{PDF}"
        parts.append({"type": "input_file", "filename": "bee.pdf", "file_data": data})
    return [*parts, {"type": "input_text", "text": ask.text}] if parts else ask.text


def _tool(name: str) -> Any:
    return {
        "type": "function",
        "name": name,
        "description": f"To {name}",
        "parameters": CITY,
        "strict": True,
    }


def _result(given: Given) -> Any:
    return [{"type": "input_text", "text": given.text}, _IMAGE] if given.image else given.text


def _heard(response: Any) -> Heard:
    usage, output = response.usage, response.output
    parts = [part for item in output if item.type == "message" for part in item.content]
    thoughts = [item for item in output if item.type == "reasoning"]
    reason = response.incomplete_details.reason if response.incomplete_details else None
    prompt = usage.input_tokens_details
    return Heard(
        text=response.output_text,
        stop=reason or response.status,
        usage=Figures(
            usage.input_tokens,
            usage.output_tokens,
            prompt.cached_tokens,
            getattr(prompt, "cache_write_tokens", 0) or 0,
            usage.output_tokens_details.reasoning_tokens,
        ),
        said=output,
        thinking="".join(each.text for item in thoughts for each in [*item.summary, *(item.content or ())]),
        refusal="".join(part.refusal for part in parts if part.type == "refusal"),
        calls=[
            Called(item.call_id, item.name, msgspec.json.decode(item.arguments))
            for item in output
            if item.type == "function_call"
        ],
        logprobs=sum(len(part.logprobs or ()) for part in parts if part.type == "output_text"),
    )
