"""Documents of text that a body holds in base64: their words, for guards to read and to replace."""

from __future__ import annotations

import base64
import re
from typing import Any

_TEXTS = (
    "text/",
    "application/javascript",
    "application/json",
    "application/rtf",
    "application/x-javascript",
    "application/x-python",
    "application/x-yaml",
    "application/xml",
    "application/yaml",
)
_NOT_BASE64 = re.compile("[^A-Za-z0-9+/]+")


def is_text(mime: object) -> bool:
    """Whether documents of this media type are words."""
    return isinstance(mime, str) and mime.strip().lower().startswith(_TEXTS)


class Decoded:
    """An object of a body whose members of base64 are read and written as text: the place of a slot.

    What is no UTF-8 is read with replacement characters. A member keeps its bytes until another text is put there.
    """

    __slots__ = ("_place",)

    def __init__(self, place: dict[str, Any]) -> None:
        self._place = place

    def __getitem__(self, key: str) -> str:
        return _decoded(self._place[key])

    def __setitem__(self, key: str, text: str) -> None:
        if text != self[key]:
            self._place[key] = base64.b64encode(text.encode()).decode()


def _decoded(data: str) -> str:
    """Of either alphabet, with or without padding, as any reader may take it; never fails."""
    digits = _NOT_BASE64.sub("", data.replace("-", "+").replace("_", "/"))
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return base64.b64decode(digits + "=" * (-len(digits) % 4)).decode(errors="replace")
