"""Images, documents, sounds and films: `inlineData` and `fileData`, both ways.

A file at a public address is a URL for everybody. One that Google holds (its Files API, Cloud Storage) is nothing to
other providers, and is carried along as it is; so is one whose kind cannot be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hive_routing.dialects.form import Media
from hive_routing.dialects.gemini.fields import Object, members, optional, typed
from hive_routing.dialects.gemini.seals import standard_base64
from hive_routing.dialects.port import refuse

_FILES_API = "https://generativelanguage.googleapis.com/"
_YOUTUBE = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/")
_TYPES: Mapping[str, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "m4a": "audio/m4a",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mov": "video/mov",
    "webm": "video/webm",
}
"""By how an address ends."""

MediaKind = Literal["image", "document", "audio", "video"]


def read_inline(value: object, path: str) -> Media | None:
    """None where it says more than the form can."""
    blob = members(value, path)
    if blob.keys() - {"mimeType", "data", "displayName"} or not blob.get("mimeType") or not blob.get("data"):
        return None
    mime = typed(blob["mimeType"], str, f"{path}.mimeType")
    data = standard_base64(typed(blob["data"], str, f"{path}.data"))
    return Media(kind_of(mime), mime, data=data, name=optional(blob, "displayName", str, path))


def read_file(value: object, path: str) -> Media | None:
    """None for a file that only Google can read, and where it says more than the form can."""
    file = members(value, path)
    if file.keys() - {"mimeType", "fileUri", "displayName"} or not file.get("fileUri"):
        return None
    url = typed(file["fileUri"], str, f"{path}.fileUri")
    mime = optional(file, "mimeType", str, path)
    kind = _kind_at(url, mime)
    if kind is None:
        return None
    return Media(kind, mime, url=url, name=optional(file, "displayName", str, path))


def kind_of(mime: str) -> MediaKind:
    match mime.partition("/")[0]:
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
        case _:
            return "document"


def is_public(url: str) -> bool:
    """Whether others than Google can read what stands there."""
    return url.startswith(("https://", "http://")) and not url.startswith(_FILES_API)


def _kind_at(url: str, mime: str | None) -> MediaKind | None:
    """The kind of what stands at a public address; None where it is none, or the kind cannot be told."""
    if not is_public(url):
        return None
    if url.startswith(_YOUTUBE):
        return "video"
    mime = mime or _guessed(url)
    return kind_of(mime) if mime else None


def write_media(media: Media, dialect: str) -> Object:
    """A part of a prompt. Raises Untranslatable for a file that another provider holds.

    How closely an image is looked at, and the name of a document, are left to Google.
    """
    if media.data is not None:
        if not media.mime:
            refuse("messages", f"A part of the kind `{media.kind}` without a media type", dialect)
        return {"inlineData": {"mimeType": media.mime, "data": media.data}}
    if media.url is None:
        refuse("messages", "A file that another provider holds", dialect)
    mime = media.mime or _guessed(media.url)
    return {"fileData": ({"mimeType": mime} if mime else {}) | {"fileUri": media.url}}


def _guessed(url: str) -> str | None:
    path = url.partition("?")[0].partition("#")[0]
    return _TYPES.get(path.rpartition("/")[2].rpartition(".")[2].lower())
