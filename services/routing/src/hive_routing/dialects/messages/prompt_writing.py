"""A prompt, written as the body of a request in Anthropic's messages.

What was said in this dialect is written back as it was, for its provider to judge. What was said in another one is
checked, and fitted where that changes nothing in what is asked:
* system turns that stand between others are hoisted into `system`, in their order;
* thinking that was not sealed by Anthropic is left out: it could not be verified;
* ids of calls get a form that Anthropic accepts; text of spaces is left out beside other parts;
* schemas that Anthropic enforces are closed (`schemas.py`), and thinking is told as its model takes it (`thinking.py`);
* `temperature` and `top_p` of 1, which are the defaults, are left out: newer models refuse them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from hive_routing.dialects.form import (
    Call,
    Format,
    Media,
    Opaque,
    Part,
    Prompt,
    Refusal,
    Result,
    Role,
    Text,
    Thinking,
    Turn,
)
from hive_routing.dialects.messages.blocks import input_of, marked, text_block
from hive_routing.dialects.messages.media import media_block
from hive_routing.dialects.messages.parts import NAME, Block
from hive_routing.dialects.messages.schemas import closed
from hive_routing.dialects.messages.thinking import write_thinking
from hive_routing.dialects.messages.tools import write_choice, write_tools
from hive_routing.dialects.port import refuse, refuse_rest
from hive_routing.dialects.seals import own

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_ROLES: Mapping[Role, str] = {"user": "user", "assistant": "assistant", "tool": "user", "system": "system"}


def write_prompt(prompt: Prompt) -> dict[str, Any]:
    """Raises Untranslatable."""
    is_own = prompt.dialect == NAME
    if not is_own:
        refuse_rest(prompt, NAME)
        _check(prompt)
    thought = write_thinking(prompt)
    system, turns = _parted(prompt.turns, is_own)
    body: dict[str, Any] = {
        "model": prompt.model,
        "max_tokens": thought.max_tokens,
        "system": _shortest([text_block(text) for text in system]),
        "messages": _messages(turns, is_own),
        "tools": write_tools(prompt),
        "tool_choice": write_choice(prompt),
        "thinking": thought.thinking,
        "output_config": _output_config(thought.effort, prompt.format, is_own),
        "stop_sequences": prompt.stop,
        "metadata": {"user_id": prompt.user} if prompt.user is not None else None,
        **_sampling(prompt, is_own),
    }
    if is_own:
        body["service_tier"] = prompt.tier
        for name, value in prompt.rest.items():
            body[name] = {**value, **(body.get(name) or {})} if isinstance(value, dict) else value
    if prompt.stream:
        body["stream"] = True
    return {name: value for name, value in body.items() if name == "messages" or value not in (None, [], {})}


def _check(prompt: Prompt) -> None:
    """Raises Untranslatable for what has no place here."""
    sampling = prompt.sampling
    if prompt.choices > 1:
        refuse("n", f"A call for {prompt.choices} answers at once", NAME)
    if sampling.temperature is not None and sampling.temperature > 1:
        refuse("temperature", f"`temperature` {sampling.temperature:g}, which is above 1,", NAME)
    for name in ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"):
        if getattr(sampling, name):
            refuse(name, f"`{name}`", NAME)
    if prompt.verbosity not in (None, "medium"):
        refuse("verbosity", "`verbosity`", NAME)
    if any(not sequence.strip() for sequence in prompt.stop):
        refuse("stop", "A stop sequence of nothing but spaces or line ends", NAME)
    form = prompt.format
    if form.kind == "json" or (form.kind == "schema" and form.schema is None):
        refuse("response_format", "A call for JSON without a schema", NAME)


def _sampling(prompt: Prompt, is_own: bool) -> dict[str, Any]:
    given = prompt.sampling
    said = {"temperature": given.temperature, "top_p": given.top_p, "top_k": given.top_k}
    if is_own:
        return said
    return {name: None if value == 1 and name != "top_k" else value for name, value in said.items()}


def _output_config(effort: str | None, form: Format, is_own: bool) -> Block:
    config: Block = {}
    if effort is not None:
        config["effort"] = effort
    if form.kind == "schema" and form.schema is not None:
        schema = form.schema if is_own else closed(form.schema)
        if form.description:
            schema = {"description": form.description} | schema
        config["format"] = {"type": "json_schema", "schema": schema}
    return config


def _parted(turns: list[Turn], is_own: bool) -> tuple[list[Text], list[Turn]]:
    """The texts of the system, and the turns of the conversation. In this dialect `system` is the first turn."""
    texts: list[Text] = []
    others: list[Turn] = []
    for place, turn in enumerate(turns):
        if turn.role != "system" or (is_own and place):
            others.append(turn)
            continue
        for part in turn.parts:
            if not isinstance(part, Text):
                refuse("messages", "A system message with something else than text", NAME)
            texts.append(part)
    return texts, others


def _messages(turns: list[Turn], is_own: bool) -> list[Block]:
    """Results of tools and what the user says behind them are one message."""
    messages: list[Block] = []
    last: Role | None = None
    for turn in turns:
        if turn.name is not None:
            refuse("messages", "The `name` of who speaks", NAME)
        blocks = _blocks(turn, is_own)
        if not blocks:
            continue
        if turn.role == "user" and last == "tool":
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": _ROLES[turn.role], "content": blocks})
        last = turn.role
    for message in messages:
        message["content"] = _shortest(message["content"])
    return messages


def _blocks(turn: Turn, is_own: bool) -> list[Block]:
    parts = turn.parts
    if not is_own and any(not _is_blank(part) for part in parts):
        parts = [part for part in parts if not _is_blank(part)]
    written = [_block(part, is_own) for part in parts]
    return [block for block in written if block is not None]


def _is_blank(part: Part) -> bool:
    """Anthropic takes no such text."""
    return isinstance(part, Text) and not part.text.strip()


def _block(part: Part, is_own: bool) -> Block | None:
    match part:
        case Text():
            return text_block(part)
        case Refusal(text):
            return {"type": "text", "text": text} if text else None
        case Media():
            return media_block(part, is_own)
        case Call(id, name, arguments):
            call = {"type": "tool_use", "id": _id(id, is_own), "name": name, "input": input_of(arguments)}
            return marked(call, part.cache)
        case Result():
            return _result(part, is_own)
        case Thinking():
            return _thinking(part)
        case Opaque(dialect, kind, value):
            if dialect != NAME:
                refuse("messages", f"A part of type `{kind}`", NAME)
            return dict(value)


def _result(result: Result, is_own: bool) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": _id(result.call_id, is_own)}
    if content := _blocks(Turn("tool", list(result.parts)), is_own):
        block["content"] = _shortest(content)
    if result.is_error:
        block["is_error"] = True
    return marked(block, result.cache)


def _thinking(part: Thinking) -> Block | None:
    signature, redacted = own(part.seal, NAME, "signature"), own(part.seal, NAME, "redacted")
    if redacted is not None:
        return {"type": "redacted_thinking", "data": redacted}
    if signature is not None:
        return {"type": "thinking", "thinking": part.text, "signature": signature}
    return None


def _id(id: str, is_own: bool) -> str:
    """Of a call. One that Anthropic would refuse is replaced, by the same one wherever it occurs."""
    if is_own or _ID.fullmatch(id):
        return id
    return f"call_{hashlib.blake2b(id.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"


def _shortest(blocks: list[Block]) -> str | list[Block]:
    """A single text without anything to it is a string."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return str(blocks[0]["text"])
    return blocks
