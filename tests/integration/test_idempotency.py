"""Idempotency-Key, with the official Python SDK as the client and a process that is killed."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from hive_testing.gateway import Gateway, eventually
from hive_testing.simulator import SimulatorThread

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


def keyed(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_key_gets_the_same_answer(
    gateway: Gateway, simulator: SimulatorThread, stream: bool
) -> None:
    headers = keyed(f"same {stream}")
    with gateway.client() as client:
        create = client.chat.completions.with_raw_response.create
        answers = [
            create(model="gpt-4o", messages=HELLO, stream=stream, extra_headers=headers) for _ in range(2)
        ]
        said = [list(each.parse()) if stream else each.parse() for each in answers]
    assert said[0] == said[1] and len(simulator.calls) == 1
    assert [each.headers.get("idempotent-replayed") for each in answers] == [None, "true"]
    assert answers[0].headers["x-request-id"] != answers[1].headers["x-request-id"]


def test_another_body_under_the_same_key_is_a_mistake(gateway: Gateway, simulator: SimulatorThread) -> None:
    with gateway.client() as client:
        client.chat.completions.create(model="gpt-4o", messages=HELLO, extra_headers=keyed("body"))
        with pytest.raises(openai.BadRequestError) as no:
            client.chat.completions.create(
                model="gpt-4o", messages=HELLO, max_tokens=3, extra_headers=keyed("body")
            )
    assert isinstance(no.value.body, dict) and no.value.body["param"] == "Idempotency-Key"


def test_what_failed_may_be_tried_again(gateway: Gateway, simulator: SimulatorThread) -> None:
    simulator.script(model="gpt-4o", status=503, fail_times=12)
    simulator.script(model="backup", status=503, fail_times=12)
    with gateway.client(max_retries=0) as client:
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="gpt-4o", messages=HELLO, extra_headers=keyed("retry"))
        simulator.reset()
        eventually(
            lambda: bool(
                client.chat.completions.create(model="backup", messages=HELLO, extra_headers=keyed("retry 2"))
            ),
            what="the breaker",
        )


async def test_five_hundred_at_once_make_one_call(gateway: Gateway, simulator: SimulatorThread) -> None:
    simulator.script(latency=0.5)
    client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=8, timeout=60)
    async with client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(model="gpt-4o", messages=HELLO, extra_headers=keyed("once"))
                for _ in range(500)
            )
        )
    assert len(simulator.calls) == 1 and len({answer.id for answer in answers}) == 1


@pytest.mark.embedded
@pytest.mark.parametrize("moment", ["answering", "answered"])
def test_a_retry_after_a_kill_is_charged_once(
    catalogue: dict[str, Any], tmp_path: Path, simulator: SimulatorThread, moment: str
) -> None:
    """Killed while the provider answers: nobody knows, and it is said so. Killed after: the answer is given again."""
    with Gateway(tmp_path, catalogue, HIVE_BOOTSTRAP_CREDIT_USD="1") as running:
        if moment == "answering":
            simulator.script(latency=30)
            with running.client(max_retries=0, timeout=2) as client:
                worker = asyncio.new_event_loop()
                with pytest.raises(openai.APIConnectionError):
                    worker.run_until_complete(_killed_while_asking(running, simulator, client))
                worker.close()
        else:
            with running.client(max_retries=0) as client:
                first = client.chat.completions.create(
                    model="gpt-4o", messages=HELLO, extra_headers=keyed("killed")
                )
            kill(running)
        simulator.reset()
        running.spawn()
        eventually(running._answers, 30, "the gateway after the kill")
        with running.client(max_retries=0) as client:
            if moment == "answering":
                with pytest.raises(openai.InternalServerError) as no:
                    client.chat.completions.create(
                        model="gpt-4o", messages=HELLO, extra_headers=keyed("killed")
                    )
                assert no.value.response.headers["x-should-retry"] == "false"
                assert isinstance(no.value.body, dict) and no.value.body["reason"] == "outcome_unknown"
            else:
                again = client.chat.completions.create(
                    model="gpt-4o", messages=HELLO, extra_headers=keyed("killed")
                )
                assert again == first
        assert not simulator.calls
        usage = [
            each for each in running.admin("GET", "/ledger?limit=100")["data"] if each["kind"] == "usage"
        ]
        assert len(usage) == 1


async def _killed_while_asking(running: Gateway, simulator: SimulatorThread, client: openai.OpenAI) -> None:
    asking = asyncio.create_task(
        asyncio.to_thread(
            client.chat.completions.create, model="gpt-4o", messages=HELLO, extra_headers=keyed("killed")
        )
    )
    until = time.monotonic() + 10
    while not simulator.calls and time.monotonic() < until:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    await asyncio.to_thread(kill, running)
    await asking


def kill(running: Gateway) -> None:
    running.signal(signal.SIGKILL)
    running.wait()
