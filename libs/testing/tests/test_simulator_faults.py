"""Every fault of the simulator is seen by a client as it was ordered, and the bill stays right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest

from hive_testing.simulator import Behaviour, Simulator

CHAT = "/v1/chat/completions"


def asks(text: str, **fields: Any) -> dict[str, Any]:
    """A chat request with one user message."""
    return {"model": "sim-small", "messages": [{"role": "user", "content": text}], **fields}


def data(body: str) -> list[str]:
    """What follows `data: ` on each line of a stream."""
    return [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]


def said(lines: list[str]) -> str:
    """The text of a stream's chunks."""
    chunks = [json.loads(line) for line in lines if line != "[DONE]"]
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ())
    )


async def pieces(answer: httpx2.Response, into: list[bytes]) -> None:
    """Collect what arrives until the answer ends or breaks."""
    async for piece in answer.aiter_raw():
        into.append(piece)


@pytest.fixture
async def stream_text(http: httpx2.AsyncClient) -> AsyncIterator[Any]:
    async def read(text: str = "hello", **fields: Any) -> str:
        answer = await http.post(CHAT, json=asks(text, stream=True, **fields))
        assert answer.status_code == 200
        return answer.text

    yield read


# What is said


async def test_scripted_words_and_thoughts(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    sim.script(content="fine", reasoning_content="let me think", extra={"x_cost": 0.5})
    answer = await client.chat.completions.create(**asks("hello"))

    assert answer.choices[0].message.content == "fine"
    assert answer.choices[0].message.model_extra == {"reasoning_content": "let me think"}
    assert answer.model_extra and answer.model_extra["x_cost"] == 0.5
    assert answer.usage and answer.usage.completion_tokens_details
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3
    assert answer.usage.completion_tokens == 4


async def test_scripted_thoughts_are_streamed_first(sim: Simulator, stream_text: Any) -> None:
    sim.script(content="fine", reasoning_content="hmm")
    deltas = [json.loads(line)["choices"][0]["delta"] for line in data(await stream_text())[:-1]]

    assert deltas[1:3] == [{"reasoning_content": "hmm"}, {"content": "fine"}]


async def test_scripted_tool_calls_need_no_tools(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    sim.script(tool_calls=[{"name": "look", "arguments": '{"at": 1}'}])
    answer = await client.chat.completions.create(**asks("hello"))

    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function" and call.function.arguments == '{"at": 1}'


async def test_scripted_finish_reason(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    sim.script(finish_reason="content_filter")
    answer = await client.chat.completions.create(**asks("hello"))

    assert answer.choices[0].finish_reason == "content_filter"


@pytest.mark.parametrize(
    ("fields", "lengths"),
    [
        ({"chunks": 3}, [4, 4, 4]),
        ({"chunks": 20}, [1] * 20),
        ({"chunk_bytes": 5}, [5, 5, 2]),
        ({"chunks": 2, "chunk_bytes": 280}, [280, 280]),
    ],
)
async def test_pieces_of_a_stream(
    sim: Simulator, stream_text: Any, fields: dict[str, Any], lengths: list[int]
) -> None:
    sim.script(content="twelve chars", **fields)
    lines = data(await stream_text())

    assert [len(said([line])) for line in lines[1:-2]] == lengths
    assert sim.bill[0].completion_tokens == -(-sum(lengths) // 4)


async def test_stated_usage_goes_to_the_bill(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    sim.script(usage={"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 900}})
    answer = await client.chat.completions.create(**asks("hello"))

    assert answer.usage and answer.usage.prompt_tokens_details
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (1000, 1003)
    assert answer.usage.prompt_tokens_details.cached_tokens == 900
    assert (sim.bill[0].prompt_tokens, sim.bill[0].completion_tokens) == (1000, 3)


async def test_no_usage(sim: Simulator, client: openai.AsyncOpenAI, stream_text: Any) -> None:
    sim.script(no_usage=True)

    assert (await client.chat.completions.create(**asks("hello"))).usage is None
    assert "usage" not in await stream_text(stream_options={"include_usage": True})


async def test_usage_chunk_that_nobody_asked_for(sim: Simulator, stream_text: Any) -> None:
    sim.script(usage_chunk="always")
    last = json.loads(data(await stream_text())[-2])

    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 3


async def test_usage_on_the_chunk_that_finishes(sim: Simulator, stream_text: Any) -> None:
    sim.script(usage_chunk="in_finish")
    last = json.loads(data(await stream_text(stream_options={"include_usage": True}))[-2])

    assert last["choices"][0]["finish_reason"] == "stop" and last["usage"]["completion_tokens"] == 3


# What is sent instead


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_status(sim: Simulator, client: openai.AsyncOpenAI, stream: bool) -> None:
    sim.script(status=429, retry_after=2, headers={"x-ratelimit-remaining-requests": "0"})
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(**asks("hello", stream=stream))

    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "2"
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert sim.bill == []


async def test_an_error_of_ones_own(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    sim.script(status=400, error={"message": "too long", "code": "context_length_exceeded"})
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**asks("hello"))

    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("stream", [False, True])
async def test_another_content_type_and_body(sim: Simulator, http: httpx2.AsyncClient, stream: bool) -> None:
    sim.script(content_type="text/html", body="<h1>Gateway</h1>")
    answer = await http.post(CHAT, json=asks("hello", stream=stream))

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
    assert answer.text == "<h1>Gateway</h1>"
    assert sim.bill == []


# When


async def test_latency_holds_the_head_back(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(latency=60)
    with pytest.raises(httpx2.ReadTimeout):
        await http.post(CHAT, json=asks("hello"), timeout=0.1)

    (call,) = sim.calls
    await call.wait_closed()
    assert call.disconnected and not call.started
    assert sim.bill == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_first_chunk_delay_follows_the_head(
    sim: Simulator, http: httpx2.AsyncClient, stream: bool
) -> None:
    sim.script(first_chunk_delay=60)
    wanted = asks("hello", stream=stream)
    with pytest.raises(httpx2.ReadTimeout):
        async with http.stream("POST", CHAT, json=wanted, timeout=0.1) as answer:
            assert answer.status_code == 200
            await answer.aread()

    (call,) = sim.calls
    await call.wait_closed()
    assert call.started and call.disconnected and call.delivered == 0


async def test_a_chunk_delay_lets_chunks_arrive_apart(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(latency=0.001, first_chunk_delay=0.001, chunk_delay=0.005)
    got: list[bytes] = []
    async with http.stream("POST", CHAT, json=asks("hello", stream=True)) as answer:
        await pieces(answer, got)

    assert said(data(b"".join(got).decode())) == "Echo: hello"
    assert len(got) > 1


# How the connection fails


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reset", [False, True])
async def test_closing_without_an_answer(
    sim: Simulator, client: openai.AsyncOpenAI, stream: bool, reset: bool
) -> None:
    sim.script(hang_up=True, reset=reset)
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(**asks("hello", stream=stream))

    assert not sim.calls[0].disconnected
    assert sim.bill == []


async def test_never_answering(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(silent=True)
    with pytest.raises(httpx2.ReadTimeout):
        await http.post(CHAT, json=asks("hello"), timeout=0.1)

    await sim.calls[0].wait_closed()
    assert sim.calls[0].disconnected


@pytest.mark.parametrize(("reset", "error"), [(False, httpx2.RemoteProtocolError), (True, httpx2.ReadError)])
async def test_cutting_a_stream(
    sim: Simulator, http: httpx2.AsyncClient, reset: bool, error: type[Exception]
) -> None:
    sim.script(cut_after=3, reset=reset, chunk_delay=0.01)
    got: list[bytes] = []
    async with http.stream("POST", CHAT, json=asks("hello", stream=True)) as answer:
        with pytest.raises(error):
            await pieces(answer, got)

    assert said(data(b"".join(got).decode())) == "Echo: he"
    (call,), (line,) = sim.calls, sim.bill
    assert call.closed.is_set() and not call.disconnected
    assert call.delivered == len(b"".join(got))
    assert (line.prompt_tokens, line.completion_tokens, line.finished) == (5, 2, False)


async def test_cutting_a_plain_answer(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(cut_after=0)
    got: list[bytes] = []
    async with http.stream("POST", CHAT, json=asks("hello")) as answer:
        with pytest.raises(httpx2.RemoteProtocolError):
            await pieces(answer, got)

    assert len(b"".join(got)) == int(answer.headers["content-length"]) // 2
    assert sim.bill[0].finished


@pytest.mark.parametrize("stream", [False, True])
async def test_stalling_until_the_client_leaves(
    sim: Simulator, http: httpx2.AsyncClient, stream: bool
) -> None:
    sim.script(stall_after=2)
    got: list[bytes] = []
    wanted = asks("hello", stream=stream)
    async with http.stream("POST", CHAT, json=wanted, timeout=0.1) as answer:
        with pytest.raises(httpx2.ReadTimeout):
            await pieces(answer, got)

    (call,), (line,) = sim.calls, sim.bill
    await call.wait_closed()
    assert call.disconnected
    assert call.delivered == len(b"".join(got)) > 0
    assert (line.completion_tokens, line.finished) == ((1, False) if stream else (3, True))


async def test_a_client_that_leaves_pays_for_what_was_generated(
    sim: Simulator, client: openai.AsyncOpenAI
) -> None:
    sim.script(chunks=1000, chunk_bytes=4, chunk_delay=0.01)
    seen = 0
    stream = await client.chat.completions.create(
        **asks("hello", stream=True), extra_headers={"X-Client-Request-Id": "leaver"}
    )
    async for chunk in stream:
        seen += bool(chunk.choices[0].delta.content)
        if seen == 3:
            break
    await stream.close()

    (call,), (line,) = sim.calls, sim.bill
    await call.wait_closed()
    assert call.disconnected
    assert line.attempt_id == "leaver" and not line.finished
    assert 3 <= line.completion_tokens < 1000
    billed = line.completion_tokens
    sim.script(latency=0.05, status=503, once=True)  # ends after the next chunk would have been due
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**asks("hello"))
    assert line.completion_tokens == billed
    assert sim.bill_totals == {"calls": 1, "prompt_tokens": 5, "completion_tokens": billed}


async def test_a_client_that_does_not_read_stops_the_generation(sim: Simulator) -> None:
    sim.script(chunks=40_000, chunk_bytes=1000)
    body = json.dumps(asks("hello", stream=True)).encode()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(sim.control_url.rpartition(":")[2]), limit=1024
    )
    writer.write(b"POST %s HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (CHAT.encode(), len(body), body))
    async with asyncio.timeout(10):
        (call,) = await sim.wait_for_calls(1)
        await reader.readuntil(b"data: ")
    generated = sim.bill[0].completion_tokens

    assert not call.closed.is_set()
    assert 0 < generated < 40_000 * 250
    writer.close()
    await call.wait_closed()
    assert call.disconnected and not sim.bill[0].finished


async def test_a_slow_client_gets_everything(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(chunks=5000, chunk_bytes=1000)
    answer = await http.post(CHAT, json=asks("hello", stream=True))

    lines = data(answer.text)
    assert lines[-1] == "[DONE]" and len(said(lines)) == 5_000_000
    assert sim.bill[0].finished


# How a stream is malformed or unusual


async def test_a_line_that_is_not_json(sim: Simulator, stream_text: Any) -> None:
    sim.script(malformed_chunk=2)
    lines = data(await stream_text())

    assert json.loads(lines[1]) and json.loads(lines[3])
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[2])


async def test_an_error_in_the_middle(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    sim.script(error_event_after=2, error={"message": "overloaded", "type": "server_error"})
    got = ""
    with pytest.raises(openai.APIError, match="overloaded"):
        async for chunk in await client.chat.completions.create(**asks("hello", stream=True)):
            got += chunk.choices[0].delta.content or ""

    assert got == "Echo"
    assert (sim.bill[0].completion_tokens, sim.bill[0].finished) == (1, False)


async def test_no_done(sim: Simulator, stream_text: Any) -> None:
    sim.script(no_done=True)
    lines = data(await stream_text())

    assert json.loads(lines[-1])["choices"][0]["finish_reason"] == "stop"


async def test_no_finish(sim: Simulator, stream_text: Any) -> None:
    sim.script(no_finish=True)
    lines = data(await stream_text())

    assert all(json.loads(line)["choices"][0]["finish_reason"] is None for line in lines[:-1])
    assert said(lines) == "Echo: hello" and sim.bill[0].finished


async def test_crlf_and_comments(sim: Simulator, stream_text: Any) -> None:
    sim.script(crlf=True, keep_alives=True)
    frames = (await stream_text()).split("\r\n\r\n")

    assert set(frames[0:-1:2]) == {": keep-alive"}
    assert said([frame.removeprefix("data: ") for frame in frames[1::2]]) == "Echo: hello"


async def test_every_byte_by_itself(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(rechunk=1, content="é")
    got: list[bytes] = []
    async with http.stream("POST", CHAT, json=asks("hello", stream=True)) as answer:
        await pieces(answer, got)

    assert {len(piece) for piece in got} == {1}
    assert said(data(b"".join(got).decode())) == "é"
    assert sim.bill[0].completion_tokens == 1 and sim.bill[0].finished


async def test_rechunking_crosses_the_borders_of_events(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(rechunk=700)
    got: list[bytes] = []
    async with http.stream("POST", CHAT, json=asks("hello", stream=True)) as answer:
        await pieces(answer, got)

    assert any(b"\n\ndata" in piece for piece in got)
    assert max(len(piece) for piece in got) <= 700
    assert said(data(b"".join(got).decode())) == "Echo: hello"


async def test_rechunking_keeps_the_delays(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(rechunk=64, chunk_delay=0.001, cut_after=3)
    got: list[bytes] = []
    async with http.stream("POST", CHAT, json=asks("hello", stream=True)) as answer:
        with pytest.raises(httpx2.RemoteProtocolError):
            await pieces(answer, got)

    assert said(data(b"".join(got).decode())) == "Echo: he"
    assert sim.bill[0].completion_tokens == 2


async def test_plain_answers_are_rechunked_too(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(rechunk=7)
    answer = await http.post(CHAT, json=asks("hello"))

    assert answer.json()["choices"][0]["message"]["content"] == "Echo: hello"


async def test_characters_are_split(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(split_utf8=True, content="añ🙂", chunks=1)
    got: list[bytes] = []
    async with http.stream("POST", CHAT, json=asks("hello", stream=True)) as answer:
        await pieces(answer, got)

    assert sum(piece[-1] >= 0xC0 for piece in got) == 2
    assert said(data(b"".join(got).decode())) == "añ🙂"


# Which behaviour a call gets


async def test_behaviours_are_chosen_in_order(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(status=500)
    sim.script(Behaviour(status=501), model="own")
    sim.script(status=502, once=True)
    sim.script(status=503, model="own", once=True)

    async def status(model: str) -> int:
        return (await http.post(CHAT, json={**asks("hello"), "model": model})).status_code

    assert [await status("own") for _ in range(3)] == [503, 502, 501]
    assert await status("sim/status=504,latency=0.001") == 504
    assert await status("other") == 500
    sim.reset()
    assert await status("own") == await status("other") == 200


async def test_failing_a_few_times(sim: Simulator, http: httpx2.AsyncClient) -> None:
    sim.script(status=500, fail_times=2)
    answers = [await http.post(CHAT, json=asks("hello")) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [500, 500, 200]


async def test_a_model_name_that_says_nonsense(http: httpx2.AsyncClient) -> None:
    answer = await http.post(CHAT, json={**asks("hello"), "model": "sim/cut_after=soon"})

    assert answer.status_code == 400
    assert "cut_after" in answer.json()["error"]["message"]


async def test_other_endpoints_behave_too(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    sim.script(status=500, model="e")
    sim.script(content="scripted", model="t")

    with pytest.raises(openai.InternalServerError):
        await client.embeddings.create(model="e", input="hello")
    assert (await client.completions.create(model="t", prompt="hello")).choices[0].text == "scripted"
