"""The simulator as a whole: its other endpoints, what it records and bills, its doors, thread and process."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import signal
import struct
import sys
from typing import Any

import httpx2
import openai
import pytest

from hive_testing.simulator import Simulator, SimulatorThread


def asks(text: str, **fields: Any) -> dict[str, Any]:
    """A chat request with one user message."""
    return {"model": "sim-small", "messages": [{"role": "user", "content": text}], **fields}


async def test_completions_order_choices_by_prompt_then_sample(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="sim-small", prompt=["a", "b"], n=2)

    assert [(choice.index, choice.text) for choice in answer.choices] == [
        (0, "Echo: a"),
        (1, "Echo: a"),
        (2, "Echo: b"),
        (3, "Echo: b"),
    ]
    assert answer.usage and (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 8)


@pytest.mark.parametrize(
    ("prompt", "texts", "prompt_tokens"),
    [("hello", ["hello"], 2), ([7, 8, 9], ["<7><8><9>"], 3), ([[7, 8], [9]], ["<7><8>", "<9>"], 3)],
)
async def test_completions_take_every_form_of_prompt(
    client: openai.AsyncOpenAI, prompt: Any, texts: list[str], prompt_tokens: int
) -> None:
    answer = await client.completions.create(model="sim-small", prompt=prompt, echo=True)

    assert [choice.text for choice in answer.choices] == [f"{text}Echo: {text}" for text in texts]
    assert answer.usage and answer.usage.prompt_tokens == prompt_tokens


async def test_completions_score_an_echoed_prompt(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model="sim-small", prompt="hello", echo=True, logprobs=1, max_tokens=1
    )

    scores = answer.choices[0].logprobs
    assert scores and scores.tokens == ["hell", "o", "Echo"]
    assert scores.text_offset == [0, 4, 5]
    assert scores.token_logprobs and scores.token_logprobs[0] is None
    assert answer.choices[0].finish_reason == "length"


async def test_completions_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.completions.create(
        model="sim-small",
        prompt="hello",
        echo=True,
        logprobs=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    *got, last = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].text for chunk in got) == "helloEcho: hello"
    assert [
        offset
        for chunk in got
        if chunk.choices[0].logprobs
        for offset in chunk.choices[0].logprobs.text_offset or []
    ] == [0, 4, 5, 9, 13]
    assert got[-1].choices[0].finish_reason == "stop"
    assert last.choices == [] and last.usage and last.usage.completion_tokens == 3


async def test_completions_write_sixteen_tokens_unless_told(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="sim-small", prompt="x" * 200)

    assert answer.choices[0].finish_reason == "length"
    assert len(answer.choices[0].text) == 64


@pytest.mark.parametrize("prompt", [[], ["a", 1], [[]], None])
async def test_completions_refuse_other_prompts(http: httpx2.AsyncClient, prompt: Any) -> None:
    answer = await http.post("/v1/completions", json={"model": "sim-small", "prompt": prompt})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "prompt"


async def test_embeddings_are_the_same_in_both_encodings(client: openai.AsyncOpenAI) -> None:
    default = await client.embeddings.create(model="e", input="hello")
    floats = await client.embeddings.create(model="e", input="hello", encoding_format="float")
    packed: Any = await client.embeddings.create(model="e", input="hello", encoding_format="base64")

    unpacked = struct.unpack("<1536f", base64.b64decode(packed.data[0].embedding))
    assert default.data[0].embedding == floats.data[0].embedding == list(unpacked)
    assert default.usage.prompt_tokens == default.usage.total_tokens == 2


async def test_embeddings_shorten_to_unit_length(client: openai.AsyncOpenAI) -> None:
    whole = (await client.embeddings.create(model="e", input="hello")).data[0].embedding
    short = (await client.embeddings.create(model="e", input="hello", dimensions=256)).data[0].embedding

    assert len(short) == 256
    assert math.isclose(math.hypot(*short), 1.0, rel_tol=1e-5)
    scale = math.hypot(*whole[:256])
    assert all(
        math.isclose(one * scale, other, abs_tol=1e-6) for one, other in zip(short, whole[:256], strict=True)
    )


@pytest.mark.parametrize(("given", "count"), [(["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)], ids=str)
async def test_embeddings_take_every_form_of_input(
    client: openai.AsyncOpenAI, given: Any, count: int
) -> None:
    answer = await client.embeddings.create(model="e", input=given, dimensions=8)

    assert [item.index for item in answer.data] == list(range(count))
    assert len({tuple(item.embedding) for item in answer.data}) == count


@pytest.mark.parametrize(
    "change",
    [{"input": ""}, {"input": [""]}, {"input": []}, {"dimensions": 4000}, {"encoding_format": "hex"}],
)
async def test_embeddings_refuse_what_the_api_forbids(
    http: httpx2.AsyncClient, change: dict[str, Any]
) -> None:
    answer = await http.post("/v1/embeddings", json={"model": "e", "input": "a", **change})

    assert answer.status_code == 400


async def test_models_are_listed_and_found_by_name() -> None:
    async with (
        Simulator(listed=["b", "a/b"]) as sim,
        openai.AsyncOpenAI(api_key="x", base_url=sim.url, max_retries=0) as client,
    ):
        assert [model.id async for model in client.models.list()] == ["a/b", "b"]
        assert (await client.models.retrieve("a/b")).owned_by == "simulator"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("c")


async def test_a_required_key_keeps_others_out(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    sim.require_key("sk-other")
    with pytest.raises(openai.AuthenticationError) as caught:
        await client.chat.completions.create(**asks("hello"))
    assert caught.value.code == "invalid_api_key"

    sim.require_key("sk-test")
    await client.chat.completions.create(**asks("hello"))
    assert sim.calls[0].headers["authorization"] == "Bearer sk-test"


async def test_unknown_paths_and_methods_are_refused(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/v1/nothing")).status_code == 404
    assert (await http.get("/v1/chat/completions")).status_code == 405
    assert (await http.post("/v1/models")).status_code == 405


async def test_calls_hold_what_arrived(sim: Simulator, http: httpx2.AsyncClient) -> None:
    wanted = asks("hello", unheard_of={"a": [1]})
    answer = await http.post("/v1/chat/completions?trace=1", json=wanted, headers={"X-Mixed-Case": "Yes"})

    (call,) = await sim.wait_for_calls(1)
    await call.wait_closed()
    assert (call.method, call.path, call.query) == ("POST", "/v1/chat/completions", "trace=1")
    assert call.headers["x-mixed-case"] == "Yes"
    assert call.json == wanted and json.loads(call.body) == wanted
    assert call.started and not call.disconnected
    assert call.delivered == len(answer.content)


async def test_the_bill_names_the_attempt(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    await client.chat.completions.create(**asks("hello"), extra_headers={"X-Client-Request-Id": "try-1"})

    (line,) = sim.bill
    assert (line.attempt_id, line.model, line.finished) == ("try-1", "sim-small", True)
    assert (line.prompt_tokens, line.completion_tokens) == (5, 3)


async def test_waiting_for_calls_says_how_many_came(sim: Simulator) -> None:
    with pytest.raises(TimeoutError, match="0 of 2 calls"):
        await sim.wait_for_calls(2, timeout=0.01)


async def test_only_the_newest_calls_are_kept(http: httpx2.AsyncClient) -> None:
    async with Simulator(keep=2) as sim:
        for text in ("a", "b", "c"):
            await http.post(f"{sim.url}/chat/completions", json=asks(text))

        assert [call.number for call in sim.calls] == [2, 3]
        assert len(sim.bill) == 2
        assert (sim.total, sim.bill_totals["calls"]) == (3, 3)


async def test_requests_may_come_chunked_and_ahead_of_answers(sim: Simulator) -> None:
    body = json.dumps(asks("hello")).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\n"
    halves = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])
    chunked = head + b"transfer-encoding: chunked\r\n\r\n" + halves
    last = head + b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sim.control_url.rpartition(":")[2]))
    sim.script(latency=0.01, once=True)
    writer.write(chunked * 2 + last)
    async with asyncio.timeout(5):
        answers = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"Echo: hello") == 3
    assert [call.json for call in sim.calls] == [asks("hello")] * 3
    assert answers.index(b"req_sim1") < answers.index(b"req_sim2") < answers.index(b"req_sim3")


async def test_other_processes_use_the_control_doors(sim: Simulator, http: httpx2.AsyncClient) -> None:
    order = {"behaviour": {"status": 503, "fail_times": 1}, "model": "sim-small"}
    assert (await http.post("/_sim/script", json=order)).status_code == 200
    assert (await http.post("/v1/chat/completions", json=asks("hello"))).status_code == 503
    assert (await http.post("/v1/chat/completions", json=asks("hello"))).status_code == 200

    seen = (await http.get("/_sim/calls")).json()
    assert seen["total"] == 2
    assert json.loads(base64.b64decode(seen["data"][1]["body"])) == seen["data"][1]["json"] == asks("hello")
    bill = (await http.get("/_sim/bill")).json()
    assert bill["total"] == {"calls": 1, "prompt_tokens": 5, "completion_tokens": 3}
    assert bill["data"][0]["finished"] is True

    await http.post("/_sim/script", json={"require_key": "sk-1"})
    assert (await http.post("/v1/chat/completions", json=asks("hello"))).status_code == 401
    await http.post("/_sim/reset")
    assert (await http.get("/_sim/calls")).json() == {"total": 0, "data": []}
    assert (await http.post("/v1/chat/completions", json=asks("hello"))).status_code == 200


async def test_the_control_doors_refuse_what_they_do_not_know(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/_sim/script", json={"behaviour": {"latencey": 1}})

    assert answer.status_code == 400
    assert "latencey" in answer.json()["error"]["message"]
    assert (await http.get("/_sim/nothing")).status_code == 404


def test_a_thread_serves_blocking_tests() -> None:
    with (
        SimulatorThread() as sim,
        openai.OpenAI(api_key="x", base_url=sim.url, max_retries=0, timeout=5.0) as client,
    ):
        sim.script(content="threaded", once=True)
        answer = client.chat.completions.create(**asks("hello"))
        (call,) = sim.wait_for_calls(1)
        sim.wait_closed(call)

        assert answer.choices[0].message.content == "threaded"
        assert [line.completion_tokens for line in sim.bill] == [2]
        assert sim.bill_totals["calls"] == 1
        sim.reset()
        assert sim.calls == []
        sim.require_key("sk-other")
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(**asks("hello"))


async def test_the_process_prints_its_address_and_ends_on_sigterm(http: httpx2.AsyncClient) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hive_testing.simulator", "--api-key", "sk-1", stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(10):
            assert process.stdout
            url = json.loads(await process.stdout.readline())["url"]
            held = {**asks("hello", stream=True), "model": "sim/stall_after=2"}
            headers = {"Authorization": "Bearer sk-1"}
            async with http.stream("POST", f"{url}/chat/completions", json=held, headers=headers) as answer:
                assert answer.status_code == 200
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
