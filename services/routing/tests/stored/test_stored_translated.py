"""Chains go on whichever provider answers: what one has sealed comes back to it, and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(params=["anthropic", "gemini"])
async def other(gateway: Any, request: pytest.FixtureRequest) -> str:
    """A model that thinks, of a provider with another dialect."""
    await gateway.add_provider("other", gateway.sim.url.removesuffix("/v1"), kind=request.param)
    await gateway.add_model("other", at=("other:sim/thinking=hm",))
    return "other"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_one_provider_sealed_comes_back_to_it_alone(client: Any, other: str, stream: bool) -> None:
    asks = {"model": other, "reasoning": {"effort": "high", "summary": "auto"}, "stream": stream}

    async def respond(**fields: Any) -> Any:
        answer = await client.post("responses", **fields)
        assert answer.error is None, answer.error
        return answer.chunks[-1]["response"] if stream else answer.json

    first = await respond(input="one", **asks)
    second = await respond(input="two", previous_response_id=first["id"], **asks)
    sent_there = str(client.sent)
    await respond(model="gpt-4o", input="three", previous_response_id=second["id"], stream=stream)

    assert [item["type"] for item in first["output"]][:2] == ["reasoning", "message"]
    assert "signature" in sent_there.lower()
    said = str([item for item in client.sent["input"] if item.get("role") == "assistant"])
    assert said.count("Echo: ") == 2 and "hm" not in said
    assert "signature" not in str(client.sent).lower() and "hive1." not in str(client.sent)


@pytest.mark.parametrize("background", [False, True])
async def test_interactions_go_on_at_any_provider(
    client: Any, other: str, background: bool, running: None
) -> None:
    first = await client.post("interactions", model=other, input="one", background=background)
    assert first.error is None, first.error
    made = await client.ended(first.json["id"], "interactions")

    again = await client.post("interactions", model="gpt-4o", input="two", previous_interaction_id=made["id"])

    assert again.error is None and made["status"] == "completed"
    assert "one" in str(client.sent) and "two" in str(client.sent)
