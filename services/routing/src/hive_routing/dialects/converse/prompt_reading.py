"""The body of a request to Converse, read as a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw

from hive_routing.dialects.converse.parts import NAME, Block, parts_of
from hive_routing.dialects.converse.thinking import is_effort, read_thinking
from hive_routing.dialects.converse.tools import read_tools
from hive_routing.dialects.form import Call, Format, Prompt, Reasoning, Result, Role, Sampling, Turn
from hive_runtime.errors import HiveError, Kind

T = TypeVar("T")

STOP_SEQUENCE = "/stop_sequence"
"""Where Anthropic's models say which sequence ended an answer: asked for with every one that has some."""

_Fraction = Annotated[float, Meta(ge=0, le=1)]


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: list[Block]


class _Inference(msgspec.Struct, forbid_unknown_fields=True):
    maxTokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: _Fraction | None = None
    topP: _Fraction | None = None
    stopSequences: list[str] = []


class _JsonSchema(msgspec.Struct):
    schema: str
    name: str | None = None
    description: str | None = None


class _Structure(msgspec.Struct):
    jsonSchema: _JsonSchema


class _TextFormat(msgspec.Struct):
    type: Literal["json_schema"]
    structure: _Structure


class _Tier(msgspec.Struct):
    type: str


def read_prompt(fields: Mapping[str, Raw]) -> Prompt:
    """Raises HiveError `invalid` that names the field. The model, and whether it is a stream, are in the path."""
    body = {name: _checked(name, msgspec.json.decode, raw) for name, raw in fields.items()}
    left = {name: value for name, value in body.items() if value is not None}
    prompt = Prompt(NAME)
    prompt.turns = [*_system(left.pop("system", [])), *_turns(left.pop("messages", []))]
    if (config := left.pop("toolConfig", None)) is not None:
        prompt.tools, prompt.choice = _checked("toolConfig", read_tools, config)
    inference = _checked("inferenceConfig", _convert(_Inference), left.pop("inferenceConfig", {}))
    prompt.max_output, prompt.stop = inference.maxTokens, inference.stopSequences
    if prompt.stop and left.get("additionalModelResponseFieldPaths") == [STOP_SEQUENCE]:
        del left["additionalModelResponseFieldPaths"]
    prompt.reasoning, top_k = _additional(left)
    prompt.sampling = Sampling(inference.temperature, inference.topP, top_k)
    prompt.format, prompt.reasoning.effort = _output(left)
    prompt.metadata = _checked(
        "requestMetadata", _convert(dict[str, str] | None), left.pop("requestMetadata", None)
    )
    if (tier := left.pop("serviceTier", None)) is not None:
        prompt.tier = _checked("serviceTier", _convert(_Tier), tier).type
    prompt.rest = left
    return prompt


def _additional(left: Block) -> tuple[Reasoning, int | None]:
    """What the form has a place for is taken out of the model's own fields."""
    fields = left.get("additionalModelRequestFields")
    if not isinstance(fields, dict):
        return Reasoning(), None
    fields = left["additionalModelRequestFields"] = dict(fields)
    reasoning = read_thinking(fields.get("thinking"))
    if reasoning is not None:
        del fields["thinking"]
    top_k = fields.pop("top_k") if isinstance(fields.get("top_k"), int) else None
    if not fields:
        del left["additionalModelRequestFields"]
    return reasoning or Reasoning(), top_k


def _output(left: Block) -> tuple[Format, Any]:
    config = _checked("outputConfig", _convert(Block), left.pop("outputConfig", {}))
    effort = config.pop("effort") if is_effort(config.get("effort")) else None
    form = Format()
    if (asked := config.pop("textFormat", None)) is not None:
        read = _checked("outputConfig.textFormat", _convert(_TextFormat), asked).structure.jsonSchema
        schema = _checked("outputConfig.textFormat", _decode_schema, read.schema)
        form = Format("schema", read.name, schema, description=read.description)
    if config:
        left["outputConfig"] = config
    return form, effort


def _system(blocks: Any) -> Iterator[Turn]:
    if parts := _checked("system", lambda value: parts_of(msgspec.convert(value, list[Block])), blocks):
        yield Turn("system", parts)


def _turns(messages: Any) -> Iterator[Turn]:
    """A user's message is cut where results of tools begin and end; results that follow each other share a turn."""
    names: dict[str, str] = {}
    results: Turn | None = None
    for place, message in enumerate(_checked("messages", _convert(list[Block]), messages)):
        for turn in _turns_of(message, f"messages[{place}]"):
            _name_results(turn, names)
            if turn.role == "tool" and results is not None:
                results.parts += turn.parts
                continue
            results = turn if turn.role == "tool" else None
            yield turn


def _turns_of(message: Block, path: str) -> Iterator[Turn]:
    read = _checked(path, _convert(_Message), message)
    turn: Turn | None = None
    for part in _checked(f"{path}.content", parts_of, read.content):
        role: Role = "tool" if isinstance(part, Result) else read.role
        if turn is None or turn.role != role:
            if turn is not None:
                yield turn
            turn = Turn(role)
        turn.parts.append(part)
    if turn is not None:
        yield turn


def _name_results(turn: Turn, names: dict[str, str]) -> None:
    for part in turn.parts:
        if isinstance(part, Call):
            names[part.id] = part.name
        elif isinstance(part, Result):
            part.name = names.get(part.call_id)


def _decode_schema(source: str) -> dict[str, Any]:
    return msgspec.json.decode(source, type=dict[str, Any])


def _convert(type: Any) -> Callable[[Any], Any]:
    return lambda value: msgspec.convert(value, type)


def _checked(path: str, read: Callable[[Any], T], value: Any) -> T:
    """What `read` makes of it; its complaint names the place."""
    try:
        return read(value)
    except (msgspec.DecodeError, RecursionError) as error:
        problem, _, at = str(error).partition(" - at `$")
        path += at.rstrip("`")
        message = f"`{path}` is wrong: {problem.rstrip('.')}."
        raise HiveError(Kind.INVALID, message, path) from None
