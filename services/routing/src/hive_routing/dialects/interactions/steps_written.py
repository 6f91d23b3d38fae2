"""Parts of the form, written as steps: of an answer for a client, and of a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

from hive_routing.dialects.form import Call, Media, Opaque, Part, Result, Seal, Text, Thinking, Turn
from hive_routing.dialects.gemini.fields import Object
from hive_routing.dialects.gemini.parts import kept_args
from hive_routing.dialects.interactions.contents import NAME, SIGNATURE, is_content, written_content
from hive_routing.dialects.port import refuse
from hive_routing.dialects.seals import packed


def answered_steps(part: Part) -> Iterator[Object]:
    """The steps of a part of an answer, for a client: none for what this dialect cannot say."""
    match part:
        case Thinking(text, seal):
            summary = [{"type": "text", "text": text}] if text else []
            yield _thought(seal) | {"summary": summary}
        case Call(id, name, arguments, seal=seal):
            if seal is not None:
                yield _thought(seal)
            yield {"type": "function_call", "id": id, "name": name, "arguments": kept_args(arguments)}
        case Opaque(dialect=dialect, value=dict(value)) if dialect == NAME and not is_content(value):
            yield value
        case _:
            if (content := written_content(part)) is not None:
                yield {"type": "model_output", "content": [content]}


def _thought(seal: Seal | None) -> Object:
    return {"type": "thought"} | ({SIGNATURE: packed(seal, NAME)} if seal is not None else {})


def write_steps(turns: Sequence[Turn], dialect: str) -> list[Object]:
    """The turns of a prompt, but for those of the system. Raises Untranslatable."""
    steps: list[Object] = []
    for turn in turns:
        match turn.role:
            case "user":
                contents = [_content(part, dialect) for part in turn.parts]
                steps.append({"type": "user_input", "content": contents})
            case "assistant":
                for part in turn.parts:
                    steps += _answered(part, dialect)
            case "tool":
                steps += [_result(part, dialect) for part in turn.parts if isinstance(part, Result)]
            case "system":
                pass
    return steps


def _answered(part: Part, dialect: str) -> list[Object]:
    steps = list(answered_steps(part))
    if not steps:
        _refuse(part, dialect)
    return steps


def _content(part: Part, dialect: str) -> Object:
    content = written_content(part)
    return content if content is not None else _refuse(part, dialect)


def _result(result: Result, dialect: str) -> Object:
    contents = [_content(part, dialect) for part in result.parts]
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    plain = len(contents) == len(texts) <= 1
    step: Object = {
        "type": "function_result",
        "call_id": result.call_id,
        "result": "".join(texts) if plain else contents,
    }
    if result.name is not None:
        step["name"] = result.name
    return step | ({"is_error": True} if result.is_error else {})


def _refuse(part: Part, dialect: str) -> NoReturn:
    kind = part.kind if isinstance(part, Opaque | Media) else "tool result"
    refuse("messages", f"A part of the kind `{kind}`", dialect)
