"""What OpenAI's chat completions and embeddings refuse: the bodies that the simulator reads without a look else."""

from __future__ import annotations

from functools import cache
from typing import Any

from hive_testing.simulator.calls import Call
from hive_testing.simulator.checking import sdk
from hive_testing.simulator.checking.shapes import Members
from hive_testing.simulator.dialect import decoded
from hive_testing.simulator.strict import rules
from hive_testing.simulator.strict.words import check_types, refuse

MAX_STOPS = 4
MAX_CALL_ID = 40
ANSWERED = ("annotations", "reasoning_content")
RANGES = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "top_logprobs": (0, 20),
    "n": (1, 128),
}
NO_JSON_WORD = (
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
)


def check(call: Call) -> None:
    """A chat completion's body; raises `InvalidRequest`."""
    _check(decoded(call))


def check_deployed(call: Call) -> None:
    """The same where the path names the model."""
    _check({"model": "", **decoded(call)})


def check_embeddings(call: Call) -> None:
    """The body of a request for embeddings; raises `InvalidRequest`."""
    check_types(_embeddings(), decoded(call))


def _check(fields: dict[str, Any]) -> None:
    check_types(_chat(), _without_answered(fields))
    for name, (low, high) in RANGES.items():
        rules.check_range(fields, name, low, high)
    stop = fields.get("stop")
    if isinstance(stop, list) and len(stop) > MAX_STOPS:
        refuse(f"Invalid 'stop': array too long. Expected at most {MAX_STOPS} elements.", "stop")
    if fields.get("max_tokens") is not None and fields.get("max_completion_tokens") is not None:
        refuse(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
        )
    rules.check_metadata(fields.get("metadata"))
    _check_calls(fields["messages"])
    _check_parts(fields["messages"])
    _check_tools(fields)
    _check_format(fields)


def _without_answered(fields: dict[str, Any]) -> dict[str, Any]:
    """The body without what its types do not name, but answers have: clients send them back as they are."""
    messages = fields.get("messages")
    if not isinstance(messages, list):
        return fields
    kept = [
        {name: value for name, value in each.items() if name not in ANSWERED}
        if isinstance(each, dict) and each.get("role") == "assistant"
        else each
        for each in messages
    ]
    return {**fields, "messages": kept}


@cache
def _chat() -> Members:
    from openai.types.chat.completion_create_params import CompletionCreateParamsBase

    return sdk.typed_dict(CompletionCreateParamsBase, stream=bool | None)


@cache
def _embeddings() -> Members:
    from openai.types.embedding_create_params import EmbeddingCreateParams

    return sdk.typed_dict(EmbeddingCreateParams)


def _check_calls(messages: list[dict[str, Any]]) -> None:
    """Every call is answered by a tool right behind it."""
    waiting: list[str] = []
    for place, message in enumerate(messages):
        path = f"messages.[{place}]"
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                refuse(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    f"{path}.role",
                )
            waiting.remove(message["tool_call_id"])
            continue
        _refuse_unanswered(waiting, path)
        calls = message.get("tool_calls")
        if calls == []:
            refuse(f"Invalid 'messages[{place}].tool_calls': empty array.", f"messages[{place}].tool_calls")
        if message["role"] == "assistant" and not calls and _says_nothing(message):
            refuse(f"Invalid value for 'content': expected a string, got null. ({path})", f"{path}.content")
        waiting = [call["id"] for call in calls or ()]
        for index, identifier in enumerate(waiting):
            rules.check_length(identifier, MAX_CALL_ID, f"messages[{place}].tool_calls[{index}].id")
    _refuse_unanswered(waiting, "messages")


def _says_nothing(message: dict[str, Any]) -> bool:
    return all(message.get(name) is None for name in ("content", "refusal", "audio", "function_call"))


def _refuse_unanswered(waiting: list[str], path: str) -> None:
    if waiting:
        refuse(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
            f"{path}.role",
        )


def _check_parts(messages: list[dict[str, Any]]) -> None:
    for place, message in enumerate(messages):
        content = message.get("content")
        for index, part in enumerate(content if isinstance(content, list) else ()):
            path = f"messages[{place}].content[{index}]"
            if part["type"] == "image_url":
                rules.check_data_url(part["image_url"]["url"], "image/", f"{path}.image_url.url")
            if part["type"] == "file" and "file_data" in part["file"]:
                rules.check_data_url(part["file"]["file_data"], "", f"{path}.file.file_data")


def _check_tools(fields: dict[str, Any]) -> None:
    functions = [each["function"] for each in fields.get("tools", ()) if "function" in each]
    names = [each["name"] for each in functions]
    for place, function in enumerate(functions):
        path = f"tools[{place}].function"
        rules.check_name(function["name"], f"{path}.name")
        rules.check_parameters(function.get("parameters"), function["name"], f"{path}.parameters")
        if function.get("strict"):
            schema = function.get("parameters")
            rules.check_strict(schema, f"function '{function['name']}'", f"{path}.parameters")
    for word in ("tool_choice", "parallel_tool_calls"):
        if fields.get(word) is not None and not fields.get("tools"):
            refuse(f"Invalid value for '{word}': '{word}' is only allowed when 'tools' are specified.", word)
    choice = fields.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "function" and choice["function"]["name"] not in names:
        refuse("Invalid value for 'tool_choice': no tool of this name is among the tools.", "tool_choice")


def _check_format(fields: dict[str, Any]) -> None:
    wanted = fields.get("response_format") or {"type": "text"}
    if wanted["type"] == "json_object":
        rules.check_says_json(_texts(fields["messages"]), NO_JSON_WORD, "messages")
    if wanted["type"] == "json_schema":
        described = wanted["json_schema"]
        rules.check_name(described["name"], "response_format.json_schema.name")
        if described.get("strict"):
            owner = f"response_format '{described['name']}'"
            rules.check_strict(described.get("schema"), owner, "response_format")


def _texts(messages: list[dict[str, Any]]) -> list[str]:
    texts = []
    for message in messages:
        content = message.get("content") or ""
        parts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
        texts += parts
    return texts
