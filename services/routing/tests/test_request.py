"""What a body must look like: the first mistake is named with its field, its value and what is allowed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive_routing.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, GENERATE, MESSAGES, RESPONSES, Endpoint
from hive_routing.request import Request
from hive_runtime.errors import HiveError, Kind

HI = [{"role": "user", "content": "hi"}]


def checked(endpoint: Endpoint, body: dict[str, Any] | bytes) -> Request:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    request = Request.parse(endpoint, raw)
    request.check()
    return request


def refusal(endpoint: Endpoint, body: dict[str, Any] | bytes) -> HiveError:
    with pytest.raises(HiveError) as raised:
        checked(endpoint, body)
    assert raised.value.kind is Kind.INVALID
    return raised.value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"model": "m",}',
        b'{"model": "\xff"}',
        b'{"a": "\xc3("}',
        b'{"model": NaN}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"model=gpt-4o",
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    assert refusal(CHAT, body).message.startswith("The body ")


@pytest.mark.parametrize("model", [None, "", 5, ["gpt-4o"], {}])
def test_a_model_is_a_name(model: Any) -> None:
    assert refusal(CHAT, {"model": model, "messages": HI}).param == "model"


def test_a_missing_model_is_named() -> None:
    assert refusal(CHAT, {"messages": HI}).param == "model"


def test_of_two_members_with_one_name_the_last_counts() -> None:
    assert checked(CHAT, b'{"model":"a","messages":[{}],"model":"b"}').model == "b"


CHAT_MISTAKES: list[tuple[str, Any]] = [
    ("messages", None),
    ("messages", []),
    ("messages", "hi"),
    ("messages", {}),
    ("messages", ["hi"]),
    ("temperature", 2.1),
    ("temperature", -0.1),
    ("temperature", "0.5"),
    ("temperature", True),
    ("top_p", 1.01),
    ("n", 0),
    ("n", 129),
    ("n", 1.5),
    ("max_tokens", 0),
    ("max_tokens", -1),
    ("max_completion_tokens", 0),
    ("stream", "true"),
    ("stream", 1),
    ("stop", ["a", "b", "c", "d", "e"]),
    ("stop", [1]),
    ("presence_penalty", 2.5),
    ("frequency_penalty", -2.5),
    ("logit_bias", {"5": 101}),
    ("logit_bias", [1]),
    ("logprobs", 1),
    ("seed", 1.5),
    ("tools", [{}] * 129),
    ("tools", {}),
    ("tool_choice", 1),
    ("response_format", "json"),
    ("metadata", {str(number): "x" for number in range(17)}),
    ("metadata", {"k" * 65: "x"}),
    ("metadata", {"k": "x" * 513}),
    ("metadata", {"k": 1}),
    ("user", 5),
    ("modalities", "text"),
]


@pytest.mark.parametrize(("name", "value"), CHAT_MISTAKES)
def test_wrong_chat_fields_are_named(name: str, value: Any) -> None:
    error = refusal(CHAT, {"model": "m", "messages": HI} | {name: value})
    assert error.param == name
    assert f"`{name}`" in error.message


def test_the_words_hold_the_value_and_the_range() -> None:
    error = refusal(CHAT, {"model": "m", "messages": HI, "temperature": 3.25})
    assert error.message == "`temperature` must be a number from 0 to 2; got 3.25."


def test_a_long_wrong_value_is_shortened() -> None:
    error = refusal(CHAT, {"model": "m", "messages": HI, "seed": "ü" * 5000})
    assert len(error.message) < 200


@pytest.mark.parametrize("name", sorted(set(CHAT.fields) - {"messages"}))
def test_null_is_absence(name: str) -> None:
    request = checked(CHAT, {"model": "m", "messages": HI, name: None})
    assert request.values[name] is None


def test_fields_that_need_each_other() -> None:
    body = {"model": "m", "messages": HI}
    assert refusal(CHAT, body | {"stream_options": {}}).param == "stream_options"
    assert refusal(CHAT, body | {"top_logprobs": 2}).param == "top_logprobs"
    assert refusal(CHAT, body | {"top_logprobs": 2, "logprobs": False}).param == "top_logprobs"
    wrong = body | {"stream": True, "stream_options": {"include_usage": 1}}
    assert refusal(CHAT, wrong).param == "stream_options.include_usage"
    request = checked(CHAT, body | {"top_logprobs": 2, "logprobs": True})
    assert (request.values["top_logprobs"], request.values["logprobs"]) == (2, True)


@pytest.mark.parametrize("options", [None, {}, {"include_usage": None}, {"include_usage": False}])
def test_usage_in_a_stream_is_asked_for_or_not(options: Any) -> None:
    body = {"model": "m", "messages": HI, "stream": True, "stream_options": options}
    assert not checked(CHAT, body).usage_asked
    assert checked(CHAT, body | {"stream_options": {"include_usage": True}}).usage_asked


def test_unknown_fields_are_nobodys_mistake() -> None:
    body = b'{"model": "m", "messages": [{}], "top_k": "m\\u0061ny", "x": [{"y" : 1e400}], "n": 2}'
    request = checked(CHAT, body)
    assert bytes(request.fields["top_k"]) == b'"m\\u0061ny"'
    assert bytes(request.fields["x"]) == b'[{"y" : 1e400}]'
    assert request.values == {"messages": True, "n": 2}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": ["a", ["b"]]}, "prompt"),
        ({"prompt": "a", "logprobs": 6}, "logprobs"),
        ({"prompt": "a", "best_of": 21}, "best_of"),
        ({"prompt": "a", "best_of": 1, "n": 2}, "best_of"),
        ({"prompt": "a", "best_of": 2, "stream": True}, "best_of"),
        ({"prompt": "a", "stream_options": {"include_usage": True}}, "stream_options"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "a", "suffix": 1}, "suffix"),
    ],
)
def test_wrong_completions_are_named(fields: dict[str, Any], param: str) -> None:
    assert refusal(COMPLETIONS, {"model": "m"} | fields).param == param


@pytest.mark.parametrize(
    ("fields", "choices"),
    [
        ({"prompt": "a"}, 1),
        ({"prompt": None}, 1),
        ({"prompt": ""}, 1),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": ["a", "b"], "n": 2}, 4),
        ({"prompt": [[1], [2], [3]]}, 3),
        ({"prompt": "a", "best_of": 2, "n": 2, "max_tokens": 0}, 2),
    ],
)
def test_a_completion_knows_how_many_choices_it_will_have(fields: dict[str, Any], choices: int) -> None:
    assert checked(COMPLETIONS, {"model": "m"} | fields).choices == choices


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        [],
        [""],
        ["a", ""],
        [[]],
        [[1], []],
        ["a", 1],
        [1, [2]],
        ["x"] * 2049,
        {"a": 1},
        5,
        [1.5],
        [None],
    ],
)
def test_wrong_inputs_are_refused(given: Any) -> None:
    assert refusal(EMBEDDINGS, {"model": "m", "input": given}).param == "input"


@pytest.mark.parametrize("given", ["a", ["a"], ["x"] * 2048, [1, 2], [0], [[1, 2], [3]]])
def test_right_inputs_pass(given: Any) -> None:
    body = {"model": "m", "input": given, "encoding_format": "base64", "dimensions": 256}
    request = checked(EMBEDDINGS, body)
    assert bytes(request.fields["input"]) == msgspec.json.encode(given)
    assert (request.values["encoding_format"], request.values["dimensions"]) == ("base64", 256)


@pytest.mark.parametrize(("name", "value"), [("dimensions", 0), ("encoding_format", "hex"), ("user", 1)])
def test_wrong_embedding_fields_are_named(name: str, value: Any) -> None:
    assert refusal(EMBEDDINGS, {"model": "m", "input": "a", name: value}).param == name


@pytest.mark.parametrize("twin", ["Model", "STREAM", "Max_Tokens", "ſtream"])
def test_a_twin_of_a_field_in_another_spelling_is_refused(twin: str) -> None:
    body = msgspec.json.encode({"model": "a", "messages": [{}], twin: "b"})
    with pytest.raises(HiveError) as caught:
        Request.parse(CHAT, body)
    assert caught.value.param == twin


@pytest.mark.parametrize(
    ("endpoint", "twin"),
    [
        (MESSAGES, "System"),
        (MESSAGES, "Thinking"),
        (RESPONSES, "Instructions"),
        (RESPONSES, "Max_Output_Tokens"),
        (GENERATE, "GenerationConfig"),
        (GENERATE, "generationconfig"),
        (GENERATE, "System_Instruction"),
    ],
)
def test_twins_are_refused_in_every_dialect(endpoint: Endpoint, twin: str) -> None:
    with pytest.raises(HiveError) as caught:
        Request.parse(endpoint, msgspec.json.encode({"model": "a", twin: 1}))
    assert caught.value.param == twin


@pytest.mark.parametrize("name", ["generationConfig", "generation_config", "systemInstruction"])
def test_both_spellings_of_googles_are_right(name: str) -> None:
    Request.parse(GENERATE, msgspec.json.encode({"model": "a", name: {}}))


def test_names_that_nothing_here_depends_on_may_be_spelled_at_will() -> None:
    Request.parse(CHAT, b'{"model": "a", "X-Custom": 1, "Foo": 2}')


@pytest.mark.parametrize(
    "messages",
    [b'[{"role":"user","content":"hi"},7]', b'[{"x":1e400}]', b" [ {} ]"],
)
def test_what_messages_hold_is_the_providers_to_check(messages: bytes) -> None:
    request = checked(CHAT, b'{"model":"m","temperature":1,"max_tokens":7,"messages":' + messages + b"}")
    assert (request.values["temperature"], request.output_bound) == (1.0, 7)
    assert bytes(request.fields["messages"]) == messages.strip()


def test_of_two_members_with_one_name_the_first_may_be_wrong() -> None:
    request = checked(CHAT, b'{"model":"m","n":"x","messages":7,"messages":[{"content":"a"}],"n":2}')
    assert (request.choices, request.messages) == (2, [{"content": "a"}])


def test_messages_are_plain_values_as_they_are_now() -> None:
    request = checked(CHAT, {"model": "m", "messages": HI})
    said = request.fields
    request.replace({"messages": msgspec.Raw(b'[{"content":"*"}]')})
    assert request.messages == [{"content": "*"}]
    assert bytes(said["messages"]) == msgspec.json.encode(HI)
    request.let_go()
    assert request.messages == [{"content": "*"}]


def test_messages_that_nobody_can_read_are_none() -> None:
    assert checked(CHAT, b'{"model":"m","messages":[{"content":1e400}]}').messages is None


def test_only_chats_have_messages() -> None:
    body = {"model": "m", "messages": HI, "max_tokens": 1, "input": "a"}
    assert checked(MESSAGES, body).messages is None
    assert checked(EMBEDDINGS, body).messages is None


@pytest.mark.parametrize(
    ("content", "is_large"),
    [
        ("data:image/png;base64," + "A" * 300_000, False),
        ("word " * 20_000, False),
        ([[]] * 30_000, True),
        ([{}] * 30_000, True),
        (list(range(30_000)), True),
        ([{"type": "text", "text": "a"}] * 10_000, True),
    ],
)
def test_what_holds_many_values_is_large(content: Any, is_large: bool) -> None:
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": content}]})
    assert Request.parse(CHAT, body).is_large is is_large
