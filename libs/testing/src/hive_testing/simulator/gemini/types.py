"""Google's requests against the types of its SDK, which name the parts of a body but not the bodies."""

from __future__ import annotations

from functools import cache
from typing import Any

from hive_testing.simulator.checking import sdk
from hive_testing.simulator.checking.sdk import shape
from hive_testing.simulator.checking.shapes import (
    BOOLEAN,
    INTEGER,
    STRING,
    ListOf,
    MapOf,
    Members,
    Misfit,
    bracketed,
    members,
)
from hive_testing.simulator.reply import InvalidRequest


def check(fields: dict[str, Any]) -> None:
    """Raises `InvalidRequest` where a request for content does not fit."""
    _check(_request(), fields)


def check_count(fields: dict[str, Any]) -> None:
    """The same for one whose tokens are to be counted."""
    _check(members(generateContentRequest=_request(), **_content()), fields)


def check_embed(fields: dict[str, Any]) -> None:
    """The same for a text that is to be embedded."""
    _check(_embed(), fields)


def check_instances(fields: dict[str, Any]) -> None:
    """The same for texts that Vertex AI is to embed."""
    _check(_instances(), fields)


@cache
def _content() -> dict[str, Any]:
    """What prompts may hold, by both of the spellings that Google reads."""
    from google.genai import types

    generation = sdk.model(types.GenerationConfig, imageConfig=types.ImageConfig)
    plain = {"contents": shape(list[types.Content]), "tools": shape(list[types.Tool])}
    cased = {
        "systemInstruction": shape(types.Content),
        "generationConfig": generation,
        "toolConfig": shape(types.ToolConfig),
        "safetySettings": shape(list[types.SafetySetting]),
        "cachedContent": STRING,
        "serviceTier": STRING,
    }
    return {**plain, **cased, **{_snake(name): each for name, each in cased.items()}}


@cache
def _request() -> Members:
    labels = MapOf(STRING)
    return members(model=STRING, labels=labels, store=BOOLEAN, **_content())


@cache
def _embed() -> Members:
    from google.genai import types

    named = {"taskType": STRING, "outputDimensionality": INTEGER, "title": STRING}
    both = {**named, **{_snake(name): each for name, each in named.items()}}
    return members(required=["content"], model=STRING, content=shape(types.Content), **both)


@cache
def _instances() -> Members:
    texts = members(required=["content"], content=STRING, taskType=STRING, title=STRING)
    parameters = members(outputDimensionality=INTEGER, autoTruncate=BOOLEAN)
    return members(required=["instances"], instances=ListOf(texts), parameters=parameters)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _check(expected: Members, fields: dict[str, Any]) -> None:
    try:
        expected.check(fields, ())
    except Misfit as misfit:
        path = bracketed(misfit.path)
        raise InvalidRequest(_words(misfit, path), path) from misfit


def _words(misfit: Misfit, path: str) -> str:
    match misfit.kind:
        case "unknown":
            at = bracketed(misfit.path[:-1])
            where = f" at '{at}'" if at else ""
            return (
                f'Invalid JSON payload received. Unknown name "{misfit.path[-1]}"{where}: Cannot find field.'
            )
        case "missing":
            return f"* {path}: required field is not specified"
    expected = ", ".join(misfit.expected)
    return f"Invalid value at '{path}' ({expected}), {misfit.given!r}"
