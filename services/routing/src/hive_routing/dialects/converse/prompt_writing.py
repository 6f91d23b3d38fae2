"""A prompt, written as the body of a request to Converse.

What was said in this dialect is written back as it was, for Amazon to judge. What was said in another one is checked,
and fitted where that changes nothing in what is asked:
* system turns that stand between others are hoisted into `system`, in their order;
* turns of the same side become one message: they have to take turns;
* thinking that was not sealed here is left out: it could not be verified;
* ids of calls and names of documents get a form that Converse accepts;
* `temperature` and `topP` of 1, which are the defaults, are left out: newer models refuse them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from hive_routing.dialects.converse.blocks import BlockWriter
from hive_routing.dialects.converse.families import Family, family_of
from hive_routing.dialects.converse.parts import NAME, Block
from hive_routing.dialects.converse.prompt_reading import STOP_SEQUENCE
from hive_routing.dialects.converse.thinking import write_thinking
from hive_routing.dialects.converse.tools import write_one_at_a_time, write_tools
from hive_routing.dialects.form import Format, Opaque, Part, Prompt, Role, Text, Turn
from hive_routing.dialects.messages.schemas import closed
from hive_routing.dialects.port import refuse, refuse_rest

_ROLES: Mapping[Role, str] = {"user": "user", "assistant": "assistant", "tool": "user", "system": "system"}
_TIERS = frozenset({"priority", "flex", "reserved"})
"""Those that are more than the default one."""
_MOST_METADATA = 16
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")


def write_prompt(prompt: Prompt) -> dict[str, Any]:
    """Raises Untranslatable."""
    refuse_rest(prompt, NAME)
    _check(prompt)
    is_own = prompt.dialect == NAME
    family = family_of(prompt.model)
    writer = BlockWriter(family, is_own)
    thought = write_thinking(prompt, family)
    system, turns = _parted(prompt.turns, is_own)
    body: dict[str, Any] = {
        "system": _system(system, writer),
        "messages": _messages(turns, writer, is_own),
        "inferenceConfig": _inference(prompt, is_own),
        "toolConfig": write_tools(prompt, family, writer),
        "outputConfig": _output_config(thought.effort, prompt.format, is_own),
        "additionalModelRequestFields": _additional(prompt, family, thought.fields),
        "additionalModelResponseFieldPaths": [STOP_SEQUENCE] if prompt.stop else None,
        "requestMetadata": _metadata(prompt, is_own),
        "serviceTier": {"type": prompt.tier} if prompt.tier and (is_own or prompt.tier in _TIERS) else None,
    }
    if is_own:
        for name, value in prompt.rest.items():
            body[name] = {**value, **(body.get(name) or {})} if isinstance(value, dict) else value
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
    form = prompt.format
    if form.kind == "json" or (form.kind == "schema" and form.schema is None):
        refuse("response_format", "A call for JSON without a schema", NAME)


def _inference(prompt: Prompt, is_own: bool) -> Block:
    sampling = {"temperature": prompt.sampling.temperature, "topP": prompt.sampling.top_p}
    if not is_own:
        sampling = {name: None if value == 1 else value for name, value in sampling.items()}
    said = {"maxTokens": prompt.max_output, **sampling, "stopSequences": prompt.stop or None}
    return {name: value for name, value in said.items() if value is not None}


def _output_config(effort: str | None, form: Format, is_own: bool) -> Block:
    config: Block = {} if effort is None else {"effort": effort}
    if form.kind == "schema" and form.schema is not None:
        schema = form.schema if is_own else closed(form.schema)
        said = {"name": form.name, "description": form.description}
        definition = {name: value for name, value in said.items() if value is not None}
        definition["schema"] = msgspec.json.encode(schema).decode()
        config["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    return config


def _additional(prompt: Prompt, family: Family, thinking: Mapping[str, Any]) -> Block:
    """Fields of the model's own."""
    fields: Block = dict(thinking)
    if (choice := write_one_at_a_time(prompt, family)) is not None:
        fields["tool_choice"] = choice
    top_k: Any = prompt.sampling.top_k
    if top_k is not None:
        for name in reversed(family.top_k):
            top_k = {name: top_k}
        fields |= top_k
    return fields


def _metadata(prompt: Prompt, is_own: bool) -> dict[str, str] | None:
    """For the operator's logs: left out where Amazon would not take it."""
    pairs = prompt.metadata or {}
    fits = len(pairs) <= _MOST_METADATA and all(
        name and _METADATA.fullmatch(name) and _METADATA.fullmatch(value) for name, value in pairs.items()
    )
    return pairs if is_own or fits else None


def _parted(turns: list[Turn], is_own: bool) -> tuple[list[Turn], list[Turn]]:
    """Those of the system, and those of the conversation. In this dialect `system` is the first turn."""
    system: list[Turn] = []
    others: list[Turn] = []
    for place, turn in enumerate(turns):
        hoisted = turn.role == "system" and (not is_own or (place == 0 and _is_plain(turn.parts)))
        (system if hoisted else others).append(turn)
    return system, others


def _is_plain(parts: list[Part]) -> bool:
    """Whether it can stand in `system`."""
    return all(isinstance(part, Text) or _is_system_block(part) for part in parts)


def _is_system_block(part: Part) -> bool:
    return isinstance(part, Opaque) and part.dialect == NAME and part.kind in ("guardContent", "cachePoint")


def _system(turns: list[Turn], writer: BlockWriter) -> list[Block]:
    for turn in turns:
        if not _is_plain(turn.parts):
            refuse("messages", "A system message with something else than text", NAME)
    return writer.blocks([part for turn in turns for part in turn.parts])


def _messages(turns: list[Turn], writer: BlockWriter, is_own: bool) -> list[Block]:
    messages: list[Block] = []
    for turn in turns:
        if turn.name is not None:
            refuse("messages", "The `name` of who speaks", NAME)
        role, blocks = _ROLES[turn.role], writer.blocks(turn.parts)
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    return messages
