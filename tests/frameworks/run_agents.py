"""The OpenAI Agents SDK: its runner goes through both turns; over responses, chained or not, and over chat."""

from __future__ import annotations

import asyncio
import sys

from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.shared import Reasoning
from scenario import KEY, QUESTION, URL, City, get_weather, stay_here, tell

client = AsyncOpenAI(api_key=KEY, base_url=f"{URL}/v1", max_retries=0)


async def converse(name: str, model: Model, settings: ModelSettings, chained: bool = False) -> None:
    """chained: the second turn names the first one's answer instead of sending it."""
    called: list[dict[str, str]] = []

    @function_tool(name_override="get_weather")
    def weather(city: City) -> str:
        called.append({"city": city})
        return get_weather(city)

    agent = Agent(
        "Forecaster", instructions="Be brief.", model=model, tools=[weather], model_settings=settings
    )
    run = Runner.run_streamed(agent, QUESTION, auto_previous_response_id=chained)
    pieces = [
        event.data.delta
        async for event in run.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    usage = run.context_wrapper.usage
    tell(name, called, pieces, final=run.final_output, turns=usage.requests, tokens=usage.total_tokens)


async def main(models: list[str]) -> None:
    for model in models:
        thinking = Reasoning(effort="low", summary="auto") if "thinks" in model else None
        sealed = ModelSettings(
            reasoning=thinking, store=False, response_include=["reasoning.encrypted_content"]
        )
        await converse(f"responses {model}", OpenAIResponsesModel(model, client), sealed)
        stored = ModelSettings(reasoning=thinking)
        await converse(f"chained {model}", OpenAIResponsesModel(model, client), stored, chained=True)
        chat = ModelSettings(reasoning=Reasoning(effort="low") if thinking else None, include_usage=True)
        await converse(f"chat {model}", OpenAIChatCompletionsModel(model, client), chat)


stay_here()
set_tracing_disabled(True)
asyncio.run(main(sys.argv[1:]))
