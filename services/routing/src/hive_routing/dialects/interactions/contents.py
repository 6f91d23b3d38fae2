"""Content: texts and media, as they stand in what a user says, what a model says and what a function gives."""

from __future__ import annotations

from collections.abc import Mapping

from hive_routing.dialects.form import Media, Opaque, Part, Refusal, Text
from hive_routing.dialects.gemini.fields import Misfit, Object, optional, present, typed
from hive_routing.dialects.gemini.media import MediaKind, is_public
from hive_routing.dialects.gemini.seals import standard_base64
from hive_routing.dialects.seals import packed, unpacked

NAME = "interactions"
SIGNATURE = "signature"

KINDS: Mapping[str, MediaKind] = {
    "image": "image",
    "document": "document",
    "audio": "audio",
    "video": "video",
}
CONTENT_TYPES = frozenset({"text", *KINDS})

_MEDIA = frozenset({"type", "data", "uri", "mime_type", "name", "resolution"})
_DETAILS = frozenset({"low", "high"})
"""How closely an image is looked at, in words that others have too."""


def is_content(value: object) -> bool:
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and kind in CONTENT_TYPES


def read_content(value: object, path: str) -> Text | Media | Opaque | None:
    """None for a text without characters. Raises Misfit.

    Annotations, which say where the words of an earlier answer came from, are not told to the model again.
    """
    content = present(value, path)
    kind = typed(content.get("type"), str, f"{path}.type")
    if kind == "text":
        text = typed(content.get("text", ""), str, f"{path}.text")
        signature = optional(content, SIGNATURE, str, path)
        seal = unpacked(signature, NAME, SIGNATURE) if signature else None
        return Text(text, seal=seal) if text or seal is not None else None
    if kind not in KINDS:
        return Opaque(NAME, kind, value)
    return _read_media(KINDS[kind], content, path) or Opaque(NAME, kind, value)


def _read_media(kind: MediaKind, content: Object, path: str) -> Media | Opaque | None:
    detail = optional(content, "resolution", str, path)
    if content.keys() - _MEDIA or detail not in (None, *_DETAILS):
        return None
    mime = optional(content, "mime_type", str, path)
    name = optional(content, "name", str, path)
    if "data" in content:
        data = standard_base64(typed(content["data"], str, f"{path}.data"))
        return Media(kind, mime, data=data, name=name, detail=detail)
    if "uri" not in content:
        raise Misfit(path, f"An `{kind}` needs `data` or `uri`")
    uri = typed(content["uri"], str, f"{path}.uri")
    if not is_public(uri):  # Google holds it, so only Google can read it
        file = ({"mimeType": mime} if mime else {}) | {"fileUri": uri}
        return Opaque("gemini", "fileData", {"fileData": file})
    return Media(kind, mime, url=uri, name=name, detail=detail)


def written_content(part: Part) -> Object | None:
    """None for what is no content, or what this dialect cannot say."""
    match part:
        case Text(text, seal=seal):
            signed = {SIGNATURE: packed(seal, NAME)} if seal is not None else {}
            return {"type": "text", "text": text} | signed
        case Refusal(text):
            return {"type": "text", "text": text}
        case Media():
            return _written_media(part)
        case Opaque(dialect="gemini", kind="fileData", value={"fileData": {"fileUri": uri, **file}}):
            mime = file.get("mimeType")
            return {"type": _kind(mime), "uri": uri} | ({"mime_type": mime} if mime else {})
        case Opaque(dialect=dialect, kind=kind, value=dict(value)) if dialect == NAME and kind in KINDS:
            return value
        case _:
            return None


def _written_media(media: Media) -> Object | None:
    where = {"data": media.data} if media.data is not None else {"uri": media.url}
    if media.data is None and media.url is None:
        return None
    said = {
        "type": media.kind,
        **where,
        "mime_type": media.mime,
        "name": media.name if media.kind == "video" else None,
        "resolution": media.detail if media.detail in _DETAILS else None,
    }
    return {name: each for name, each in said.items() if each is not None}


def _kind(mime: object) -> str:
    kind = str(mime).partition("/")[0]
    return kind if kind in KINDS else "document"
