"""Streamed chats: whatever the provider does, the stream has exactly one end, and every byte is its own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx2
import pytest

from hive_runtime.errors import Kind

HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
QUICK = {"connect": 1, "first_byte": 0.1, "idle": 0.1, "total": 5}

WHOLE: list[dict[str, Any]] = [
    {},
    {"crlf": True},
    {"keep_alives": True},
    {"no_done": True},
    {"no_usage": True},
    {"usage_chunk": "always"},
    {"usage_chunk": "in_finish"},
    {"rechunk": 1},
    {"rechunk": 3, "crlf": True, "keep_alives": True},
    {"rechunk": 100},
    {"split_utf8": True, "content": "Grüße, 🐝 und mehr"},
    {"content": "", "finish_reason": "stop"},
    {"reasoning_content": "let me think", "content": "yes"},
    {"finish_reason": "length"},
    {"first_chunk_delay": 0.02, "chunk_delay": 0.005},
    {"extra": {"of_next_year": [1, {"x": None}]}},
    {"chunks": 300, "chunk_bytes": 200},
]


@pytest.mark.parametrize("behaviour", WHOLE)
@pytest.mark.parametrize("asked", [False, True])
async def test_a_whole_stream_ends_with_done(gateway: Any, behaviour: dict[str, Any], asked: bool) -> None:
    gateway.sim.script(**behaviour)
    options = {"stream_options": {"include_usage": True}} if asked else {}
    answer = await gateway.chat(stream=True, **options)
    assert answer.error is None
    assert answer.complete
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.data[-1] == "[DONE]"
    assert answer.data.count("[DONE]") == 1
    with_choices = [chunk for chunk in answer.chunks if chunk["choices"]]
    assert with_choices[-1]["choices"][0]["finish_reason"]
    usages = [chunk for chunk in answer.chunks if not chunk["choices"]]
    assert len(usages) == asked
    if asked:
        assert answer.chunks[-1] == usages[0]
        assert usages[0]["usage"]["prompt_tokens"] == answer.usage.prompt_tokens
        assert usages[0]["usage"]["completion_tokens"] == answer.usage.completion_tokens
        assert usages[0]["id"] == with_choices[0]["id"]
    assert answer.usage.estimated == bool(behaviour.get("no_usage"))


@pytest.mark.parametrize("behaviour", WHOLE)
async def test_a_stream_says_what_the_provider_said(gateway: Any, behaviour: dict[str, Any]) -> None:
    gateway.sim.script(**behaviour)
    plain = await gateway.chat()
    streamed = await gateway.chat(stream=True)
    assert streamed.text == plain.json["choices"][0]["message"]["content"]


async def test_the_provider_is_always_asked_for_usage(gateway: Any) -> None:
    await gateway.chat(stream=True)
    await gateway.chat(stream=True, stream_options={"include_usage": False, "include_obfuscation": False})
    first, second = (call.json["stream_options"] for call in gateway.sim.calls)
    assert first == {"include_usage": True}
    assert second == {"include_usage": True, "include_obfuscation": False}


async def test_every_event_keeps_its_bytes(gateway: Any) -> None:
    gateway.sim.script(no_usage=True, extra={"odd": "ü"})
    answer = await gateway.chat(stream=True)
    async with httpx2.AsyncClient() as client:
        body = gateway.sim.calls[-1].body
        direct = await client.post(gateway.sim.url + "/chat/completions", content=body)
    assert answer.body.replace(b"chatcmpl-sim1", b"chatcmpl-sim2") == direct.content


BROKEN: list[tuple[dict[str, Any], Kind]] = [
    ({"cut_after": 3}, Kind.UPSTREAM_FAILED),
    ({"cut_after": 3, "reset": True}, Kind.UPSTREAM_FAILED),
    ({"stall_after": 3}, Kind.TIMEOUT),
    ({"malformed_chunk": 3}, Kind.UPSTREAM_FAILED),
    ({"error_event_after": 3}, Kind.UPSTREAM_FAILED),
    ({"no_finish": True}, Kind.UPSTREAM_FAILED),
    ({"no_finish": True, "no_done": True}, Kind.UPSTREAM_FAILED),
    ({"cut_after": 5, "rechunk": 1}, Kind.UPSTREAM_FAILED),
    ({"cut_after": 4, "crlf": True, "keep_alives": True}, Kind.UPSTREAM_FAILED),
]


@pytest.mark.parametrize(("fault", "kind"), BROKEN)
async def test_a_stream_that_breaks_after_content_ends_with_an_error(
    gateway: Any, fault: dict[str, Any], kind: Kind
) -> None:
    """The pause lets the first content leave before the fault; then no other deployment is asked."""
    await gateway.add_provider(timeouts=QUICK)
    await gateway.add_model("gpt-4o", at=("sim:bad:1", "sim:good:0"))
    gateway.sim.script(model="bad", chunk_delay=0.01, **fault)
    answer = await gateway.chat(stream=True)
    assert answer.status == 200
    assert answer.error.kind is kind
    assert not answer.complete
    assert "[DONE]" not in answer.data
    assert answer.text
    assert answer.usage.completion_tokens > 0
    assert gateway.sim.total == 1


EARLY: list[dict[str, Any]] = [
    {"cut_after": 0},
    {"cut_after": 1},
    {"cut_after": 1, "reset": True},
    {"stall_after": 0},
    {"stall_after": 1},
    {"malformed_chunk": 0},
    {"malformed_chunk": 1},
    {"error_event_after": 0},
    {"error_event_after": 1},
    {"error_event_after": 1, "keep_alives": True, "rechunk": 1},
    {"status": 500},
    {"status": 429, "retry_after": 60},
    {"content_type": "application/json"},
    {"hang_up": True},
    {"silent": True},
]


@pytest.mark.parametrize("fault", EARLY)
async def test_before_content_another_deployment_takes_over(gateway: Any, fault: dict[str, Any]) -> None:
    await gateway.add_provider(timeouts=QUICK)
    await gateway.add_model("gpt-4o", at=("sim:bad:1", "sim:good:0"))
    gateway.sim.script(model="bad", chunk_delay=0.01, **fault)
    answer = await gateway.chat(stream=True)
    assert answer.error is None
    assert answer.data[-1] == "[DONE]"
    assert {chunk["model"] for chunk in answer.chunks} == {"good"}
    assert answer.headers["x-hive-attempts"] == "2"


@pytest.mark.parametrize("fault", EARLY)
async def test_where_all_fail_before_content_there_is_no_stream(gateway: Any, fault: dict[str, Any]) -> None:
    await gateway.add_provider(timeouts={"connect": 1, "first_byte": 0.05, "idle": 0.05, "total": 5})
    gateway.sim.script(**fault)
    answer = await gateway.chat(stream=True)
    assert answer.error is not None
    assert (answer.status, answer.body) == (0, b"")


async def test_what_failed_within_the_first_read_can_still_be_answered_by_another(gateway: Any) -> None:
    """Content and fault arrive together: the client has seen nothing yet."""
    await gateway.add_model("gpt-4o", at=("sim:bad:1", "sim:good:0"))
    gateway.sim.script(model="bad", error_event_after=3)
    answer = await gateway.chat(stream=True)
    assert {chunk["model"] for chunk in answer.chunks} == {"good"}


async def test_the_preamble_leaves_together_with_the_first_content(gateway: Any) -> None:
    gateway.sim.script(keep_alives=True, chunk_delay=0.01)
    answer = await gateway.chat(stream=True)
    first, is_content = answer.parts[0]
    assert is_content
    assert first.startswith(b":")
    assert b'"role":"assistant"' in first
    assert b'"content":"Echo"' in first


async def test_each_chunk_is_forwarded_as_it_comes(gateway: Any) -> None:
    gateway.sim.script(chunks=4, chunk_delay=0.02)
    answer = await gateway.chat(stream=True)
    assert len(answer.parts) >= 4


async def test_two_choices_need_two_ends(gateway: Any) -> None:
    answer = await gateway.chat(stream=True, n=2)
    ends = [choice for chunk in answer.chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert sorted(choice["index"] for choice in ends) == [0, 1]
    assert answer.data[-1] == "[DONE]"


async def test_tool_calls_stream(gateway: Any) -> None:
    gateway.sim.script(tool_calls=[{"name": "f", "arguments": '{"city": "Rome"}'}], no_usage=True)
    answer = await gateway.chat(stream=True)
    assert answer.data[-1] == "[DONE]"
    assert answer.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert answer.usage.completion_tokens >= 5


async def test_the_usage_of_a_broken_stream_is_what_was_delivered(gateway: Any) -> None:
    gateway.sim.script(content="one two three four", chunks=4, chunk_delay=0.01, cut_after=3)
    answer = await gateway.chat(stream=True)
    assert answer.error is not None
    assert answer.usage.estimated
    assert 1 <= answer.usage.completion_tokens <= 3


@pytest.mark.parametrize("seen", [b"", b'"delta":{"content"'])
async def test_leaving_ends_the_providers_work(gateway: Any, seen: bytes) -> None:
    """Before the first content, and in the middle of the stream."""
    gateway.sim.script(chunks=1000, chunk_delay=0.01, first_chunk_delay=0 if seen else 5)
    call = gateway.start("POST", "/v1/chat/completions", HELLO | {"stream": True})
    (arrived,) = await gateway.sim.wait_for_calls(1)
    if seen:
        await call.until_sent(seen)
    call.task.cancel()
    await arrived.wait_closed(1)
    assert arrived.disconnected
    assert arrived.delivered < 100_000


async def test_a_stream_that_is_given_up_ends_the_providers_work(gateway: Any) -> None:
    gateway.sim.script(chunks=1000, chunk_delay=0.01, malformed_chunk=3)
    answer = await gateway.chat(stream=True)
    assert answer.error is not None
    (call,) = gateway.sim.calls
    await call.wait_closed(1)
    assert call.disconnected


async def test_a_client_that_takes_nothing_and_leaves_ends_the_providers_work(gateway: Any) -> None:
    gateway.sim.script(chunks=1000, chunk_delay=0.01)
    call = gateway.start("POST", "/v1/chat/completions", HELLO | {"stream": True}, takes=False)
    (arrived,) = await gateway.sim.wait_for_calls(1)
    await call.until_sent(b"")
    call.task.cancel()
    await arrived.wait_closed(1)
    assert arrived.disconnected


async def test_the_connection_is_kept_where_its_end_comes_after_done(gateway: Any) -> None:
    """The chunked body is ended a little later than the stream that is in it."""
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
                event = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
                writer.write(b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(event), event))
                await writer.drain()
                await asyncio.sleep(0.02)
                writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    await gateway.add_provider(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    for _ in range(3):
        answer = await gateway.chat(stream=True)
        assert answer.data[-1] == "[DONE]"
    assert connections == 1
    await gateway.providers.close()
    server.close()
    await server.wait_closed()
