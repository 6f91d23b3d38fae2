"""Files that stand in an input, where they are words: for guards to read and to replace."""

from __future__ import annotations

from typing import Any

from hive_routing.dialects.encoded import Decoded, is_text
from hive_routing.dialects.responses.parts import Item, media_type

_UNSAID = (None, "application/octet-stream")


def words_of_file(part: Item) -> Any:
    """The place of a slot for `file_data`, which has to be a string; None for a file that is no text.

    One that says nothing of its type is text where it looks like that.
    """
    data, name = part["file_data"], part.get("filename")
    head, comma, _ = data.partition(",")
    is_url = data[:5].lower() == "data:" and bool(comma)
    if is_url and not head.rstrip().lower().endswith("base64"):
        return part
    mime = media_type(data, name if isinstance(name, str) else None)
    place = _Url(part) if is_url else Decoded(part)
    return place if is_text(mime) or (mime in _UNSAID and _looks_like_text(place["file_data"])) else None


class _Url:
    """The same behind the head of a data URL, which stays."""

    __slots__ = ("_head", "_part", "_words")

    def __init__(self, part: Item) -> None:
        head, comma, data = part["file_data"].partition(",")
        self._part = part
        self._head = head + comma
        self._words: Item = {"file_data": data}

    def __getitem__(self, key: str) -> str:
        return Decoded(self._words)[key]

    def __setitem__(self, key: str, text: str) -> None:
        Decoded(self._words)[key] = text
        self._part[key] = self._head + self._words[key]


def _looks_like_text(decoded: str) -> bool:
    return "\0" not in decoded and "\ufffd" not in decoded
