"""Figures of sessions: usage as it is stated, how long a conversation is, what a secret holds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_routing.realtime.charges import stated_usage
from hive_routing.realtime.client_secrets import ClientSecrets, Grant, read_wish
from hive_routing.realtime.conversation import Conversation
from hive_routing.realtime.events import ClientEvent, ServerEvent
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError

COUNT = st.integers(0, 10_000)


@given(text=COUNT, heard=COUNT, cached=COUNT, kept=st.none() | COUNT, said=COUNT, sound=COUNT)
def test_every_token_is_counted_once(
    text: int, heard: int, cached: int, kept: int | None, said: int, sound: int
) -> None:
    details: dict[str, Any] = {"text_tokens": text, "audio_tokens": heard, "cached_tokens": cached}
    if kept is not None:
        details["cached_tokens_details"] = {"audio_tokens": kept}
    usage = stated_usage(
        {
            "input_tokens": text + heard,
            "output_tokens": said + sound,
            "input_token_details": details,
            "output_token_details": {"text_tokens": said, "audio_tokens": sound},
        }
    )
    assert usage is not None
    assert all(count >= 0 for count in usage.units.values())
    assert sum(usage.units.values()) == text + heard + said + sound
    assert usage.units["audio_out"] == sound


@pytest.mark.parametrize(
    ("value", "units"),
    [
        (None, None),
        ("much", None),
        ({}, None),
        ({"input_tokens": -1, "output_tokens": 2}, None),
        ({"input_tokens": 5}, {"prompt": 5}),
        ({"input_tokens": 5, "output_tokens": 2}, {"prompt": 5, "completion": 2}),
        ({"type": "duration", "seconds": 2.1}, {"second": 3}),
        ({"type": "duration", "seconds": "2"}, None),
        (
            {
                "input_tokens": 10,
                "input_token_details": {"audio_tokens": 8, "text_tokens": 2, "cached_tokens": 6},
            },
            {"cached_prompt": 6, "audio_in": 4, "prompt": 0},
        ),
    ],
)
def test_usage_as_it_is_stated(value: Any, units: dict[str, int] | None) -> None:
    usage = stated_usage(value)
    assert (usage.units if usage else None) == units


@given(st.lists(st.text(max_size=50), max_size=5))
def test_a_conversation_is_never_longer_than_its_bound(texts: list[str]) -> None:
    conversation = Conversation()
    for text in texts:
        conversation.add_item({"content": [{"type": "input_text", "text": text}]})
    assert conversation.likely <= conversation.most
    assert conversation.most >= sum(len(text.encode()) for text in texts)


@pytest.mark.parametrize(("format", "tokens"), [("audio/pcm", 10), ("audio/pcmu", 60), ("audio/pcma", 60)])
def test_a_second_of_sound(format: str, tokens: int) -> None:
    conversation = Conversation()
    conversation.set_up({"audio": {"input": {"format": {"type": format}}}})
    conversation.add_audio(64_000)
    assert conversation.sound == tokens
    conversation.settle(500)
    assert (conversation.sound, conversation.known) == (0, 500)


def test_a_window_bounds_what_is_held() -> None:
    conversation = Conversation(window=32_000)
    conversation.settle(40_000)
    assert conversation.most == 32_000


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"type":1}',
        b'{"event_id":"a"}',
        b'{"Type":"response.create"}',
        b"\xff",
        b'{"type":"\xff"}',
    ],
)
def test_what_cannot_be_read_goes_no_further(raw: bytes) -> None:
    with pytest.raises(HiveError):
        ClientEvent.read(raw)


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(msgspec.json.encode)
)
def test_a_provider_may_say_anything(raw: bytes) -> None:
    ServerEvent.read(raw)


# Secrets


class Moved(SystemClock):
    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now


GRANT = Grant("default", "key_1", "voice", 1_600, b'{"instructions":"Be brief."}')


def test_a_secret_is_what_it_stands_for_until_it_ends() -> None:
    secret = ClientSecrets("a key", Moved(1_000)).made(GRANT)
    assert ClientSecrets("a key", Moved(1_599)).read(secret) == GRANT
    with pytest.raises(HiveError, match="expired"):
        ClientSecrets("a key", Moved(1_600)).read(secret)
    with pytest.raises(HiveError, match="none of ours"):
        ClientSecrets("another key", Moved(1_000)).read(secret)


@given(st.integers(3, 120), st.sampled_from("abcXYZ019-_"))
def test_a_secret_that_was_changed_is_none(place: int, letter: str) -> None:
    secrets = ClientSecrets("a key", Moved(1_000))
    secret = secrets.made(GRANT)
    place %= len(secret) - 1  # the last letter holds bits that say nothing
    changed = secret[:place] + letter + secret[place + 1 :]
    if changed != secret and changed.startswith("ek_"):
        with pytest.raises(HiveError):
            secrets.read(changed)


@given(st.text(max_size=200))
def test_no_text_is_a_secret(text: str) -> None:
    with pytest.raises(HiveError):
        ClientSecrets("a key", Moved(1_000)).read("ek_" + text)


def test_what_a_body_asks_for() -> None:
    body = {"session": {"model": "voice", "voice": "alloy"}, "expires_after": {"seconds": 60}}
    assert read_wish(msgspec.json.encode(body), flat=False) == (
        "voice", 60, {"type": "realtime", "voice": "alloy"},
    )  # fmt: skip
    transcribing = {"type": "transcription", "audio": {"input": {"transcription": {"model": "scribe"}}}}
    assert read_wish(msgspec.json.encode({"session": transcribing}), flat=False)[0] == "scribe"
