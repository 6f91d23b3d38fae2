"""Chats at providers that refuse what OpenAI takes: Mistral, and those whose rows say so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.providers.mistral import own_id
from hive_runtime.errors import HiveError, Kind

HINTS = {"store": True, "metadata": {"a": "b"}, "safety_identifier": "s", "prompt_cache_retention": "24h"}
THOUGHT = {"role": "assistant", "content": "x", "reasoning_content": "hm", "reasoning_details": []}


@pytest.mark.parametrize("kind", ["groq", "cerebras"])
async def test_hints_that_strict_providers_refuse_are_left_out(
    speaking: Any, recorder: Any, kind: str
) -> None:
    ask = {"model": "m", "messages": [THOUGHT], "seed": 5, "logit_bias": {"1": 2}}
    await speaking(kind).send("chat", ask | HINTS)
    assert recorder.last.json == ask | {"messages": [{"role": "assistant", "content": "x"}]}


async def test_other_providers_get_every_byte(speaking: Any, recorder: Any) -> None:
    body = msgspec.json.encode({"messages": [THOUGHT], "model": "m"} | HINTS)
    await speaking("openrouter").send("chat", body)
    assert recorder.last.body == body


@pytest.mark.parametrize("messages", ["text", [1], {"a": 1}])
async def test_messages_that_are_none_are_for_the_provider_to_refuse(
    speaking: Any, recorder: Any, messages: Any
) -> None:
    for kind in ("groq", "mistral"):
        await speaking(kind).send("chat", {"messages": messages})
        assert recorder.last.json == {"messages": messages}


async def test_mistral_gets_what_its_list_of_members_has(speaking: Any, recorder: Any) -> None:
    ask = {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": "me",
        "service_tier": "auto",
        "seed": 5,
        "max_completion_tokens": 9,
        "logit_bias": {"1": 2},
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "Ann"},
            {
                **THOUGHT,
                "content": None,
                "refusal": None,
                "annotations": [],
                "audio": None,
                "tool_calls": [
                    {"id": "call_abc", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_abc", "content": "42"},
        ],
    }
    await speaking("mistral").send("chat", ask | HINTS, stream=True)
    id = own_id("call_abc")
    assert recorder.last.json == {
        "model": "m",
        "stream": True,
        "random_seed": 5,
        "max_tokens": 9,
        "logit_bias": {"1": 2},  # changes an answer: Mistral's to refuse
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "Ann"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": id, "content": "42"},
        ],
    }


def test_ids_of_calls_become_mistrals_and_stay_so() -> None:
    ids = ["call_1", "call_2", "toolu_01AAAA~hive1.x.y.z", "é", ""]
    found = [own_id(id) for id in ids]
    assert len(set(found)) == len(ids)
    assert all(len(id) == 9 and id.isascii() and id.isalnum() for id in found)
    assert [own_id(id) for id in found] == found
    assert own_id("aB3dE6gH9") == "aB3dE6gH9"


CHUNKS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Let me "}, {"type": "text", "text": "see."}]},
    {"type": "text", "text": "It is "},
    {"type": "reference", "reference_ids": [1]},
    {"type": "text", "text": "42."},
]


async def test_content_in_chunks_becomes_a_text(speaking: Any, recorder: Any) -> None:
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": CHUNKS}}], "usage": {}}
    recorder.tell(answer)
    _, body = await speaking("mistral").send("chat", {"messages": []})
    (choice,) = msgspec.json.decode(body)["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "It is 42.",
        "reasoning_content": "Let me see.",
    }


def stream(*contents: Any) -> bytes:
    events = [{"choices": [{"index": 0, "delta": {"content": content}}]} for content in contents]
    return b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events) + b"data: [DONE]\n\n"


async def test_content_in_chunks_becomes_a_text_in_streams_too(speaking: Any, recorder: Any) -> None:
    recorder.tell(stream(CHUNKS[:1], "It is", CHUNKS[3:]), kind="text/event-stream")
    _, body = await speaking("mistral").send("chat", {"messages": []}, stream=True)
    events = [line[6:] for line in body.split(b"\n\n") if line]
    assert events[-1] == b"[DONE]"
    deltas = [msgspec.json.decode(event)["choices"][0]["delta"] for event in events[:-1]]
    assert deltas == [
        {"content": "", "reasoning_content": "Let me see."},
        {"content": "It is"},
        {"content": "42."},
    ]


async def test_streams_without_chunks_keep_their_bytes(speaking: Any, recorder: Any) -> None:
    text = b': ping\n\ndata:  {"choices" : []}\r\n\r\ndata: [DONE]\n\ndata: cut'
    recorder.tell(text, kind="text/event-stream")
    assert (await speaking("mistral").send("chat", {"messages": []}, stream=True))[1] == text


@pytest.mark.parametrize("streamed", [False, True])
async def test_chunks_that_cannot_be_read_are_mistrals_fault(
    speaking: Any, recorder: Any, streamed: bool
) -> None:
    recorder.tell(b'data: {"content":[\n\n' if streamed else b'{"content":[', kind="text/event-stream")
    with pytest.raises(HiveError) as raised:
        await speaking("mistral").send("chat", {"messages": []}, stream=streamed)
    assert raised.value.kind is Kind.UPSTREAM_FAILED


async def test_mistrals_errors_stay_as_they_are(speaking: Any, recorder: Any) -> None:
    recorder.tell({"message": "No."}, status=422)
    assert await speaking("mistral").send("chat", {"messages": []}, stream=True) == (
        422,
        b'{"message":"No."}',
    )
