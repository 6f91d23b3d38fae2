"""The closed list of changes to a body: nothing else in it differs from what the client sent."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_routing.endpoints import ACTED_ON, CHAT, COMPLETIONS
from hive_routing.request import Request
from hive_routing.splice import attach_documents, splice

MESSAGES = [{"role": "user", "content": "hi"}]
PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4 tiny").decode()

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
bodies = st.dictionaries(st.text(), values, max_size=8)


def spliced(body: bytes, model: str = "real", bound: str = "", endpoint: Any = CHAT) -> bytes:
    request = Request.parse(endpoint, body)
    request.check()
    attach_documents(request)
    return splice(request, model, bound)


@settings(deadline=None)
@given(bodies, st.booleans())
def test_only_the_model_differs(extra: dict[str, Any], indented: bool) -> None:
    known = {name: value for name, value in extra.items() if name.casefold() not in ACTED_ON}
    body = {"model": "asked", "messages": MESSAGES} | known | {"model": "asked"}
    sent = json.dumps(body, indent=2 if indented else None)
    assert json.loads(spliced(sent.encode())) == body | {"model": "real"}


def test_values_keep_their_bytes_and_members_their_order() -> None:
    sent = b'{ "z": 1.0,"messages" :[ {"role":"user","content":"\\u00e9\\/"} ], "model":"a","top_k": 1e2 , "a":1E400 }'
    assert spliced(sent) == (
        b'{"z":1.0,"messages":[ {"role":"user","content":"\\u00e9\\/"} ],"model":"real","top_k":1e2,"a":1E400}'
    )


def test_a_compact_body_for_a_model_of_the_same_name_goes_as_it_is() -> None:
    sent = '{"model":"real","messages":[{"role":"user","content":"Grüße"}],"temperature":0.70}'.encode()
    assert spliced(sent) == sent


def test_a_member_that_comes_twice_reaches_the_provider_once() -> None:
    sent = b'{"model":"dear","messages":[{}],"max_tokens":9,"max_tokens":1,"model":"cheap"}'
    assert spliced(sent) == b'{"model":"real","messages":[{}],"max_tokens":1}'


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, {"include_usage": True}),
        ({}, {"include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
        (
            {"include_usage": True, "include_obfuscation": False},
            {"include_usage": True, "include_obfuscation": False},
        ),
        ({"x": [1]}, {"x": [1], "include_usage": True}),
    ],
)
def test_usage_is_always_asked_of_a_stream(options: Any, expected: Any) -> None:
    body = {"model": "a", "messages": MESSAGES, "stream": True, "stream_options": options}
    for each in (
        body,
        {name: value for name, value in body.items() if options is not None or name != "stream_options"},
    ):
        assert json.loads(spliced(msgspec.json.encode(each)))["stream_options"] == expected


def test_a_plain_request_gets_no_stream_options() -> None:
    assert b"stream_options" not in spliced(msgspec.json.encode({"model": "a", "messages": MESSAGES}))


@pytest.mark.parametrize(
    ("used", "declared", "expected"),
    [
        ({"max_tokens": 5}, "", {"max_tokens": 5}),
        ({"max_tokens": 5}, "max_tokens", {"max_tokens": 5}),
        ({"max_tokens": 5}, "max_completion_tokens", {"max_completion_tokens": 5}),
        ({"max_completion_tokens": 5}, "max_tokens", {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, "", {"max_completion_tokens": 5}),
        ({}, "max_completion_tokens", {}),
        (
            {"max_tokens": 5, "max_completion_tokens": 6},
            "max_tokens",
            {"max_tokens": 5, "max_completion_tokens": 6},
        ),
    ],
)
def test_the_output_bound_has_the_name_that_the_provider_reads(
    used: dict[str, int], declared: str, expected: dict[str, int]
) -> None:
    body = {"model": "a"} | used | {"messages": MESSAGES}
    result = json.loads(spliced(msgspec.json.encode(body), bound=declared))
    assert result == {"model": "real"} | expected | {"messages": MESSAGES}
    assert list(result) == list({"model": "real"} | expected | {"messages": MESSAGES})


def test_text_completions_have_one_name_for_their_bound() -> None:
    sent = msgspec.json.encode({"model": "a", "prompt": "x", "max_tokens": 5})
    assert b'"max_tokens":5' in spliced(sent, bound="max_completion_tokens", endpoint=COMPLETIONS)


def user(*parts: Any) -> dict[str, Any]:
    return {
        "model": "a",
        "messages": [{"role": "system", "content": "/pdf"}, {"role": "user", "content": list(parts)}],
    }


def test_a_pdf_that_came_as_an_image_becomes_a_file() -> None:
    text = {"type": "text", "text": "Read this data:application/pdf;base64,AAAA"}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    document = {
        "type": "image_url",
        "image_url": {"url": PDF, "detail": "low"},
        "cache_control": {"type": "x"},
    }
    sent = user(text, picture, document, "stray", None)
    result = json.loads(spliced(msgspec.json.encode(sent)))
    file = {
        "type": "file",
        "file": {"filename": "document.pdf", "file_data": PDF},
        "cache_control": {"type": "x"},
    }
    assert result == user(text, picture, file, "stray", None) | {"model": "real"}


def test_slashes_may_be_escaped() -> None:
    sent = json.dumps(user({"type": "image_url", "image_url": {"url": PDF}})).replace("/", "\\/")
    file = json.loads(spliced(sent.encode()))["messages"][1]["content"][0]
    assert file == {"type": "file", "file": {"filename": "document.pdf", "file_data": PDF}}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": PDF},
        {"type": "image_url", "image_url": {"url": None, "x": "/pdf"}},
        {"type": "image_url", "image_url": {"url": "https://host/a/pdf"}},
        {"type": "file", "file": {"file_data": PDF}},
        {"type": "text", "text": PDF},
    ],
)
def test_other_parts_keep_their_bytes(part: dict[str, Any]) -> None:
    sent = json.dumps(user(part) | {"model": "real"}, separators=(",", ":")).encode()
    assert spliced(sent) == sent


@settings(deadline=None)
@given(st.lists(values, max_size=4))
def test_odd_messages_are_left_to_the_provider(odd: list[Any]) -> None:
    messages = [{"role": "user", "content": "/pdf"}, *odd]
    sent = json.dumps({"model": "a", "messages": messages}).encode()
    assert json.loads(spliced(sent))["messages"] == messages
