"""Responses that are kept, with the official Python SDK: chains, conversations, background, streams that go on."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from hive_testing.gateway import Served, eventually
from hive_testing.simulator import SimulatorThread


def ended(client: openai.OpenAI, id: str) -> Response:
    """A response in the background, once it has ended."""
    found: list[Response] = []

    def is_ended() -> bool:
        found.append(client.responses.retrieve(id))
        return found[-1].status not in ("queued", "in_progress")

    eventually(is_ended, 20, "the end of a response in the background")
    return found[-1]


def test_a_response_is_kept_gone_on_from_and_deleted(
    client: openai.OpenAI, simulator: SimulatorThread
) -> None:
    first = client.responses.create(model="gpt-4o", input="one")
    second = client.responses.create(model="gpt-4o", input="two", previous_response_id=first.id)

    assert first.output_text == "Echo: one" and second.previous_response_id == first.id
    again = client.responses.retrieve(second.id)
    assert (again.id, again.output_text) == (second.id, second.output_text)
    items = list(client.responses.input_items.list(second.id, limit=1))
    assert len(items) == 1 and items[0].id
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="gpt-4o", input="x", previous_response_id=first.id)


def test_the_stream_helper_ends_with_what_is_kept(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    with client.responses.stream(model="gpt-4o", input="hello there") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()

    assert "".join(deltas) == final.output_text == "Echo: hello there"
    assert client.responses.retrieve(final.id).output_text == final.output_text


def test_a_function_round_trip_over_a_chain(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    class Look(BaseModel):
        at: str

    tool: Any = openai.pydantic_function_tool(Look)["function"]
    tool = {"type": "function", "name": "Look", "parameters": tool["parameters"], "strict": True}
    asked = client.responses.create(model="gpt-4o", input="look", tools=[tool], tool_choice="required")
    (call,) = [item for item in asked.output if item.type == "function_call"]

    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "a bee"}
    told = client.responses.create(
        model="gpt-4o", input=[result], tools=[tool], previous_response_id=asked.id
    )

    assert told.status == "completed"
    unknown: Any = result | {"call_id": "call_none"}
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="gpt-4o", input=[unknown], previous_response_id=told.id)


def test_a_conversation_holds_what_is_said_in_it(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    made = client.conversations.create(
        items=[{"type": "message", "role": "user", "content": "zero"}], metadata={"topic": "numbers"}
    )
    client.responses.create(model="gpt-4o", input="one", conversation=made.id)
    client.responses.create(model="gpt-4o", input="two", conversation={"id": made.id})

    items = list(client.conversations.items.list(made.id, limit=2, order="asc"))
    texts = [item.content[0].text for item in items if item.type == "message"]  # type: ignore[union-attr]
    assert texts == ["zero", "one", "Echo: one", "two", "Echo: two"]
    one = items[1]
    assert one.id and client.conversations.items.retrieve(one.id, conversation_id=made.id).id == one.id
    assert client.conversations.items.delete(one.id, conversation_id=made.id).id == made.id
    changed = client.conversations.update(made.id, metadata={"topic": "letters"})
    assert changed.metadata == {"topic": "letters"}
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)


def test_a_response_in_the_background(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    queued = client.responses.create(model="gpt-4o", input="hello", background=True)

    assert queued.status == "queued"
    made = ended(client, queued.id)
    assert (made.status, made.output_text) == ("completed", "Echo: hello")


def test_a_stream_in_the_background_goes_on_where_it_was_left(
    client: openai.OpenAI, gateway: Served, simulator: SimulatorThread
) -> None:
    model = gateway.add_model(model="sim/chunks=40,chunk_delay=0.01")
    stream = client.responses.create(model=model, input="hi", background=True, stream=True)
    seen = [next(stream) for _ in range(6)]
    stream.close()
    id = seen[0].response.id  # type: ignore[union-attr]

    rest = list(client.responses.retrieve(id, stream=True, starting_after=seen[-1].sequence_number))

    numbers = [event.sequence_number for event in [*seen, *rest]]
    assert numbers == list(range(len(numbers))) and rest[-1].type == "response.completed"


def test_a_response_in_the_background_is_cancelled(
    client: openai.OpenAI, gateway: Served, simulator: SimulatorThread
) -> None:
    model = gateway.add_model(model="sim/silent=true")
    queued = client.responses.create(model=model, input="hello", background=True)
    eventually(lambda: simulator.calls, 20, "the call to the provider")

    assert client.responses.cancel(queued.id).status == "cancelled"
    assert client.responses.retrieve(queued.id).status == "cancelled"
    waited = client.responses.create(model="gpt-4o", input="hello")
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(waited.id)


def test_compacting_and_counting(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    first = client.responses.create(model="gpt-4o", input="one")
    short = client.responses.compact(model="gpt-4o", previous_response_id=first.id)

    output: Any = [item.model_dump(exclude_none=True, warnings=False) for item in short.output]
    told = client.responses.create(
        model="gpt-4o", input=[*output, {"role": "user", "content": "two"}], store=False
    )
    assert told.output_text == "Echo: two"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(told.id)
    counted = client.responses.input_tokens.count(model="gpt-4o", input="one two three")
    assert counted.input_tokens > 2
