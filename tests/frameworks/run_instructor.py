"""Instructor: what the model calls a tool with becomes a typed value, piece by piece; over chat and over messages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import instructor
from anthropic import Anthropic
from openai import OpenAI
from pydantic import BaseModel
from scenario import KEY, QUESTION, URL, City, get_weather, stay_here, tell


class GetWeather(BaseModel):
    """The weather of a city."""

    city: City


class Report(BaseModel):
    """What the weather is like."""

    sunny: bool
    degrees: int


def converse(
    name: str, client: Any, turns: Callable[[str, str], list[dict[str, Any]]], **options: Any
) -> None:
    """turns: those of the call with these arguments and of its result, as the dialect has them."""
    history: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
    *_, asked = client.create_partial(response_model=GetWeather, messages=history, **options)
    history += turns(asked.city, get_weather(asked.city))
    reports = list(client.create_partial(response_model=Report, messages=history, **options))
    tell(name, [asked.model_dump()], [each.model_dump_json() for each in reports])


def in_chat(city: str, result: str) -> list[dict[str, Any]]:
    function = {"name": "GetWeather", "arguments": json.dumps({"city": city})}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    ]


def in_messages(city: str, result: str) -> list[dict[str, Any]]:
    call = {"type": "tool_use", "id": "call_1", "name": "GetWeather", "input": {"city": city}}
    told = {"type": "tool_result", "tool_use_id": "call_1", "content": result}
    return [{"role": "assistant", "content": [call]}, {"role": "user", "content": [told]}]


stay_here()
for id in sys.argv[1:]:
    chat = instructor.from_openai(OpenAI(api_key=KEY, base_url=f"{URL}/v1", max_retries=0))
    converse(f"chat {id}", chat, in_chat, model=id)
    messages = instructor.from_anthropic(Anthropic(api_key=KEY, base_url=URL, max_retries=0))
    converse(f"messages {id}", messages, in_messages, model=id, max_tokens=1000)
