"""What the form says goes into a dialect and comes back the same: prompts, answers and streams, however they are cut.

A dialect takes part as soon as there are its package and, beside this file, a module `can_<name>` with its `CAN`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from hive_routing.dialects.form import Event, Prompt, gather
from hive_routing.dialects.port import Dialect, Frame
from hive_routing.providers.sse import EventSplitter, read_named
from services.routing.tests.dialects.conversations import (
    RANDOMS,
    Can,
    answers,
    assert_well_formed,
    cut,
    events_of,
    few,
    prompts,
)

NAMES = ("chat", "messages", "responses", "gemini", "converse", "interactions")


@pytest.fixture(scope="module", params=NAMES)
def spoken(request: pytest.FixtureRequest) -> tuple[Dialect, Can]:
    package = f"hive_routing.dialects.{request.param}"
    abilities = f"services.routing.tests.dialects.can_{request.param}"
    if find_spec(package) is None or find_spec(abilities) is None:
        pytest.skip(f"there is no dialect `{request.param}`")
    dialect: Dialect = import_module(package).dialect
    can: Can = import_module(abilities).CAN
    return dialect, can


@few
@given(data=st.data())
def test_prompts(spoken: tuple[Dialect, Can], data: st.DataObject) -> None:
    dialect, can = spoken
    prompt = data.draw(prompts(can))
    body = msgspec.json.encode(dialect.write_prompt(prompt))
    assert dialect.read_prompt(msgspec.json.decode(body, type=dict[str, Raw])) == prompt


@few
@given(data=st.data())
def test_answers(spoken: tuple[Dialect, Can], data: st.DataObject) -> None:
    dialect, can = for_clients(spoken)
    choices = data.draw(st.integers(1, 3)) if can.choices else 1
    answer = data.draw(answers(can, choices))
    body = dialect.write_answer(answer, asked(can, choices))
    assert dialect.read_answer(body) == answer


@few
@given(data=st.data(), random=RANDOMS)
def test_streams(spoken: tuple[Dialect, Can], data: st.DataObject, random: Random) -> None:
    dialect, can = for_clients(spoken)
    choices = data.draw(st.integers(1, 3)) if can.choices else 1
    answer = data.draw(answers(can, choices))
    events = events_of(answer, random, interleaves=can.interleaves)
    assert_well_formed(events)
    writer = dialect.writer(asked(can, choices))
    written = b"".join([*(writer.write(event) for event in events), writer.finish(answer.usage)])
    for arriving in ([written], cut(written, random), [written[at : at + 1] for at in range(len(written))]):
        back = read(dialect, arriving)
        assert_well_formed(back)
        assert gather(back) == gather(events)


def for_clients(spoken: tuple[Dialect, Can]) -> tuple[Dialect, Can]:
    if not spoken[1].is_for_clients:
        pytest.skip(f"no client speaks `{spoken[1].name}`")
    return spoken


def asked(can: Can, choices: int) -> Prompt:
    return Prompt(can.name, "bee", choices=choices, stream=can.says_stream, usage_asked=True)


def read(dialect: Dialect, arriving: Iterable[bytes]) -> list[Event]:
    """The events of a provider's stream."""
    reader = dialect.reader()
    events = [event for frame in frames(arriving) for event in reader.feed(frame)]
    return [*events, *reader.end()]


def frames(arriving: Iterable[bytes]) -> Iterator[Frame]:
    splitter = EventSplitter()
    for data in arriving:
        for event in splitter.feed(data):
            name, said = read_named(event)
            if said is not None:
                yield Frame(name, said)
    assert not splitter.rest()
