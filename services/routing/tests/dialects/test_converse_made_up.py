"""Made-up conversations of several dialects, written in Converse: they fit Amazon's model of it, or are refused."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hive_routing.dialects.converse import dialect
from hive_routing.dialects.form import Call, Format, Prompt, Text, Untranslatable, gather
from services.routing.tests.dialects import can_chat, can_converse, can_messages
from services.routing.tests.dialects.conversations import (
    IMAGES,
    PDFS,
    SCHEMAS,
    Can,
    answers,
    events_of,
    prompts,
)
from services.routing.tests.dialects.converse_wire import checked, events, rewritten

PROMPT = Prompt("converse")
CANS = [can_chat.CAN, can_messages.CAN, can_converse.CAN]
TAME = [
    replace(
        can_chat.CAN,
        choices=False,
        samplings={"temperature": st.sampled_from([0.0, 1.0]), "top_k": st.just(5)},
        user_media=IMAGES | PDFS,
        opaque_tools=None,
        opaque_parts={},
        turn_names=False,
        verbosities=st.just("medium"),
        formats=st.just(Format()) | st.builds(lambda schema: Format("schema", "a", schema), SCHEMAS),
    ),
    replace(
        can_messages.CAN,
        user_media=IMAGES | PDFS,
        result_media=IMAGES | PDFS,
        opaque_tools=None,
        opaque_parts={},
        samplings={"top_p": st.just(0.5)},
    ),
]
"""What is hardly ever refused."""
MODELS = [
    "eu.anthropic.claude-sonnet-4-20250514-v1:0",
    "anthropic.claude-opus-4-7-v1",
    "us.amazon.nova-2-lite-v1:0",
    "openai.gpt-oss-120b-1:0",
    "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc",
]

few = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@few
@given(data=st.data(), can=st.sampled_from([*TAME, *CANS]), model=st.sampled_from(MODELS))
def test_a_prompt_fits_or_is_refused(data: st.DataObject, can: Can, model: str) -> None:
    prompt = data.draw(prompts(can))
    prompt.rest, prompt.model = {}, model
    if can.name == "converse":  # what is Amazon's to judge
        prompt.metadata = None
    try:
        checked(prompt)
    except Untranslatable:
        assert can.name != "converse"


@few
@given(
    data=st.data(),
    can=st.sampled_from(CANS),
    random=st.randoms(use_true_random=False),
)
def test_made_up_answers_are_the_same_whole_and_in_pieces(
    data: st.DataObject, can: Can, random: Random
) -> None:
    answer = data.draw(answers(can))
    for part in [part for choice in answer.choices for part in choice.parts]:
        if isinstance(part, Call | Text):
            part.seal = None
    whole = dialect.read_answer(dialect.write_answer(answer, PROMPT))
    pieces = gather(events(*rewritten(*events_of(answer, random, interleaves=True), usage=answer.usage)))
    assert pieces == whole
