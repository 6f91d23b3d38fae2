"""Seals on their way through a client that speaks another dialect than the provider who made them.

A seal is packed into one string that says whose it is, travels in whatever place the client's dialect has for such a
thing, and is unpacked when it comes back. In its own dialect it travels as it is.
"""

from __future__ import annotations

import base64
import binascii

from hive_routing.dialects.form import Seal

_MARK = "hive1."


def packed(seal: Seal, dialect: str) -> str:
    """The seal as a client of this dialect gets it; a foreign one is of URL-safe base64 and dots."""
    if seal.dialect == dialect:
        return seal.value
    value = base64.urlsafe_b64encode(seal.value.encode()).decode().rstrip("=")
    return f"{_MARK}{seal.dialect}.{seal.kind}.{value}"


def unpacked(text: str, dialect: str, kind: str) -> Seal:
    """The seal that a client of this dialect sent; one that is not packed is its own, of this kind."""
    if text.startswith(_MARK) and text.count(".") == 3:
        _, origin, foreign_kind, value = text.split(".")
        try:
            padded = value + "=" * (-len(value) % 4)
            return Seal(origin, foreign_kind, base64.urlsafe_b64decode(padded).decode())
        except (binascii.Error, UnicodeDecodeError):
            pass
    return Seal(dialect, kind, text)


def own(seal: Seal | None, dialect: str, kind: str = "") -> str | None:
    """Its value where it is of this dialect (and kind); None where another one made it."""
    if seal is None or seal.dialect != dialect or (kind and seal.kind != kind):
        return None
    return seal.value


def sealed_id(id: str, seal: Seal) -> str:
    """The id of a call with its seal in it, for clients whose frameworks keep nothing else of a call."""
    return f"{id}~{packed(seal, '')}"


def unsealed_id(text: str) -> tuple[str, Seal | None]:
    """The id of a call as the provider gave it, and the seal that `sealed_id` put behind it."""
    id, mark, behind = text.rpartition("~")
    if mark and behind.startswith(_MARK):
        seal = unpacked(behind, "", "")
        if seal.dialect:
            return id, seal
    return text, None


def are_in(body: bytes) -> bool:
    """Whether a client's body holds packed seals, in whatever place; it may seem so where it holds none."""
    return b"hive1." in body or b"aGl2ZTEu" in body  # as it is, and in base64
