"""Every class of error: the promised body, the status in it, and what the official SDK makes of it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from hive_testing.gateway import Gateway, RawAnswer
from hive_testing.simulator import SimulatorThread

CHAT = "/v1/chat/completions"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
SECRET = "the provider's own affair"


def asks(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": HELLO, **fields}


def check(answer: RawAnswer, status: int, type: str, param: str | None = None) -> None:
    """The promised form, with nothing missing; `reason` may be there too."""
    assert answer.status == status, answer
    inner = answer.error
    assert inner.keys() - {"reason"} == {"message", "type", "param", "code"}
    assert (inner["type"], inner["param"], inner["code"]) == (type, param, status)
    assert isinstance(inner["message"], str) and inner["message"]
    assert answer.headers["x-request-id"].startswith("req_")


# 400

WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": ["hello"]}, "messages"),
    ({"messages": {"role": "user"}}, "messages"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": -0.1}, "top_p"),
    ({"n": 0}, "n"),
    ({"n": 129}, "n"),
    ({"n": 1.5}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": "all"}, "max_completion_tokens"),
    ({"presence_penalty": 3}, "presence_penalty"),
    ({"frequency_penalty": -3}, "frequency_penalty"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": 1}, "stop"),
    ({"logit_bias": {"1": 101}}, "logit_bias"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
    ({"tools": [{"type": "function"}] * 129}, "tools"),
    ({"tools": "get_weather"}, "tools"),
    ({"tool_choice": 1}, "tool_choice"),
    ({"response_format": "json"}, "response_format"),
    ({"metadata": {str(each): "" for each in range(17)}}, "metadata"),
    ({"metadata": {"k": "v" * 513}}, "metadata"),
    ({"metadata": {"k": 1}}, "metadata"),
    ({"user": 7}, "user"),
    ({"seed": "x"}, "seed"),
    ({"model": None}, "model"),
    ({"model": ""}, "model"),
    ({"model": ["gpt-4o"]}, "model"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG_FIELDS, ids=lambda value: str(value)[:40])
def test_a_wrong_field_is_named(
    gateway: Gateway, simulator: SimulatorThread, fields: dict[str, Any], param: str
) -> None:
    answer = gateway.public.ask("POST", CHAT, asks() | fields)

    check(answer, 400, "invalid_request_error", param)
    assert param in answer.error["message"]
    assert simulator.calls == []


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_a_missing_field_is_named(gateway: Gateway, simulator: SimulatorThread, missing: str) -> None:
    body = {name: value for name, value in asks().items() if name != missing}

    check(gateway.public.ask("POST", CHAT, body), 400, "invalid_request_error", missing)


WRONG_BODIES = {
    "nothing": b"",
    "half": b'{"model": "gpt-4o", "messages": [',
    "single quotes": b"{'model': 'gpt-4o'}",
    "trailing comma": b'{"model": "gpt-4o",}',
    "two values": b'{"model": "gpt-4o"} {}',
    "a list": b"[]",
    "a text": b'"hello"',
    "a number": b"1",
    "null": b"null",
    "NaN": b'{"model": NaN}',
    "broken UTF-8": b'{"model": "\xff\xfe"}',
    "UTF-16": '{"model": "gpt-4o"}'.encode("utf-16"),
    "deep": b"[" * 100_000,
    "deep inside": b'{"model": "gpt-4o", "messages": ' + b'{"a":' * 100_000,
    "a form": b"model=gpt-4o&messages=hello",
}


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings", "/v1/utils/token_counter"])
@pytest.mark.parametrize("kind", WRONG_BODIES)
def test_a_body_that_is_no_json_object(
    gateway: Gateway, simulator: SimulatorThread, kind: str, path: str
) -> None:
    check(gateway.public.ask("POST", path, WRONG_BODIES[kind]), 400, "invalid_request_error")
    assert simulator.calls == []


def test_the_sdk_sees_a_bad_request(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=HELLO, temperature=9)

    error = caught.value
    assert (str(error.code), error.param, error.type) == ("400", "temperature", "invalid_request_error")
    assert "temperature" in error.message


def test_an_error_before_a_stream_is_no_stream(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=HELLO, n=0, stream=True)

    assert caught.value.response.headers["content-type"] == "application/json"


def test_a_chat_with_an_embedding_model(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as caught:
        client.chat.completions.create(model="text-embedding-3-small", messages=HELLO)

    assert caught.value.param == "model"


# 401, 404, 405, 413


def test_the_sdk_sees_a_wrong_key(gateway: Gateway) -> None:
    with (
        gateway.client(api_key="sk-hive-wrong") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model="gpt-4o", messages=HELLO)

    assert (str(caught.value.code), caught.value.type) == ("401", "authentication_error")


def test_the_sdk_sees_an_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no/such-model", messages=HELLO)

    error = caught.value
    assert (str(error.code), error.type, error.param) == ("404", "not_found_error", "model")
    assert "no/such-model" in error.message


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings", "/v1/utils/token_counter"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods(gateway: Gateway, method: str, path: str) -> None:
    check(gateway.public.ask(method, path, asks()), 405, "invalid_request_error")


def test_the_sdk_sees_a_wrong_method(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.delete("/embeddings", cast_to=object)

    assert caught.value.status_code == 405


def test_a_body_that_is_too_large(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "x" * (20 * 1024 * 1024)}]
        )

    error = caught.value
    assert (error.status_code, str(error.code), error.type) == (413, "413", "invalid_request_error")
    assert simulator.calls == []


def test_a_large_body_below_the_bound(client: openai.OpenAI, simulator: SimulatorThread) -> None:
    text = "x" * (10 * 1024 * 1024)
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}], max_tokens=1)

    assert simulator.calls[0].json["messages"][0]["content"] == text


# What the provider refuses


@pytest.mark.parametrize(
    ("status", "told", "type"),
    [
        (400, 400, "invalid_request_error"),
        (404, 404, "not_found_error"),
        (413, 413, "invalid_request_error"),
        (422, 400, "invalid_request_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_provider_says_of_the_request_passes(
    gateway: Gateway, simulator: SimulatorThread, model: str, status: int, told: int, type: str, stream: bool
) -> None:
    inner = {"message": "Too long by 7.", "param": "messages", "code": "context_length_exceeded"}
    simulator.script(model=model, status=status, error=inner)
    answer = gateway.public.ask("POST", CHAT, asks(model=model, stream=stream))

    check(answer, told, type, "messages")
    assert answer.error["message"] == "Too long by 7."
    assert answer.error["reason"] == "context_length_exceeded"
    assert len(simulator.calls) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_not_the_callers_fault(
    gateway: Gateway, simulator: SimulatorThread, model: str, status: int
) -> None:
    simulator.script(model=model, status=status, error={"message": SECRET})
    answer = gateway.public.ask("POST", CHAT, asks(model=model))

    check(answer, 502, "upstream_error")
    assert SECRET not in answer.body.decode() and "sk-sim" not in answer.body.decode()


# 429


def test_a_rate_limit_of_the_provider(client: openai.OpenAI, simulator: SimulatorThread, model: str) -> None:
    simulator.script(model=model, status=429, retry_after=7)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=model, messages=HELLO)

    error = caught.value
    assert error.response.headers["retry-after"] == "7"
    assert (str(error.code), error.type) == ("429", "rate_limit_exceeded")
    assert len(simulator.calls) == 1


def test_a_rate_limit_without_a_time(gateway: Gateway, simulator: SimulatorThread, model: str) -> None:
    simulator.script(model=model, status=429)
    answer = gateway.public.ask("POST", CHAT, asks(model=model))

    check(answer, 429, "rate_limit_exceeded")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_short_rate_limit_is_waited_for(
    client: openai.OpenAI, simulator: SimulatorThread, model: str
) -> None:
    simulator.script(model=model, status=429, retry_after=0.1, fail_times=1)
    answer = client.chat.completions.create(model=model, messages=HELLO)

    assert answer.choices[0].message.content == "Echo: hello"
    assert len(simulator.calls) == 2


def test_the_sdk_tries_again_after_a_rate_limit(
    gateway: Gateway, simulator: SimulatorThread, model: str
) -> None:
    """Without a time, the SDK and the gateway choose their own pauses."""
    simulator.script(model=model, status=429, fail_times=3)
    with gateway.client(max_retries=2) as client:
        answer = client.chat.completions.create(model=model, messages=HELLO)

    assert answer.choices[0].message.content == "Echo: hello"
    assert len(simulator.calls) == 4


# 5xx


@pytest.mark.parametrize("status", [500, 502, 503, 529])
@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_fails(
    client: openai.OpenAI, simulator: SimulatorThread, model: str, status: int, stream: bool
) -> None:
    simulator.script(model=model, status=status)
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=model, messages=HELLO, stream=stream)

    error = caught.value
    assert (error.status_code, str(error.code), error.type) == (502, "502", "upstream_error")
    assert len(simulator.calls) == 3


def test_a_provider_that_cannot_be_reached(gateway: Gateway) -> None:
    model = gateway.add_model(provider="unreachable")
    answer = gateway.public.ask("POST", CHAT, asks(model=model))

    check(answer, 503, "server_error")
    assert int(answer.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in answer.error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_is_silent(gateway: Gateway, simulator: SimulatorThread, stream: bool) -> None:
    model = gateway.add_model(provider="impatient")
    simulator.script(model=model, silent=True)
    answer = gateway.public.ask("POST", CHAT, asks(model=model, stream=stream))

    check(answer, 504, "timeout_error")
    (call,) = simulator.calls
    simulator.wait_closed(call)
    assert call.disconnected


@pytest.mark.parametrize("status", [408, 504])
def test_a_provider_that_timed_out_itself(
    gateway: Gateway, simulator: SimulatorThread, model: str, status: int
) -> None:
    simulator.script(model=model, status=status)

    check(gateway.public.ask("POST", CHAT, asks(model=model)), 504, "timeout_error")


# Never 422

ODD: list[Any] = [None, True, -1, 1e400, "", "x", [], [None], {}, {"": None}, [[]], "\ud800"]


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings", "/v1/utils/token_counter"])
def test_no_value_of_any_field_makes_a_422_or_a_500(
    gateway: Gateway, simulator: SimulatorThread, path: str
) -> None:
    names = (
        "model",
        "messages",
        "prompt",
        "input",
        "stream",
        "n",
        "tools",
        "response_format",
        "stop",
        "user",
    )
    base = {"model": "gpt-4o", "messages": HELLO, "prompt": "a", "input": "a"}
    if path.endswith("embeddings"):
        base["model"] = "text-embedding-3-small"
    found = {}
    with gateway.raw() as connection:
        for name in names:
            for value in ODD:
                body = json.dumps(base | {name: value}).encode()
                connection.send(gateway.public.request("POST", path, body, keep_alive=True))
                answer = connection.read_answer()
                if answer.status != 200:
                    assert answer.error["code"] == answer.status
                found[name, str(value)] = answer.status

    assert set(found.values()) <= {200, 400, 404}, found


def test_the_admin_api_never_answers_422(gateway: Gateway) -> None:
    for method, path, body in [
        ("POST", "/keys", {"tenant": 1}),
        ("POST", "/keys", {"tenant": "default", "surprise": 1}),
        ("POST", "/keys", b"{"),
        ("POST", "/models", {"id": "x", "deployments": []}),
        ("GET", "/keys?limit=0", None),
        ("GET", "/keys?order=sideways", None),
        ("PUT", "/tenants/default/models", {"models": "gpt-4o"}),
    ]:
        answer = gateway.internal.ask(method, f"/api/admin{path}", body)
        assert (answer.status, answer.error["code"]) == (400, 400), answer


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/keys", {"tenant": "nobody", "name": "x"}, 404),
        ("GET", "/keys/key_nothing", None, 404),
        ("DELETE", "/keys/key_nothing", None, 404),
        ("PUT", "/tenants/nobody/models", {"models": None}, 404),
        ("PATCH", "/models/gpt-4o", {"fallbacks": []}, 409),
        ("DELETE", "/models/gpt-4o", None, 409),
        ("DELETE", "/providers/sim", None, 409),
        ("POST", "/tenants", {"id": "default"}, 409),
        ("PUT", "/keys", {}, 405),
        ("GET", "/nothing", None, 404),
    ],
)
def test_errors_of_the_admin_api(gateway: Gateway, method: str, path: str, body: Any, status: int) -> None:
    answer = gateway.internal.ask(method, f"/api/admin{path}", body)

    assert answer.status == status, answer
    assert answer.error.keys() >= {"message", "type", "param", "code"}
    assert answer.error["code"] == status
