"""JSON that is none of Google's: refused as the caller's mistake, or unread, and never anything worse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from hive_routing.dialects.gemini import dialect as gemini
from hive_routing.dialects.interactions import dialect as interactions
from hive_routing.dialects.places import UNREADABLE
from hive_routing.dialects.port import Dialect, Frame
from hive_runtime.errors import HiveError, Kind
from services.routing.tests.dialects.google_words import fields_of

DIALECTS = pytest.mark.parametrize("dialect", [gemini, interactions], ids=lambda each: each.name)
few = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

TOP = (
    *(
        "contents",
        "systemInstruction",
        "system_instruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "model",
    ),
    *("input", "generation_config", "response_format", "stream", "labels", "serviceTier", "safetySettings"),
    *("candidates", "promptFeedback", "usageMetadata", "error", "event_type", "index", "step", "delta"),
    *("interaction", "steps", "outputs", "usage", "status", "response_mime_type", "response_modalities"),
)
NAMES = (
    *("type", "role", "parts", "text", "thought", "thoughtSignature", "functionCall", "functionResponse"),
    *("inlineData", "fileData", "mimeType", "mime_type", "data", "fileUri", "uri", "id", "call_id", "name"),
    *("args", "response", "arguments", "result", "content", "summary", "signature", "resolution", "index"),
    *(
        "functionDeclarations",
        "description",
        "parameters",
        "items",
        "properties",
        "enum",
        "nullable",
        "schema",
    ),
    *("maxOutputTokens", "max_output_tokens", "topK", "thinkingConfig", "thinkingBudget", "thinkingLevel"),
    *("responseFormat", "responseSchema", "responseMimeType", "responseModalities", "threshold", "mode"),
    *("tool_choice", "allowed_tools", "functionCallingConfig", "allowedFunctionNames", "finishReason"),
    *("finishMessage", "logprobsResult", "chosenCandidates", "toolCall", "status", "created", "steps"),
    *("thinking_level", "candidateCount", "stopSequences", "promptTokenCount", "total_input_tokens"),
)
STRINGS = (
    *(
        "",
        "text",
        "image",
        "user",
        "model",
        "object",
        "ARRAY",
        "function",
        "thought",
        "function_call",
        "AUTO",
    ),
    *("function_result", "user_input", "model_output", "google_search_result", "text/plain", "STOP", "5"),
    *("step.start", "step.delta", "step.stop", "interaction.created", "interaction.completed", "completed"),
    *(
        "thought_signature",
        "thought_summary",
        "arguments_delta",
        "application/json",
        "hive1.a.b.c",
        "aGl2ZTEu",
    ),
)
SCALARS = st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.sampled_from(STRINGS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(st.sampled_from(TOP), VALUES, max_size=4)


@contextmanager
def refused_at_most() -> Iterator[None]:
    try:
        yield
    except HiveError as error:
        assert error.kind is Kind.INVALID


@DIALECTS
@few
@given(body=BODIES, conversation=VALUES)
def test_bodies_of_requests(dialect: Dialect, body: dict[str, Any], conversation: Any) -> None:
    fields = fields_of({"contents": conversation, "input": conversation} | body)
    with refused_at_most():
        dialect.read_prompt(fields)
    for document in dialect.prompt_texts(fields).values():
        for slot in document.slots:
            slot.put(f"{slot.text}!")
        document.encoded()


@DIALECTS
@few
@given(value=VALUES | BODIES)
def test_answers_and_events(dialect: Dialect, value: Any) -> None:
    value = msgspec.json.decode(msgspec.json.encode(value))
    assert all(isinstance(slot.text, str) for slot in dialect.answer_texts(value))
    for place in dialect.event_texts(value):
        assert isinstance(place.place[place.key], str)
        hash(place.channel)
    with suppress(*UNREADABLE):
        dialect.read_answer(msgspec.json.encode(value))


STEPS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)
EVENTS = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(
            ["step.start", "step.delta", "step.stop", "interaction.completed", "error"]
        )
    },
    optional={
        "index": st.integers(0, 1),
        "step": STEPS,
        "delta": STEPS,
        "interaction": STEPS,
        "error": VALUES,
    },
)
CANDIDATES = st.lists(
    st.fixed_dictionaries(
        {"content": st.fixed_dictionaries({"parts": st.lists(STEPS, max_size=3)})},
        optional={"index": st.integers(-1, 2), "finishReason": st.sampled_from(STRINGS)},
    ),
    max_size=3,
)
FRAMES = (
    BODIES | EVENTS | st.fixed_dictionaries({"candidates": CANDIDATES}, optional={"usageMetadata": STEPS})
)


@DIALECTS
@few
@given(frames=st.lists(FRAMES, max_size=5))
def test_streams(dialect: Dialect, frames: list[Any]) -> None:
    reader = dialect.reader()
    with suppress(*UNREADABLE):
        for frame in frames:
            value = msgspec.json.decode(msgspec.json.encode(frame))
            for place in dialect.event_texts(value):
                hash(place.channel)
            reader.feed(Frame("", msgspec.json.encode(frame)))
        reader.end()


@pytest.mark.parametrize(
    "body",
    [
        {"input": {"type": []}},
        {"input": [{"type": {}, "content": "a"}]},
        {"input": "a", "response_format": {"type": "text", "mime_type": []}},
        {"input": "a", "response_format": {"type": []}},
    ],
)
def test_types_that_are_no_words(body: dict[str, Any]) -> None:
    with refused_at_most():
        interactions.read_prompt(fields_of(body))
    interactions.prompt_texts(fields_of(body))


@DIALECTS
@pytest.mark.parametrize("levels", [100, 200, 300, 450, 480, 490])
@pytest.mark.parametrize(
    ("before", "after"), [(b'{"role":"user","content":[', b"]}"), (b'{"items":{"items":', b"}}")]
)
def test_nesting_without_an_end(dialect: Dialect, levels: int, before: bytes, after: bytes) -> None:
    value = before * levels + b"1" + after * levels
    tools = b'[{"functionDeclarations":[{"name":"f","parameters":%b}]}]' % value
    for fields in (
        {"input": Raw(value), "contents": Raw(value)},
        {"input": Raw(b'"a"'), "contents": Raw(b'"a"'), "tools": Raw(tools)},
    ):
        with refused_at_most():
            dialect.read_prompt(fields)
        dialect.prompt_texts(fields)
