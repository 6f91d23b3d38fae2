"""Bodies of requests to the Interactions API, both ways."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from hive_routing.dialects.form import Prompt, Text, Turn
from hive_routing.dialects.gemini.fields import (
    Misfit,
    Object,
    decoded,
    listed,
    nested_too_deeply,
    optional,
    typed,
)
from hive_routing.dialects.interactions.config import (
    CONFIG,
    read_config,
    read_format,
    write_config,
    write_format,
)
from hive_routing.dialects.interactions.contents import NAME
from hive_routing.dialects.interactions.steps import read_input
from hive_routing.dialects.interactions.steps_written import write_steps
from hive_routing.dialects.interactions.tools import read_tool, write_tools
from hive_routing.dialects.port import refuse, refuse_rest

_READ = frozenset(
    {
        "model",
        "input",
        "stream",
        "system_instruction",
        "tools",
        CONFIG,
        "service_tier",
        "labels",
        "previous_interaction_id",
    }
)
_FORMAT = ("response_format", "response_mime_type")
_KIN = (NAME, "gemini")


def read_prompt(fields: Mapping[str, Raw]) -> Prompt:
    """Raises HiveError `invalid`. What an earlier interaction said has to be a part of `input` already."""
    try:
        body = {name: decoded(fields, name) for name in fields}
        return _read({name: each for name, each in body.items() if each is not None})
    except Misfit as misfit:
        raise misfit.as_invalid() from None
    except RecursionError:
        raise nested_too_deeply() from None


def _read(body: Object) -> Prompt:
    prompt = Prompt(NAME)
    prompt.rest = {name: each for name, each in body.items() if name not in _READ}
    if "model" in body and "agent" in body:
        raise Misfit("agent", "Name a model or an agent, not both")
    prompt.model = typed(body.get("model", ""), str, "model").removeprefix("models/")
    prompt.stream = typed(body.get("stream", False), bool, "stream")
    prompt.tier = optional(body, "service_tier", str)
    prompt.metadata = optional(body, "labels", dict[str, str])
    if instruction := typed(body.get("system_instruction", ""), str, "system_instruction"):
        prompt.turns = [Turn("system", [Text(instruction)])]
    if "input" in body:
        prompt.turns += read_input(body["input"], "input")
    elif "previous_interaction_id" not in body:
        raise Misfit("input", "It is missing: say what the model is asked")
    tools = listed(body.get("tools", []))
    prompt.tools = [read_tool(tool, f"tools[{place}]") for place, tool in enumerate(tools)]
    if CONFIG in body:
        read_config(body[CONFIG], prompt)
    _read_format(prompt)
    if prompt.rest.get("response_modalities") in (["text"], ["TEXT"], []):
        del prompt.rest["response_modalities"]
    return prompt


def _read_format(prompt: Prompt) -> None:
    given, mime = (prompt.rest.get(name) for name in _FORMAT)
    if (read := read_format(given, mime)) is not None:
        prompt.format = read
        for name in _FORMAT:
            prompt.rest.pop(name, None)


def write_prompt(prompt: Prompt) -> Object:
    """Raises Untranslatable."""
    refuse_rest(prompt, NAME)
    if prompt.choices > 1:
        refuse("n", "More than one answer", NAME)
    if prompt.verbosity not in (None, "medium"):
        refuse("verbosity", f"The verbosity `{prompt.verbosity}`", NAME)
    body: Object = {
        "model": prompt.model,
        "input": write_steps(prompt.turns, NAME),
        "system_instruction": _instruction(prompt),
        "tools": write_tools(prompt.tools, NAME) or None,
        CONFIG: write_config(prompt, NAME) or None,
        "response_format": write_format(prompt.format),
        "service_tier": prompt.tier if prompt.dialect in _KIN else None,
        "labels": prompt.metadata if prompt.dialect in _KIN else None,
        "stream": prompt.stream or None,
    }
    written = {name: each for name, each in body.items() if each is not None}
    if prompt.dialect == NAME:
        for name, value in prompt.rest.items():
            outer, dot, inner = name.partition(".")
            if dot:
                written.setdefault(outer, {})[inner] = value
            else:
                written[outer] = value
    return written


def _instruction(prompt: Prompt) -> str | None:
    system = [turn for turn in prompt.turns if turn.role == "system"]
    texts = [part.text for turn in system for part in turn.parts if isinstance(part, Text)]
    return "\n\n".join(texts) or None
