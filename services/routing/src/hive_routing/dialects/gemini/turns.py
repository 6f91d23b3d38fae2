"""The conversation: `contents` and `systemInstruction`, both ways.

What the application says in between goes to the front, where Google has a place for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hive_routing.dialects.form import (
    Call,
    Media,
    Opaque,
    Part,
    Refusal,
    Result,
    Role,
    Text,
    Thinking,
    Turn,
)
from hive_routing.dialects.gemini.calls import CallIds
from hive_routing.dialects.gemini.fields import Misfit, Object, listed, members, typed
from hive_routing.dialects.gemini.media import write_media
from hive_routing.dialects.gemini.models import checks_signatures, is_old
from hive_routing.dialects.gemini.parts import args_of, read_part, signed
from hive_routing.dialects.gemini.results import write_result
from hive_routing.dialects.gemini.seals import NOT_CHECKED, own_signature
from hive_routing.dialects.port import refuse

_ROLES: dict[str, Role] = {
    "user": "user",
    "model": "assistant",
    "function": "user",
    "tool": "user",
    "system": "system",
}


def read_contents(value: Any) -> list[Turn]:
    """Contents, a single one, or just a text. Raises Misfit."""
    ids = CallIds()
    turns: list[Turn] = []
    for place, content in enumerate(listed(value)):
        _read_content(content, f"contents[{place}]", ids, turns)
    return turns


def read_system(value: Any) -> Turn:
    """Raises Misfit."""
    turns: list[Turn] = []
    _read_content(value, "systemInstruction", CallIds(), turns)
    return Turn("system", [part for turn in turns for part in turn.parts])


def _read_content(value: Any, path: str, ids: CallIds, turns: list[Turn]) -> None:
    role: Role = "user"
    if isinstance(value, str):
        parts = [value]
    else:
        content = members(value, path)
        said = typed(content.get("role", "user"), str, f"{path}.role")
        if said not in _ROLES:
            raise Misfit(f"{path}.role", f"Expected `user` or `model`, got `{said}`")
        role = _ROLES[said]
        parts = listed(content.get("parts", [] if "role" in content else [value]))
    added: Turn | None = None
    for place, each in enumerate(parts):
        at = f"{path}.parts[{place}]"
        part = read_part({"text": each} if isinstance(each, str) else each, at, ids)
        if part is None:
            continue
        if isinstance(part, Result):
            added = None
            _results(turns).append(part)
            continue
        if added is None:
            added = Turn(role)
            turns.append(added)
        added.parts.append(part)


def _results(turns: list[Turn]) -> list[Part]:
    """Where the next result of a function belongs."""
    if not turns or turns[-1].role != "tool":
        turns.append(Turn("tool"))
    return turns[-1].parts


def write_contents(turns: Sequence[Turn], model: str, dialect: str) -> list[Object]:
    """Raises Untranslatable for what Google's models cannot be told."""
    names = {part.id: part.name for turn in turns for part in turn.parts if isinstance(part, Call)}
    contents = []
    for turn in turns:
        if turn.role == "system":
            continue
        parts = _rejoined(_written(turn, names, model, dialect))
        if turn.role == "assistant" and checks_signatures(model):
            _excuse(turn, parts)
        if parts:
            contents.append({"role": "model" if turn.role == "assistant" else "user", "parts": parts})
    return contents


def write_system(turns: Sequence[Turn], model: str, dialect: str) -> Object | None:
    """The `systemInstruction`; None where there is nothing to say."""
    parts = [part for turn in turns if turn.role == "system" for part in _written(turn, {}, model, dialect)]
    return {"parts": parts} if parts else None


def _written(turn: Turn, names: dict[str, str], model: str, dialect: str) -> Iterator[Object]:
    for part in turn.parts:
        match part:
            case Text(text, seal=seal):
                signature = own_signature(seal)
                if text or signature is not None:
                    yield signed({"text": text}, signature)
            case Refusal(text):
                yield {"text": text}
            case Thinking(text, seal):  # without a signature it cannot be verified there
                if (signature := own_signature(seal)) is not None:
                    yield signed({"text": text} | ({"thought": True} if text else {}), signature)
            case Media(context=context):
                if context is not None:
                    yield {"text": context}
                yield write_media(part, dialect)
            case Call():
                yield _call(part, dialect)
            case Result():
                name = part.name or names.get(part.call_id)
                if name is None:
                    refuse("messages", "The result of a tool that nobody called", dialect)
                yield from write_result(part, name, dialect, with_media=not is_old(model))
            case Opaque(dialect=origin, kind=kind, value=value):
                if origin != dialect:
                    refuse("messages", f"A part of the kind `{kind}`", dialect)
                yield value


def _rejoined(parts: Iterable[Object]) -> list[Object]:
    """The parts with signatures of texts at their texts: clients of other dialects bring them back behind these."""
    joined: list[Object] = []
    for part in parts:
        is_bare = part.keys() == {"text", "thoughtSignature"} and not part["text"]
        if is_bare and joined and joined[-1].keys() == {"text"}:
            joined[-1] = signed(joined[-1], part["thoughtSignature"])
        else:
            joined.append(part)
    return joined


def _call(call: Call, dialect: str) -> Object:
    args = args_of(call.arguments)
    if args is None:
        refuse("messages", f"A call of `{call.name}` whose arguments are no JSON object", dialect)
    written: Object = {"id": call.id} if call.id else {}
    return signed({"functionCall": written | {"name": call.name, "args": args}}, own_signature(call.seal))


def _excuse(turn: Turn, parts: list[Object]) -> None:
    """The first call of a turn that another provider's model made: newer models refuse it without a signature."""
    for place, part in enumerate(parts):
        if "functionCall" in part:
            if "thoughtSignature" not in part:
                parts[place] = signed(part, NOT_CHECKED)
            return
