"""The parts of a content, both ways: what prompts, answers and streams have in common.

A part of a kind that the form does not have, or that says more of itself than the form can, is carried along whole.
Arguments that are no JSON object, as a model writes them whose answer was cut, stand in an object as `_raw`: Google's
SDKs take nothing but objects there, and an object they stay.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.dialects.form import Call, Media, Opaque, Part, Refusal, Result, Text, Thinking
from hive_routing.dialects.gemini.calls import CallIds
from hive_routing.dialects.gemini.fields import Object, members, optional, typed
from hive_routing.dialects.gemini.media import read_file, read_inline
from hive_routing.dialects.gemini.results import read_result
from hive_routing.dialects.gemini.seals import NAME, seal_of, signature_of

_DATA = (
    "text",
    "functionCall",
    "functionResponse",
    "inlineData",
    "fileData",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
_RAW = "_raw"
_CALL_MEMBERS = frozenset({"id", "name", "args"})


def read_part(value: Any, path: str, ids: CallIds) -> Part | None:
    """None for a part that says nothing, as text without characters. Raises Misfit."""
    match value:
        case {"text": str(text)} if len(value) == 1:  # what nearly every frame of a stream has
            return Text(text) if text else None
    part = members(value, path)
    if not part:
        return None
    kind = next((name for name in _DATA if name in part), next(iter(part)))
    more = part.keys() - {kind}
    read: Part | None = None
    if kind == "text" and more <= {"thought", "thoughtSignature"}:
        return _read_text(part, path)
    if kind == "functionCall" and more <= {"thoughtSignature"}:
        read = _read_call(part, path, ids)
    elif kind in ("functionResponse", "inlineData", "fileData") and not more:
        read = _read_data(kind, part[kind], f"{path}.{kind}", ids)
    return read if read is not None else Opaque(NAME, kind, value)


def _read_text(part: Object, path: str) -> Part | None:
    text = typed(part["text"], str, f"{path}.text")
    signature = optional(part, "thoughtSignature", str, path)
    seal = seal_of(signature) if signature is not None else None
    if not text and seal is None:
        return None
    if optional(part, "thought", bool, path):
        return Thinking(text, seal, is_summary=True)
    return Text(text, seal=seal)


def _read_call(part: Object, path: str, ids: CallIds) -> Call | None:
    call = members(part["functionCall"], f"{path}.functionCall")
    if call.keys() - _CALL_MEMBERS:
        return None
    path = f"{path}.functionCall"
    name = typed(call.get("name"), str, f"{path}.name")
    args = typed(call.get("args", {}), dict[str, Any], f"{path}.args")
    signature = optional(part, "thoughtSignature", str, path)
    return Call(
        ids.of_call(optional(call, "id", str, path), name),
        name,
        msgspec.json.encode(args).decode(),
        seal=seal_of(signature) if signature is not None else None,
    )


def _read_data(kind: str, value: object, path: str, ids: CallIds) -> Media | Result | None:
    if kind == "functionResponse":
        return read_result(value, path, ids)
    return read_inline(value, path) if kind == "inlineData" else read_file(value, path)


def args_of(arguments: str) -> Object | None:
    """The object that the source stands for; none at all is an empty one. None where it is something else."""
    if not arguments.strip():
        return {}
    try:
        value: Any = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def kept_args(arguments: str) -> Object:
    """The same for a client, who gets to see what is none, too."""
    args = args_of(arguments)
    return {_RAW: arguments} if args is None else args


def answered_part(part: Part) -> Object | None:
    """A part of an answer for a client; None for what Google's dialect cannot say."""
    match part:
        case Text(text, seal=seal):
            return signed({"text": text}, signature_of(seal))
        case Refusal(text):
            return {"text": text}
        case Thinking(text, seal):
            return signed({"text": text, "thought": True}, signature_of(seal))
        case Call(id, name, arguments, seal=seal):
            call = ({"id": id} if id else {}) | {"name": name, "args": kept_args(arguments)}
            return signed({"functionCall": call}, signature_of(seal))
        case Media(mime=mime, data=data, url=url):
            where: Object = {"data": data} if data is not None else {"fileUri": url}
            typed_where = ({"mimeType": mime} if mime else {}) | where
            return {"inlineData" if data is not None else "fileData": typed_where}
        case Opaque(dialect=dialect, value=value):
            return value if dialect == NAME and isinstance(value, dict) else None
        case Result():
            return None


def signed(part: Object, signature: str | None) -> Object:
    return part | {"thoughtSignature": signature} if signature is not None else part
