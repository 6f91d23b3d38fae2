"""What a stream passes: nothing is released that was not scanned, and what is changed is changed in its place."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_routing.guarding.gates import STEP, OutputGate, RestoringGate, StreamGates
from hive_routing.guarding.port import Asker, Decision, Found, Text, Verdict
from hive_routing.guarding.redaction import Redaction, Span
from hive_runtime.errors import HiveError, Kind

ASKER = Asker("req_1", "t", "k", "m", None)
SECRET = "sk-very-secret-1234"
OVERLAP = len(SECRET)


class Scanner:
    """`Guards` that remember, by the texts' own words, how far they have read."""

    def __init__(self, bad: str = "", word: str = SECRET) -> None:
        self.bad = bad
        self.word = word
        self.rounds = 0
        self.seen: set[str] = set()

    async def on_input(self, asker: Asker, texts: Sequence[Text]) -> Decision:
        raise AssertionError("nobody asks about the input here")

    async def on_output(self, asker: Asker, texts: Sequence[Text], *, more: bool) -> Decision:
        self.rounds += 1
        self.seen.update(text.text for text in texts)
        if self.bad and any(self.bad in text.text for text in texts):
            return Decision(Verdict.BLOCKED, "words", "bad", output=("words",))
        found = [
            Found("word", number, at.start(), at.end())
            for number, text in enumerate(texts)
            for at in re.finditer(re.escape(self.word), text.text)
            if at.end() > text.known
        ]
        unsure = [min(len(text.text), OVERLAP) for text in texts]
        return Decision(
            Verdict.REDACTED if found else Verdict.ALLOWED, found=found, output=("words",), open=unsure
        )


def event(index: int = 0, **delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": index, "delta": delta}]}).encode() + b"\n\n"


def call_event(number: int, arguments: str) -> bytes:
    return event(tool_calls=[{"index": number, "function": {"arguments": arguments}}])


def said(stream: bytes) -> dict[Any, str]:
    """By channel, what the deltas of a stream say."""
    texts: dict[Any, str] = {}
    for line in stream.decode().split("\n"):
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line[6:])["choices"]:
            delta = choice["delta"]
            for name in ("content", "reasoning_content"):
                if name in delta:
                    place: Any = (choice["index"], name)
                    texts[place] = texts.get(place, "") + delta[name]
            for call in delta.get("tool_calls", ()):
                place = (choice["index"], "tool", call["index"])
                texts[place] = texts.get(place, "") + call["function"]["arguments"]
    return texts


def pieces(text: str, sizes: Sequence[int]) -> list[str]:
    out, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        out.append(text[at : at + size])
        at, turn = at + size, turn + 1
    return out


LONG = "".join(f"word {number} " for number in range(60))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 50), st.integers(0, 300))
async def test_nothing_leaves_before_it_was_scanned(sizes: list[int], cut: int, at: int) -> None:
    """Texts of several channels, cut into pieces of any size, their bytes cut anywhere."""
    text = LONG[:at] + SECRET + LONG[at:]
    arguments = json.dumps({"key": SECRET, "note": LONG[: at // 2]})
    stream = b"".join(
        b"".join(both)
        for both in zip(
            (event(content=piece) for piece in pieces(text, sizes)),
            [call_event(0, piece) for piece in pieces(arguments, sizes)] + [b": tick\n\n"] * len(text),
            strict=False,
        )
    )
    gate = OutputGate(Scanner(), ASKER, OVERLAP)
    out = b""
    for start in range(0, len(stream), cut):
        released = await gate.feed(stream[start : start + cut])
        out += released
        for place, words in said(out).items():
            (channel,) = [each for each in gate.channels if each.name == place]
            assert len(words) <= gate.scanned(channel), "released and not scanned"
    out += await gate.end()
    complete = said(stream)
    assert said(out) == {place: words.replace(SECRET, "[WORD]") for place, words in complete.items()}


async def test_what_is_blocked_ends_the_stream_and_never_leaves() -> None:
    gate = OutputGate(Scanner(bad="forbidden"), ASKER, OVERLAP)
    out = b""
    with pytest.raises(HiveError) as caught:
        for piece in pieces(LONG + "it is forbidden to say " + LONG, [7]):
            out += await gate.feed(event(content=piece))
    assert (caught.value.kind, caught.value.reason) == (Kind.BLOCKED, "words")
    assert "forbidden" not in said(out)[0, "content"] and LONG.startswith(said(out)[0, "content"])


async def test_tool_calls_are_read_too() -> None:
    gate = OutputGate(Scanner(bad="rm -rf"), ASKER, OVERLAP)
    with pytest.raises(HiveError):
        for piece in pieces(json.dumps({"command": "rm -rf /"}), [3]):
            assert await gate.feed(call_event(0, piece)) == b""
        await gate.end()


async def test_the_guards_are_asked_by_the_window_and_see_each_text_with_what_came_before() -> None:
    scanner = Scanner()
    gate = OutputGate(scanner, ASKER, OVERLAP)
    text = LONG * 4
    for piece in pieces(text, [5]):
        await gate.feed(event(content=piece))
    await gate.end()
    assert scanner.rounds <= len(text) // STEP + 2
    assert max(map(len, scanner.seen)) <= STEP + 5 + OVERLAP, "no text is read again and again"


async def test_events_without_text_pass_in_their_order() -> None:
    gate = OutputGate(Scanner(), ASKER, OVERLAP)
    first, tick, last = event(content="Hello"), b": tick\n\n", event(role="assistant")
    assert await gate.feed(first + tick + last) == b""
    assert await gate.end() == first + tick + last, "bytes that nothing changed are as they were"


@pytest.mark.parametrize("strange", [b'"x":1e999', b'"x":"\xff"'])
async def test_what_cannot_be_read_does_not_leave(strange: bytes) -> None:
    gate = OutputGate(Scanner(), ASKER, OVERLAP)
    hidden = (
        b'data: {"choices":[{"index":0,"delta":{"content":"' + SECRET.encode() + b'"}}],' + strange + b"}\n\n"
    )
    with pytest.raises(HiveError) as caught:
        await gate.feed(hidden)
    assert caught.value.kind is Kind.UPSTREAM_FAILED


async def test_log_probabilities_do_not_spell_out_what_was_masked() -> None:
    choice = {
        "index": 0,
        "delta": {"content": f"It is {SECRET}."},
        "logprobs": {"content": [{"token": SECRET}]},
    }
    gate = OutputGate(Scanner(), ASKER, OVERLAP)
    out = await gate.feed(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n") + await gate.end()
    assert SECRET.encode() not in out and b"[WORD]" in out


async def test_parts_and_custom_tools_are_read_too() -> None:
    custom: dict[str, Any] = {
        "tool_calls": [{"index": 0, "custom": {"name": "sh", "input": f"echo {SECRET}"}}]
    }
    stream = event(content=[{"type": "text", "text": f"It is {SECRET}"}]) + event(**custom)
    gate = OutputGate(Scanner(), ASKER, OVERLAP)
    out = await gate.feed(stream) + await gate.end()
    assert SECRET.encode() not in out and out.count(b"[WORD]") == 2


async def test_another_policy_than_that_of_the_request_decides_nothing() -> None:
    gate = OutputGate(Scanner(), ASKER, OVERLAP, "of the request")
    await gate.feed(event(content="Hello"))
    with pytest.raises(HiveError) as caught:
        await gate.end()
    assert caught.value.kind is Kind.UNAVAILABLE


def a_redaction(*values: str) -> tuple[Redaction, list[str]]:
    redaction = Redaction()
    texts = [f"about {value}" for value in values]
    spans = [Span(number, 6, 6 + len(value), "e-mail") for number, value in enumerate(values)]
    return redaction, [text.removeprefix("about ") for text in redaction.replace(texts, spans)]


@pytest.mark.parametrize("size", range(1, 14))
async def test_what_was_taken_out_comes_back_however_it_is_cut(size: int) -> None:
    redaction, (one, two) = a_redaction("ann@example.com", 'b"o\\b@example.com')
    text = f"Write to {one}, not [{two}], nor [EMAIL_9] or {one[:-2]}."
    whole = 'Write to ann@example.com, not [b"o\\b@example.com], nor [EMAIL_9] or ' + one[:-2] + "."
    gates = StreamGates(None, None, RestoringGate(redaction))
    out = b""
    for piece in pieces(text, [size]):
        out += await gates.feed(event(content=piece) + call_event(1, piece.replace("[E", "[E")))
    out += await gates.end()
    assert said(out)[0, "content"] == whole
    escaped = json.dumps('b"o\\b@example.com')[1:-1]
    assert said(out)[0, "tool", 1] == text.replace(one, "ann@example.com").replace(two, escaped)


async def test_the_cache_gets_what_has_passed_the_guards_and_nothing_of_the_caller() -> None:
    redaction, (one,) = a_redaction("ann@example.com")
    kept: list[bytes] = []
    gates = StreamGates(OutputGate(Scanner(), ASKER, OVERLAP), kept.append, RestoringGate(redaction))
    out = b""
    for piece in pieces(f"Tell {one} that it is {SECRET}.", [4]):
        out += await gates.feed(event(content=piece))
    out += await gates.end()
    assert said(b"".join(kept))[0, "content"] == f"Tell {one} that it is [WORD]."
    assert said(out)[0, "content"] == "Tell ann@example.com that it is [WORD]."
