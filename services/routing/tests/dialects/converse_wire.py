"""Bodies, answers and streams of Converse, as tests write and read them, checked against Amazon's own model of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import botocore.session  # type: ignore[import-untyped]
import msgspec
import pytest
from botocore.validate import ParamValidator  # type: ignore[import-untyped]
from msgspec import Raw

from hive_routing.dialects.converse import dialect
from hive_routing.dialects.form import Event, Part, Prompt, Seal, Text, Turn, Untranslatable
from hive_routing.dialects.port import Frame
from hive_routing.usage import Usage

CLAUDE = "eu.anthropic.claude-sonnet-4-20250514-v1:0"
SIGNATURE = Seal("converse", "signature", "EqQB")
FOREIGN = Seal("gemini", "signature", "c2VhbA==")
USER = {"role": "user", "content": [{"text": "Hello"}]}
_DOCUMENT_NAME = re.compile(r"[a-zA-Z0-9()\[\]-]+(?:\s[a-zA-Z0-9()\[\]-]+)*")


@cache
def _operation(name: str) -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime").operation_model(name)


def problems(shape: Any, value: Any) -> list[str]:
    """What Amazon would find wrong: types and members, as its SDK looks at them; patterns, names and lengths."""
    report = ParamValidator().validate(value, shape)
    found = [report.generate_report()] if report.has_errors() else []
    return [*found, *_constraints(shape, value, shape.name)]


def _constraints(shape: Any, value: Any, path: str) -> Iterator[str]:
    rules = shape.metadata
    if shape.type_name == "structure" and isinstance(value, dict) and not rules.get("document"):
        if shape.is_tagged_union and len(value) != 1:
            yield f"{path} has {len(value)} members"
        if shape.name == "DocumentBlock" and not _DOCUMENT_NAME.fullmatch(value["name"]):
            yield f"{path} is named {value['name']!r}"
        for name, each in value.items():
            if name in shape.members:
                yield from _constraints(shape.members[name], each, f"{path}.{name}")
    elif shape.type_name == "list":
        yield from _size(rules, len(value), path)
        for place, each in enumerate(value):
            yield from _constraints(shape.member, each, f"{path}[{place}]")
    elif shape.type_name == "map":
        yield from _size(rules, len(value), path)
        for name, each in value.items():
            yield from _constraints(shape.key, name, f"{path} key")
            yield from _constraints(shape.value, each, f"{path}.{name}")
    elif shape.type_name == "string":
        yield from _size(rules, len(value), path)
        if shape.enum and value not in shape.enum:
            yield f"{path} is {value!r}, none of {shape.enum}"
        if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
            yield f"{path} is {value!r}, not {rules['pattern']}"


def _size(rules: Any, size: int, path: str) -> Iterator[str]:
    if not rules.get("min", 0) <= size <= rules.get("max", size):
        yield f"{path} has the size {size}"


def check_body(body: dict[str, Any]) -> None:
    assert problems(_operation("Converse").input_shape, body | {"modelId": CLAUDE}) == []
    sides = [message["role"] for message in body["messages"]]
    assert all(first != second for first, second in pairwise(sides)), "they take turns"


def check_answer(body: dict[str, Any]) -> None:
    assert problems(_operation("Converse").output_shape, body) == []


def check_event(event: dict[str, Any]) -> None:
    assert problems(_operation("ConverseStream").output_shape.members["stream"], event) == []


def other(*turns: Turn, model: str = CLAUDE, **members: Any) -> Prompt:
    """A prompt that a client said in another dialect."""
    return Prompt("chat", model, list(turns) or [said("Hello")], **members)


def said(*parts: str | Part) -> Turn:
    return Turn("user", [Text(part) if isinstance(part, str) else part for part in parts])


def written(prompt: Prompt) -> dict[str, Any]:
    """The body as the provider decodes it."""
    value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dialect.write_prompt(prompt)))
    return value


def checked(prompt: Prompt) -> dict[str, Any]:
    body = written(prompt)
    check_body(body)
    return body


def refused(prompt: Prompt) -> Untranslatable:
    with pytest.raises(Untranslatable) as raised:
        checked(prompt)
    assert raised.value.status == 400
    return raised.value


def fields(value: dict[str, Any]) -> dict[str, Raw]:
    return msgspec.json.decode(msgspec.json.encode(value), type=dict[str, Raw])


def read(**members: Any) -> Prompt:
    return dialect.read_prompt(fields({"messages": [USER], **members}))


def events(*sent: dict[str, Any]) -> list[Event]:
    """What a stream of these says, its end included."""
    reader = dialect.reader()
    found = [event for each in sent for event in reader.feed(Frame("", msgspec.json.encode(each)))]
    return [*found, *reader.end()]


def rewritten(*said: Event, usage: Usage | None = None) -> list[dict[str, Any]]:
    """The events that a client reads of these."""
    writer = dialect.writer(Prompt("converse", stream=True))
    data = b"".join(map(writer.write, said)) + writer.finish(usage)
    assert data.endswith(b"\n\n")
    sent = [msgspec.json.decode(each.removeprefix(b"data: ")) for each in data[:-2].split(b"\n\n")]
    for each in sent:
        check_event(each)
    return sent
