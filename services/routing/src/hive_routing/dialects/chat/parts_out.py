"""The parts of the form, written as `content` of messages to a provider."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from typing import Any

from hive_routing.dialects.chat.parts_in import AUDIO
from hive_routing.dialects.chat.spoken import BLOCK, NAME
from hive_routing.dialects.form import Media, Opaque, Part, Refusal, Text, Thinking
from hive_routing.dialects.port import untranslatable

Block = dict[str, Any]

_FORMATS = {mime: format for format, mime in AUDIO.items()} | {
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mp3": "mp3",
}
_KINDS = {"image": "An image", "document": "A document", "audio": "A sound", "video": "A video"}


def write_content(parts: Sequence[Part], joint: str | None) -> str | list[Block]:
    """A string where the parts are one text; or several, and there is a joint to put between them."""
    texts = [part.text for part in parts if isinstance(part, Text)]
    if len(texts) == len(parts) and (joint is not None or len(texts) < 2):
        return (joint or "").join(texts)
    return [block for part in parts for block in write_part(part)]


def write_part(part: Part) -> list[Block]:
    """Raises Untranslatable for what chat has no place for."""
    match part:
        case Text(text):
            return [{"type": "text", "text": text}]
        case Refusal(text):
            return [{"type": "refusal", "refusal": text}]
        case Media():
            return _write_media(part)
        case Thinking(text):
            return [{"type": BLOCK, BLOCK: [{"type": "text", "text": text}]}]
        case Opaque(dialect, kind, value) if dialect == NAME:
            return [value]
        case _:
            kind = part.kind if isinstance(part, Opaque) else type(part).__name__.lower()
            raise untranslatable("messages", f"A part of type `{kind}`", NAME)


def _write_media(media: Media) -> list[Block]:
    written = _medium(media)
    return [*([{"type": "text", "text": media.context}] if media.context else []), written]


def _medium(media: Media) -> Block:
    match media:
        case Media(kind="image", data=str(data)):
            return _image(f"data:{media.mime or 'image/png'};base64,{data}", media.detail)
        case Media(kind="image", url=str(url)):
            return _image(url, media.detail)
        case Media(kind="document", file_id=str(file_id)):
            return {"type": "file", "file": {"file_id": file_id}}
        case Media(kind="document", data=str(data)):
            return {"type": "file", "file": _file(media, data)}
        case Media(kind="audio", data=str(data)) if media.mime in _FORMATS:
            return {"type": "input_audio", "input_audio": {"data": data, "format": _FORMATS[media.mime]}}
        case _:
            how = "as a URL" if media.url else "as a file of another provider" if media.file_id else ""
            what = how or f"of type `{media.mime}`"
            raise untranslatable("messages", f"{_KINDS[media.kind]} {what}", NAME)


def _image(url: str, detail: str | None) -> Block:
    image = {"url": url} if detail is None else {"url": url, "detail": detail}
    return {"type": "image_url", "image_url": image}


def _file(media: Media, data: str) -> Block:
    """OpenAI refuses a file that has no name."""
    mime = media.mime or "application/pdf"
    name = media.name or f"document{mimetypes.guess_extension(mime) or ''}"
    return {"filename": name, "file_data": f"data:{mime};base64,{data}"}
