"""`generationConfig`, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from hive_routing.dialects.form import Format, Prompt, Sampling
from hive_routing.dialects.gemini.fields import Object, listed, members, typed
from hive_routing.dialects.gemini.schemas import json_schema
from hive_routing.dialects.gemini.thinking import read_thinking, write_thinking
from hive_routing.dialects.port import refuse

NAME = "generationConfig"

_JSON = "application/json"
_TEXT = "text/plain"
_HOTTEST = 2.0
_MOST_STOPS = 5
_MOST_CHOICES = 8
_MOST_LOGPROBS = 20
_MOST_SEED = 2**31


class _Config(msgspec.Struct, rename="camel"):
    temperature: float | None = None
    top_p: float | None = None
    top_k: Annotated[int, Meta(ge=1)] | None = None
    candidate_count: Annotated[int, Meta(ge=1, le=_MOST_CHOICES)] = 1
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop_sequences: list[str] = []
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    response_logprobs: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=_MOST_LOGPROBS)] | None = None


_KNOWN = frozenset(_Config.__struct_encode_fields__)
_MIMES: Mapping[str, str] = {"APPLICATION_JSON": _JSON, "TEXT_PLAIN": _TEXT}
"""What `responseFormat` calls them."""
_FORMAT = frozenset({"responseMimeType", "responseSchema", "responseJsonSchema", "responseFormat"})


def read_config(value: Any, prompt: Prompt) -> None:
    """Put it into the prompt; what has no place there goes into its rest, by dotted name. Raises Misfit."""
    given = members(value, NAME)
    config = typed({name: each for name, each in given.items() if name in _KNOWN}, _Config, NAME)
    prompt.sampling = Sampling(
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=config.top_k,
        seed=config.seed,
        presence_penalty=config.presence_penalty,
        frequency_penalty=config.frequency_penalty,
        logprobs=config.response_logprobs,
        top_logprobs=config.logprobs,
    )
    prompt.choices = config.candidate_count
    prompt.max_output = config.max_output_tokens
    prompt.stop = config.stop_sequences
    rest = {name: each for name, each in given.items() if name not in _KNOWN}
    _read_format(rest, prompt)
    _read_rest(rest, prompt)


def _read_rest(rest: Object, prompt: Prompt) -> None:
    if "thinkingConfig" in rest:
        reasoning = read_thinking(rest["thinkingConfig"], f"{NAME}.thinkingConfig")
        if reasoning is not None:
            prompt.reasoning = reasoning
            del rest["thinkingConfig"]
    if rest.get("responseModalities") in (["TEXT"], ["text"], []):
        del rest["responseModalities"]
    prompt.rest |= {f"{NAME}.{name}": each for name, each in rest.items()}


def _read_format(rest: Object, prompt: Prompt) -> None:
    """Take the format out of what is given, if the form has a place for it."""
    if (described := _described(rest)) is not None:
        prompt.format = described
        for name in _FORMAT:
            rest.pop(name, None)


def _described(rest: Object) -> Format | None:
    if "responseFormat" in rest:
        return _from_response_format(rest) if not rest.keys() & (_FORMAT - {"responseFormat"}) else None
    schema = rest.get("responseJsonSchema")
    if schema is None and "responseSchema" in rest:
        schema = json_schema(rest["responseSchema"], f"{NAME}.responseSchema")
    return _format(rest.get("responseMimeType"), schema)


def _from_response_format(rest: Object) -> Format | None:
    """Of the newer member: one entry for each kind of output, here of text alone."""
    match listed(rest["responseFormat"]):
        case [{"text": dict(said)} as entry] if len(entry) == 1:
            text = members(said, f"{NAME}.responseFormat.text")
            if text.keys() <= {"mimeType", "schema"}:
                mime = text.get("mimeType")
                return _format(_MIMES.get(mime, mime) if isinstance(mime, str) else mime, text.get("schema"))
    return None


def _format(mime: object, schema: object) -> Format | None:
    """None where the form has no such format."""
    if mime in (None, _TEXT) and schema is None:
        return Format()
    if mime != _JSON or not isinstance(schema, dict | None):
        return None
    return Format("json") if schema is None else Format("schema", schema=schema)


def write_config(prompt: Prompt, dialect: str) -> Object:
    """Raises Untranslatable for what Google's models cannot be told."""
    sampling = prompt.sampling
    _check(prompt, dialect)
    asked = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "candidateCount": prompt.choices if prompt.choices > 1 else None,
        "maxOutputTokens": prompt.max_output,
        "stopSequences": prompt.stop or None,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "seed": _seed(sampling.seed),
        "responseLogprobs": sampling.logprobs,
        "logprobs": sampling.top_logprobs,
        "thinkingConfig": _thinking(prompt),
    }
    return {name: each for name, each in asked.items() if each is not None} | _write_format(prompt.format)


def _check(prompt: Prompt, dialect: str) -> None:
    sampling = prompt.sampling
    if sampling.temperature is not None and sampling.temperature > _HOTTEST:
        refuse("temperature", f"A temperature above {_HOTTEST:g}", dialect)
    if sampling.logit_bias:
        refuse("logit_bias", "`logit_bias`", dialect)
    if prompt.verbosity not in (None, "medium"):
        refuse("verbosity", f"The verbosity `{prompt.verbosity}`", dialect)
    if len(prompt.stop) > _MOST_STOPS:
        refuse("stop", f"More than {_MOST_STOPS} stop sequences", dialect)
    if prompt.choices > _MOST_CHOICES:
        refuse("n", f"More than {_MOST_CHOICES} answers at once", dialect)


def _seed(seed: int | None) -> int | None:
    """One that Google has no room for is left out: it promises nothing."""
    return seed if seed is not None and -_MOST_SEED <= seed < _MOST_SEED else None


def _thinking(prompt: Prompt) -> Object | None:
    reasoning = replace(prompt.reasoning, visible=prompt.wants_thoughts)
    return write_thinking(reasoning, prompt.model) or None


def _write_format(format: Format) -> Object:
    match format.kind:
        case "text":
            return {}
        case "json":
            return {"responseMimeType": _JSON}
        case "schema":
            schema = format.schema or {}
            if format.description is not None:
                schema = {"description": format.description} | schema
            return {"responseMimeType": _JSON, "responseJsonSchema": schema}
