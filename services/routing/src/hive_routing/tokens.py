"""Counting tokens where the provider gives no figure, and for those who ask beforehand.

Exact for OpenAI's families; others are counted with o200k as an estimate. Chat overhead by OpenAI's
convention: 3 tokens a message, 1 for a name, 3 to prime the reply. An image counts as 85 tokens, the base
of a low-detail one; sound and files count nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec
import toktok

INLINE_CHARS = 65_536
"""About 0.3 ms of counting: longer texts are counted in a thread."""
PER_MESSAGE = 3
PER_NAME = 1
PER_REPLY = 3
PER_IMAGE = 85

_FAMILIES = (
    ("gpt-oss", "o200k_harmony"),
    ("gpt-4o", "o200k_base"),
    ("gpt-4.1", "o200k_base"),
    ("gpt-4.5", "o200k_base"),
    ("gpt-5", "o200k_base"),
    ("chatgpt-4o", "o200k_base"),
    ("o1", "o200k_base"),
    ("o3", "o200k_base"),
    ("o4", "o200k_base"),
    ("gpt-4", "cl100k_base"),
    ("gpt-3.5", "cl100k_base"),
    ("text-embedding-3", "cl100k_base"),
    ("text-embedding-ada", "cl100k_base"),
)
_DEFAULT = "o200k_base"


def encoding_of(model: str) -> str:
    """The encoding for a model's name, with or without a vendor before a slash."""
    return _family_of(model) or _DEFAULT


def is_exact(model: str) -> bool:
    """Whether the model's own encoding is known, and not another one stands in for it."""
    return _family_of(model) is not None


@lru_cache(maxsize=4096)
def _family_of(model: str) -> str | None:
    name = model.rpartition("/")[2].lower()
    return next((encoding for prefix, encoding in _FAMILIES if name.startswith(prefix)), None)


class Countable(msgspec.Struct):
    """Texts, and tokens that stand for what is no text.

    images: how many there are. media: characters of sounds and files in base64, which count as no tokens here.
    unseen: documents, sounds and films that are not in the body: a provider fetches them.
    """

    texts: list[str] = []
    extra: int = 0
    images: int = 0
    media: int = 0
    unseen: int = 0

    def add(self, value: Any) -> None:
        """Add a content: a text, or parts in OpenAI's, Anthropic's or Google's form."""
        if isinstance(value, str):
            self.texts.append(value)
        elif isinstance(value, list):
            for part in value:
                self.add(part)
        elif isinstance(value, dict):
            self._add_part(value)

    def add_messages(self, messages: Any) -> None:
        """Add a conversation with its overhead."""
        texts, extra = self.texts, PER_REPLY
        for message in messages if isinstance(messages, list) else ():
            if not isinstance(message, dict):
                continue
            extra += PER_MESSAGE
            role, content = message.get("role"), message.get("content")
            if isinstance(role, str) and isinstance(content, str):
                texts += (role, content)
                if len(message) == 2:  # as nearly all are
                    continue
            else:
                self.add([role, content])
            self.add_calls(message.get("tool_calls"))
            if isinstance(name := message.get("name"), str):
                extra += PER_NAME
                texts.append(name)
        self.extra += extra

    def add_contents(self, contents: Any) -> None:
        """Add a conversation in Google's form."""
        for content in _dicts(contents):
            self.extra += PER_MESSAGE
            self.add(content.get("parts"))

    def add_calls(self, calls: Any) -> None:
        """Add the tool calls of a message or of a stream's delta."""
        for call in _dicts(calls):
            function = call.get("function") or call.get("custom")
            if isinstance(function, dict):
                self.add([function.get("name"), function.get("arguments") or function.get("input")])

    def add_json(self, value: Any) -> None:
        """Add a value as compact JSON: how tools reach a model, more or less."""
        if value:
            self.texts.append(msgspec.json.encode(value).decode())

    def add_tokens(self, value: Any) -> None:
        """Add a text, texts, or what was tokenised by the caller."""
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int):
                self.extra += 1
            elif isinstance(item, list):
                self.extra += len(item)
            else:
                self.add(item)

    def _add_part(self, part: dict[str, Any]) -> None:
        kind = part.get("type")
        if kind in ("image_url", "image"):
            self.extra += PER_IMAGE
            self.images += 1
        elif kind in ("input_audio", "file"):
            data = part.get(kind)
            self.media += sum(len(each) for each in data.values() if isinstance(each, str)) if data else 0
        else:
            self.add(part.get("text") or part.get("content"))


class TokenCounter:
    """Counts; what takes long, and the first use of an encoding, runs in a thread."""

    def __init__(self) -> None:
        self._loaded: set[str] = set()

    async def count(self, what: Countable, model: str) -> int:
        encoding = encoding_of(model)
        if encoding in self._loaded and sum(map(len, what.texts)) <= INLINE_CHARS:
            return what.extra + _count(what.texts, encoding)
        counted = await asyncio.to_thread(_count, what.texts, encoding)
        self._loaded.add(encoding)
        return what.extra + counted


def _count(texts: list[str], encoding: str) -> int:
    return sum(toktok.batch_count(texts, encoding, threads=1))


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
