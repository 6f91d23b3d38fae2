"""Limits of an API key, with the official Python SDK as the client: what it raises, what headers it shows."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from hive_testing.gateway import Connection, Door, Gateway, eventually
from hive_testing.simulator import SimulatorThread

CHAT = "/v1/chat/completions"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
GO_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+")


class Key:
    """An API key with limits, known to callers; making sure of that was one request to each edge.

    rpm: as if there were one edge; the limit allows for the requests to the others.
    """

    def __init__(self, gateway: Gateway, rpm: int | None = None, **limits: int) -> None:
        self.rpm = None if rpm is None else rpm + len(gateway.doors) - 1
        made = gateway.add_key("default", None, rpm=self.rpm, **limits)
        self.id: str = made["id"]
        self.secret: str = made["key"]
        self.door = Door(gateway.url, self.secret)
        self._gateway = gateway

    def client(self, **options: Any) -> openai.OpenAI:
        return self._gateway.client(api_key=self.secret, **options)

    def change(self, **limits: int | None) -> None:
        self._gateway.admin("PATCH", f"/keys/{self.id}", limits)

    @property
    def status(self) -> int:
        return self.door.ask("GET", "/v1/models").status


def test_headers_of_an_answer(gateway: Gateway, simulator: SimulatorThread) -> None:
    key = Key(gateway, rpm=3, tpm=1_000_000)
    with key.client() as client:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
        streamed = client.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=HELLO, stream=True
        )
        assert raw.parse().choices[0].message.content and len(list(streamed.parse())) > 1
    assert raw.headers["x-ratelimit-limit-requests"] == str(key.rpm)
    assert raw.headers["x-ratelimit-limit-tokens"] == "1000000"
    assert [each.headers["x-ratelimit-remaining-requests"] for each in (raw, streamed)] == ["1", "0"]
    for name in ("requests", "tokens"):
        assert GO_DURATION.fullmatch(raw.headers[f"x-ratelimit-reset-{name}"])
        assert 0 <= int(raw.headers[f"x-ratelimit-remaining-{name}"]) < 1_000_000


def test_too_many_requests(gateway: Gateway, simulator: SimulatorThread) -> None:
    key = Key(gateway, rpm=2)
    with key.client() as client:
        client.chat.completions.create(model="gpt-4o", messages=HELLO)
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="gpt-4o", messages=HELLO)
    error, headers = caught.value, caught.value.response.headers
    assert (error.status_code, error.type, str(error.code)) == (429, "rate_limit_exceeded", "429")
    assert f"limit of {key.rpm} requests per minute" in error.message
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert 1 <= int(headers["retry-after"]) <= 30
    assert 0 < int(headers["retry-after-ms"]) <= 1000 * int(headers["retry-after"])
    assert error.request_id and len(simulator.calls) == 1


def test_models_count_as_requests(gateway: Gateway) -> None:
    key = Key(gateway, rpm=3)
    with key.client() as client:
        assert client.models.list().data and client.models.retrieve("gpt-4o").id == "gpt-4o"
        with pytest.raises(openai.RateLimitError):
            client.models.list()


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_those_that_the_provider_counted(
    gateway: Gateway, simulator: SimulatorThread, model: str, stream: bool
) -> None:
    simulator.script(model=model, usage={"prompt_tokens": 30_000, "completion_tokens": 60_000})
    key = Key(gateway, tpm=30_000)
    body = {"model": model, "messages": HELLO, "stream": stream}
    assert key.door.ask("POST", CHAT, body).status == 200
    with key.client() as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=model, messages=HELLO)
    assert "limit of 30000 tokens per minute" in caught.value.message
    headers = caught.value.response.headers
    assert headers["x-ratelimit-remaining-tokens"] == "0"
    assert headers["x-ratelimit-reset-tokens"].startswith(("2m", "3m0s"))
    assert 60 < int(headers["retry-after"]) <= 121


def test_the_sdk_comes_back_when_it_was_told(
    gateway: Gateway, simulator: SimulatorThread, model: str
) -> None:
    simulator.script(model=model, once=True, usage={"prompt_tokens": 62_000, "completion_tokens": 0})
    key = Key(gateway, tpm=60_000)
    with key.client(max_retries=2) as client:
        client.chat.completions.create(model=model, messages=HELLO)
        second = client.chat.completions.with_raw_response.create(model=model, messages=HELLO)
    assert second.retries_taken == 1


def test_a_request_that_can_never_fit_is_not_tried_again(
    gateway: Gateway, simulator: SimulatorThread
) -> None:
    key = Key(gateway, tpm=100)
    with key.client(max_retries=5) as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x" * 1000}])
    assert "can never fit" in caught.value.message and "100 tokens per minute" in caught.value.message
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in caught.value.response.headers
    assert simulator.calls == []


def test_a_stream_keeps_its_place_until_it_ends(
    gateway: Gateway, simulator: SimulatorThread, model: str
) -> None:
    simulator.script(model=model, chunks=10_000, chunk_delay=0.01)
    key = Key(gateway, concurrency=1)
    with key.client() as client:
        stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
        next(iter(stream))
        with pytest.raises(openai.RateLimitError, match="1 concurrent requests"):
            client.models.list()
        stream.close()
        eventually(lambda: key.status == 200, what="the place of the stream that was left")


def test_a_client_that_leaves_while_it_sends_leaves_its_place(gateway: Gateway) -> None:
    key = Key(gateway, concurrency=1)
    head = key.door.request("POST", CHAT, b"{}", {"content-length": "100000"})

    def keeps_others_out(connection: Connection) -> bool:
        """Not where one of those that look came to its edge before it."""
        connection.send(head)
        return any(key.status == 429 for _ in range(5))

    with ExitStack() as stack:
        eventually(
            lambda: keeps_others_out(stack.enter_context(key.door.connect())), what="the request under way"
        )
    eventually(lambda: key.status == 200, what="the place of the client that left")


def test_a_changed_limit_holds_at_once(gateway: Gateway) -> None:
    key = Key(gateway, rpm=2)
    assert [key.status for _ in range(2)] == [200, 429]
    key.change(rpm=1000)
    answered = eventually(lambda: got if (got := key.door.ask("GET", "/v1/models")).status == 200 else None)
    assert answered.headers["x-ratelimit-limit-requests"] == "1000"
    key.change(rpm=None)
    eventually(lambda: "x-ratelimit-limit-requests" not in key.door.ask("GET", "/v1/models").headers)


def test_the_command_sets_and_shows_limits(gateway: Gateway) -> None:
    options = ("--rpm", "60", "--tpm", "90000", "--concurrency", "4")
    made = gateway.command("keys", "create", "with limits", *options, "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    assert (key["rpm"], key["tpm"], key["concurrency"]) == (60, 90_000, 4)
    listed = gateway.command("keys", "list", COLUMNS="250").stdout
    assert key["id"] in listed
    assert all(words in listed for words in ("60 rpm", "90000 tpm", "4 at a time"))
    assert gateway.command("keys", "create", "none", "--rpm", "0").returncode == 2
