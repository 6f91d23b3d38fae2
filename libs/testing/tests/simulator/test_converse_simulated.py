"""Amazon's SDK takes the simulator for Bedrock, and what Bedrock refuses is refused."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import httpx2
import pytest
from botocore.eventstream import ChecksumMismatch  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]

from hive_testing.simulator import SimulatorThread

MODEL = "anthropic.claude-3-5-sonnet-20240620-v1:0"
HELLO = {"role": "user", "content": [{"text": "hello"}]}
SPEC = {"name": "look", "inputSchema": {"json": {"type": "object"}}}
CALLS = [{"name": "look", "arguments": '{"at": "ä"}'}, {"name": "look"}]
THINKS: dict[str, Any] = {
    "modelId": MODEL,
    "toolConfig": {"tools": [{"toolSpec": SPEC}]},
    "inferenceConfig": {"maxTokens": 2048},
    "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
}


def streamed(bedrock: Any, **asked: Any) -> list[tuple[str, Any]]:
    """Name and value of every event."""
    events = bedrock.converse_stream(**asked)["stream"]
    return [named for event in events for named in event.items()]


def whole(events: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """The blocks to which the events grow."""
    blocks: dict[int, dict[str, Any]] = {}
    for name, value in events:
        if name == "contentBlockStart":
            blocks[value["contentBlockIndex"]] = {"toolUse": dict(value["start"]["toolUse"])}
        if name == "contentBlockDelta":
            _grow(blocks.setdefault(value["contentBlockIndex"], {}), value["delta"])
    return [block for _, block in sorted(blocks.items())]


def _grow(block: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if isinstance(value, dict):
            _grow(block.setdefault(name, {}), value)
        else:
            block[name] = block[name] + value if name in block else value


def answered(message: dict[str, Any]) -> dict[str, Any]:
    """The user's turn that gives a result for every use."""
    uses = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
    results = [{"toolUseId": each, "content": [{"text": "42"}]} for each in uses]
    return {"role": "user", "content": [{"toolResult": each} for each in results]}


@pytest.fixture
def thought(provider: SimulatorThread, bedrock: Any) -> list[dict[str, Any]]:
    """Two turns and a half: thoughts, words and two calls, and what the tools gave."""
    provider.script(
        thinking="let me see", content="I look.", tool_calls=CALLS, redacted_thinking=True, once=True
    )
    message = bedrock.converse(**THINKS, messages=[HELLO])["output"]["message"]
    return [HELLO, message, answered(message)]


def test_plain(bedrock: Any, provider: SimulatorThread) -> None:
    answer = bedrock.converse(modelId=MODEL, system=[{"text": "be brief"}], messages=[HELLO])

    assert answer["output"]["message"] == {"role": "assistant", "content": [{"text": "Echo: hello"}]}
    assert answer["stopReason"] == "end_turn"
    usage = answer["usage"]
    assert (usage["inputTokens"], usage["outputTokens"], usage["totalTokens"]) == (10, 3, 13)
    (line,) = provider.bill
    assert (line.model, line.prompt_tokens, line.completion_tokens, line.finished) == (MODEL, 10, 3, True)


def test_count_tokens_costs_nothing(bedrock: Any, provider: SimulatorThread) -> None:
    counted = bedrock.count_tokens(modelId=MODEL, input={"converse": {"messages": [HELLO]}})

    assert counted["inputTokens"] == 5 and provider.bill == []


def test_the_stream_grows_to_the_plain_answer(bedrock: Any, provider: SimulatorThread) -> None:
    provider.script(
        thinking="let me see",
        content="I look.",
        tool_calls=CALLS,
        redacted_thinking=True,
        cached_tokens=7,
        cache_write_tokens=5,
        cache_write_1h_tokens=3,
    )
    plain = bedrock.converse(**THINKS, messages=[HELLO])
    events = streamed(bedrock, **THINKS, messages=[HELLO])

    redacted, thinking, said, *uses = plain["output"]["message"]["content"]
    assert whole(events)[:3] == [
        redacted,
        {"reasoningContent": thinking["reasoningContent"]["reasoningText"]},
        said,
    ]
    assert [use["toolUse"]["input"] for use in uses] == [{"at": "ä"}, {}]
    assert [use["toolUse"]["input"] for use in whole(events)[3:]] == ['{"at": "ä"}', "{}"]
    ended = dict(events)
    assert ended["messageStop"] == {"stopReason": "tool_use"}
    assert ended["metadata"]["usage"] == plain["usage"]
    usage = plain["usage"]
    assert (usage["inputTokens"], usage["cacheReadInputTokens"], usage["cacheWriteInputTokens"]) == (5, 7, 8)
    assert usage["cacheDetails"] == [{"ttl": "5m", "inputTokens": 5}, {"ttl": "1h", "inputTokens": 3}]
    assert [(line.prompt_tokens, line.finished) for line in provider.bill] == [(20, True)] * 2


def test_thinking_round_trip(bedrock: Any, thought: list[dict[str, Any]]) -> None:
    answer = bedrock.converse(**THINKS, messages=thought)

    assert answer["output"]["message"]["content"] == [{"text": "Echo: 42"}]


@pytest.mark.parametrize(
    ("scripted", "reason"),
    [
        ({"refusal": "I will not."}, "content_filtered"),
        ({"finish_reason": "length"}, "max_tokens"),
        ({"finish_reason": "guardrail_intervened"}, "guardrail_intervened"),
        ({"content": "up to here STOP not here"}, "stop_sequence"),
    ],
)
def test_reasons(bedrock: Any, provider: SimulatorThread, scripted: dict[str, Any], reason: str) -> None:
    provider.script(**scripted)
    asked = {"modelId": MODEL, "messages": [HELLO], "inferenceConfig": {"stopSequences": ["STOP"]}}

    assert bedrock.converse(**asked)["stopReason"] == reason
    assert dict(streamed(bedrock, **asked))["messageStop"] == {"stopReason": reason}


def test_faults_of_a_binary_stream(bedrock: Any, provider: SimulatorThread) -> None:
    asked = {"modelId": MODEL, "messages": [HELLO]}
    provider.script(rechunk=1, content="ä" * 20, keep_alives=True, crlf=True, once=True)
    assert whole(streamed(bedrock, **asked)) == [{"text": "ä" * 20}]
    provider.script(bad_checksum=1, once=True)
    with pytest.raises(ChecksumMismatch):
        streamed(bedrock, **asked)
    provider.script(error_event_after=2, error_event_status=429, once=True)
    with pytest.raises(EventStreamError, match="throttlingException"):
        streamed(bedrock, **asked)
    provider.script(status=503, once=True)
    with pytest.raises(ClientError, match="ServiceUnavailableException"):
        streamed(bedrock, **asked)


def test_structured_output(bedrock: Any) -> None:
    schema = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}'
    text = {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema}}}
    answer = bedrock.converse(modelId=MODEL, messages=[HELLO], outputConfig={"textFormat": text})

    assert answer["output"]["message"]["content"] == [{"text": '{"n":0}'}]


@pytest.mark.parametrize(
    ("model", "body", "sizes"),
    [
        ("amazon.titan-embed-text-v2:0", {"inputText": "one", "dimensions": 256}, [256]),
        (
            "cohere.embed-v4:0",
            {"texts": ["one", "two"], "input_type": "search_query", "output_dimension": 512},
            [512, 512],
        ),
    ],
)
def test_embeddings(
    bedrock: Any, provider: SimulatorThread, model: str, body: dict[str, Any], sizes: list[int]
) -> None:
    answer = json.loads(bedrock.invoke_model(modelId=model, body=json.dumps(body))["body"].read())

    vectors = [answer["embedding"]] if "embedding" in answer else answer["embeddings"]["float"]
    assert [len(each) for each in vectors] == sizes
    assert provider.bill[0].prompt_tokens == len(sizes)
    with pytest.raises(ClientError, match="unknown member: foo"):
        bedrock.invoke_model(modelId=model, body=json.dumps({**body, "foo": 1}))


def test_a_request_of_another_secret_is_refused(bedrock: Any, provider: SimulatorThread) -> None:
    provider.require_key("AKIDSIM:another secret")
    with pytest.raises(ClientError, match="signature we calculated does not match"):
        bedrock.converse(modelId=MODEL, messages=[HELLO])
    provider.require_key("AKIDOTHER:a secret")
    with pytest.raises(ClientError, match="security token included in the request is invalid"):
        bedrock.converse(modelId=MODEL, messages=[HELLO])


USE = {"toolUse": {"toolUseId": "t1", "name": "look", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"text": "42"}]}}
TOOLS = {"tools": [{"toolSpec": SPEC}]}
PDF = {"format": "pdf", "name": "a paper", "source": {"bytes": base64.b64encode(b"x").decode()}}


def says(*blocks: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": []}, "A conversation must start with a user message"),
        (
            {"messages": [says({"text": "x"}, role="assistant")]},
            "A conversation must start with a user message",
        ),
        ({"messages": [HELLO, HELLO]}, "must alternate between user and assistant roles"),
        ({"messages": [says()]}, "The content field in the Message object at messages.0 is empty"),
        ({"messages": [says({"text": " "})]}, "ContentBlock object at messages.0.content.0 is blank"),
        ({"messages": [{"role": "tool", "content": []}]}, "'messages.0.role' failed to satisfy constraint"),
        ({"messages": [says({"text": "x", "image": {}})]}, "messages.0.content.0.image.format"),
        ({"messages": [says({"text": "x", "foo": 1})]}, "unknown member: messages.0.content.0.foo"),
        ({"modelId": MODEL}, "unknown member: modelId"),
        (
            {"inferenceConfig": {"temperature": 1.5}},
            "'inferenceConfig.temperature' failed to satisfy constraint",
        ),
        ({"inferenceConfig": {"maxTokens": 0}}, "'inferenceConfig.maxTokens' failed to satisfy constraint"),
        (
            {"messages": [HELLO, says(USE, role="assistant"), says(RESULT)]},
            "The toolConfig field must be defined",
        ),
        (
            {"messages": [HELLO, says(USE, role="assistant"), HELLO], "toolConfig": TOOLS},
            "Expected toolResult blocks at messages.2.content for the following Ids: t1",
        ),
        ({"messages": [says(RESULT)], "toolConfig": TOOLS}, "exceeds the number of toolUse blocks"),
        ({"messages": [says(USE)], "toolConfig": TOOLS}, "only allowed in the assistant's turn"),
        (
            {
                "messages": [
                    HELLO,
                    says({"toolUse": {**USE["toolUse"], "toolUseId": "a~b"}}, role="assistant"),
                ]
            },
            "Member must satisfy regular expression pattern",
        ),
        ({"toolConfig": {"tools": []}}, "'toolConfig.tools' failed to satisfy constraint"),
        ({"toolConfig": {"tools": [{"toolSpec": {**SPEC, "name": "a b"}}]}}, "regular expression pattern"),
        ({"toolConfig": {**TOOLS, "toolChoice": {"tool": {"name": "see"}}}}, "The tool 'see' of toolChoice"),
        ({"toolConfig": {**TOOLS, "toolChoice": {"auto": {}, "any": {}}}}, "exactly one member set"),
        (
            {"toolConfig": {"tools": [{"toolSpec": {**SPEC, "inputSchema": {"json": {}}}}]}},
            "inputSchema.json.type",
        ),
        (
            {"messages": [says({"text": "x"}, {"document": {**PDF, "name": "a_b.pdf"}})]},
            "The document file name",
        ),
        ({"messages": [says({"document": PDF})]}, "A document needs a text block"),
        ({"messages": [says({"text": "x"}, {"document": PDF}, {"document": PDF})]}, "names of their own"),
        (
            {"messages": [says({"text": "x"}, {"document": {**PDF, "format": "exe"}})]},
            "enum value set: [pdf, csv",
        ),
        ({"system": [{"text": ""}]}, "'system.0.text' failed to satisfy constraint"),
        ({"system": [{"text": "x"}, *[{"cachePoint": {"type": "default"}}] * 5]}, "number of cache points"),
        (
            {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1}}},
            "thinking.enabled.budget_tokens",
        ),
    ],
)
def test_refused(raw: httpx2.Client, fields: dict[str, Any], words: str) -> None:
    answer = raw.post(f"/model/{MODEL}/converse", json={"messages": [HELLO], **fields})

    assert answer.status_code == 400, answer.text
    assert answer.headers["x-amzn-errortype"].startswith("ValidationException")
    assert words in answer.json()["message"]


def test_thoughts_come_back_as_they_were(bedrock: Any, thought: list[dict[str, Any]]) -> None:
    changed, bare = copy.deepcopy(thought), copy.deepcopy(thought)
    changed[1]["content"][1]["reasoningContent"]["reasoningText"]["text"] = "let me lie"
    del bare[1]["content"][:2]

    with pytest.raises(ClientError, match=r"messages\.1\.content\.1: Invalid `signature`"):
        bedrock.converse(**THINKS, messages=changed)
    with pytest.raises(ClientError, match="Expected `thinking` or `redacted_thinking`, but found `text`"):
        bedrock.converse(**THINKS, messages=bare)
