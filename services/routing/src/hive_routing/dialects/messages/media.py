"""Images and documents, written as content blocks of Anthropic's messages."""

from __future__ import annotations

import base64
import binascii

from hive_routing.dialects.form import Media
from hive_routing.dialects.messages.blocks import marked
from hive_routing.dialects.messages.parts import NAME, Block
from hive_routing.dialects.port import refuse

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF = "application/pdf"
_AS_TEXT = ("text/", "application/json", "application/xml", "application/x-yaml")
"""Documents of these types are text, and are passed on as such."""


def media_block(media: Media, is_own: bool) -> Block:
    """Raises Untranslatable. How closely an image is looked at is a hint that Anthropic does not know."""
    if media.kind == "image":
        source = _image(media, is_own)
    elif media.kind == "document":
        source = _document(media, is_own)
    else:
        refuse("messages", "Sound" if media.kind == "audio" else "A film", NAME)
    block: Block = {"type": media.kind, "source": source}
    if media.kind == "document":
        about = {"title": media.name, "context": media.context}
        block |= {name: value for name, value in about.items() if value is not None}
    return marked(block, media.cache)


def _image(media: Media, is_own: bool) -> Block:
    if media.data is None:
        return _elsewhere(media, is_own)
    mime = "image/jpeg" if media.mime == "image/jpg" else media.mime
    if mime not in _IMAGES and not is_own:
        refuse("messages", f"An image of type `{mime}`", NAME)
    return {"type": "base64", "media_type": mime, "data": media.data}


def _document(media: Media, is_own: bool) -> Block:
    mime = media.mime or _PDF
    is_text = mime.startswith(_AS_TEXT)
    if media.data is None:
        if mime != _PDF and not is_own:
            refuse("messages", f"A document of type `{mime}` that is not sent along", NAME)
        return _elsewhere(media, is_own)
    if is_text:
        return {"type": "text", "media_type": "text/plain", "data": _decoded(media.data)}
    if mime != _PDF and not is_own:
        refuse("messages", f"A document of type `{mime}`", NAME)
    return {"type": "base64", "media_type": mime, "data": media.data}


def _elsewhere(media: Media, is_own: bool) -> Block:
    """By its address; a file that another provider keeps cannot be had here."""
    if media.url is not None:
        if not is_own and not media.url.startswith(("https://", "http://")):
            refuse("messages", "A file that is not at an http(s) address", NAME)
        return {"type": "url", "url": media.url}
    if not is_own:
        refuse("messages", "A file that another provider keeps", NAME)
    return {"type": "file", "file_id": media.file_id}


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, UnicodeDecodeError):
        refuse("messages", "A document of text that is not UTF-8", NAME)
