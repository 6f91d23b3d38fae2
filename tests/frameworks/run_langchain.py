"""LangChain's chat models, streamed: over chat, over responses and over messages."""

from __future__ import annotations

import sys
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from scenario import KEY, QUESTION, URL, get_weather, stay_here, tell

weather = tool(get_weather)


def converse(name: str, model: BaseChatModel) -> None:
    bound = model.bind_tools([weather])
    messages: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    asked, _ = streamed(bound.stream(messages))
    messages.append(asked)
    messages += [weather.invoke(call) for call in asked.tool_calls]
    answered, pieces = streamed(bound.stream(messages))
    usage = answered.usage_metadata or {}
    calls = [call["args"] for call in asked.tool_calls]
    tell(name, calls, pieces, final=answered.text, tokens=usage.get("total_tokens"))


def streamed(chunks: Any) -> tuple[AIMessageChunk, list[str]]:
    """The whole message, and the pieces of its text."""
    whole, pieces = None, []
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
        if chunk.text:
            pieces.append(chunk.text)
    assert whole is not None
    return whole, pieces


stay_here()
for id in sys.argv[1:]:
    thinks = "thinks" in id
    to_openai: dict[str, Any] = {"model": id, "api_key": KEY, "base_url": f"{URL}/v1", "max_retries": 0}
    effort = {"reasoning_effort": "low"} if thinks else {}
    converse(f"chat {id}", ChatOpenAI(**to_openai, **effort, stream_usage=True))
    reasoning: dict[str, Any] = {"effort": "low", "summary": "auto"} if thinks else {}
    sealed = {"reasoning": reasoning, "store": False, "include": ["reasoning.encrypted_content"]}
    converse(f"responses {id}", ChatOpenAI(**to_openai, **sealed, use_responses_api=True))
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if thinks else {}
    to_anthropic = {"model": id, "api_key": KEY, "base_url": URL, "max_retries": 0, "max_tokens": 4096}
    converse(f"messages {id}", ChatAnthropic(**to_anthropic, **thinking))
