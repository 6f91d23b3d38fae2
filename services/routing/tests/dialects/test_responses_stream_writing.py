"""Streams of OpenAI's responses for a client: the one order of events, and what the SDK makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from openai.lib.streaming.responses import ResponseStreamManager
from openai.types.responses import ParsedResponse
from pydantic import BaseModel

from hive_routing.dialects.form import (
    Began,
    Call,
    Closed,
    Event,
    Failed,
    Media,
    Opaque,
    Opened,
    Refusal,
    Said,
    Seal,
    Sealed,
    Spent,
    Stop,
    Stopped,
    Text,
    Thinking,
)
from hive_routing.dialects.responses.stream_writing import error_event
from hive_routing.dialects.seals import packed, sealed_id
from hive_routing.usage import Usage
from services.routing.tests.dialects.responses_wire import (
    NOW,
    check_event,
    checked,
    counted,
    heard,
    read,
    sse,
    stream_of,
    told,
    whole,
)

SIGNATURE = Seal("messages", "signature", "EqQB")
GEMINI = Seal("gemini", "signature", "c2VhbA==")
USAGE = Usage(9, 3, {"prompt": 9, "completion": 3})
TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
ALL = whole(
    [
        Opened(0, 0, Thinking(id="rs_p")),
        Said(0, 0, "hm"),
        Sealed(0, 0, SIGNATURE),
        Closed(0, 0),
    ],
    told(Thinking(is_summary=True), "I ", "think", number=1),
    told(Text(), "Let me ", "look.", number=2),
    told(Text(), "Now.", number=3),
    told(Call("call_1", "f"), '{"a"', ":1}", number=4),
    told(Refusal(), "No.", number=5),
    stop=Stop.TOOLS,
)


def names(stream: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in checked(stream)]


def events(said: Sequence[Event], kind: str, **told: Any) -> list[dict[str, Any]]:
    found = checked(stream_of(said, **told))
    return [event for event in found if event["type"] == f"response.{kind}"]


def test_the_order_of_events() -> None:
    assert names(stream_of(ALL)) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_a_text_in_full() -> None:
    found = checked(stream_of(whole(told(Text(), "Hi", "."))))
    item = {"type": "message", "id": "msg_2", "role": "assistant"}
    where = {"item_id": "msg_2", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "annotations": [], "logprobs": []}
    done = item | {"status": "completed", "content": [part | {"text": "Hi."}]}
    assert [
        {k: v for k, v in event.items() if k not in ("sequence_number", "response")} for event in found
    ] == [
        {"type": "response.created"},
        {"type": "response.in_progress"},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": item | {"status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **where, "part": part | {"text": ""}},
        {"type": "response.output_text.delta", **where, "delta": "Hi", "logprobs": []},
        {"type": "response.output_text.delta", **where, "delta": ".", "logprobs": []},
        {"type": "response.output_text.done", **where, "text": "Hi.", "logprobs": []},
        {"type": "response.content_part.done", **where, "part": part | {"text": "Hi."}},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed"},
    ]
    begun, ended = found[0]["response"], found[-1]["response"]
    assert (begun["id"], begun["status"], begun["output"], begun["usage"]) == (
        "resp_1",
        "in_progress",
        [],
        None,
    )
    assert (begun["created_at"], begun["completed_at"], begun["model"]) == (NOW, None, "bee-2")
    assert (ended["id"], ended["status"], ended["output"]) == ("resp_1", "completed", [done])
    assert (ended["created_at"], ended["completed_at"], ended["model"]) == (NOW, NOW + 2, "bee-2")
    assert begun.keys() == ended.keys()


def test_the_seal_of_a_thought_is_told_with_its_item() -> None:
    done = [event["item"] for event in events(ALL, "output_item.done")]
    assert done[0] == {
        "type": "reasoning",
        "id": "rs_p",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
        "encrypted_content": packed(SIGNATURE, "responses"),
    }
    assert done[1]["summary"] == [{"type": "summary_text", "text": "I think"}]


def test_what_another_provider_thought_is_told_as_a_summary() -> None:
    thought: list[Event] = [Opened(0, 0, Thinking()), Said(0, 0, "hm"), Sealed(0, 0, SIGNATURE), Closed(0, 0)]
    [item] = [event["item"] for event in events(whole(thought), "output_item.done")]
    assert (item["summary"], "content" in item) == ([{"type": "summary_text", "text": "hm"}], False)
    assert item["encrypted_content"] == packed(SIGNATURE, "responses")


def test_a_thought_that_is_nothing_but_sealed() -> None:
    stream = stream_of(whole(told(Thinking(seal=SIGNATURE))))
    assert names(stream)[2:-1] == ["output_item.added", "output_item.done"]
    assert checked(stream)[3]["item"]["encrypted_content"] == packed(SIGNATURE, "responses")


@pytest.mark.parametrize(
    "said",
    [
        [Opened(0, 0, Call("call_1", "f", seal=GEMINI)), Said(0, 0, "{}"), Closed(0, 0)],
        [Opened(0, 0, Call("call_1", "f")), Sealed(0, 0, GEMINI), Said(0, 0, "{}"), Closed(0, 0)],
        [Opened(0, 0, Call("call_1", "f")), Sealed(0, 0, GEMINI), Closed(0, 0)],
    ],
)
def test_the_seal_of_a_call_travels_in_its_id(said: list[Event]) -> None:
    found = checked(stream_of(whole(said)))
    ids = {event["item"]["call_id"] for event in found if "item" in event}
    assert ids == {sealed_id("call_1", GEMINI)}
    assert found[-1]["response"]["output"][0]["call_id"] == sealed_id("call_1", GEMINI)


def test_a_seal_that_comes_too_late_changes_no_id() -> None:
    said: list[Event] = [
        Opened(0, 0, Call("call_1", "f")),
        Said(0, 0, "{"),
        Sealed(0, 0, GEMINI),
        Said(0, 0, "}"),
        Closed(0, 0),
    ]
    assert {event["item"]["call_id"] for event in events(whole(said), "output_item.done")} == {"call_1"}


def test_items_that_grow_at_once_are_told_apart() -> None:
    said: list[Event] = [
        Opened(0, 0, Call("call_1", "f")),
        Opened(0, 1, Call("call_2", "g")),
        Said(0, 1, "{"),
        Opened(0, 2, Text()),
        Said(0, 0, "{}"),
        Said(0, 2, "Hi"),
        Closed(0, 0),
        Said(0, 1, "}"),
        Closed(0, 2),
        Closed(0, 1),
    ]
    found = checked(stream_of(whole(said)))
    deltas = [(event["output_index"], event["delta"]) for event in found if "delta" in event]
    assert deltas == [(1, "{"), (0, "{}"), (2, "Hi"), (1, "}")]
    output = found[-1]["response"]["output"]
    assert [item.get("arguments") for item in output] == ["{}", "{}", None]
    assert final(stream_of(whole(said))).output_text == "Hi"


def test_images_and_items_of_openai_come_whole() -> None:
    item = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    said = whole(
        told(Opaque("responses", "web_search_call", item)),
        told(Media("image", "image/png", "aGl2ZQ=="), number=1),
        told(Opaque("messages", "server_tool_use", {}), number=2),
    )
    stream = stream_of(said)
    assert names(stream)[2:-1] == ["output_item.added", "output_item.done"] * 2
    output = checked(stream)[-1]["response"]["output"]
    assert output[0] == item
    assert output[1]["result"] == "aGl2ZQ=="
    assert len(output) == 2


def test_logprobs() -> None:
    said: list[Event] = [
        Opened(0, 0, Text()),
        Said(0, 0, "Hi", {"content": [TOKEN], "refusal": None}),
        Said(0, 0, "."),
        Closed(0, 0),
    ]
    found = checked(stream_of(whole(said)))
    assert [event["logprobs"] for event in found if "logprobs" in event] == [[TOKEN], [], [TOKEN]]
    assert found[-1]["response"]["output"][0]["content"][0]["logprobs"] == [TOKEN]


def test_usage_is_what_was_given_last() -> None:
    other = Usage(1, 1, {"prompt": 1, "completion": 1})
    writer = counted().writer(read())
    for event in [*whole(told(Text(), "Hi")), Spent(other)]:
        writer.write(event)
    assert checked_last(writer.finish(None))["usage"]["total_tokens"] == 2
    assert checked_last(writer.finish(USAGE))["usage"]["total_tokens"] == 12


def checked_last(stream: bytes) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.json.decode(stream.split(b"data: ")[1])
    check_event(value)
    found: dict[str, Any] = value["response"]
    return found


@pytest.mark.parametrize(
    ("stop", "reason"),
    [(Stop.LENGTH, "max_output_tokens"), (Stop.FILTERED, "content_filter")],
)
def test_an_answer_that_is_not_complete(stop: Stop, reason: str) -> None:
    found = checked(stream_of(whole(told(Text(), "Hi"), stop=stop)))
    assert found[-2]["item"]["status"] == "incomplete"
    assert found[-1]["type"] == "response.incomplete"
    assert found[-1]["response"]["status"] == "incomplete"
    assert found[-1]["response"]["incomplete_details"] == {"reason": reason}
    assert found[-1]["response"]["completed_at"] is None


def test_a_stream_that_failed_tells_what_came() -> None:
    said = [Began("", "bee-2", NOW), *told(Text(), "Hi"), Failed({"code": "bee_stung", "message": "Ouch."})]
    found = checked(stream_of(said))
    assert found[-1]["type"] == "response.failed"
    assert found[-1]["response"]["error"] == {"code": "server_error", "message": "Ouch."}
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "Hi"


def test_a_stream_without_anything_is_one() -> None:
    assert names(stream_of([])) == ["created", "in_progress", "completed"]


def test_an_error_is_an_event_too() -> None:
    stream = error_event(7, "server_error", "Ouch.")
    value = msgspec.json.decode(stream.removeprefix(b"event: error\ndata: "))
    check_event(value)
    assert value == {
        "type": "error",
        "code": "server_error",
        "message": "Ouch.",
        "param": None,
        "sequence_number": 7,
    }


def test_a_response_can_have_been_named_before() -> None:
    extra = {"background": True, "previous_response_id": "resp_0", "conversation": {"id": "conv_1"}}
    found = checked(stream_of(whole(told(Text(), "Hi")), id="resp_9", extra=extra))
    for event in (found[0], found[1], found[-1]):
        assert event["response"]["id"] == "resp_9"
        assert {name: event["response"][name] for name in extra} == extra


# ---- what the SDK makes of it


class City(BaseModel):
    name: str


def client(data: bytes) -> openai.OpenAI:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data)

    http = openai.DefaultHttpxClient(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="sk-x", base_url="http://hive.example", http_client=http, max_retries=0)


def streaming(data: bytes) -> ResponseStreamManager[City]:
    return client(data).responses.stream(model="bee", input="Hi", text_format=City)


def final(data: bytes) -> ParsedResponse[None]:
    with client(data).responses.stream(model="bee", input="Hi") as stream:
        found: ParsedResponse[None] = stream.get_final_response()
        return found


def test_the_sdk_puts_a_whole_answer_together() -> None:
    response = final(stream_of(ALL))
    assert response.output_text == "Let me look.Now."
    assert [item.type for item in response.output] == [
        "reasoning",
        "reasoning",
        "message",
        "function_call",
        "message",
    ]
    assert response.output[3].to_dict()["arguments"] == '{"a":1}'


def test_the_sdk_tells_snapshots() -> None:
    with client(stream_of(ALL)).responses.stream(model="bee", input="Hi") as stream:
        told = list(stream)
    assert told[0].type == "response.created"
    assert [event.snapshot for event in told if event.type == "response.output_text.delta"] == [
        "Let me ",
        "Let me look.",
        "Now.",
    ]
    assert [event.snapshot for event in told if event.type == "response.function_call_arguments.delta"] == [
        '{"a"',
        '{"a":1}',
    ]


def test_the_sdk_parses_what_has_a_form() -> None:
    with streaming(stream_of(whole(told(Text(), '{"name":', '"Rome"}')))) as stream:
        assert stream.get_final_response().output_parsed == City(name="Rome")


@pytest.mark.parametrize(
    ("said", "last"),
    [
        (whole(told(Text(), '{"name":"Rome"}'), stop=Stop.LENGTH), "response.incomplete"),
        ([*whole(), Failed("Ouch.")], "response.failed"),
    ],
)
def test_the_sdk_hears_of_an_end_that_is_none(said: list[Event], last: str) -> None:
    with streaming(stream_of(said)) as stream:
        assert [event.type for event in stream][-1] == last


# ---- going on with a stream of a provider


def native(*output: dict[str, Any]) -> list[dict[str, Any]]:
    """The beginning of a provider's stream: all items but the last are complete."""
    head = {"id": "resp_p", "object": "response", "created_at": NOW, "model": "gpt", "output": []}
    common = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "status": "in_progress"}
    found: list[dict[str, Any]] = [{"type": "response.created", "response": head | common}]
    for index, item in enumerate(output):
        where = {"item_id": item["id"], "output_index": index}
        added = {"type": "response.output_item.added", "output_index": index}
        if item["type"] == "function_call":
            found.append({**added, "item": item | {"arguments": ""}})
            delta = {"type": "response.function_call_arguments.delta", **where}
            found += [{**delta, "delta": piece} for piece in item["arguments"]]
        else:
            found.append({**added, "item": item | {"content": []}})
            where["content_index"] = 0
            empty = {"type": "output_text", "text": "", "annotations": []}
            found.append({"type": "response.content_part.added", **where, "part": empty})
            delta = {"type": "response.output_text.delta", **where, "logprobs": []}
            found += [{**delta, "delta": piece} for piece in item["content"][0]["text"]]
            if index < len(output) - 1:
                found.append({"type": "response.content_part.done", **where, "part": item["content"][0]})
        if index < len(output) - 1:
            found.append({"type": "response.output_item.done", "output_index": index, "item": item})
    return found


def spoken(id: str, text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": id, "status": "completed", "role": "assistant", "content": [part]}


CALLING = {
    "type": "function_call",
    "id": "fc_p",
    "call_id": "call_1",
    "name": "f",
    "arguments": '{"a',
    "status": "completed",
}


@pytest.mark.parametrize(
    ("output", "closing"),
    [
        (
            [spoken("msg_p", "Let me"), CALLING],
            ["function_call_arguments.done", "output_item.done", "incomplete"],
        ),
        (
            [spoken("msg_p", "Let"), spoken("msg_q", "me")],
            ["output_text.done", "content_part.done", "output_item.done", "incomplete"],
        ),
    ],
)
def test_the_end_of_a_cut_stream_fits_to_what_the_provider_said(
    output: list[dict[str, Any]], closing: list[str]
) -> None:
    events = native(*output)
    reader, writer = counted().reader(), counted().writer(read())
    said = heard(sse(*events), reader=reader)
    writer.go_on(reader, said)
    open_part = len(output) - 1
    written = [writer.write(event) for event in (Closed(0, open_part), Stopped(0, Stop.LENGTH))]
    end = b"".join([*written, writer.finish(USAGE)])
    found = checked(sse(*events) + end)
    assert [event["type"].removeprefix("response.") for event in found[len(events) :]] == closing
    last = found[-1]["response"]
    assert last["id"] == "resp_p"
    assert [item["id"] for item in last["output"]] == [item["id"] for item in output]
    with client(sse(*events) + end).responses.stream(model="bee", input="Hi") as stream:
        told = list(stream)
    assert told[-1].type == "response.incomplete"
    assert told[-1].response.output_text == "".join(
        item["content"][0]["text"] for item in output if item["type"] == "message"
    )
