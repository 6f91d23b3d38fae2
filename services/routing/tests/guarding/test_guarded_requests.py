"""Requests and answers with guards in the way, through the app."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hive_runtime.errors import Kind

MAIL = "ann@example.com"


def ask(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


async def test_a_blocked_prompt_reaches_no_provider_and_costs_nothing(gateway: Any) -> None:
    gateway.guards.bad = {"attack"}
    answer = await gateway.chat(messages=ask("an attack"))
    assert (answer.error.kind, answer.error.reason) == (Kind.BLOCKED, "words")
    assert answer.error.message.startswith("Request blocked by security guardrails")
    assert not gateway.sim.calls and not gateway.log.opened
    assert list(answer.usage.guards) == ["words"] and answer.usage.guard_verdict == 4


async def test_guards_that_are_away_let_nothing_pass(gateway: Any) -> None:
    gateway.guards.away = True
    answer = await gateway.chat()
    assert answer.error.kind is Kind.UNAVAILABLE and not gateway.sim.calls


async def test_a_guard_comes_before_the_money(gateway: Any) -> None:
    gateway.guards.bad = {"attack"}
    gateway.bank.scopes = ("wallet:default",)
    answer = await gateway.chat(messages=ask("an attack"))
    assert answer.error.kind is Kind.BLOCKED


async def test_guards_read_every_text_of_a_chat_with_its_origin(gateway: Any) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "six"}'}}
    await gateway.chat(
        messages=[
            {"role": "system", "content": "one"},
            {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "image_url"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "four", "tool_call_id": "c"},
            {"role": "user", "content": "five"},
        ]
    )
    ((stage, asker, texts),) = gateway.guards.asked
    assert stage == "input" and (asker.tenant_id, asker.model, asker.wanted) == ("default", "gpt-4o", None)
    assert [(text.text, text.origin.name) for text in texts] == [
        ("one", "APPLICATION"),
        ("two", "USER"),
        ('{"a": "six"}', "MODEL"),
        ("four", "TOOL"),
        ("five", "USER"),
    ]


@pytest.mark.parametrize(("header", "wanted"), [({}, None), ({"x-hive-guard": "none"}, "none")])
async def test_the_header_goes_to_the_guards(gateway: Any, header: dict[str, str], wanted: Any) -> None:
    body = {"model": "gpt-4o", "messages": ask("hello")}
    answer = await gateway.request("POST", "/v1/chat/completions", body, headers=header)
    assert gateway.guards.asked[0][1].wanted == wanted
    assert answer.headers["x-hive-guard"] == "words"
    gateway.guards.locked = ("words",)
    locked = await gateway.request("POST", "/v1/chat/completions", body, headers=header)
    assert locked.headers["x-hive-guard"] == "locked:words"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_taken_out_never_reaches_the_provider_and_comes_back(
    gateway: Any, stream: bool
) -> None:
    gateway.guards.words = {MAIL: "email"}
    gateway.sim.script(content="I wrote to [EMAIL_1] today.", chunks=9)
    answer = await gateway.chat(messages=ask(f"Write to {MAIL}, please: {MAIL}"), stream=stream)
    body = gateway.sim.calls[0].body
    assert MAIL.encode() not in body and body.count(b"[EMAIL_1]") == 2
    assert (answer.text if stream else answer.json["choices"][0]["message"]["content"]) == (
        f"I wrote to {MAIL} today."
    )
    (attempt,) = gateway.log.closed
    assert attempt.handling.guards == ["words"] and attempt.handling.guard_verdict == 3


async def test_descriptions_of_tools_are_read_and_what_json_says_comes_back_once(gateway: Any) -> None:
    said = 'two\nlines "of" it'
    source = json.dumps(said)[1:-1]
    gateway.guards.words = {source: "key", MAIL: "email"}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": f'{{"a": "{source}"}}'}}
    tool = {"type": "function", "function": {"name": "f", "description": f"Writes to {MAIL}."}}
    gateway.sim.script(content="It was [KEY_1].")
    answer = await gateway.chat(
        messages=[*ask("hi"), {"role": "assistant", "content": None, "tool_calls": [call]}], tools=[tool]
    )
    body = gateway.sim.calls[0].body
    assert MAIL.encode() not in body and b"[KEY_1]" in body and b"[EMAIL_1]" in body
    assert answer.json["choices"][0]["message"]["content"] == f"It was {said}."


async def test_texts_of_other_endpoints(gateway: Any) -> None:
    gateway.guards.words = {MAIL: "email"}
    await gateway.add_model("embed", mode="embedding")
    await gateway.request("POST", "/v1/embeddings", {"model": "embed", "input": ["a", f"to {MAIL}"]})
    await gateway.request("POST", "/v1/completions", {"model": "gpt-4o", "prompt": f"to {MAIL}"})
    assert [MAIL.encode() in call.body for call in gateway.sim.calls] == [False, False]
    assert all(b"to [EMAIL_1]" in call.body for call in gateway.sim.calls)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_answer_is_paid_and_not_seen(gateway: Any, stream: bool) -> None:
    gateway.guards.output = ("words",)
    gateway.guards.bad = {"poison"}
    gateway.sim.script(content="Take some poison with it.", chunks=6)
    answer = await gateway.chat(stream=stream)
    assert (answer.error.kind, answer.error.reason) == (Kind.BLOCKED, "words")
    assert b"poison" not in answer.body and not answer.complete
    (attempt,) = gateway.log.closed
    assert attempt.cost > 0 and attempt.error == "blocked" and attempt.handling.guard_verdict == 4


async def test_a_long_stream_ends_with_an_error_where_it_is_blocked(gateway: Any) -> None:
    gateway.guards.output = ("words",)
    gateway.guards.bad = {"poison"}
    gateway.sim.script(
        content="all is well " * 60 + "poison" + " and so on" * 60, chunks=60, chunk_delay=0.002
    )
    answer = await gateway.chat(stream=True)
    assert answer.error.kind is Kind.BLOCKED and answer.status == 200
    assert answer.text and ("all is well " * 60).startswith(answer.text)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_an_answer_must_not_say_is_masked(gateway: Any, stream: bool) -> None:
    gateway.guards.output = ("words",)
    gateway.guards.words = {"1234-5678": "card"}
    gateway.sim.script(content="The number is 1234-5678, I think.", chunks=8)
    answer = await gateway.chat(stream=stream)
    assert (answer.text if stream else answer.json["choices"][0]["message"]["content"]) == (
        "The number is [CARD], I think."
    )


async def test_bytes_pass_untouched_where_nothing_is_found(gateway: Any) -> None:
    gateway.guards.output = ("words",)
    guarded = await gateway.chat(stream=True)
    gateway.guards.output = ()
    plain = await gateway.chat(stream=True)
    assert guarded.text == plain.text and len(guarded.data) == len(plain.data)
