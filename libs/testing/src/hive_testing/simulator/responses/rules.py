"""What OpenAI refuses of a response's request although its types allow it. All raise `InvalidRequest`."""

from __future__ import annotations

from typing import Any

from hive_testing.simulator import signatures
from hive_testing.simulator.reply import InvalidRequest
from hive_testing.simulator.responses import items
from hive_testing.simulator.responses.items import Item
from hive_testing.simulator.strict import rules
from hive_testing.simulator.strict.words import refuse, refuse_value

ENCRYPTED = "encrypted"
MAX_CALL_ID = 64
RANGES = {
    "max_output_tokens": (16, 1_000_000),
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_logprobs": (0, 20),
}
PREFIXES = {"function_call": "fc", "reasoning": "rs", "message": "msg", "custom_tool_call": "ctc"}
CALLS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
GIVEN = ["input_text", "input_image", "input_file"]
SAID = ["output_text", "refusal"]
NO_JSON_WORD = (
    "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
    "'json_object'."
)


def check(fields: dict[str, Any]) -> None:
    """The whole request."""
    for name, (low, high) in RANGES.items():
        rules.check_range(fields, name, low, high)
    rules.check_metadata(fields.get("metadata"))
    if fields.get("background") and fields.get("store") is False:
        refuse("Background mode requires 'store' to be true.", "background")
    if fields.get("stream_options") and not fields.get("stream"):
        refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    check_conversation(fields)


def check_conversation(fields: dict[str, Any]) -> None:
    """What also holds where only tokens are counted."""
    for name in ("model", "input"):
        if not fields.get(name):
            refuse(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    _check_kept(fields)
    given = items.of(fields)
    for place, item in enumerate(given):
        _check_item(item, f"input[{place}]")
    _check_calls(given)
    _check_reasoning(given)
    _check_tools(fields)
    _check_format(fields)


def _check_kept(fields: dict[str, Any]) -> None:
    """The simulator keeps no response and no conversation."""
    if before := fields.get("previous_response_id"):
        missing = f"Previous response with id '{before}' not found."
        raise InvalidRequest(missing, "previous_response_id", "previous_response_not_found")
    if conversation := fields.get("conversation"):
        raise InvalidRequest(f"Conversation {conversation!r} not found.", "conversation", status=404)


def _check_item(item: Item, path: str) -> None:
    kind = items.kind(item)
    prefix = PREFIXES.get(kind, "")
    if not (item.get("id") or prefix).startswith(prefix):
        wrong = f"Invalid '{path}.id': '{item['id']}'. Expected an ID that begins with '{prefix}'."
        refuse(wrong, f"{path}.id", "invalid_value")
    if "call_id" in item:
        rules.check_length(item["call_id"] or "", MAX_CALL_ID, f"{path}.call_id")
    if kind == "item_reference":
        raise _lost(item["id"])
    if kind == "message":
        _check_message(item, path)
    if kind == "function_call":
        rules.check_name(item["name"], f"{path}.name")
    if kind == "function_call_output" and isinstance(item["output"], list):
        _check_parts(item["output"], GIVEN, f"{path}.output")


def _check_message(item: Item, path: str) -> None:
    if isinstance(item["content"], list):
        _check_parts(item["content"], SAID if item["role"] == "assistant" else GIVEN, f"{path}.content")


def _check_parts(parts: list[dict[str, Any]], allowed: list[str], path: str) -> None:
    for place, part in enumerate(parts):
        here = f"{path}[{place}]"
        if part["type"] not in allowed:
            refuse_value(part["type"], allowed, here)
        if part.get("image_url"):
            rules.check_data_url(part["image_url"], "image/", f"{here}.image_url")
        if part.get("file_data"):
            rules.check_data_url(part["file_data"], "", f"{here}.file_data")
        if part["type"] == "input_image" and not (part.get("image_url") or part.get("file_id")):
            refuse(f"Missing required parameter: '{here}.image_url'.", f"{here}.image_url")


def _check_calls(given: list[Item]) -> None:
    """Every output has a call before it, and every call an output behind it."""
    open_calls: dict[str, str] = {}
    for item in given:
        kind = items.kind(item)
        if kind in CALLS.values():
            open_calls[item["call_id"]] = kind
        elif kind in CALLS and open_calls.pop(item["call_id"], None) != CALLS[kind]:
            refuse(f"No tool call found for function call output with call_id {item['call_id']}.", "input")
    for identifier in open_calls:
        refuse(f"No tool output found for function call {identifier}.", "input")


def _check_reasoning(given: list[Item]) -> None:
    """Reasoning comes back as it was made, before what it led to."""
    has_reasoned = False
    for place, item in enumerate(given):
        identifier = str(item.get("id"))
        following = given[place + 1] if place + 1 < len(given) else None
        if items.kind(item) == "reasoning":
            _check_encrypted(item, identifier)
            has_reasoned = True
            if following is None or not items.is_spoken(following):
                refuse(
                    f"Item '{identifier}' of type 'reasoning' was provided without its required following item.",
                    "input",
                )
        elif not items.is_spoken(item):
            has_reasoned = False
        elif not has_reasoned and identifier.endswith(items.REASONED):
            kind = items.kind(item)
            missing = (
                f"Item '{identifier}' of type '{kind}' was provided without its required 'reasoning' item."
            )
            refuse(missing, "input")


def _check_encrypted(item: Item, identifier: str) -> None:
    sealed = item.get("encrypted_content")
    if sealed is None:
        if not identifier.startswith("rs_sim") or identifier.endswith(items.UNKEPT):
            raise _lost(identifier)
    elif not signatures.is_made(ENCRYPTED, sealed):
        raise InvalidRequest(
            f"The encrypted content for item {identifier} could not be verified. Reason: Encrypted content could not "
            "be decrypted or parsed.",
            None,
            "invalid_encrypted_content",
        )


def _lost(identifier: str) -> InvalidRequest:
    return InvalidRequest(
        f"Item with id '{identifier}' not found. Items are not persisted when `store` is set to false. Try again with "
        "`store` set to true, or remove this item from your input.",
        "input",
        "",
        404,
    )


def _check_tools(fields: dict[str, Any]) -> None:
    tools = fields.get("tools") or []
    names = [tool.get("name") for tool in tools]
    for place, tool in enumerate(tools):
        if tool["type"] != "function":
            continue
        rules.check_name(tool["name"], f"tools[{place}].name")
        rules.check_parameters(tool.get("parameters"), tool["name"], f"tools[{place}].parameters")
        if tool.get("strict"):
            owner = f"function '{tool['name']}'"
            rules.check_strict(tool.get("parameters"), owner, f"tools[{place}].parameters")
    choice = fields.get("tool_choice")
    if isinstance(choice, dict) and "name" in choice and choice["name"] not in names:
        refuse(f"Tool choice '{choice['type']}' not found in 'tools' parameter.", "tool_choice")
    if choice == "required" and not tools:
        refuse("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")


def _check_format(fields: dict[str, Any]) -> None:
    wanted = (fields.get("text") or {}).get("format") or {"type": "text"}
    if wanted["type"] == "json_object":
        rules.check_says_json(_texts(fields), NO_JSON_WORD, "input")
    if wanted["type"] == "json_schema":
        rules.check_name(wanted["name"], "text.format.name")
        if wanted.get("strict"):
            owner = f"response_format '{wanted['name']}'"
            rules.check_strict(wanted["schema"], owner, "text.format.schema")


def _texts(fields: dict[str, Any]) -> list[str]:
    contents = [item["content"] for item in items.of(fields) if items.kind(item) == "message"]
    said = [content for content in contents if isinstance(content, str)]
    lists = [content for content in contents if not isinstance(content, str)]
    return said + [part.get("text", "") for parts in lists for part in parts]
