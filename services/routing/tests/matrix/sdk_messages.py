"""Anthropic's SDK."""

from __future__ import annotations

from typing import Any, ClassVar

import anthropic

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

_MARK = {"cache_control": {"type": "ephemeral"}}
_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


class MessagesAsker:
    name = "messages"
    stops: ClassVar = {
        Stop.END: "end_turn",
        Stop.LENGTH: "max_tokens",
        Stop.SEQUENCE: "stop_sequence",
        Stop.TOOLS: "tool_use",
        Stop.FILTERED: "refusal",
    }

    def __init__(self, door: Door) -> None:
        self._http = client_on(door, Dialect.ANTHROPIC)
        self._sdk = anthropic.AsyncAnthropic(
            api_key="sk-hive", base_url=ADDRESS, http_client=self._http, max_retries=0
        )

    async def close(self) -> None:
        await self._http.aclose()

    def first(self, model: str, ask: Ask) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": ask.max_output,
            "messages": [{"role": "user", "content": _content(ask)}],
        }
        if ask.system:
            body["system"] = ask.system
        if ask.tools:
            body["tools"] = [
                {"name": name, "description": f"To {name}", "input_schema": CITY} for name in ask.tools
            ]
        if ask.schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": ask.schema}}
        if ask.thinks:
            body["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        if ask.stop:
            body["stop_sequences"] = list(ask.stop)
        if ask.top_k is not None:
            body["extra_body"] = {"top_k": ask.top_k}
        return body

    async def ask(self, body: dict[str, Any], stream: bool) -> Heard:
        messages: Any = self._sdk.messages
        if not stream:
            return _heard(await messages.create(**body))
        async with messages.stream(**body) as streamed:
            return _heard(await streamed.get_final_message())

    def next(self, body: dict[str, Any], heard: Heard, given: tuple[Given, ...]) -> dict[str, Any]:
        told = [
            {"type": "tool_result", "tool_use_id": call.id, "content": _result(each)}
            for call, each in zip(heard.calls, given, strict=True)
        ]
        said = {"role": "assistant", "content": heard.said}
        more = {"role": "user", "content": told or "And then?"}
        return {**body, "messages": [*body["messages"], said, more]}


def _content(ask: Ask) -> Any:
    parts: list[Any] = []
    if ask.image:
        by_url = {"type": "image", "source": {"type": "url", "url": PNG_URL}}
        parts.append(by_url if ask.image == "url" else _IMAGE)
    if ask.document == "url":
        parts.append({"type": "document", "source": {"type": "url", "url": PDF_URL}})
    elif ask.document:
        source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
        parts.append({"type": "document", "source": source, "title": "bee"})
    mark = _MARK if ask.marks_cache else {}
    return [*parts, {"type": "text", "text": ask.text, **mark}] if parts or mark else ask.text


def _result(given: Given) -> Any:
    return [{"type": "text", "text": given.text}, _IMAGE] if given.image else given.text


def _heard(message: Any) -> Heard:
    usage, blocks = message.usage, message.content
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    details = getattr(usage, "output_tokens_details", None)
    return Heard(
        text="".join(each.text for each in blocks if each.type == "text"),
        stop=message.stop_reason,
        usage=Figures(
            usage.input_tokens + cached + written,
            usage.output_tokens,
            cached,
            written,
            details.thinking_tokens if details else 0,
        ),
        said=blocks,
        thinking="".join(each.thinking for each in blocks if each.type == "thinking"),
        calls=[Called(each.id, each.name, dict(each.input)) for each in blocks if each.type == "tool_use"],
        sequence=message.stop_sequence,
    )
