"""`generation_config` and `response_format`, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hive_routing.dialects.form import Effort, Format, Prompt, Reasoning, Sampling
from hive_routing.dialects.gemini.fields import Object, listed, present, typed
from hive_routing.dialects.interactions.tools import read_choice, write_choice
from hive_routing.dialects.port import refuse

CONFIG = "generation_config"

_JSON = "application/json"
_LEVELS: Mapping[Effort, Effort] = {
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "xhigh",
}
_OUTPUTS = frozenset({"audio", "image", "video"})
"""Types of response formats that are of other things than text."""


class _Config(msgspec.Struct):
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop_sequences: list[str] = []
    thinking_level: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    thinking_summaries: Literal["auto", "none"] | None = None
    tool_choice: Any = None


_KNOWN = frozenset(_Config.__struct_encode_fields__)


def read_config(value: Any, prompt: Prompt) -> None:
    """Put it into the prompt; what has no place there goes into its rest, by dotted name. Raises Misfit."""
    given = present(value, CONFIG)
    config = typed({name: each for name, each in given.items() if name in _KNOWN}, _Config, CONFIG)
    prompt.sampling = Sampling(temperature=config.temperature, top_p=config.top_p, seed=config.seed)
    prompt.max_output = config.max_output_tokens
    prompt.stop = config.stop_sequences
    summaries = config.thinking_summaries
    prompt.reasoning = Reasoning(
        effort=config.thinking_level,
        summary="auto" if summaries == "auto" else None,
        visible=None if summaries is None else summaries == "auto",
    )
    if config.tool_choice is not None:
        prompt.choice = read_choice(config.tool_choice, f"{CONFIG}.tool_choice")
    prompt.rest |= {f"{CONFIG}.{name}": each for name, each in given.items() if name not in _KNOWN}


def write_config(prompt: Prompt, dialect: str) -> Object:
    """Raises Untranslatable for what cannot be said."""
    sampling, reasoning = prompt.sampling, prompt.reasoning
    for name in ("top_k", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"):
        if getattr(sampling, name):
            refuse(name, f"`{name}`", dialect)
    if reasoning.is_off or reasoning.effort == "none":
        refuse("reasoning_effort", "That the model does not think", dialect)
    visible = reasoning.visible if reasoning.summary is None else True
    config = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "max_output_tokens": prompt.max_output,
        "stop_sequences": prompt.stop or None,
        "thinking_level": _level(reasoning),
        "thinking_summaries": None if visible is None else "auto" if visible else "none",
        "tool_choice": write_choice(prompt.choice),
    }
    return {name: each for name, each in config.items() if each is not None}


def _level(reasoning: Reasoning) -> Effort | None:
    if reasoning.effort is not None:
        return _LEVELS[reasoning.effort]
    if reasoning.budget is None:
        return None
    return "low" if reasoning.budget <= 1024 else "medium" if reasoning.budget <= 4096 else "high"


def read_format(value: Any, mime: str | None) -> Format | None:
    """The format of `response_format`, or of `response_mime_type` alone; None where the form has no such one.

    It may be a format, a list of formats for all kinds of output, or, as it was at first, a bare JSON schema.
    """
    if value is None:
        return _format(mime, None)
    match listed(value):
        case [dict(said)]:
            kind = said.get("type")
            return None if isinstance(kind, str) and kind in _OUTPUTS else _read_format(said)
        case _:
            return None


def _read_format(said: Object) -> Format | None:
    if said.get("type") != "text":
        return _format(_JSON, said)
    if said.keys() - {"type", "mime_type", "schema"}:
        return None
    schema = said.get("schema")
    return _format(said.get("mime_type") or (_JSON if schema is not None else None), schema)


def _format(mime: object, schema: object) -> Format | None:
    if mime in (None, "text/plain") and schema is None:
        return Format()
    if mime != _JSON or not isinstance(schema, dict | None):
        return None
    return Format("json") if schema is None else Format("schema", schema=schema)


def write_format(format: Format) -> Object | None:
    if format.kind == "text":
        return None
    schema = {"schema": format.schema or {}} if format.kind == "schema" else {}
    return {"type": "text", "mime_type": _JSON} | schema
