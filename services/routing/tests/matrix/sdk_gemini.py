"""Google's SDK."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from google import genai
from google.genai import types

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


class GeminiAsker:
    name = "gemini"
    stops: ClassVar = {
        Stop.END: "STOP",
        Stop.LENGTH: "MAX_TOKENS",
        Stop.SEQUENCE: "STOP",
        Stop.TOOLS: "STOP",
        Stop.FILTERED: "SAFETY",
    }

    def __init__(self, door: Door) -> None:
        self._http = client_on(door, Dialect.GOOGLE)
        options = types.HttpOptions(base_url=ADDRESS, httpx_async_client=self._http)
        self._sdk = genai.Client(api_key="sk-hive", http_options=options)

    async def close(self) -> None:
        await self._http.aclose()

    def first(self, model: str, ask: Ask) -> dict[str, Any]:
        config: dict[str, Any] = {"max_output_tokens": ask.max_output}
        if ask.system:
            config["system_instruction"] = ask.system
        if ask.tools:
            declared = [
                {"name": name, "description": f"To {name}", "parameters_json_schema": CITY}
                for name in ask.tools
            ]
            config["tools"] = [{"function_declarations": declared}]
        if ask.schema is not None:
            config |= {"response_mime_type": "application/json", "response_json_schema": ask.schema}
        if ask.thinks:
            config["thinking_config"] = {"include_thoughts": True, "thinking_budget": 2048}
        if ask.stop:
            config["stop_sequences"] = list(ask.stop)
        if ask.answers > 1:
            config["candidate_count"] = ask.answers
        if ask.logprobs:
            config["response_logprobs"] = True
        rest = {"top_k": ask.top_k, "seed": ask.seed, "presence_penalty": ask.penalty}
        config |= {name: value for name, value in rest.items() if value is not None}
        content = types.Content(role="user", parts=_parts(ask))
        return {"model": model, "contents": [content], "config": types.GenerateContentConfig(**config)}

    async def ask(self, body: dict[str, Any], stream: bool) -> Heard:
        models: Any = self._sdk.aio.models
        if not stream:
            return _heard([await models.generate_content(**body)])
        return _heard([chunk async for chunk in await models.generate_content_stream(**body)])

    def next(self, body: dict[str, Any], heard: Heard, given: tuple[Given, ...]) -> dict[str, Any]:
        told = [_result(call, each) for call, each in zip(heard.calls, given, strict=True)]
        more = types.Content(role="user", parts=told or [types.Part(text="And then?")])
        return {**body, "contents": [*body["contents"], *heard.said, more]}


def _parts(ask: Ask) -> list[types.Part]:
    parts = []
    if ask.image == "url":
        parts.append(types.Part.from_uri(file_uri=PNG_URL, mime_type="image/png"))
    elif ask.image:
        parts.append(types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png"))
    if ask.document == "url":
        parts.append(types.Part.from_uri(file_uri=PDF_URL, mime_type="application/pdf"))
    elif ask.document:
        parts.append(types.Part.from_bytes(data=base64.b64decode(PDF), mime_type="application/pdf"))
    return [*parts, types.Part(text=ask.text)]


def _result(call: Called, given: Given) -> types.Part:
    shown = None
    if given.image:
        blob = types.FunctionResponseBlob(mime_type="image/png", data=base64.b64decode(PNG))
        shown = [types.FunctionResponsePart(inline_data=blob)]
    gave = {"result": given.text}
    response = types.FunctionResponse(id=call.id or None, name=call.name, response=gave, parts=shown)
    return types.Part(function_response=response)


def _heard(chunks: list[Any]) -> Heard:
    """The pieces stay contents of their own in the history, as the SDK's own chats keep them."""
    firsts = [each for chunk in chunks for each in chunk.candidates or () if not each.index]
    contents = [each.content for each in firsts if each.content and each.content.parts]
    parts = [part for content in contents for part in content.parts]
    usage = next(chunk.usage_metadata for chunk in reversed(chunks) if chunk.usage_metadata)
    calls = [part.function_call for part in parts if part.function_call]
    others: dict[int, str] = {}
    for chunk in chunks:
        for each in chunk.candidates or ():
            if each.index and each.content:
                others[each.index] = others.get(each.index, "") + "".join(
                    part.text or "" for part in each.content.parts
                )
    reasoning = usage.thoughts_token_count or 0
    scores = [each.logprobs_result for each in firsts if each.logprobs_result]
    return Heard(
        text="".join(part.text for part in parts if part.text and not part.thought),
        stop=next(each.finish_reason.value for each in reversed(firsts) if each.finish_reason),
        usage=Figures(
            usage.prompt_token_count,
            (usage.candidates_token_count or 0) + reasoning,
            usage.cached_content_token_count or 0,
            0,
            reasoning,
        ),
        said=contents,
        thinking="".join(part.text for part in parts if part.text and part.thought),
        refusal=next((each.finish_message for each in firsts if each.finish_message), ""),
        calls=[Called(call.id or "", call.name or "", dict(call.args or {})) for call in calls],
        others=list(others.values()),
        logprobs=sum(len(each.chosen_candidates or ()) for each in scores),
    )
