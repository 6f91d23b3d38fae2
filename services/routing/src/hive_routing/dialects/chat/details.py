"""What chat completions have no place for, beside a message: `reasoning_details`, of messages and of deltas.

An entry says which stretch of `reasoning_content` (type `thinking`) or of `content` (type `text`) is a part of its
own, and carries the seal of it, packed; one of type `part` is what chat cannot say, packed as if it were a seal. No
words stand in it: they would be told twice, once where nobody looks. A seal counts only for the very words that it was
made for: whoever made it refuses it with others. Entries of other types are those of other vendors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zlib import crc32

import msgspec

from hive_routing.dialects.form import Opaque, Part, Seal, Text, Thinking
from hive_routing.dialects.seals import packed, unpacked

Kind = Literal["thinking", "text", "part"]


class Detail(msgspec.Struct, omit_defaults=True):
    """index: its own place in the list, which accumulators of streams need. start, length: characters.

    check: CRC-32 of the stretch.
    """

    type: Kind
    index: int = -1
    start: int = 0
    length: int = 0
    check: int = 0
    seal: str | None = None
    id: str | None = None
    is_summary: bool = False


@dataclass(slots=True)
class Stretch:
    """Of a text that is told piece by piece, the characters from `start` on. check: CRC-32 of them."""

    start: int
    length: int = 0
    check: int = 0

    def grown(self, text: str) -> Stretch:
        self.length += len(text)
        self.check = crc32(text.encode(), self.check)
        return self

    def is_of(self, detail: Detail) -> bool:
        return (self.start, self.length, self.check) == (detail.start, detail.length, detail.check)


def details_of(parts: Sequence[Part]) -> list[Detail]:
    """What has to be told of an assistant's parts beside their words."""
    details: list[Detail] = []
    ends = {"thinking": 0, "text": 0}
    several = sum(isinstance(part, Thinking) for part in parts) > 1
    for part in parts:
        if isinstance(part, Thinking | Text):
            kind: Kind = "thinking" if isinstance(part, Thinking) else "text"
            detail = detail_of(part, Stretch(ends[kind]).grown(part.text), several)
            ends[kind] += len(part.text)
        else:
            detail = packed_part(part)
        if detail is not None:
            detail.index = len(details)
            details.append(detail)
    return details


def detail_of(part: Text | Thinking, stretch: Stretch, always: bool = False) -> Detail | None:
    """What has to be told of a part with those words; None where it is nothing. always: of a thought at least this."""
    start, length, check = stretch.start, stretch.length, stretch.check
    seal = packed(part.seal, "") if part.seal is not None else None
    if isinstance(part, Text):
        return None if seal is None else Detail("text", -1, start, length, check, seal)
    if seal is None and part.id is None and not always:
        return None
    return Detail("thinking", -1, start, length, check, seal, part.id, part.is_summary)


def packed_part(part: Part) -> Detail | None:
    """A part that only another dialect can say; None for all others."""
    if not isinstance(part, Opaque) or part.dialect == "chat":
        return None
    value = msgspec.json.encode(part.value).decode()
    return Detail("part", seal=packed(Seal(part.dialect, part.kind, value), ""))


def read_details(value: Any) -> list[Detail]:
    """Those of ours in a list."""
    details = []
    for each in value if isinstance(value, list) else ():
        try:
            details.append(msgspec.convert(each, Detail))
        except msgspec.ValidationError:
            continue
    return details


def seal_of(detail: Detail) -> Seal | None:
    """None where there is none of ours."""
    seal = unpacked(detail.seal, "", "") if detail.seal is not None else None
    return seal if seal is not None and seal.dialect else None


def divided(text: str, details: Sequence[Detail], kind: Kind) -> list[tuple[str, Detail | None]]:
    """The stretches of a text. A detail that does not fit to the text, as it is now, counts for nothing."""
    stretches: list[tuple[str, Detail | None]] = []
    at = 0
    for detail in sorted((each for each in details if each.type == kind), key=lambda each: each.start):
        start, end = detail.start, detail.start + detail.length
        if start < at or not Stretch(start).grown(text[start:end]).is_of(detail):
            continue
        if start > at:
            stretches.append((text[at:start], None))
        stretches.append((text[start:end], detail))
        at = end
    if at < len(text):
        stretches.append((text[at:], None))
    return stretches


def unpacked_part(detail: Detail) -> Opaque | None:
    """The part of a `part`; None where it cannot be read."""
    seal = seal_of(detail)
    if detail.type != "part" or seal is None:
        return None
    try:
        return Opaque(seal.dialect, seal.kind, msgspec.json.decode(seal.value))
    except msgspec.DecodeError:
        return None
