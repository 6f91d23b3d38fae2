"""What stands in the `content` of a message or in the `output` of a tool, as parts of the form.

The form has no place for some members, and none of them changes what is said to another model: `annotations` of a
text, and the ids, `status` and `phase` of messages. They are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hive_routing.dialects.form import CacheMark, Media, Opaque, Part, Refusal, Text
from hive_routing.dialects.port import refuse, untranslatable

NAME = "responses"

Item = dict[str, Any]
"""A decoded object: an item, or a part of one."""

PNG = "image/png"
PDF = "application/pdf"
_TEXTS = frozenset({"input_text", "output_text", "text"})
_EXTENSIONS = {
    PDF: ".pdf",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/html": ".html",
    "application/json": ".json",
}


class _Breakpoint(msgspec.Struct):
    ttl: str | None = None


class _Text(msgspec.Struct):
    text: str
    prompt_cache_breakpoint: _Breakpoint | None = None


class _Refusal(msgspec.Struct):
    refusal: str


class _Image(msgspec.Struct):
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: _Breakpoint | None = None


class _File(msgspec.Struct):
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: _Breakpoint | None = None


class _Sound(msgspec.Struct):
    data: str
    format: str


class _Audio(msgspec.Struct):
    input_audio: _Sound


def read_part(part: Item) -> Part:
    """Raises msgspec.ValidationError where a kind of part that is known is not as it has to be."""
    kind = part.get("type")
    if not isinstance(kind, str):
        raise msgspec.ValidationError("Object missing required field `type`")
    if kind in _TEXTS:
        text = msgspec.convert(part, _Text)
        return Text(text.text, cache=_mark(text.prompt_cache_breakpoint))
    if kind == "refusal":
        return Refusal(msgspec.convert(part, _Refusal).refusal)
    if kind == "input_image":
        return _image(msgspec.convert(part, _Image))
    if kind == "input_file":
        return _file(msgspec.convert(part, _File))
    if kind == "input_audio":
        sound = msgspec.convert(part, _Audio).input_audio
        return Media("audio", f"audio/{sound.format}", sound.data)
    return Opaque(NAME, kind, part)


def write_parts(parts: Iterable[Part], *, is_openai: bool) -> str | list[Item]:
    """As the user's words, the application's or a tool's; one text alone is a string. Raises Untranslatable."""
    written = [write_part(part, is_openai=is_openai) for part in parts]
    if not written:
        return ""
    if len(written) == 1 and written[0].get("type") == "input_text":
        text: str = written[0]["text"]
        return text
    return written


def write_part(part: Part, *, is_openai: bool) -> Item:
    """is_openai: it was said in a dialect of OpenAI, so that files it names are kept there."""
    match part:
        case Text(text):
            return {"type": "input_text", "text": text}
        case Media(kind="image"):
            return _written_image(part, is_openai)
        case Media(kind="document"):
            return _written_file(part, is_openai)
        case Opaque(dialect, _, value) if dialect == NAME:
            own: Item = value
            return own
        case Media(kind=kind):
            what = "Sound" if kind == "audio" else "A film"
        case Opaque(kind=kind):
            what = f"A part of type `{kind}`"
        case _:
            what = f"A part of type `{part.__struct_config__.tag}` in this place"
    raise untranslatable("messages", what, NAME)


def data_url(media: Media, mime: str) -> str:
    return f"data:{media.mime or mime};base64,{media.data}"


def media_type(data: str, name: str | None) -> str | None:
    """Of a file by its data URL or, where it is no such, by its name; None where neither says it."""
    mime, _ = _of_data_url(data)
    return mime or _mime_of(name)


def _mark(breakpoint: _Breakpoint | None) -> CacheMark | None:
    """OpenAI keeps for half an hour or for longer; the shorter of what others offer is too short for both."""
    if breakpoint is None:
        return None
    return CacheMark(None if breakpoint.ttl is None else "1h")


def _image(image: _Image) -> Media:
    mark = _mark(image.prompt_cache_breakpoint)
    detail = None if image.detail == "auto" else image.detail
    if image.image_url is not None:
        mime, data = _of_data_url(image.image_url)
        if data is not None:
            return Media("image", mime, data, detail=detail, cache=mark)
        return Media("image", url=image.image_url, detail=detail, cache=mark)
    if image.file_id is not None:
        return Media("image", file_id=image.file_id, detail=detail, cache=mark)
    raise msgspec.ValidationError("Object missing required field `image_url`")


def _file(file: _File) -> Media:
    media = Media(
        "document",
        name=file.filename,
        detail=None if file.detail == "auto" else file.detail,
        cache=_mark(file.prompt_cache_breakpoint),
    )
    if file.file_data is not None:
        media.mime, media.data = _of_data_url(file.file_data)
        if media.data is None:
            media.mime, media.data = _mime_of(file.filename), file.file_data
    elif file.file_url is not None:
        media.url = file.file_url
    elif file.file_id is not None:
        media.file_id = file.file_id
    else:
        raise msgspec.ValidationError("Object missing required field `file_data`")
    return media


def _of_data_url(url: str) -> tuple[str | None, str | None]:
    """Its type, and its data in base64; of any other URL: nothing."""
    if url[:5].lower() != "data:":
        return None, None
    head, _, data = url.partition(",")
    kind, *parameters = head[5:].split(";")
    if not parameters or parameters[-1].strip().lower() != "base64":
        return None, None
    return kind.strip() or None, data


def _mime_of(name: str | None) -> str | None:
    found = (mime for mime, extension in _EXTENSIONS.items() if name and name.lower().endswith(extension))
    return next(found, None)


def _written_image(image: Media, is_openai: bool) -> Item:
    written: Item = {"type": "input_image", "detail": image.detail or "auto"}
    if image.data is not None:
        written["image_url"] = data_url(image, PNG)
    elif image.url is not None:
        written["image_url"] = image.url
    else:
        written["file_id"] = _kept_file(image, is_openai)
    return written


def _written_file(file: Media, is_openai: bool) -> Item:
    if file.context is not None:
        refuse("messages", "The `context` of a document", NAME)
    written: Item = {"type": "input_file"}
    if file.detail is not None:
        written["detail"] = file.detail
    if file.data is not None:
        # OpenAI wants a name to data, and reads the type of a file from it.
        written["filename"] = file.name or "document" + _EXTENSIONS.get(file.mime or PDF, ".bin")
        written["file_data"] = data_url(file, PDF)
    elif file.url is not None:
        written["file_url"] = file.url
    else:
        written["file_id"] = _kept_file(file, is_openai)
    return written


def _kept_file(media: Media, is_openai: bool) -> str | None:
    if not is_openai:
        refuse("messages", f"The file `{media.file_id}`, which another provider keeps,", NAME)
    return media.file_id
