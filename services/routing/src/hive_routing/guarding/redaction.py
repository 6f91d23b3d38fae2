"""What must not leave, taken out of a request's texts, and put back into the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

_LOOKS_LIKE_ONE = re.compile(r"\[[A-Z0-9_]*_[0-9]+\]")
_NOT_OF_A_LABEL = re.compile("[^A-Z0-9]+")


class Span(NamedTuple):
    """Characters [start, end) of the text with the number `text`, and what they are."""

    text: int
    start: int
    end: int
    category: str


class Redaction:
    """Of one request: its placeholders, such as `[EMAIL_1]`, and what each of them stands for."""

    __slots__ = ("_counts", "_longest", "_originals", "_placeholders", "_taken")

    def __init__(self) -> None:
        self._originals: dict[str, str] = {}
        self._placeholders: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._taken: set[str] = set()
        self._longest = 0

    @property
    def placeholders(self) -> Mapping[str, str]:
        """The original of each placeholder, in the order in which they appeared."""
        return MappingProxyType(self._originals)

    @property
    def is_empty(self) -> bool:
        return not self._originals

    def replace(
        self, texts: Sequence[str], findings: Sequence[Span], sources: Collection[int] = ()
    ) -> list[str]:
        """The texts with placeholders instead of what was found; spans that overlap become one.

        sources: the texts among them that are JSON source; what is found there stands for what it says.

        Equal originals have one placeholder. It is none that any of these texts contains: give all of a request at
        once, or those first that may contain one.
        """
        for text in texts:
            self._taken.update(_LOOKS_LIKE_ONE.findall(text))
        of_text: dict[int, list[Span]] = {}
        for span in _apart(findings):
            of_text.setdefault(span.text, []).append(span)
        return [
            self._replaced(text, of_text.get(number, ()), _said if number in sources else str)
            for number, text in enumerate(texts)
        ]

    def restore(self, text: str) -> str:
        """The text with its originals."""
        return self._restored(text, str)

    def restore_json(self, source: str) -> str:
        """A piece of JSON source with its originals, escaped as a JSON string holds them."""
        return self._restored(source, _escaped)

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """Where placeholders stand, as [start, end), and the original of each."""
        if not self._originals:
            return []
        return [
            (match.start(), match.end(), original)
            for match in _LOOKS_LIKE_ONE.finditer(text)
            if (original := self._originals.get(match[0])) is not None
        ]

    def possible(self, text: str) -> int:
        """Characters at the end that may be the beginning of a placeholder: a stream holds them back."""
        start = text.rfind("[", max(0, len(text) - self._longest + 1))
        if start < 0 or not self._originals:
            return 0
        begun = text[start:]
        return len(begun) if any(one.startswith(begun) for one in self._originals if one != begun) else 0

    def _replaced(self, text: str, spans: Iterable[Span], read: Callable[[str], str]) -> str:
        pieces: list[str] = []
        at = 0
        for span in spans:
            original = read(text[span.start : span.end])
            pieces += (text[at : span.start], self._placeholder(original, span.category))
            at = span.end
        return "".join((*pieces, text[at:]))

    def _placeholder(self, original: str, category: str) -> str:
        known = self._placeholders.get(original)
        if known is not None:
            return known
        label = _NOT_OF_A_LABEL.sub("_", category.upper())
        for number in self._numbers(label):
            placeholder = f"[{label}_{number}]"
            if placeholder not in self._taken:
                break
        self._placeholders[original] = placeholder
        self._originals[placeholder] = original
        self._longest = max(self._longest, len(placeholder))
        return placeholder

    def _numbers(self, label: str) -> Iterator[int]:
        while True:
            self._counts[label] = number = self._counts.get(label, 0) + 1
            yield number

    def _restored(self, text: str, written: Callable[[str], str]) -> str:
        pieces: list[str] = []
        at = 0
        for start, end, original in self.find(text):
            pieces += (text[at:start], written(original))
            at = end
        return "".join((*pieces, text[at:]))


def _apart(findings: Iterable[Span]) -> list[Span]:
    """In the order of the texts; spans that share characters are one, of the longest one's category."""
    apart: list[Span] = []
    widest = 0
    for span in sorted(findings, key=lambda one: (one.text, one.start, -one.end, one.category)):
        if span.end <= span.start:
            continue
        last = apart[-1] if apart else None
        if last is None or last.text != span.text or last.end <= span.start:
            apart.append(span)
            widest = span.end - span.start
            continue
        category = span.category if span.end - span.start > widest else last.category
        widest = max(widest, span.end - span.start)
        apart[-1] = last._replace(end=max(last.end, span.end), category=category)
    return apart


def _said(source: str) -> str:
    """What a piece of a JSON string says; the piece itself where it is none."""
    try:
        said = json.loads(f'"{source}"', strict=False)
    except ValueError:
        return source
    return said if isinstance(said, str) else source


def _escaped(original: str) -> str:
    return json.dumps(original, ensure_ascii=False)[1:-1]
