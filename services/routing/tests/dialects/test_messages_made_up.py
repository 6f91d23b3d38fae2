"""Made-up conversations of every dialect, written in Anthropic's messages: they fit its SDK, or are refused."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from random import Random

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hive_routing.dialects.form import Opaque, Prompt, Untranslatable, gather
from hive_routing.dialects.messages import dialect
from hive_testing.simulator.messages import types
from services.routing.tests.dialects.conversations import Can, answers, events_of, prompts
from services.routing.tests.dialects.messages_wire import events, frames, written

ASKED = Prompt("messages", "bee", stream=True)
EVENT: TypeAdapter[object] = TypeAdapter(RawMessageStreamEvent)

few = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.fixture(scope="module", params=["chat", "messages", "responses", "gemini", "converse"])
def can(request: pytest.FixtureRequest) -> Can:
    module = f"services.routing.tests.dialects.can_{request.param}"
    if find_spec(module) is None:
        pytest.skip(f"there is no `{request.param}`")
    abilities: Can = import_module(module).CAN
    return abilities


@few
@given(data=st.data())
def test_a_prompt_fits_or_is_refused(can: Can, data: st.DataObject) -> None:
    prompt = data.draw(prompts(can))
    if can.name == "messages":
        prompt.rest = {}
    try:
        body = written(prompt)
    except Untranslatable:
        return
    types.check(body)


@few
@given(data=st.data(), random=st.randoms(use_true_random=False))
def test_an_answer_is_the_same_whole_and_in_pieces(can: Can, data: st.DataObject, random: Random) -> None:
    answer = data.draw(answers(can))
    for choice in answer.choices:  # a value that is made up is no block
        choice.parts = [
            part for part in choice.parts if can.name == "messages" or not isinstance(part, Opaque)
        ]
    whole = dialect.write_answer(answer, ASKED)
    Message.model_validate_json(whole)
    writer = dialect.writer(ASKED)
    said = events_of(answer, random, interleaves=can.interleaves)
    stream = b"".join([*(writer.write(event) for event in said), writer.finish(answer.usage)])
    for frame in frames([stream]):
        EVENT.validate_python(msgspec.json.decode(frame.data))
    read = gather(events(stream))
    expected = dialect.read_answer(whole)
    assert (read.choices, read.usage) == (expected.choices, expected.usage)
