"""What makes two requests turns of one conversation."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from hive_routing.choosing.conversations import MOST_BYTES, conversation_key


def key(body: dict[str, Any], tenant: str = "t") -> bytes:
    return conversation_key(tenant, msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Raw]))


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


SYSTEM = {"role": "system", "content": "Be brief."}
MORE = [{"role": "assistant", "content": "Yes?"}, user("And now?")]
CHAT = {"model": "m", "messages": [SYSTEM, user("Hello")]}
MESSAGES = {"model": "m", "system": "Be brief.", "messages": [user("Hello")]}
RESPONSES = {"model": "m", "instructions": "Be brief.", "input": [user("Hello")]}
GEMINI = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
}


@pytest.mark.parametrize(
    ("body", "turns"),
    [(CHAT, "messages"), (MESSAGES, "messages"), (RESPONSES, "input"), (GEMINI, "contents")],
)
def test_all_turns_of_a_conversation_have_one_key(body: dict[str, Any], turns: str) -> None:
    later = {**body, turns: [*body[turns], *MORE], "temperature": 1}
    assert key(later) == key(body)
    other = {**body, turns: [*body[turns][:-1], user("Bye")]}
    assert key(other) != key(body)


@pytest.mark.parametrize("name", ["system", "instructions", "systemInstruction"])
def test_the_systems_words_count(name: str) -> None:
    assert key({name: "a", "messages": [user("x")]}) != key({name: "b", "messages": [user("x")]})
    messages = [SYSTEM, user("x")]
    assert key({"messages": messages}) != key({"messages": [{**SYSTEM, "content": "Be long."}, user("x")]})


def test_tenants_do_not_share_keys() -> None:
    assert key(CHAT, "one") != key(CHAT, "two")


@pytest.mark.parametrize("name", ["prompt_cache_key", "conversation"])
def test_what_a_client_says_belongs_together_does(name: str) -> None:
    one, two = {**CHAT, name: "c1"}, {"messages": [user("Other")], name: "c1"}
    assert key(one) == key(two)
    assert key(one) != key({**CHAT, name: "c2"})
    assert key({**CHAT, name: None}) == key(CHAT)


def test_texts_and_lists_of_texts_are_conversations_too() -> None:
    assert key({"prompt": "a"}) != key({"prompt": "b"})
    assert key({"input": ["a", "b"]}) == key({"input": ["a", "c"]})
    assert key({"input": "a"}) != key({"input": "b"})


@pytest.mark.parametrize("messages", [[], [3], ["x"], [{"role": 3}], [{}], {}, None, [[]]])
def test_odd_bodies_have_a_key_all_the_same(messages: Any) -> None:
    assert len(key({"messages": messages})) == 16


def test_only_the_beginning_of_a_long_text_counts() -> None:
    text = "x" * MOST_BYTES
    assert key({"prompt": text + "a"}) == key({"prompt": text + "b"})
    assert key({"messages": [{"role": "tool", "content": each} for each in "abcdefghijklmnopq"]}) == key(
        {"messages": [{"role": "tool", "content": each} for each in "abcdefghijklmnopz"]}
    )
