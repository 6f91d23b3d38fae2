"""Messages as SmolLM2 was taught to read them: the chat template of the model, plus calls of tools."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from hive_routing.providers.local.wire import Function, Message

_DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
# Text that looks like a control token must not become one: it could end a message and begin another.
_CONTROL = re.compile(r"<\|(im_start|im_end|endoftext)\|>")
_ROLES = {"developer": "system", "function": "tool"}


def render(messages: Sequence[Message], call: Function | None = None) -> str:
    """The prompt up to where the model goes on.

    With `call`, the answer is begun for it: what the model writes next are the arguments of that function.
    """
    turns = [(_ROLES.get(message.role, message.role), _body(message)) for message in messages]
    if call is not None:
        turns = _explain(turns, call)
    if turns[0][0] != "system":
        turns = [("system", _DEFAULT_SYSTEM), *turns]
    prompt = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
    return f"{prompt}<|im_start|>assistant\n{_call_head(call.name) if call else ''}"


def _body(message: Message) -> str:
    functions = [call.function for call in message.tool_calls or ()]
    calls = [f"{_call_head(function.name)}{function.arguments}}}</tool_call>" for function in functions]
    text = "\n".join(filter(None, [message.text, *calls]))
    return _CONTROL.sub(r"<| \1 |>", text)


def _explain(turns: list[tuple[str, str]], call: Function) -> list[tuple[str, str]]:
    signature = msgspec.json.encode(
        {"name": call.name, "description": call.description or "", "parameters": call.parameters or {}}
    ).decode()
    lesson = _CONTROL.sub(
        r"<| \1 |>",
        f"You can call this function:\n{signature}\n\nTo call it, reply with "
        '<tool_call>{"name": its name, "arguments": its arguments as JSON}</tool_call>.',
    )
    if turns[0][0] == "system":
        return [("system", f"{turns[0][1]}\n\n{lesson}"), *turns[1:]]
    return [("system", lesson), *turns]


def _call_head(name: str) -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": '
