"""What Google refuses although its types allow it. Every function raises `InvalidRequest`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from hive_testing.simulator.gemini import thoughts
from hive_testing.simulator.gemini.parts import DATA, Part, of_kind
from hive_testing.simulator.reply import InvalidRequest

ROLES = ("user", "model", "function")
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
JSON_OR_TOOLS = re.compile(r"gemini-[12]")  # models that take a response type or functions, not both
RANGES = {
    "temperature": (0, 2),
    "topP": (0, 1),
    "candidateCount": (1, 8),
    "maxOutputTokens": (1, 1_000_000),
    "logprobs": (0, 20),
    "presencePenalty": (-2, 2),
    "frequencyPenalty": (-2, 2),
}
NEEDED = {"inlineData": ("mimeType", "data"), "fileData": ("fileUri",)}
MAX_STOPS = 5
THINKING_BUDGETS = (-1, 32768)


def check(fields: dict[str, Any], model: str) -> None:
    """The whole request, by the names in camel case."""
    contents: list[dict[str, Any]] = fields.get("contents") or []
    if not contents:
        _refuse("contents", "* GenerateContentRequest.contents: contents is not specified")
    for place, content in enumerate(contents):
        if content.get("role", "user") not in ROLES:
            _refuse(f"contents[{place}].role", "Please use a valid role: user, model.")
        _check_parts(content, f"contents[{place}]")
    if fields.get("systemInstruction"):
        _check_parts(fields["systemInstruction"], "system_instruction")
    turns = list(_turns(contents))
    _check_calls(turns)
    _check_tools(fields)
    _check_generation(fields.get("generationConfig") or {}, bool(declarations(fields)), model)
    thoughts.check(turns, model)


def declarations(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """The functions of all tools."""
    return [each for tool in fields.get("tools") or () for each in tool.get("functionDeclarations") or ()]


def _turns(contents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The contents, neighbours of the model joined: Google's SDK keeps every piece of a stream as one of its own."""
    for is_model, group in groupby(contents, key=lambda each: each.get("role") == "model"):
        given = list(group)
        if is_model:
            yield {**given[0], "parts": [part for each in given for part in each["parts"]]}
        else:
            yield from given


def _check_parts(content: dict[str, Any], path: str) -> None:
    given: list[Part] = content.get("parts") or []
    if not given:
        _refuse(f"{path}.parts", f"* GenerateContentRequest.{path}.parts: contents.parts must not be empty.")
    for place, part in enumerate(given):
        here = f"{path}.parts[{place}]"
        kinds = [kind for kind in DATA if part.get(kind) is not None]
        if not kinds:
            needed = "required oneof field 'data' must have one initialized field"
            _refuse(here, f"* GenerateContentRequest.{here}.data: {needed}")
        if len(kinds) > 1:
            both = f"oneof field 'data' is already set. Cannot set '{kinds[1]}'"
            _refuse(here, f"Invalid value at '{here}' (oneof), {both}")
        for kind, names in NEEDED.items():
            if missing := [name for name in names if kind in part and not part[kind].get(name)]:
                _refuse(
                    f"{here}.{kind}", f"* GenerateContentRequest.{here}.{kind}.{missing[0]}: must be set."
                )
        for kind in ("functionCall", "functionResponse"):
            if kind in part and not NAME.fullmatch(part[kind].get("name") or ""):
                _refuse(
                    f"{here}.{kind}.name",
                    f"* GenerateContentRequest.{here}.{kind}.name: Name cannot be empty.",
                )


def _check_calls(contents: list[dict[str, Any]]) -> None:
    """Every call has its response in the turn behind it, and every response a call."""
    called: list[dict[str, Any]] = []
    for place, content in enumerate(contents):
        given = content["parts"]
        answers, calls = of_kind(given, "functionResponse"), of_kind(given, "functionCall")
        if answers and not called:
            _refuse(
                f"contents[{place}]",
                "Please ensure that function response turn comes immediately after a function call turn.",
            )
        if len(answers) != len(called):
            _refuse(
                f"contents[{place}]",
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn.",
            )
        _check_answers(called, answers, place)
        if calls and (
            place == 0 or contents[place - 1].get("role") == "model" or content.get("role") != "model"
        ):
            _refuse(
                f"contents[{place}]",
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn.",
            )
        called = calls
    if called:
        _refuse(
            "contents", "Please ensure that every function call turn is followed by a function response turn."
        )


def _check_answers(called: list[dict[str, Any]], answers: list[dict[str, Any]], place: int) -> None:
    """By their ids where both sides have them, else by their names."""
    for kind in ("id", "name"):
        wanted, got = (sorted(each.get(kind) or "" for each in side) for side in (called, answers))
        if all(wanted) and all(got) and wanted != got:
            _refuse(
                f"contents[{place}]",
                f"Please ensure that function response parts match the function call parts by {kind}: "
                f"{', '.join(wanted)} called, {', '.join(got)} answered.",
            )


def _check_tools(fields: dict[str, Any]) -> None:
    declared = declarations(fields)
    for place, each in enumerate(declared):
        path = f"tools[0].function_declarations[{place}]"
        if not NAME.fullmatch(each.get("name") or ""):
            _refuse(
                f"{path}.name",
                f"* GenerateContentRequest.{path}.name: Invalid function name. Must start with a letter or an "
                "underscore. Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes "
                "(-), with a maximum length of 128.",
            )
        if each.get("parameters") and each.get("parametersJsonSchema"):
            _refuse(
                path, f"* GenerateContentRequest.{path}: only one of parameters and parametersJsonSchema."
            )
        _check_schema(each.get("parameters"), f"{path}.parameters")
    names = [each["name"] for each in declared]
    if len(set(names)) < len(names):
        _refuse("tools", "Duplicate function declaration found.")
    config = (fields.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = config.get("mode", "AUTO").upper()
    if mode in ("ANY", "VALIDATED") and not names:
        _refuse("tool_config", "Function calling config is set without function_declarations.")
    if allowed := config.get("allowedFunctionNames"):
        if mode not in ("ANY", "VALIDATED"):
            _refuse("tool_config", "Allowed function names can only be set when mode is ANY or VALIDATED.")
        if unknown := set(allowed) - set(names):
            _refuse(
                "tool_config", f"Allowed function names {sorted(unknown)} are not among the declarations."
            )


def _check_schema(schema: Any, path: str) -> None:
    """Lists say of what they are."""
    if not isinstance(schema, dict):
        return
    if str(schema.get("type")).upper() == "ARRAY" and not schema.get("items"):
        _refuse(f"{path}.items", f"* GenerateContentRequest.{path}.items: missing field.")
    _check_schema(schema.get("items"), f"{path}.items")
    for name, each in (schema.get("properties") or {}).items():
        _check_schema(each, f"{path}.properties[{name}]")


def _check_generation(generation: dict[str, Any], calls: bool, model: str) -> None:
    for name, (low, high) in RANGES.items():
        value = generation.get(name)
        if value is not None and not low <= value <= high:
            _refuse(
                f"generation_config.{name}",
                f"* GenerateContentRequest.generation_config.{name}: {name} must be in the range [{low}, {high}].",
            )
    if len(generation.get("stopSequences") or ()) > MAX_STOPS:
        _refuse(
            "generation_config.stop_sequences", f"The number of stop sequences must be at most {MAX_STOPS}."
        )
    is_json = generation.get("responseMimeType", "text/plain") != "text/plain"
    schemas = [name for name in ("responseSchema", "responseJsonSchema") if generation.get(name)]
    if len(schemas) > 1:
        _refuse("generation_config", "Only one of response_schema and response_json_schema can be set.")
    if schemas and not is_json:
        _refuse("generation_config", f"{schemas[0]} is only allowed with a response mime type of JSON.")
    if is_json and calls and JSON_OR_TOOLS.match(model):
        mime = generation["responseMimeType"]
        unsupported = f"Function calling with a response mime type: '{mime}' is unsupported"
        _refuse("generation_config.response_mime_type", unsupported)
    thinking = generation.get("thinkingConfig") or {}
    if thinking.get("thinkingBudget") is not None and thinking.get("thinkingLevel"):
        _refuse(
            "generation_config.thinking_config", "You can only set one of thinking budget and thinking level."
        )
    low, high = THINKING_BUDGETS
    if not low <= (thinking.get("thinkingBudget") or 0) <= high:
        wrong = f"The thinking budget {thinking['thinkingBudget']} is invalid."
        choose = f"{wrong} Please choose a value between 0 and {high}."
        _refuse("generation_config.thinking_config.thinking_budget", choose)


def _refuse(param: str, message: str) -> None:
    raise InvalidRequest(message, param)
