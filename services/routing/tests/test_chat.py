"""Chat completions: what arrives at the provider, and what comes back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from hive_runtime.errors import Kind

HELLO = [{"role": "user", "content": "Hello there"}]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
CUSTOM = {
    "type": "custom",
    "custom": {
        "name": "c",
        "format": {"type": "grammar", "grammar": {"definition": "start: A", "syntax": "lark"}},
    },
}
SCHEMA = {"name": "s", "schema": {"type": "object", "properties": {}}, "strict": True}
PNG = "data:image/png;base64," + base64.b64encode(b"png").decode()

FIELDS: list[tuple[str, Any]] = [
    ("temperature", 0),
    ("temperature", 1.75),
    ("top_p", 0.1),
    ("max_tokens", 7),
    ("max_completion_tokens", 7),
    ("n", 2),
    ("stream", False),
    ("stop", "END"),
    ("stop", ["a", "b", "c", "d"]),
    ("presence_penalty", -2),
    ("frequency_penalty", 2),
    ("logit_bias", {"50256": -100, "1": 0.5}),
    ("logprobs", False),
    ("seed", -(2**63)),
    ("tools", [TOOL, CUSTOM]),
    ("tool_choice", "none"),
    ("parallel_tool_calls", False),
    ("functions", [{"name": "f", "parameters": {}}]),
    ("function_call", {"name": "f"}),
    ("response_format", {"type": "text"}),
    ("response_format", {"type": "json_schema", "json_schema": SCHEMA}),
    ("reasoning_effort", "xhigh"),
    ("verbosity", "low"),
    ("modalities", ["text", "audio"]),
    ("audio", {"voice": {"id": "v"}, "format": "pcm16"}),
    ("prediction", {"type": "content", "content": [{"type": "text", "text": "x"}]}),
    ("store", True),
    ("metadata", {"k": "v"}),
    ("service_tier", "flex"),
    ("user", "u-1"),
    ("safety_identifier", "s"),
    ("prompt_cache_key", "p"),
    ("prompt_cache_retention", "24h"),
    ("prompt_cache_options", {"mode": "explicit", "ttl": "1h"}),
    (
        "web_search_options",
        {
            "search_context_size": "low",
            "user_location": {"type": "approximate", "approximate": {"city": "Rome"}},
        },
    ),
    ("moderation", {"model": "m", "policy": {"input": {"mode": "score"}}}),
    ("something_of_next_year", {"deep": [None, 1e300, {"x": "ü"}]}),
]

MESSAGES: list[list[dict[str, Any]]] = [
    [
        {"role": "developer", "content": "be brief", "name": "dev"},
        {"role": "user", "content": "hi", "name": "u"},
    ],
    [{"role": "system", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}],
    [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see", "prompt_cache_breakpoint": {"mode": "explicit"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg", "detail": "high"}},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ],
        }
    ],
    [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sunny"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "audio": {"id": "a"}},
        {"role": "user", "content": "and now?"},
    ],
    [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "ok"},
    ],
]


@pytest.mark.parametrize(("name", "value"), FIELDS)
async def test_every_field_reaches_the_provider(gateway: Any, name: str, value: Any) -> None:
    answer = await gateway.chat(**{name: value})
    assert answer.status == 200, answer.error
    call = gateway.sim.calls[-1]
    sent = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}], name: value}
    assert call.json == sent | {"model": "gpt-4o-real"}


@pytest.mark.parametrize("messages", MESSAGES)
async def test_every_kind_of_message_reaches_the_provider(gateway: Any, messages: Any) -> None:
    answer = await gateway.chat(messages=messages)
    assert answer.status == 200, answer.error
    assert gateway.sim.calls[-1].json["messages"] == messages


async def test_fields_that_go_together(gateway: Any) -> None:
    answer = await gateway.chat(logprobs=True, top_logprobs=2)
    assert answer.status == 200
    assert gateway.sim.calls[-1].json["top_logprobs"] == 2


async def test_the_provider_gets_our_credential_and_an_id_for_the_attempt(gateway: Any) -> None:
    headers = {"authorization": "Bearer sk-of-the-client", "openai-beta": "x=1", "x-hive-guard": "none"}
    await gateway.request(
        "POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": HELLO}, headers=headers
    )
    got = gateway.sim.calls[-1].headers
    assert got["authorization"] == "Bearer sk-provider"
    assert got["x-client-request-id"] == "req_1-1-1"
    assert got["content-type"] == "application/json"
    assert got["openai-beta"] == "x=1"
    assert got["user-agent"].startswith("modelhive/")
    assert "x-hive-guard" not in got


async def test_the_answer_comes_back_byte_for_byte(gateway: Any) -> None:
    body = '{"id":"x", "odd": 1.0, "choices":[{"message":{"reasoning_content":"hm"}}], "usage":{"prompt_tokens":1}}'
    gateway.sim.script(body=body)
    answer = await gateway.chat()
    assert answer.body.decode() == body
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)


async def test_the_answer_tells_who_gave_it(gateway: Any) -> None:
    answer = await gateway.chat()
    assert answer.headers["x-hive-model"] == "gpt-4o"
    assert answer.headers["x-hive-provider"] == "sim"
    assert answer.headers["x-hive-deployment"] == "sim/gpt-4o-real"
    assert answer.headers["x-hive-attempts"] == "1"
    assert answer.headers["x-hive-upstream-request-id"].startswith("req_")


async def test_the_usage_is_what_the_provider_billed(gateway: Any) -> None:
    answer = await gateway.chat()
    line = gateway.sim.bill[0]
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (line.prompt_tokens, line.completion_tokens)
    assert (usage.model, usage.provider, usage.deployment) == ("gpt-4o", "sim", "sim/gpt-4o-real")
    assert not usage.estimated


async def test_missing_usage_is_counted_here(gateway: Any) -> None:
    gateway.sim.script(no_usage=True, content="one two three")
    answer = await gateway.chat()
    assert answer.usage.estimated
    assert answer.usage.completion_tokens == 3
    assert answer.usage.prompt_tokens == 3 + 3 + 1 + 2  # reply, message, role, two words


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_the_path_works_with_and_without_v1(gateway: Any, path: str) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    assert (await gateway.request("POST", path, body)).status == 200


async def test_a_body_may_come_in_parts_and_under_any_name(gateway: Any) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await gateway.request("POST", "/v1/chat/completions", body, headers=headers, parts=5)
    assert answer.status == 200


async def test_forms_are_refused(gateway: Any) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await gateway.request("POST", "/v1/chat/completions", b"--x", headers=headers)
    assert answer.error.kind is Kind.UNSUPPORTED_MEDIA


async def test_another_method_is_refused(gateway: Any) -> None:
    answer = await gateway.request("PUT", "/v1/chat/completions")
    assert answer.error.kind is Kind.METHOD_NOT_ALLOWED


async def test_unknown_and_forbidden_models_are_refused_in_the_same_words(gateway: Any) -> None:
    unknown = await gateway.chat(model="no-such")
    forbidden = await gateway.request(
        "POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": HELLO}, models=["another"]
    )
    for answer, name in ((unknown, "no-such"), (forbidden, "gpt-4o")):
        error = answer.error
        assert (error.kind, error.param) == (Kind.NOT_FOUND, "model")
        assert error.message == f"The model `{name}` does not exist or is not enabled for you."
    assert gateway.sim.total == 0


async def test_the_model_is_looked_for_before_the_rest_is_checked(gateway: Any) -> None:
    assert (await gateway.chat(model="no-such", temperature=9)).error.kind is Kind.NOT_FOUND
    assert (await gateway.chat(temperature=9)).error.param == "temperature"


async def test_nothing_is_asked_before_every_check_has_passed(gateway: Any) -> None:
    call = gateway.start("POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": []})
    await call.task
    assert call.answer.error.param == "messages"
    assert not call.went
    assert gateway.sim.total == 0


async def test_a_request_that_may_not_go_on_asks_nobody(gateway: Any) -> None:
    call = gateway.start("POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": HELLO}, seconds=-1)
    await call.task
    assert call.went
    assert call.answer.error.kind is Kind.TIMEOUT
    assert gateway.sim.total == 0


async def test_embedding_models_do_not_chat(gateway: Any) -> None:
    await gateway.add_model("embed", at=("sim:e",), mode="embedding")
    error = (await gateway.chat(model="embed")).error
    assert (error.kind, error.param) == (Kind.INVALID, "model")
    assert "/v1/embeddings" in error.message


async def test_a_pdf_reaches_the_provider_as_a_file(gateway: Any) -> None:
    url = "data:application/pdf;base64," + base64.b64encode(b"%PDF").decode()
    await gateway.chat(
        messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    )
    part = gateway.sim.calls[-1].json["messages"][0]["content"][0]
    assert part == {"type": "file", "file": {"filename": "document.pdf", "file_data": url}}


async def test_the_output_bound_gets_the_providers_name(gateway: Any) -> None:
    await gateway.add_provider(output_bound_field="max_completion_tokens")
    await gateway.chat(max_tokens=3)
    sent = gateway.sim.calls[-1].json
    assert (sent.get("max_tokens"), sent.get("max_completion_tokens")) == (None, 3)


async def test_leaving_ends_the_providers_work(gateway: Any) -> None:
    gateway.sim.script(silent=True)
    call = gateway.start("POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": HELLO})
    (arrived,) = await gateway.sim.wait_for_calls(1)
    call.task.cancel()
    await arrived.wait_closed(1)
    assert arrived.disconnected
    assert gateway.sim.total == 1


PLAIN_FAULTS: list[tuple[dict[str, Any], Kind]] = [
    ({"status": 500}, Kind.UPSTREAM_FAILED),
    ({"status": 503}, Kind.UPSTREAM_FAILED),
    ({"status": 409}, Kind.UPSTREAM_FAILED),
    ({"status": 408}, Kind.TIMEOUT),
    ({"status": 401}, Kind.UPSTREAM_FAILED),
    ({"status": 403}, Kind.UPSTREAM_FAILED),
    ({"status": 429, "retry_after": 0.02}, Kind.RATE_LIMITED),
    ({"hang_up": True}, Kind.UPSTREAM_FAILED),
    ({"hang_up": True, "reset": True}, Kind.UPSTREAM_FAILED),
    ({"cut_after": 0}, Kind.UPSTREAM_FAILED),
    ({"content_type": "text/html"}, Kind.UPSTREAM_FAILED),
    ({"body": "not JSON"}, Kind.UPSTREAM_FAILED),
    ({"body": "[]"}, Kind.UPSTREAM_FAILED),
    ({"body": '{"error": {"message": "but no"}}'}, Kind.UPSTREAM_FAILED),
    ({"silent": True}, Kind.TIMEOUT),
    ({"stall_after": 0}, Kind.TIMEOUT),
]


@pytest.mark.parametrize(("fault", "kind"), PLAIN_FAULTS)
async def test_another_deployment_answers_where_one_fails(
    gateway: Any, fault: dict[str, Any], kind: Kind
) -> None:
    await gateway.add_provider(timeouts={"connect": 1, "first_byte": 0.1, "idle": 0.1, "total": 5})
    await gateway.add_model("gpt-4o", at=("sim:bad:1", "sim:good:0"))
    gateway.sim.script(model="bad", **fault)
    answer = await gateway.chat()
    assert answer.status == 200
    assert answer.json["model"] == "good"
    assert answer.headers["x-hive-attempts"] == "2"
    assert answer.headers["x-hive-deployment"] == "sim/good"
    assert answer.usage.deployment == "sim/good"
    assert [call.headers["x-client-request-id"] for call in gateway.sim.calls] == ["req_1-1-1", "req_1-1-2"]


@pytest.mark.parametrize(("fault", "kind"), PLAIN_FAULTS)
async def test_where_all_fail_the_error_says_how(gateway: Any, fault: dict[str, Any], kind: Kind) -> None:
    await gateway.add_provider(timeouts={"connect": 1, "first_byte": 0.05, "idle": 0.05, "total": 5})
    gateway.sim.script(**fault)
    answer = await gateway.chat()
    assert answer.status == 0
    assert answer.error.kind is kind
    assert "sk-provider" not in answer.error.message


async def test_a_fallback_model_answers_where_its_caller_may_use_it(gateway: Any) -> None:
    await gateway.add_model("gpt-4o", at=("sim:bad",), fallbacks=["no-such", "spare"])
    await gateway.add_model("spare", at=("sim:spare-real",))
    gateway.sim.script(model="bad", status=500)
    answer = await gateway.chat()
    assert answer.headers["x-hive-model"] == "spare"
    assert answer.usage.model == "spare"
    body = {"model": "gpt-4o", "messages": HELLO}
    refused = await gateway.request("POST", "/v1/chat/completions", body, models=["gpt-4o"])
    assert refused.error.kind is Kind.UPSTREAM_FAILED


async def test_what_the_provider_says_about_the_request_passes(gateway: Any) -> None:
    error = {
        "message": "Too long.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    gateway.sim.script(status=400, error=error)
    answer = await gateway.chat()
    told = answer.error
    assert (told.kind, told.message, told.param) == (Kind.INVALID, "Too long.", "messages")
    assert told.reason == "context_length_exceeded"
    assert gateway.sim.total == 1


async def test_a_rate_limit_carries_its_wait(gateway: Any) -> None:
    gateway.sim.script(status=429, retry_after=30)
    answer = await gateway.chat()
    assert (answer.error.kind, answer.error.retry_after) == (Kind.RATE_LIMITED, 30)
    assert gateway.sim.total == 1


async def test_a_provider_that_is_not_there(gateway: Any) -> None:
    await gateway.add_provider("nowhere", url="http://127.0.0.1:1/v1")
    await gateway.add_model("gpt-4o", at=("nowhere:x", "sim:good:0"))
    assert (await gateway.chat()).json["model"] == "good"
    await gateway.add_model("gpt-4o", at=("nowhere:x",))
    assert (await gateway.chat()).error.kind is Kind.UNAVAILABLE


async def test_a_credential_that_a_provider_repeats_goes_no_further(gateway: Any) -> None:
    said = "the key sk-provider is not allowed here"
    gateway.sim.script(status=400, body=json.dumps({"error": {"message": said}}))
    answer = await gateway.chat()
    assert answer.error is not None
    assert "***" in answer.error.message and "sk-provider" not in answer.error.message
