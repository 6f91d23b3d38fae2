"""Bodies of requests to generateContent, both ways. The model, and whether to stream, stand in the path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from hive_routing.dialects.form import Prompt
from hive_routing.dialects.gemini.config import NAME as CONFIG
from hive_routing.dialects.gemini.config import read_config, write_config
from hive_routing.dialects.gemini.fields import (
    Misfit,
    Object,
    camel,
    decoded,
    nested_too_deeply,
    optional,
    typed,
)
from hive_routing.dialects.gemini.kin import KIN, split_rest
from hive_routing.dialects.gemini.models import is_old
from hive_routing.dialects.gemini.seals import NAME
from hive_routing.dialects.gemini.tools import read_choice, read_tools, write_choice, write_tools
from hive_routing.dialects.gemini.turns import read_contents, read_system, write_contents, write_system
from hive_routing.dialects.port import refuse, refuse_rest

_READ = frozenset(
    {
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        CONFIG,
        "labels",
        "serviceTier",
        "model",
        "stream",
    }
)
_NO_FILTER = ("OFF", "BLOCK_NONE")


def read_prompt(fields: Mapping[str, Raw]) -> Prompt:
    """Raises HiveError `invalid`."""
    try:
        return _read({camel(name): decoded(fields, name) for name in fields})
    except Misfit as misfit:
        raise misfit.as_invalid() from None
    except RecursionError:
        raise nested_too_deeply() from None


def _read(body: Object) -> Prompt:
    prompt = Prompt(NAME)
    body = {name: each for name, each in body.items() if each is not None}
    prompt.rest = {name: each for name, each in body.items() if name not in _READ}
    prompt.model = typed(body.get("model", ""), str, "model").removeprefix("models/")
    prompt.stream = typed(body.get("stream", False), bool, "stream")
    prompt.tier = optional(body, "serviceTier", str)
    prompt.metadata = optional(body, "labels", dict[str, str])
    if _asks_for_no_filter(prompt.rest.get("safetySettings")):
        del prompt.rest["safetySettings"]
    if "systemInstruction" in body:
        system = read_system(body["systemInstruction"])
        prompt.turns = [system] if system.parts else []
    if "contents" not in body:
        raise Misfit("contents", "It is missing: say what the model is asked")
    prompt.turns += read_contents(body["contents"])
    if "tools" in body:
        prompt.tools = read_tools(body["tools"])
    if "toolConfig" in body:
        prompt.choice, rest = read_choice(body["toolConfig"], "toolConfig")
        prompt.rest |= rest
    if CONFIG in body:
        read_config(body[CONFIG], prompt)
    return prompt


def _asks_for_no_filter(settings: Any) -> bool:
    """Safety settings that others fulfil by having none."""
    return isinstance(settings, list) and all(
        isinstance(each, dict) and each.get("threshold") in _NO_FILTER for each in settings
    )


def write_prompt(prompt: Prompt) -> Object:
    """Raises Untranslatable."""
    rest = prompt.rest if prompt.dialect == NAME else {}
    if prompt.dialect == KIN:
        rest, left = split_rest(prompt)
        prompt = replace(prompt, rest=left)
    refuse_rest(prompt, NAME)
    body: Object = {"contents": write_contents(prompt.turns, prompt.model, NAME)}
    if (system := write_system(prompt.turns, prompt.model, NAME)) is not None:
        body["systemInstruction"] = system
    if prompt.tools:
        body["tools"] = write_tools(prompt.tools, NAME)
    if calling := write_choice(prompt.choice):
        body["toolConfig"] = {"functionCallingConfig": calling}
    if prompt.tools and prompt.format.kind != "text" and is_old(prompt.model):
        refuse("response_format", "That an answer is JSON while there are tools", NAME)
    if config := write_config(prompt, NAME):
        body[CONFIG] = config
    if prompt.dialect in (NAME, KIN):  # tiers of others have other prices
        hints = {"serviceTier": prompt.tier, "labels": prompt.metadata}
        body |= {name: each for name, each in hints.items() if each is not None}
    for name, value in rest.items():
        _put(body, name, value)
    return body


def _put(body: Object, name: str, value: Any) -> None:
    """A member of what may lie in other members; name: dotted."""
    *outer, last = name.split(".")
    for each in outer:
        body = body.setdefault(each, {})
    body[last] = value
