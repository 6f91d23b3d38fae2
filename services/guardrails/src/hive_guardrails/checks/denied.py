"""The guard `denied-words`: words and phrases that may not occur, whatever their case, width or composition."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from itertools import accumulate

from hive_guardrails.checks.claims import settle
from hive_guardrails.checks.port import Check, Finding, Origin

_REST = 40
"""Characters of a word behind a denied beginning (`bomb*`) that belong to the finding."""
_BLANKS = 8
"""Blanks between two words of a phrase, line breaks among them."""
_MARKS = 3
"""Accents and invisible characters that may follow a character."""

_INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"
_JOINS = "\u1160-\u11ff\uff9e\uff9f"
"""Letters that become one with the one before: Korean vowels and finals, Japanese sound marks of half width."""
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts that put no blanks between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""

_ASCII_UNITS = re.compile(rf"[a-z0-9_]+|\s{{1,{_BLANKS}}}|[\s\S]")


class _Node:
    """A state of the automaton: what may come next, and whether an entry ends here."""

    __slots__ = ("ends", "next", "stems")

    def __init__(self) -> None:
        self.next: dict[str, _Node] = {}
        self.stems: dict[int, set[str]] = {}
        self.ends = False


class _DeniedWords:
    """See `denied_words`."""

    name = "denied-words"
    threshold = 0.5
    reads: Collection[Origin] = frozenset(Origin)
    redacts = True

    def __init__(self, entries: Sequence[str]) -> None:
        folded = sorted({entry for entry in map(_entry, entries) if entry.rstrip("*")})
        self.version = (
            "1-" + hashlib.sha256("\n".join(folded).encode("utf-8", "surrogatepass")).hexdigest()[:12]
        )
        self.overlap = max(((1 + _MARKS) * _widest(entry) for entry in folded), default=0)
        self._root = _Node()
        for entry in folded:
            self._add(entry)

    def find(self, text: str, threshold: float) -> list[Finding]:
        if threshold > 1.0:
            return []
        folded, origins = _fold(text)
        spans = self._matches(folded)
        if origins is not None:
            spans = ((origins[start][0], origins[end - 1][1]) for start, end in spans)
        return settle(Finding("denied-word", start, end) for start, end in spans)

    def open(self, text: str) -> int:
        return min(len(text), self.overlap)

    def score(self, text: str) -> float:
        return 1.0 if self.find(text, 1.0) else 0.0

    def _add(self, entry: str) -> None:
        open_end = entry.endswith("*")
        units = _split(entry.rstrip("*") if open_end else entry)
        node = self._root
        for unit in units[:-1] if open_end else units:
            node = node.next.setdefault(_key(unit), _Node())
        if open_end:
            node.stems.setdefault(len(units[-1]), set()).add(units[-1])
        else:
            node.ends = True

    def _matches(self, folded: str) -> Iterator[tuple[int, int]]:
        units = _split(folded)
        if not self._may_match(set(units)):
            return
        starts = [*accumulate(map(len, units), initial=0)]
        words, stems = self._root.next, self._root.stems
        for first, unit in enumerate(units):
            if unit not in words and not (stems and _begins(unit, stems)):
                continue
            if (end := self._longest(units, starts, first)) is not None:
                yield starts[first], end

    def _may_match(self, units: set[str]) -> bool:
        if not self._root.next.keys().isdisjoint(units):
            return True
        stems = self._root.stems.items()
        return any(not of_length.isdisjoint([unit[:length] for unit in units]) for length, of_length in stems)

    def _longest(self, units: list[str], starts: list[int], at: int) -> int | None:
        node, end = self._root, None
        while at < len(units):
            unit = units[at]
            if (stem := _begins(unit, node.stems)) is not None:
                end = starts[at] + min(len(unit), stem + _REST)
            following = node.next.get(_key(unit))
            if following is None:
                break
            node, at = following, at + 1
            if node.ends:
                end = max(end or 0, starts[at])
        return end


def denied_words(words: Sequence[str]) -> Check:
    """Finds these words and phrases, as whole words; one that ends in `*` also finds the words it begins.

    Case, accents' composition, full width and invisible characters make no difference; a blank of a phrase stands for
    up to eight. In scripts that put no blanks between words an entry is found wherever it is written.
    """
    return _DeniedWords(words)


def _entry(entry: str) -> str:
    folded = " ".join(_fold(entry)[0].split())
    return folded.rstrip("*").rstrip() + "*" if folded.endswith("*") else folded


def _widest(entry: str) -> int:
    """Characters that an entry may take in a text, and one on either side."""
    return len(entry) + entry.count(" ") * (_BLANKS - 1) + (_REST if entry.endswith("*") else 0) + 2


def _key(unit: str) -> str:
    return " " if unit.isspace() else unit


def _begins(unit: str, stems: dict[int, set[str]]) -> int | None:
    """The length of the longest of `stems` that `unit` begins with."""
    return max((length for length, of_length in stems.items() if unit[:length] in of_length), default=None)


def _fold(text: str) -> tuple[str, list[tuple[int, int]] | None]:
    """The text as words are compared, and [start, end) of what each of its characters comes from; None: the same."""
    if text.isascii():
        return text.lower(), None
    folded = text.casefold()
    # No character folds to nothing: where the length stays, each one is at its place.
    if (
        len(folded) == len(text)
        and unicodedata.is_normalized("NFKC", folded)
        and not _invisible().search(folded)
    ):
        return folded, None
    parts: list[str] = []
    origins: list[tuple[int, int]] = []
    for match in _cluster().finditer(text):
        start, end = match.span()
        if match["plain"]:
            parts.append(match[0].lower())
            origins += zip(range(start, end), range(start + 1, end + 1), strict=True)
            continue
        visible = _invisible().sub("", match[0])
        part = _normal(_normal(visible).casefold())
        parts.append(part)
        origins += [(start, end)] * len(part)
    return "".join(parts), origins


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


@cache
def _marks() -> str:
    """Combining characters, as ranges of a regular expression's class."""
    points = [point for point in range(0x300, 0x1F000) if unicodedata.category(chr(point))[0] == "M"]
    starts = [point for before, point in zip([0, *points], points, strict=False) if point != before + 1]
    ends = [point for point, after in zip(points, [*points[1:], 0], strict=False) if after != point + 1]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


@cache
def _invisible() -> re.Pattern[str]:
    return re.compile(f"[{_INVISIBLE}]")


@cache
def _cluster() -> re.Pattern[str]:
    """A character and what follows it as a part of it; or some of ASCII that nothing follows."""
    parts = f"[{_marks()}{_JOINS}{_INVISIBLE}]"
    return re.compile(rf"(?P<plain>[\x00-\x7f]{{2,}}(?!{parts}))|[\s\S]{parts}{{0,{_MARKS}}}")


def _split(folded: str) -> list[str]:
    """Words, blanks, and every other character by itself."""
    return _ASCII_UNITS.findall(folded) if folded.isascii() else _units().findall(folded)


@cache
def _units() -> re.Pattern[str]:
    word = rf"[a-z0-9_]++|(?![\x00-\x7f])(?:[^\W{_UNSPACED}]++|[{_marks()}]++)"
    return re.compile(rf"(?:{word})++|\s{{1,{_BLANKS}}}|[\s\S]")
