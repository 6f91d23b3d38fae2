"""Prompts that were said in other dialects, written for Converse: each body is one that Amazon's own model takes."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from hive_routing.dialects.form import (
    CacheMark,
    Call,
    Format,
    Media,
    Opaque,
    Part,
    Refusal,
    Result,
    Sampling,
    Seal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from services.routing.tests.dialects.converse_wire import (
    CLAUDE,
    FOREIGN,
    SIGNATURE,
    checked,
    other,
    refused,
    said,
)

LOOK_UP = Tool("look_up", "Looks it up.", {"type": "object", "properties": {"city": {"type": "string"}}})
SEND = Tool("send")
ASKED = Turn("assistant", [Call("call_1", "look_up", '{"city":"Rom"}')])
FOUND = Turn("tool", [Result("call_1", [Text("sunny")], "look_up")])
PNG = Media("image", "image/png", "aGl2ZQ==")


def test_a_conversation_with_tools() -> None:
    body = checked(
        other(
            Turn("system", [Text("Be brief.")]),
            said("What about Rom?", PNG),
            Turn("assistant", [Text("Let me see."), *ASKED.parts]),
            FOUND,
            said("And now?"),
            tools=[LOOK_UP, SEND],
            max_output=100,
            stop=["\n\n"],
            sampling=Sampling(temperature=0.5, top_p=0.9, top_k=40, seed=7),
            user="u-1",
        )
    )
    assert body == {
        "system": [{"text": "Be brief."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "What about Rom?"},
                    {"image": {"format": "png", "source": {"bytes": "aGl2ZQ=="}}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"text": "Let me see."},
                    {"toolUse": {"toolUseId": "call_1", "name": "look_up", "input": {"city": "Rom"}}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": "call_1", "content": [{"text": "sunny"}]}},
                    {"text": "And now?"},
                ],
            },
        ],
        "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 0.9, "stopSequences": ["\n\n"]},
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "look_up",
                        "description": "Looks it up.",
                        "inputSchema": {"json": LOOK_UP.schema},
                    }
                },
                {"toolSpec": {"name": "send", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
            ]
        },
        "additionalModelRequestFields": {"top_k": 40},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }


def test_system_turns_are_hoisted_in_their_order() -> None:
    body = checked(
        other(Turn("system", [Text("One.")]), said("Hi"), Turn("system", [Text("Two.")]), said("Ho"))
    )
    assert body["system"] == [{"text": "One."}, {"text": "Two."}]
    assert body["messages"] == [{"role": "user", "content": [{"text": "Hi"}, {"text": "Ho"}]}]


def test_text_of_spaces_is_left_out_beside_other_parts() -> None:
    body = checked(
        other(said("  ", "Hi"), Turn("assistant", [Text("\n"), *ASKED.parts]), FOUND, tools=[LOOK_UP])
    )
    assert [len(message["content"]) for message in body["messages"]] == [1, 1, 1]


@pytest.mark.parametrize(
    ("result", "block"),
    [
        (Result("c", [Text("Oh")], is_error=True), {"content": [{"text": "Oh"}], "status": "error"}),
        (Result("c", []), {"content": []}),
        (Result("c", [Text(" ")]), {"content": []}),
        (
            Result("c", [Text("See"), PNG, Media("document", "text/csv", "aGl2ZQ==")]),
            {
                "content": [
                    {"text": "See"},
                    {"image": {"format": "png", "source": {"bytes": "aGl2ZQ=="}}},
                    {"document": {"format": "csv", "name": "document-1", "source": {"bytes": "aGl2ZQ=="}}},
                ]
            },
        ),
    ],
)
def test_results_of_tools(result: Result, block: dict[str, Any]) -> None:
    body = checked(
        other(said("Hi"), Turn("assistant", [Call("c", "send")]), Turn("tool", [result]), tools=[SEND])
    )
    assert body["messages"][-1]["content"] == [{"toolResult": {"toolUseId": "c", **block}}]


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ([Text("Oh")], [{"text": "Error: Oh"}]),
        ([], [{"text": "Error:"}]),
        ([PNG], [{"text": "Error:"}, {"image": {"format": "png", "source": {"bytes": "aGl2ZQ=="}}}]),
    ],
)
def test_where_results_have_no_status_errors_are_told_in_words(
    parts: list[Text | Media | Opaque], content: list[Any]
) -> None:
    turns = [
        said("Hi"),
        Turn("assistant", [Call("c", "send")]),
        Turn("tool", [Result("c", parts, is_error=True)]),
    ]
    body = checked(other(*turns, tools=[SEND], model="meta.llama3-3-70b-instruct-v1:0"))
    assert body["messages"][-1]["content"] == [{"toolResult": {"toolUseId": "c", "content": content}}]


def test_ids_of_calls_get_a_form_that_is_taken() -> None:
    ids = ["toolu_01-a.b:c", "call|1", "x" * 65, "ü"]
    calls = Turn("assistant", [Call(id, "send") for id in ids])
    results = Turn("tool", [Result(id, [Text("ok")]) for id in ids])
    body = checked(other(said("Hi"), calls, results, tools=[SEND]))
    sent = [block["toolUse"]["toolUseId"] for block in body["messages"][1]["content"]]
    assert sent[0] == ids[0]
    assert len(set(sent)) == 4
    assert sent == [block["toolResult"]["toolUseId"] for block in body["messages"][2]["content"]]


@pytest.mark.parametrize(
    ("arguments", "input"),
    [
        ("", {}),
        ("{}", {}),
        ('{"a": [1.50, "é"]}', {"a": [1.5, "é"]}),
        ('{"a', {"INVALID_JSON": '{"a'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
    ],
)
def test_arguments_are_an_object(arguments: str, input: Any) -> None:
    body = checked(other(said("Hi"), Turn("assistant", [Call("c", "send", arguments)]), FOUND, tools=[SEND]))
    assert body["messages"][1]["content"][0]["toolUse"]["input"] == input


def test_thinking_is_sent_where_it_was_sealed_here() -> None:
    thoughts: list[Part] = [
        Thinking("mine", SIGNATURE),
        Thinking("", Seal("converse", "redacted", "c2VhbA==")),
        Thinking("theirs", FOREIGN),
        Thinking("nobody's"),
        Refusal("No."),
    ]
    body = checked(other(said("Hi"), Turn("assistant", thoughts), said("Why?")))
    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "mine", "signature": "EqQB"}}},
        {"reasoningContent": {"redactedContent": "c2VhbA=="}},
        {"text": "No."},
    ]


def test_a_turn_of_nothing_but_foreign_thinking_is_left_out() -> None:
    body = checked(other(said("Hi"), Turn("assistant", [Thinking("theirs", FOREIGN)]), said("Ho")))
    assert body["messages"] == [{"role": "user", "content": [{"text": "Hi"}, {"text": "Ho"}]}]


@pytest.mark.parametrize(
    ("media", "block"),
    [
        (
            Media("image", "image/jpg", "aGl2ZQ=="),
            {"image": {"format": "jpeg", "source": {"bytes": "aGl2ZQ=="}}},
        ),
        (
            Media("video", "video/3gpp", "aGl2ZQ=="),
            {"video": {"format": "three_gp", "source": {"bytes": "aGl2ZQ=="}}},
        ),
        (
            Media("audio", "audio/wav", "aGl2ZQ=="),
            {"audio": {"format": "wav", "source": {"bytes": "aGl2ZQ=="}}},
        ),
        (
            Media("image", "image/webp", url="s3://bees/a.webp", detail="high"),
            {"image": {"format": "webp", "source": {"s3Location": {"uri": "s3://bees/a.webp"}}}},
        ),
        (
            Media("document", "text/plain; charset=utf-8", "aGl2ZQ==", name="Notes (1)", context="Of June."),
            {
                "document": {
                    "format": "txt",
                    "source": {"bytes": "aGl2ZQ=="},
                    "name": "Notes (1)",
                    "context": "Of June.",
                }
            },
        ),
    ],
)
def test_media(media: Media, block: dict[str, Any]) -> None:
    assert checked(other(said("See", media)))["messages"][0]["content"][1] == block


def test_documents_get_neutral_names_where_theirs_are_not_taken() -> None:
    names = ["Report", "report.pdf", None, "Report", "a  b", "document-2", "x" * 201, "b\n"]
    documents = [Media("document", "application/pdf", "aGl2ZQ==", name=name) for name in names]
    body = checked(other(said("See", *documents)))
    sent = [block["document"]["name"] for block in body["messages"][0]["content"][1:]]
    assert sent[0] == "Report"
    assert sent[5] == "document-5"
    assert len(set(sent)) == len(names)
    assert all(re.fullmatch(r"Report|document-\d", name) for name in sent)


@pytest.mark.parametrize(
    ("model", "is_marked"),
    [
        (CLAUDE, True),
        ("amazon.nova-pro-v1:0", True),
        ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", True),
        ("mistral.mistral-large-2407-v1:0", False),
        ("openai.gpt-oss-120b-1:0", False),
    ],
)
def test_cache_marks_are_points_behind_what_they_mark(model: str, is_marked: bool) -> None:
    mark = CacheMark("1h")
    body = checked(
        other(
            Turn("system", [Text("Be brief.", mark)]),
            said(Text("Hi", CacheMark()), PNG),
            Turn("assistant", [Call("c", "send", "{}", mark)]),
            Turn("tool", [Result("c", [Text("ok")], cache=mark)]),
            tools=[Tool("send", cache=mark)],
            model=model,
        )
    )
    hour = [{"cachePoint": {"type": "default", "ttl": "1h"}}] if is_marked else []
    assert body["system"][1:] == hour
    assert body["messages"][0]["content"][1:-1] == (
        [{"cachePoint": {"type": "default"}}] if is_marked else []
    )
    assert body["messages"][1]["content"][1:] == hour
    assert body["messages"][2]["content"][1:] == hour
    assert body["toolConfig"]["tools"][1:] == hour


@pytest.mark.parametrize(
    ("choice", "tools", "said"),
    [
        (ToolChoice(), ["look_up", "send"], None),
        (ToolChoice("auto"), ["look_up", "send"], None),
        (ToolChoice("required"), ["look_up", "send"], {"any": {}}),
        (ToolChoice("named", ["send"]), ["look_up", "send"], {"tool": {"name": "send"}}),
        (ToolChoice("auto", ["send"]), ["send"], None),
        (ToolChoice("required", ["look_up"]), ["look_up"], {"any": {}}),
        (ToolChoice("auto", parallel=True), ["look_up", "send"], None),
    ],
)
def test_the_choice_of_a_tool(choice: ToolChoice, tools: list[str], said: Any) -> None:
    config = checked(other(tools=[LOOK_UP, SEND], choice=choice))["toolConfig"]
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == tools
    assert config.get("toolChoice") == said


def test_no_tool_is_to_be_called() -> None:
    assert "toolConfig" not in checked(other(tools=[LOOK_UP], choice=ToolChoice("none")))
    error = refused(other(said("Hi"), ASKED, FOUND, tools=[LOOK_UP], choice=ToolChoice("none")))
    assert error.param == "tool_choice"
    assert refused(other(said("Hi"), ASKED, FOUND)).param == "tools"


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (ToolChoice(parallel=False), {"type": "auto"}),
        (ToolChoice("required", parallel=False), {"type": "any"}),
        (ToolChoice("named", ["send"], parallel=False), {"type": "tool", "name": "send"}),
    ],
)
def test_one_call_at_a_time_is_said_in_the_words_of_claude(choice: ToolChoice, said: dict[str, Any]) -> None:
    body = checked(other(tools=[SEND], choice=choice))
    assert body["additionalModelRequestFields"] == {
        "tool_choice": {**said, "disable_parallel_tool_use": True}
    }
    assert "toolChoice" not in body["toolConfig"]
    nova = checked(other(tools=[SEND], choice=choice, model="amazon.nova-pro-v1:0"))
    assert "tool_choice" not in nova.get("additionalModelRequestFields", {})
    assert ("toolChoice" in nova["toolConfig"]) == (choice.mode in ("required", "named"))


def test_strict_schemas_are_closed() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {}}}}
    tools: list[Tool | Opaque] = [
        Tool("a", " ", schema, strict=True),
        Tool("b", None, {"properties": {}}, strict=False),
    ]
    form = Format("schema", "bees", schema, strict=True, description="Of bees.")
    body = checked(other(tools=tools, format=form))
    closed = {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {}, "additionalProperties": False}},
        "additionalProperties": False,
    }
    assert [tool["toolSpec"] for tool in body["toolConfig"]["tools"]] == [
        {"name": "a", "inputSchema": {"json": closed}, "strict": True},
        {"name": "b", "inputSchema": {"json": {"type": "object", "properties": {}}}},
    ]
    definition = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert msgspec.json.decode(definition.pop("schema")) == closed
    assert definition == {"name": "bees", "description": "Of bees."}


@pytest.mark.parametrize(
    ("metadata", "sent"),
    [
        ({"team": "bees & co"}, None),
        ({"team": "bees"}, {"team": "bees"}),
        ({str(number): "x" for number in range(17)}, None),
        ({"team": "x" * 257}, None),
        ({}, None),
    ],
)
def test_metadata_is_for_logs_where_it_fits(metadata: dict[str, str], sent: Any) -> None:
    assert checked(other(metadata=metadata)).get("requestMetadata") == sent


@pytest.mark.parametrize(
    ("tier", "sent"),
    [("flex", {"type": "flex"}), ("priority", {"type": "priority"}), ("auto", None), ("default", None)],
)
def test_tiers_that_are_more_than_the_default(tier: str, sent: Any) -> None:
    assert checked(other(tier=tier)).get("serviceTier") == sent


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (CLAUDE, {"top_k": 5}),
        ("us.amazon.nova-lite-v1:0", {"inferenceConfig": {"topK": 5}}),
        ("cohere.command-r-plus-v1:0", {"k": 5}),
        ("mistral.mistral-large-2407-v1:0", {"top_k": 5}),
    ],
)
def test_top_k_is_each_makers_own(model: str, fields: dict[str, Any]) -> None:
    body = checked(other(model=model, sampling=Sampling(top_k=5)))
    assert body["additionalModelRequestFields"] == fields


def test_what_is_as_good_as_not_said() -> None:
    sampling = Sampling(1.0, 1.0, presence_penalty=0.0, frequency_penalty=0.0, logprobs=False, logit_bias={})
    body = checked(
        other(sampling=sampling, verbosity="medium", rest={"store": True, "stream_options": {"x": 1}})
    )
    assert body == {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"choices": 2}, "n"),
        ({"sampling": Sampling(temperature=1.5)}, "temperature"),
        ({"sampling": Sampling(presence_penalty=0.5)}, "presence_penalty"),
        ({"sampling": Sampling(frequency_penalty=-1)}, "frequency_penalty"),
        ({"sampling": Sampling(logit_bias={"1": 2.0})}, "logit_bias"),
        ({"sampling": Sampling(logprobs=True)}, "logprobs"),
        ({"sampling": Sampling(top_logprobs=2)}, "top_logprobs"),
        ({"verbosity": "low"}, "verbosity"),
        ({"format": Format("json")}, "response_format"),
        ({"rest": {"modalities": ["audio"]}}, "modalities"),
        ({"tools": [LOOK_UP, Opaque("messages", "web_search_20250305", {})]}, "tools[1]"),
    ],
)
def test_what_cannot_be_said_is_refused(members: dict[str, Any], param: str) -> None:
    error = refused(other(**members))
    assert error.param == param
    assert "Amazon's Converse" in error.message


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (said(Media("image", url="https://hive.example/bee.png")), "An image at an address, not sent along,"),
        (said(Media("document", file_id="file-1", mime="application/pdf")), "that another provider keeps"),
        (said(Media("image", "image/tiff", "aGl2ZQ==")), "type `image/tiff`"),
        (said(Media("audio", None, "aGl2ZQ==")), "Sound of a type that is not said"),
        (said(Opaque("chat", "file_search", {})), "A part of type `file_search`"),
        (Turn("user", [Text("Hi")], "ann"), "The `name` of who speaks"),
        (Turn("system", [PNG]), "A system message with something else than text"),
        (Turn("tool", [Result("c", [Media("audio", "audio/wav", "aGl2ZQ==")])]), "Sound in the result"),
    ],
)
def test_parts_that_have_no_place_are_refused(turn: Turn, words: str) -> None:
    error = refused(other(turn, tools=[SEND]))
    assert error.param == "messages"
    assert words in error.message
