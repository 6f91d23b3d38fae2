"""Anthropic's SDK takes the simulator for Anthropic, and what Anthropic refuses is refused."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import pytest

from hive_testing.simulator import SimulatorThread

MODEL = "claude-simulated"
HELLO: Any = {"role": "user", "content": "hello"}
LOOK = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
THINKING = {"type": "enabled", "budget_tokens": 1024}
THINKS: dict[str, Any] = {"model": MODEL, "max_tokens": 2048, "thinking": THINKING, "tools": [LOOK]}
CALLS = [{"name": "look", "arguments": '{"at": "ä"}'}, {"name": "look"}]


def asks(**fields: Any) -> dict[str, Any]:
    """A small request."""
    return {"model": MODEL, "max_tokens": 100, "messages": [HELLO], **fields}


def answered(message: anthropic.types.Message) -> Any:
    """The user's turn that gives a result for every call."""
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "42"}
        for block in message.content
        if block.type == "tool_use"
    ]
    return {"role": "user", "content": results}


@pytest.fixture
def thought(provider: SimulatorThread, claude: anthropic.Anthropic) -> list[Any]:
    """Two turns and a half: thoughts, words and two calls, and what the tools gave."""
    provider.script(thinking="let me see", content="I look.", tool_calls=CALLS, redacted_thinking=True)
    message = claude.messages.create(**THINKS, messages=[HELLO])
    provider.reset()
    return [HELLO, {"role": "assistant", "content": message.to_dict()["content"]}, answered(message)]


def test_plain(claude: anthropic.Anthropic, provider: SimulatorThread) -> None:
    message = claude.messages.create(**asks(), extra_headers={"x-client-request-id": "try-1"})

    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Echo: hello"}]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == (
        "end_turn",
        5,
        3,
    )
    (line,) = provider.bill
    assert (line.attempt_id, line.prompt_tokens, line.completion_tokens, line.finished) == (
        "try-1",
        5,
        3,
        True,
    )


def test_count_tokens_costs_nothing(claude: anthropic.Anthropic, provider: SimulatorThread) -> None:
    assert claude.messages.count_tokens(model=MODEL, messages=[HELLO]).input_tokens == 5
    assert provider.bill == []


def test_the_stream_grows_to_the_plain_answer(claude: anthropic.Anthropic, provider: SimulatorThread) -> None:
    provider.script(
        thinking="let me see",
        content="I look.",
        tool_calls=CALLS,
        redacted_thinking=True,
        cached_tokens=7,
        cache_write_tokens=5,
        cache_write_1h_tokens=3,
    )
    plain = claude.messages.create(**THINKS, messages=[HELLO])
    with claude.messages.stream(**THINKS, messages=[HELLO]) as stream:
        whole = stream.get_final_message()

    assert [block.type for block in plain.content] == [
        "redacted_thinking",
        "thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    named = [block.to_dict() | {"id": ""} for block in plain.content]
    assert [block.to_dict() | {"id": ""} for block in whole.content] == named
    assert whole.stop_reason == "tool_use"
    usage = whole.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (5, 7, 8)
    assert usage.cache_creation and usage.cache_creation.ephemeral_1h_input_tokens == 3
    assert usage.output_tokens_details and usage.output_tokens_details.thinking_tokens == 3
    assert [(line.prompt_tokens, line.completion_tokens, line.finished) for line in provider.bill] == [
        (20, usage.output_tokens, True)
    ] * 2


def test_order_of_events(claude: anthropic.Anthropic, provider: SimulatorThread) -> None:
    provider.script(content="one two")
    with claude.messages.create(**asks(), stream=True) as stream:
        kinds = [event.type for event in stream]

    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_thinking_round_trip(claude: anthropic.Anthropic, thought: list[Any]) -> None:
    message = claude.messages.create(**THINKS, messages=thought)

    assert message.content[0].to_dict() == {"type": "text", "text": "Echo: 42"}


def test_omitted_thoughts_keep_their_signature(
    claude: anthropic.Anthropic, provider: SimulatorThread
) -> None:
    provider.script(thinking="let me see", tool_calls=CALLS, once=True)
    asked = {**THINKS, "thinking": {**THINKING, "display": "omitted"}}
    with claude.messages.stream(**asked, messages=[HELLO]) as stream:
        message = stream.get_final_message()
    block = message.content[0]

    assert block.type == "thinking" and block.thinking == "" and block.signature
    spoken: Any = {"role": "assistant", "content": message.to_dict()["content"]}
    assert claude.messages.create(**asked, messages=[HELLO, spoken, answered(message)])
    assert provider.bill[0].finished


def test_thoughts_are_shown_to_those_who_ask(claude: anthropic.Anthropic, provider: SimulatorThread) -> None:
    provider.script(thinking="let me see")
    with claude.messages.stream(**asks()) as stream:
        message = stream.get_final_message()

    assert [block.type for block in message.content] == ["text"]
    assert message.usage.output_tokens == 6 and provider.bill[0].finished


@pytest.mark.parametrize(
    ("scripted", "reason"),
    [
        ({"refusal": "I will not."}, "refusal"),
        ({"finish_reason": "content_filter"}, "refusal"),
        ({"finish_reason": "pause"}, "pause_turn"),
        ({"finish_reason": "model_context_window_exceeded"}, "model_context_window_exceeded"),
        ({"content": "up to here STOP not here"}, "stop_sequence"),
        ({"content": "x" * 1000}, "max_tokens"),
    ],
)
def test_reasons(
    claude: anthropic.Anthropic, provider: SimulatorThread, scripted: dict[str, Any], reason: str
) -> None:
    provider.script(**scripted)

    assert claude.messages.create(**asks(stop_sequences=["STOP"])).stop_reason == reason


def test_structured_output(claude: anthropic.Anthropic) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    message = claude.messages.create(
        **asks(output_config={"format": {"type": "json_schema", "schema": schema}})
    )

    assert message.content[0].to_dict()["text"] == '{"n":0}'


def test_attachments_are_seen(claude: anthropic.Anthropic) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    paper = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
    }
    words = {"type": "text", "text": "look"}
    message = claude.messages.create(**asks(messages=[{"role": "user", "content": [words, image, paper]}]))

    said = message.content[0].to_dict()["text"]
    assert said == "Echo: look [1 image: image/png] [1 file: application/pdf]"


def test_vertex(provider: SimulatorThread) -> None:
    provider.require_key("token")
    with anthropic.AnthropicVertex(
        base_url=f"{provider.control_url}/v1", region="r", project_id="p", access_token="token", max_retries=0
    ) as client:
        plain = client.messages.create(**asks())
        with client.messages.stream(**asks()) as stream:
            whole = stream.get_final_message()
        with pytest.raises(anthropic.BadRequestError, match="foo: Extra inputs are not permitted"):
            client.messages.create(**asks(), extra_body={"foo": 1})

    assert (
        plain.content[0].to_dict() == {"type": "text", "text": "Echo: hello"}
        and whole.stop_reason == "end_turn"
    )
    assert [line.model for line in provider.bill] == [MODEL, MODEL]


def refusal(raw: httpx2.Client, body: dict[str, Any]) -> str:
    """The message of the 400 that the body is answered with."""
    answer = raw.post("/v1/messages", json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()
    assert error["type"] == "error" and error["error"]["type"] == "invalid_request_error"
    return str(error["error"]["message"])


TEXT = {"type": "text", "text": "x"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1"}
MARK = {"cache_control": {"type": "ephemeral"}}


def said(*blocks: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        ({"foo": 1}, "foo: Extra inputs are not permitted"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'first message must use the "user" role'),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages.0.role: Input should be 'user', 'assistant'",
        ),
        (
            {"messages": [said({**TEXT, "foo": 1})]},
            "messages.0.content.0.foo: Extra inputs are not permitted",
        ),
        (
            {"messages": [said({"type": "text", "text": ""})]},
            "messages.0.content.0: text content blocks must be",
        ),
        ({"messages": [said()]}, "messages.0: all messages must have non-empty content"),
        (
            {"messages": [HELLO, {"role": "assistant", "content": "x "}]},
            "cannot end with trailing whitespace",
        ),
        ({"messages": [said(RESULT)]}, "messages.0.content.0: unexpected `tool_use_id`"),
        ({"messages": [HELLO, said(USE, role="assistant")]}, "messages.2: `tool_use` ids were found without"),
        (
            {"messages": [HELLO, said(USE, role="assistant"), HELLO]},
            "without `tool_result` blocks immediately",
        ),
        (
            {"messages": [HELLO, said(USE, role="assistant"), said(TEXT, RESULT)]},
            "must come before all other",
        ),
        ({"messages": [said(USE)]}, "`tool_use` blocks can only be in `assistant` messages"),
        (
            {"messages": [HELLO, said({**USE, "id": "a~b"}, role="assistant")]},
            "tool_use.id: String should match",
        ),
        ({"tool_choice": {"type": "auto"}}, "tool_choice may only be specified while providing tools"),
        ({"tools": [LOOK], "tool_choice": {"type": "tool", "name": "see"}}, "Tool 'see' not found"),
        ({"tools": [LOOK, LOOK]}, "Tool names must be unique"),
        ({"tools": [{**LOOK, "name": "a b"}]}, "tools.0.custom.name: String should match pattern"),
        ({"tools": [{"type": "function", "function": LOOK}]}, "tools.0.type: Input should be 'custom'"),
        ({"temperature": 1.5}, "temperature: Input should be"),
        ({"stop_sequences": [" "]}, "stop_sequences: each stop sequence must contain non-whitespace"),
        (
            {"system": [{**TEXT, **MARK}] * 5},
            "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        ),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens: Field required"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 100}},
            "thinking.enabled.budget_tokens: Input should",
        ),
        ({"thinking": THINKING}, "`max_tokens` must be greater than `thinking.budget_tokens`"),
        ({"thinking": THINKING, "temperature": 0.5}, "`temperature` may only be set to 1"),
        (
            {"thinking": THINKING, "tools": [LOOK], "tool_choice": {"type": "any"}},
            "Thinking may not be enabled when tool_choice forces tool use",
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be",
        ),
    ],
)
def test_refused(raw: httpx2.Client, fields: dict[str, Any], words: str) -> None:
    assert words in refusal(raw, asks(**fields))


def test_what_has_to_be_there(raw: httpx2.Client) -> None:
    assert refusal(raw, {"model": MODEL, "messages": [HELLO]}) == "max_tokens: Field required"
    del raw.headers["anthropic-version"]
    assert refusal(raw, asks()) == "anthropic-version: header is required"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({1: {"thinking": "let me lie"}}, "content.1: Invalid `signature` in `thinking` block"),
        ({1: {"signature": "c2ln"}}, "content.1: Invalid `signature` in `thinking` block"),
        ({0: {"data": "c2ln"}}, "content.0: Invalid `data` in `redacted_thinking` block"),
    ],
)
def test_thoughts_come_back_as_they_were(
    raw: httpx2.Client, thought: list[Any], changed: dict[int, dict[str, str]], words: str
) -> None:
    for place, fields in changed.items():
        thought[1]["content"][place].update(fields)

    assert words in refusal(raw, {**THINKS, "messages": thought})


def test_who_thinks_needs_the_thoughts_before_the_call(raw: httpx2.Client, thought: list[Any]) -> None:
    del thought[1]["content"][:2]

    words = "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`"
    assert words in refusal(raw, {**THINKS, "messages": thought})


def test_without_thinking_a_call_needs_no_thoughts(claude: anthropic.Anthropic, thought: list[Any]) -> None:
    del thought[1]["content"][:2]

    assert claude.messages.create(**{**THINKS, "thinking": {"type": "disabled"}}, messages=thought)
