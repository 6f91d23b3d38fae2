"""LlamaIndex with a server like OpenAI's, streamed."""

from __future__ import annotations

import sys

from llama_index.core.llms import ChatMessage, MessageRole
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from scenario import KEY, QUESTION, URL, get_weather, stay_here, tell

weather = FunctionTool.from_defaults(get_weather)


def converse(id: str) -> None:
    model = OpenAILike(
        model=id,
        api_base=f"{URL}/v1",
        api_key=KEY,
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
    )
    history = [ChatMessage("Be brief.", role=MessageRole.SYSTEM), ChatMessage(QUESTION)]
    *_, asked = model.stream_chat_with_tools([weather], chat_history=history)
    calls = model.get_tool_calls_from_response(asked)
    history.append(asked.message)
    history += [
        ChatMessage(
            weather(**call.tool_kwargs).content,
            role=MessageRole.TOOL,
            additional_kwargs={"tool_call_id": call.tool_id},
        )
        for call in calls
    ]
    pieces = [
        piece.delta for piece in model.stream_chat_with_tools([weather], chat_history=history) if piece.delta
    ]
    tell(f"chat {id}", [call.tool_kwargs for call in calls], pieces)


stay_here()
for each in sys.argv[1:]:
    converse(each)
