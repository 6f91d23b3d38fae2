"""JSON of wrong types where Anthropic's messages and OpenAI's responses stand: refused in words, and never a crash.

And the words that guards see: whatever a body of any accepted shape says, they see it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hive_routing.dialects.form import Call, Media, Part, Prompt, Refusal, Result, Text, Thinking, Tool
from hive_routing.dialects.messages import dialect as messages
from hive_routing.dialects.port import Dialect, Frame
from hive_routing.dialects.responses import dialect as responses
from hive_runtime.errors import HiveError, Kind
from services.routing.tests.dialects.can_messages import CAN as CAN_MESSAGES
from services.routing.tests.dialects.can_responses import CAN as CAN_RESPONSES
from services.routing.tests.dialects.conversations import Can, prompts
from services.routing.tests.dialects.messages_streams import CANONICAL as MESSAGES_EVENTS
from services.routing.tests.dialects.messages_wire import fields
from services.routing.tests.dialects.responses_wire import CANONICAL as RESPONSES_EVENTS
from services.routing.tests.dialects.responses_wire import OUTPUT, response

DIALECTS = pytest.mark.parametrize("dialect", [messages, responses], ids=["messages", "responses"])
WRONG: list[Any] = [
    *(None, True, 0, -1, 2**70, 1.5, "", "x", {}, [], [[]], [5], ["x"], [None], {"a": {}}),
    *({"type": "text"}, {"type": []}, [{"type": {}}]),
]
many = settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))

TEXT = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "5m"}}
SOURCE = {"type": "base64", "media_type": "text/plain", "data": "aGl2ZQ=="}
INPUT_TEXT = {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"ttl": "30m"}}
INPUT_FILE = {"type": "input_file", "file_data": "data:text/plain;base64,aGl2ZQ==", "filename": "x"}
THOUGHT = {"summary": [{"text": "x"}], "content": [{"text": "y"}], "encrypted_content": "e"}
BODIES: dict[str, dict[str, Any]] = {
    "messages": {
        "model": "bee",
        "max_tokens": 9,
        "system": [TEXT],
        "messages": [
            {"role": "user", "content": [TEXT, {"type": "document", "source": SOURCE, "citations": {}}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "x", "signature": "s"},
                    {"type": "redacted_thinking", "data": "d"},
                    {"type": "server_tool_use", "id": "s", "name": "f", "input": {"a": "x"}},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {"a": ["x"]}, "caller": {}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": [TEXT], "is_error": True}],
            },
        ],
        "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
        "tools": [{"name": "f", "input_schema": {}, "description": "x", "input_examples": [{"a": "x"}]}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        "metadata": {"user_id": "x"},
        "stop_sequences": ["x"],
    },
    "responses": {
        "model": "bee",
        "instructions": "x",
        "input": [
            {"role": "user", "content": [INPUT_TEXT, INPUT_FILE]},
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]},
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}],
            },
            {"type": "reasoning", "id": "r", **THOUGHT},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "caller": {}},
            {"type": "function_call_output", "call_id": "c", "output": [INPUT_TEXT]},
            {"type": "image_generation_call", "result": "AA", "output_format": "png"},
            {"type": "mcp_call", "arguments": "{}", "error": {"content": [{"text": "x"}]}},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {}, "allowed_callers": ["direct"]}],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "f"}],
        },
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto", "context": "auto", "mode": "standard"},
        "include": ["reasoning.encrypted_content"],
        "metadata": {"a": "b"},
        "prompt": {"id": "x", "variables": {"a": {"type": "input_text", "text": "x"}}},
    },
}
STREAMS: dict[str, list[dict[str, Any]]] = {"messages": MESSAGES_EVENTS, "responses": RESPONSES_EVENTS}
ANSWERS: dict[str, dict[str, Any]] = {
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "bee",
        "content": BODIES["messages"]["messages"][1]["content"],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 1}},
    },
    "responses": response(output=OUTPUT),
}


def spoiled(data: st.DataObject, value: Any) -> Any:
    """The value with something wrong in one place of it."""
    whole = [deepcopy(value)]
    places = list(places_in(whole))
    holder, key = places[data.draw(st.integers(0, len(places) - 1))]
    holder[key] = deepcopy(data.draw(st.sampled_from(WRONG)))
    return whole[0]


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in members:
        yield value, key
        yield from places_in(inner)


@DIALECTS
@many
@given(data=st.data())
def test_a_body_is_read_or_refused(dialect: Dialect, data: st.DataObject) -> None:
    body = spoiled(data, spoiled(data, BODIES[dialect.name]))
    raw = fields(body) if isinstance(body, dict) else {}
    for document in dialect.prompt_texts(raw).values():
        assert all(isinstance(slot.text, str) for slot in document.slots)
    try:
        dialect.read_prompt(raw)
    except HiveError as error:
        assert error.kind is Kind.INVALID


@pytest.mark.parametrize(
    ("dialect", "members", "param"),
    [
        (messages, {"output_config": {"effort": []}}, None),
        (responses, {"input": [{"role": "user", "content": [{"type": []}]}]}, "input[0].content[0].type"),
    ],
)
def test_a_kind_that_is_no_text(dialect: Dialect, members: dict[str, Any], param: str | None) -> None:
    body = fields(BODIES[dialect.name] | members)
    if param is None:
        assert dialect.read_prompt(body).rest == members
        return
    with pytest.raises(HiveError) as refused:
        dialect.read_prompt(body)
    assert refused.value.kind is Kind.INVALID and param.startswith(str(refused.value.param))


@DIALECTS
@many
@given(data=st.data())
def test_an_answer_is_read_or_cannot_be(dialect: Dialect, data: st.DataObject) -> None:
    answer = spoiled(data, spoiled(data, ANSWERS[dialect.name]))
    assert all(isinstance(slot.text, str) for slot in dialect.answer_texts(answer))
    try:
        dialect.read_answer(msgspec.json.encode(answer))
    except (msgspec.DecodeError, ValueError):
        return


@DIALECTS
@many
@given(data=st.data())
def test_a_stream_is_read_or_cannot_be(dialect: Dialect, data: st.DataObject) -> None:
    reader = dialect.reader()
    events = list(STREAMS[dialect.name])
    for at in data.draw(st.lists(st.integers(0, len(events) - 1), min_size=1, max_size=2)):
        events[at] = spoiled(data, events[at])
    for event in events:
        name = str(event.get("type")) if isinstance(event, dict) else ""
        for place in dialect.event_texts(event):
            assert isinstance(place.place[place.key], str)
            hash(place.channel)
        try:
            reader.feed(Frame(name, msgspec.json.encode(event)))
        except (msgspec.DecodeError, ValueError):
            return


@DIALECTS
@pytest.mark.parametrize(
    "event",
    [
        {"index": [], "delta": {"type": "text_delta", "text": "x"}},
        {"type": "response.output_text.delta", "item_id": [], "content_index": {}, "delta": "x"},
        {"type": "response.output_item.done", "output_index": [], "item": {"content": [{"text": "x"}]}},
    ],
)
def test_a_text_of_a_stream_can_be_named(dialect: Dialect, event: dict[str, Any]) -> None:
    for place in dialect.event_texts(event):
        hash(place.channel)


@DIALECTS
def test_texts_are_found_however_deep_they_stand(dialect: Dialect) -> None:
    value: Any = "x"
    for _ in range(5000):
        value = {"content": [value]}
    block = {"type": "tool_result", **value}
    assert [slot.text for slot in dialect.answer_texts({"content": [block], "output": [block]})] == ["x"]


def said_in(prompt: Prompt) -> Iterator[str]:
    for tool in prompt.tools:
        if isinstance(tool, Tool) and tool.description:
            yield tool.description
    for turn in prompt.turns:
        for part in turn.parts:
            yield from said_by(part)


def said_by(part: Part) -> Iterator[str]:
    match part:
        case Text(text) | Refusal(text) | Thinking(text):
            yield text
        case Media(kind="document", mime=str(mime), data=str(data)) if mime.startswith("text/"):
            yield base64.b64decode(data + "==").decode(errors="replace")
        case Call(arguments=arguments):
            yield from strings(msgspec.json.decode(arguments or "{}"))
        case Result(parts=parts):
            for each in parts:
                yield from said_by(each)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(each)


def assert_seen(dialect: Dialect, body: dict[str, Any], prompt: Prompt) -> None:
    seen: set[str] = set()
    for document in dialect.prompt_texts(fields(body)).values():
        for slot in document.slots:
            seen |= set(slot.text.split())
            if slot.is_json:
                seen |= {
                    word for text in strings(msgspec.json.decode(slot.text or "{}")) for word in text.split()
                }
    said = {word for text in said_in(prompt) for word in text.split()}
    assert said <= seen, said - seen


@pytest.mark.parametrize("can", [CAN_MESSAGES, CAN_RESPONSES], ids=["messages", "responses"])
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_guards_see_all_that_a_made_up_prompt_says(can: Can, data: st.DataObject) -> None:
    dialect = messages if can is CAN_MESSAGES else responses
    body = dialect.write_prompt(data.draw(prompts(can)))
    assert_seen(dialect, body, dialect.read_prompt(fields(body)))


WORDS = st.sampled_from(["alpha", "bravo charlie", "delta"])
MEMBERS = st.dictionaries(st.sampled_from(["a", "type", "text"]), WORDS, max_size=2)
ENCODED = WORDS.map(lambda text: base64.b64encode(text.encode()).decode())
DOCUMENTS = st.fixed_dictionaries(
    {
        "type": st.just("document"),
        "source": st.fixed_dictionaries(
            {
                "type": st.just("base64"),
                "media_type": st.sampled_from(["text/plain", "text/csv"]),
                "data": ENCODED,
            }
        )
        | st.fixed_dictionaries({"type": st.just("text"), "data": WORDS}),
    }
)
BLOCK = st.fixed_dictionaries({"type": st.just("text"), "text": WORDS}) | DOCUMENTS
BLOCKS = (
    BLOCK
    | st.fixed_dictionaries(
        {"type": st.just("thinking"), "thinking": WORDS, "signature": st.sampled_from(["", "s"])}
    )
    | st.fixed_dictionaries(
        {
            "type": st.just("tool_use"),
            "id": st.just("t"),
            "name": st.just("f"),
            "input": MEMBERS,
        }
    )
    | st.fixed_dictionaries(
        {
            "type": st.just("tool_result"),
            "tool_use_id": st.just("t"),
            "content": WORDS | st.lists(BLOCK, max_size=2),
        }
    )
)
MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": WORDS | st.lists(BLOCKS, max_size=3),
    }
)
OWN_TOOL = st.fixed_dictionaries({"name": st.just("f"), "input_schema": st.just({}), "description": WORDS})


@many
@given(said=st.lists(MESSAGE, min_size=1, max_size=3), tools=st.lists(OWN_TOOL, max_size=2), system=WORDS)
def test_guards_see_all_of_messages(said: list[Any], tools: list[Any], system: str) -> None:
    body = {"max_tokens": 9, "messages": said, "tools": tools, "system": system}
    assert_seen(messages, body, messages.read_prompt(fields(body)))


PART = (
    st.fixed_dictionaries({"type": st.sampled_from(["input_text", "output_text", "text"]), "text": WORDS})
    | st.fixed_dictionaries({"type": st.just("refusal"), "refusal": WORDS})
    | st.fixed_dictionaries(
        {"type": st.just("input_file"), "file_data": ENCODED, "filename": st.just("a.txt")}
    )
    | st.fixed_dictionaries(
        {"type": st.just("input_file"), "file_data": ENCODED.map("data:text/html;base64,{}".format)}
    )
)
THOUGHTS = st.lists(st.fixed_dictionaries({"text": WORDS}), max_size=2)
ITEM = (
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "developer"]),
            "content": WORDS | st.lists(PART, max_size=3),
        }
    )
    | st.fixed_dictionaries({"type": st.just("reasoning"), "summary": THOUGHTS, "content": THOUGHTS})
    | st.fixed_dictionaries(
        {
            "type": st.just("function_call"),
            "call_id": st.just("c"),
            "name": st.just("f"),
            "arguments": MEMBERS.map(lambda value: msgspec.json.encode(value).decode()),
        }
    )
    | st.fixed_dictionaries(
        {
            "type": st.just("function_call_output"),
            "call_id": st.just("c"),
            "output": WORDS | st.lists(PART, max_size=2),
        }
    )
)
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
FUNCTION = st.fixed_dictionaries({"type": st.just("function"), "name": st.just("f"), "description": WORDS})


@many
@given(
    said=WORDS | st.lists(ITEM, max_size=3).map(lambda items: [CALL, *items]),
    tools=st.lists(FUNCTION, max_size=2),
)
def test_guards_see_all_of_responses(said: Any, tools: list[Any]) -> None:
    body = {"input": said, "tools": tools, "instructions": "echo"}
    assert_seen(responses, body, responses.read_prompt(fields(body)))
