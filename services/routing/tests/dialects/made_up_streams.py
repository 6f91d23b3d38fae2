"""Streams of made-up answers, their texts cut at random, and what all streams have to keep to."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
from hypothesis import strategies as st

from hive_routing.dialects.form import (
    Answer,
    Began,
    Call,
    Choice,
    Closed,
    Ended,
    Event,
    Opened,
    Part,
    Refusal,
    Said,
    Sealed,
    Spent,
    Stopped,
    Text,
    Thinking,
)
from services.routing.tests.dialects.abilities import (
    RANDOMS,
    Can,
    Strategy,
)
from services.routing.tests.dialects.made_up_answers import (
    answers,
)


def streams(can: Can, choices: int = 1) -> Strategy[list[Event]]:
    """Complete streams, each of an answer as `answers` gives it."""
    return st.builds(
        lambda answer, random: events_of(answer, random, interleaves=can.interleaves),
        answers(can, choices),
        RANDOMS,
    )


def events_of(answer: Answer, random: Random, *, interleaves: bool) -> list[Event]:
    """A stream of the answer, with texts cut at random; choices, and calls if so wanted, grow at once."""
    flows = [_flow(number, choice, random, interleaves) for number, choice in enumerate(answer.choices)]
    events: list[Event] = [Began(answer.id, answer.model, answer.created), *_mixed(flows, random)]
    if answer.usage is not None:
        events.append(Spent(answer.usage))
    return [*events, Ended()]


def pieces(text: str, random: Random) -> list[str]:
    """The text cut at random places into pieces that have at least a character."""
    cuts = (
        sorted(random.sample(range(1, len(text)), random.randint(0, min(3, len(text) - 1)))) if text else []
    )
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if end > start]


def assert_well_formed(events: Sequence[Event]) -> None:
    """It is a complete stream, in the order that the form promises."""
    assert [type(event) for event in events].count(Began) == 1
    assert isinstance(events[0], Began)
    assert [type(event) for event in events].count(Ended) == 1
    assert isinstance(events[-1], Ended)
    counts: dict[int, int] = {}
    open_parts: set[tuple[int, int]] = set()
    stopped: set[int] = set()
    for event in events:
        match event:
            case Opened(choice, number):
                assert choice not in stopped
                assert number == counts.get(choice, 0)
                counts[choice] = number + 1
                open_parts.add((choice, number))
            case Said(choice, number) | Sealed(choice, number):
                assert (choice, number) in open_parts
            case Closed(choice, number):
                open_parts.remove((choice, number))
            case Stopped(choice):
                assert not any(of == choice for of, _ in open_parts)
                assert choice not in stopped
                stopped.add(choice)
            case _:
                pass
    assert not open_parts
    assert counts.keys() <= stopped


def cut(data: bytes, random: Random) -> list[bytes]:
    """The bytes cut at random places."""
    cuts = sorted(random.choices(range(len(data) + 1), k=random.randint(0, 12)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _flow(index: int, choice: Choice, random: Random, interleaves: bool) -> list[Event]:
    flow: list[Event] = []
    calls: list[list[Event]] = []
    logprobs = choice.logprobs
    for number, part in enumerate(choice.parts):
        events = _part(index, number, part, random, logprobs)
        if isinstance(part, Text):
            logprobs = None  # they went with the first text
        if isinstance(part, Call) and interleaves:
            calls.append(events)
            continue
        flow += [*_grown(calls, random), *events]
        calls = []
    return [*flow, *_grown(calls, random), Stopped(index, choice.stop, choice.sequence)]


def _grown(calls: list[list[Event]], random: Random) -> list[Event]:
    """They open in their order."""
    if not calls:
        return []
    first, *others = calls
    opened = random.randint(1, len(first))
    return [*first[:opened], *_mixed([first[opened:], _grown(others, random)], random)]


def _part(index: int, number: int, part: Part, random: Random, logprobs: Any) -> list[Event]:
    bare = msgspec.structs.replace(part)
    text = ""
    if isinstance(bare, Call):
        text, bare.arguments = bare.arguments, ""
    elif isinstance(bare, Text | Refusal | Thinking):
        text, bare.text = bare.text, ""
    sealed: list[Event] = []
    if isinstance(bare, Text | Thinking) and bare.seal is not None and text:
        sealed, bare.seal = [Sealed(index, number, bare.seal)], None
    said: list[Event] = [Said(index, number, piece) for piece in pieces(text, random)]
    if isinstance(bare, Text) and logprobs is not None and said:
        _spread(logprobs, said, random)
    return [Opened(index, number, bare), *said, *sealed, Closed(index, number)]


def _spread(logprobs: dict[str, Any], said: list[Event], random: Random) -> None:
    """Each piece has some of the tokens, with what is `null` where there is none."""
    left = list(logprobs["content"])
    for place, event in enumerate(said):
        assert isinstance(event, Said)
        count = len(left) if place == len(said) - 1 else random.randint(0, len(left))
        event.logprobs = {"content": left[:count], "refusal": None}
        left = left[count:]


def _mixed(flows: list[list[Event]], random: Random) -> list[Event]:
    """All of them at once, each in its own order."""
    turns = [place for place, flow in enumerate(flows) for _ in flow]
    random.shuffle(turns)
    left = [iter(flow) for flow in flows]
    return [next(left[place]) for place in turns]
