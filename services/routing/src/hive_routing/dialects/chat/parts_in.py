"""The parts of `content` in a caller's messages, read as parts of the form."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hive_routing.dialects.chat.fields import converted, invalid
from hive_routing.dialects.chat.spoken import BLOCK, NAME, block_text, thought
from hive_routing.dialects.form import CacheMark, Call, Media, Opaque, Part, Refusal, Result, Text, Thinking

Block = dict[str, Any]

PDF = "application/pdf"
AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""Formats of sound by their MIME type; others are called by their subtype."""

_MARKS = ("cache_control", "prompt_cache_breakpoint")
_TTLS = {"5m": "5m", "1h": "1h", "30m": "1h", "12h": "1h"}
"""OpenAI's times as the next of those that the form has."""


class _Image(msgspec.Struct):
    url: str
    detail: str | None = None


class _Sound(msgspec.Struct):
    data: str
    format: str


class _File(msgspec.Struct):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


def read_content(content: str | list[Block] | None, path: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    parts: list[Part] = []
    for number, block in enumerate(content or ()):
        part = read_block(block, f"{path}[{number}]")
        if not (isinstance(part, Text) and not part.text):
            parts.append(part)
    return parts


def read_block(block: Block, path: str) -> Part:
    """One part; `Opaque` where the form has no such thing."""
    kind = converted(block.get("type"), str, f"{path}.type")
    read = _READERS.get(kind)
    part = read(block, path) if read is not None else Opaque(NAME, kind, block)
    mark(part, block)
    return part


def mark(part: object, block: Mapping[str, Any]) -> None:
    """Note the cache mark of a block, where the part can have one."""
    found = mark_of(block)
    if found is not None and isinstance(part, Text | Media | Call | Result):
        part.cache = found


def mark_of(block: Mapping[str, Any]) -> CacheMark | None:
    """In OpenAI's form or in Anthropic's."""
    for name in _MARKS:
        said = block.get(name)
        if isinstance(said, dict):
            return CacheMark(_TTLS.get(str(said.get("ttl"))))
    return None


def data_url(url: str, path: str) -> tuple[str, str]:
    """MIME type and base64 of a data URL."""
    head, comma, data = url.removeprefix("data:").partition(",")
    mime, *parameters = head.split(";")
    if not comma or "base64" not in parameters or "/" not in mime:
        raise invalid(path, "expected a data URL, `data:<type>;base64,<data>`")
    return mime, data


def _text(block: Block, path: str) -> Part:
    return Text(converted(block.get("text"), str, f"{path}.text"))


def _refusal(block: Block, path: str) -> Part:
    return Refusal(converted(block.get("refusal"), str, f"{path}.refusal"))


def _thinking(block: Block, path: str) -> Part:
    return Thinking(block_text(block), thought(BLOCK))


def _image(block: Block, path: str) -> Part:
    path = f"{path}.image_url"
    said = block.get("image_url")
    image = _Image(said) if isinstance(said, str) else converted(said, _Image, path)
    media = _of_url(image.url, f"{path}.url")
    if media.kind == "image":
        media.detail = image.detail
    return media


def _of_url(url: str, path: str) -> Media:
    """What an `image_url` shows: documents, too, are sent in it."""
    if url.startswith("data:"):
        mime, data = data_url(url, path)
        return Media(_kind(mime), mime, data)
    if not url.startswith(("http://", "https://", "gs://")):
        raise invalid(path, "expected an http(s) URL or a data URL")
    is_document = url.partition("?")[0].lower().endswith(".pdf")
    return Media("document", PDF, url=url) if is_document else Media("image", url=url)


def _kind(mime: str) -> Any:
    kind = mime.partition("/")[0]
    return kind if kind in ("image", "audio", "video") else "document"


def _sound(block: Block, path: str) -> Part:
    sound = converted(block.get("input_audio"), _Sound, f"{path}.input_audio")
    return Media("audio", AUDIO.get(sound.format, f"audio/{sound.format}"), sound.data)


def _file(block: Block, path: str) -> Part:
    path = f"{path}.file"
    file = converted(block.get("file"), _File, path)
    data = file.file_data
    if data is None:
        if file.file_id is None:
            raise invalid(path, "expected `file_id` or `file_data`")
        return Media("document", file_id=file.file_id, name=file.filename)
    if data.startswith(("http://", "https://")):
        return Media("document", url=data, name=file.filename)
    if data.startswith("data:"):
        mime, data = data_url(data, f"{path}.file_data")
        return Media(_kind(mime), mime, data, name=file.filename)
    named, _ = mimetypes.guess_type(file.filename or "")
    return Media("document", named or PDF, data, name=file.filename)


_READERS: Mapping[str, Callable[[Block, str], Part]] = {
    "text": _text,
    "refusal": _refusal,
    BLOCK: _thinking,
    "image_url": _image,
    "input_audio": _sound,
    "file": _file,
}
