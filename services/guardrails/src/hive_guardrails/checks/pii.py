"""The guard `pii`: what tells who a person is, or where their money is. Numbers count only with their check digits."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from hive_guardrails.checks import checksums
from hive_guardrails.checks.claims import settle
from hive_guardrails.checks.phones import FREE, phones
from hive_guardrails.checks.port import Check, Finding, Origin

_LOCAL = 64
_DOMAIN = 128
_CONTEXT = 40
"""Characters before a number that are searched for words which say what it is."""
_LONGEST_NUMBER = 96
_AROUND = 8
"""Characters on both sides that tell where a word or a number ends."""
_OVERLAP = max(_LOCAL + 1 + _DOMAIN, _CONTEXT + _LONGEST_NUMBER) + _AROUND

_LETTER = "A-Za-z0-9À-ÖØ-öø-ɏ"
_BACKWARDS = re.compile(rf"[{_LETTER}._%+'-]{{1,{_LOCAL}}}+")
_ESCAPED = re.compile(r"u[0-9a-fA-F]{4}|[nrtbf]")
_HOST = re.compile(
    rf"(?:[{_LETTER}](?:[{_LETTER}-]{{0,62}}+(?<!-))?\.){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[A-Za-z]{{2,24}})(?![A-Za-z0-9_])"
)

_SEPARATORS = r" .()/\-\u00a0\u2010\u2011\u202f"
_DENSE = re.compile(rf"[0-9][0-9{_SEPARATORS}]{{6,}}+")
"""Where numbers are long enough to look closer."""

_END = r"(?![A-Za-z0-9_])(?![-./,][0-9])"


class _Number(NamedTuple):
    """A number with a check of its own. words: what has to be said before it where its form alone tells too little."""

    category: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool]
    words: re.Pattern[str] | None = None


def _number(category: str, form: str, check: Callable[[str], bool], words: str = "") -> _Number:
    # Looks ahead, so that a number may start within another that turns out to be none.
    pattern = re.compile(rf"{FREE}(?=[0-9])(?=({form}){_END})")
    return _Number(category, pattern, check, re.compile(rf"(?:{words})[^0-9\n]*$") if words else None)


_CARD_FORMS = (
    r"\d{13,19}",
    r"\d{4}([ \-\u00a0])\d{4}\2\d{4}\2\d{4}",
    r"\d{4}([ \-\u00a0])\d{4}\2\d{4}\2\d{4}\2\d{3}",
    r"\d{4}([ \-\u00a0])\d{4}\2\d{4}\2\d",
    r"\d{4}([ \-\u00a0])\d{6}\2\d{4,5}",
)
_NUMBERS = (
    *(_number("card", form.replace(r"\d", "[0-9]"), checksums.is_card) for form in _CARD_FORMS),
    _number("ssn", "[0-9]{3}-[0-9]{2}-[0-9]{4}", checksums.is_ssn),
    _number("ssn", r"[0-9]{3}( ?)[0-9]{2}\2[0-9]{4}", checksums.is_ssn, "ssn|social security"),
    _number("dni", "[0-9]{8}[ -]?[A-Z]", checksums.is_dni),
    _number("nir", r"[12]( ?)(?:[0-9]{2}\2){3}[0-9]{3}\2[0-9]{3}\2[0-9]{2}", checksums.is_nir),
    _number("cpf", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", checksums.is_cpf),
    _number("cpf", "[0-9]{11}", checksums.is_cpf, "cpf"),
    _number("aadhaar", "[2-9][0-9]{3}([ -])[0-9]{4}\\2[0-9]{4}", checksums.is_aadhaar),
    _number("aadhaar", "[2-9][0-9]{11}", checksums.is_aadhaar, "aadhaar|aadhar|uidai"),
    _number("nhs-number", "[0-9]{3}([ -]?)[0-9]{3}\\2[0-9]{4}", checksums.is_nhs_number, "nhs"),
    _number(
        "german-tax-id",
        "[0-9]{2}( ?)[0-9]{3}\\2[0-9]{3}\\2[0-9]{3}",
        checksums.is_german_tax_id,
        r"steuer-?\s?(?:id|nummer|identifikation)|\bidnr|\btin\b|tax id",
    ),
    _number("pesel", "[0-9]{11}", checksums.is_pesel, "pesel"),
)
_ALONE = r"(?:(?<![A-Za-z0-9_].{{{0}}})|(?<=\\[nrt].{{{0}}}))"
_IBAN = re.compile(
    rf"[A-Z]{{2}}[0-9]{{2}}{_ALONE.format(4)}(?=((?:[ \-\u00a0]?[A-Za-z0-9]){{11,30}}))", re.DOTALL
)
_LETTERED = tuple(
    (category, re.compile(form.replace("!", _ALONE.format(1)) + "(?![A-Za-z0-9_])", re.DOTALL), check)
    for category, form, check in (
        ("nie", "[XYZ]![ -]?[0-9]{7}[ -]?[A-Z]", checksums.is_dni),
        (
            "codice-fiscale",
            "[A-Z]![A-Z]{5}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]",
            checksums.is_codice_fiscale,
        ),
        (
            "nir",
            "[12]!( ?)[0-9]{2}\\1[0-9]{2}\\1(?:2[AB])\\1[0-9]{3}\\1[0-9]{3}\\1[0-9]{2}",
            checksums.is_nir,
        ),
    )
)
_SPACING = str.maketrans("", "", " .()/-\u00a0\u2010\u2011\u202f")


class _Pii:
    """See `pii`."""

    name = "pii"
    version = "1"
    threshold = 0.5
    reads: Collection[Origin] = frozenset(Origin)
    redacts = True
    overlap = _OVERLAP

    def find(self, text: str, threshold: float) -> list[Finding]:
        return settle(claim for claim in _claims(text) if claim.score >= threshold)

    def open(self, text: str) -> int:
        return min(len(text), self.overlap)

    def score(self, text: str) -> float:
        return max((claim.score for claim in _claims(text)), default=0.0)


def pii() -> Check:
    """Finds mail addresses, phone numbers, payment cards, IBANs and the numbers that states give to people."""
    return _Pii()


def _claims(text: str) -> Iterator[Finding]:
    yield from _emails(text)
    yield from _lettered(text)
    for match in _DENSE.finditer(text):
        # A little more: for what may stand before a number, and for a letter of it and what follows.
        yield from _numbers(text, max(0, match.start() - 3), min(len(text), match.end() + 4))


def _emails(text: str) -> Iterator[Finding]:
    at = text.find("@")
    while at >= 0:
        if (found := _email(text, at)) is not None:
            yield found
        at = text.find("@", at + 1)


def _email(text: str, at: int) -> Finding | None:
    local = _BACKWARDS.match(text[max(0, at - _LOCAL) : at][::-1])
    host = _HOST.match(text, at + 1, min(len(text), at + 1 + _DOMAIN)) if local else None
    if local is None or host is None:
        return None
    start = at - local.end()
    if start and text[start - 1] == "\\" and (escape := _ESCAPED.match(text, start, at)):
        start = escape.end()  # a line break of JSON source, which is not part of the name
    while start < at and text[start] in ".'-%":
        start += 1
    if start == at or text[at - 1] in ".'" or text[start:at] == "git":
        return None
    return Finding("email", start, host.end())


def _numbers(text: str, start: int, end: int) -> Iterator[Finding]:
    for category, pattern, check, words in _NUMBERS:
        for match in pattern.finditer(text, start, end):
            if check(match[1].translate(_SPACING)) and (
                words is None or words.search(_before(text, match.start(1)))
            ):
                yield Finding(category, *match.span(1))
    for phone in phones(text, start, end):
        yield Finding("phone", *phone, 0.9)


def _before(text: str, start: int) -> str:
    return text[max(0, start - _CONTEXT) : start].lower()


def _lettered(text: str) -> Iterator[Finding]:
    """Numbers that have letters in them."""
    for match in _IBAN.finditer(text):
        if (stop := _iban_end(match)) is not None:
            yield Finding("iban", match.start(), stop)
    for category, pattern, check in _LETTERED:
        for match in pattern.finditer(text):
            if check(match[0].translate(_SPACING)):
                yield Finding(category, *match.span())


def _iban_end(match: re.Match[str]) -> int | None:
    """Where the IBAN ends that starts here, if it is one: as long as its country's are."""
    length = checksums.IBAN_LENGTHS.get(match[0][:2])
    if length is None:
        return None
    iban, at = match[0], match.start(1)
    text = match.string
    while len(iban) < length and at < match.end(1):
        if text[at] not in " -\u00a0":
            iban += text[at]
        at += 1
    followed = at < len(text) and text[at].isascii() and text[at].isalnum()
    return at if not followed and checksums.is_iban(iban.upper()) else None
