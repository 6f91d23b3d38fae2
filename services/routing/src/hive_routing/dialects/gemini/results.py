"""What functions gave, both ways: Google wants an object there.

Text is put into it as `{"result": …}`, several texts as `{"results": […]}`, an error as `{"error": …}`; text that is
the JSON of an object passes as that object. What a client sends is read likewise.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.dialects.form import Media, Opaque, Result, Text
from hive_routing.dialects.gemini.calls import CallIds
from hive_routing.dialects.gemini.fields import Object, members, optional, typed
from hive_routing.dialects.gemini.media import read_file, read_inline, write_media
from hive_routing.dialects.port import refuse

_MEMBERS = frozenset({"id", "name", "response", "parts"})

ResultPart = Text | Media | Opaque


def read_result(value: object, path: str, ids: CallIds) -> Result | None:
    """None where it says more than the form can."""
    said = members(value, path)
    if said.keys() - _MEMBERS:
        return None
    name = typed(said.get("name"), str, f"{path}.name")
    response = said.get("response", {})
    if not isinstance(response, dict):  # the SDKs forbid it, the service does not mind
        response = {"result": response}
    given = typed(said.get("parts", []), list[Any], f"{path}.parts")
    parts = [_media(each, f"{path}.parts[{place}]") for place, each in enumerate(given)]
    kept = [each for each in parts if each is not None]
    if len(kept) < len(parts):
        return None
    texts, is_error = _texts(response)
    read: list[ResultPart] = [Text(text) for text in texts if text]
    call = ids.of_response(optional(said, "id", str, path), name)
    return Result(call, [*read, *kept], name=name, is_error=is_error)


def write_result(result: Result, name: str, dialect: str, *, with_media: bool) -> list[Object]:
    """The parts of a content. name: of the function. with_media: it can hold media; else they follow it."""
    texts, media = [], []
    for part in result.parts:
        match part:
            case Text(text):
                texts.append(text)
            case Media():
                media.append(write_media(part, dialect))
            case Opaque(dialect=origin, kind=kind, value=value):
                if origin != dialect:
                    refuse("messages", f"A part of the kind `{kind}` in the result of a tool", dialect)
                media.append(value)
    response: Object = {"name": name, "response": _response(texts, is_error=result.is_error)}
    if result.call_id:
        response = {"id": result.call_id} | response
    if media and with_media:
        response["parts"] = media
        media = []
    return [{"functionResponse": response}, *media]


def _media(value: object, path: str) -> Media | None:
    part = members(value, path)
    match list(part.items()):
        case [("inlineData", blob)]:
            return read_inline(blob, f"{path}.inlineData")
        case [("fileData", file)]:
            return read_file(file, f"{path}.fileData")
        case _:
            return None


def _texts(response: Object) -> tuple[list[str], bool]:
    """The texts in a response, and whether it is an error."""
    match list(response.items()):
        case [("result" | "output", str(text))]:
            return [text], False
        case [("error", str(text))]:
            return [text], True
        case [("results", [*texts])] if all(isinstance(each, str) for each in texts):
            return texts, False
        case [("errors", [*texts])] if all(isinstance(each, str) for each in texts):
            return texts, True
        case _:
            return [_encoded(response)], False


def _response(texts: list[str], *, is_error: bool) -> Object:
    if len(texts) > 1:
        return {"errors" if is_error else "results": texts}
    text = texts[0] if texts else ""
    if is_error:
        return {"error": text}
    value = _object(text)
    passes = value is not None and _texts(value) == ([_encoded(value)], False)
    return value if passes and value is not None else {"result": text}


def _object(text: str) -> Object | None:
    try:
        value: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _encoded(value: Object) -> str:
    return msgspec.json.encode(value).decode()
