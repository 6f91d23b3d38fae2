"""The messages of a chat request: their text, their attachments, their size in tokens."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_testing.simulator import tokens

MESSAGE_TOKENS = 3
ATTACHMENT_TOKENS = 85
ECHOED_ROLES = ("user", "tool")


class ImageUrl(msgspec.Struct):
    url: str


class InputAudio(msgspec.Struct):
    data: str
    format: str = "wav"


class File(msgspec.Struct):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class Part(msgspec.Struct):
    type: str
    text: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: File | None = None


class Message(msgspec.Struct):
    role: str
    content: str | list[Part] | None = None
    tool_calls: list[dict[str, Any]] | None = None

    def text(self) -> str:
        """Its text parts, joined by a space."""
        if isinstance(self.content, str):
            return self.content
        return " ".join(part.text for part in self.content or () if part.text)

    def attachments(self) -> list[tuple[str, str]]:
        """(kind, media type) of each attachment; for one that is not in the request, where it is instead."""
        if not isinstance(self.content, list):
            return []
        return [described for part in self.content if (described := _attachment(part))]


def count(messages: list[Message]) -> int:
    """Prompt tokens: 3 per message, 85 per attachment, and the text."""
    total = MESSAGE_TOKENS * len(messages)
    for message in messages:
        if isinstance(message.content, str):
            total += tokens.count(message.content)
        else:
            total += tokens.count(message.text()) + ATTACHMENT_TOKENS * len(message.attachments())
        for call in message.tool_calls or ():
            total += tokens.count(str(call.get("function", "")))
    return total


def last_text(messages: list[Message]) -> str:
    """The text of the last message of a user or a tool."""
    return next((each.text() for each in reversed(messages) if each.role in ECHOED_ROLES), "")


def echo(messages: list[Message]) -> str:
    """The default answer: "Echo: ", the last text, then how many attachments came and of which types."""
    said = f"Echo: {last_text(messages)}"
    if not any(isinstance(each.content, list) for each in messages):
        return said
    kinds: dict[str, list[str]] = {}
    for message in messages:
        for kind, media_type in message.attachments():
            kinds.setdefault(kind, []).append(media_type)
    for kind, types in kinds.items():
        said += f" [{len(types)} {kind}{'s' if len(types) > 1 else ''}: {', '.join(types)}]"
    return said


def _attachment(part: Part) -> tuple[str, str] | None:
    if part.image_url:
        return "image", _media_type(part.image_url.url) or "url"
    if part.input_audio:
        return "audio", part.input_audio.format
    if part.file:
        return "file", _media_type(part.file.file_data or "") or part.file.file_id or "unknown"
    return None


def _media_type(url: str) -> str:
    return url[len("data:") :].partition(",")[0].partition(";")[0] if url.startswith("data:") else ""
