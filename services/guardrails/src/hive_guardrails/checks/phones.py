"""Phone numbers: with the code of a country, as countries write them at home, or told to be one."""

from __future__ import annotations

import re
from collections.abc import Iterator

FREE = r"(?:(?<![A-Za-z0-9_#])(?<![A-Za-z0-9][-./,_])|(?<=\\[nrt]))"
"""No number goes on here: it is not the rest of a word, of an order's number, or of a longer number."""

_GAP = r"(?:\) ?|\)[\-/]| ?\(| - | / |/ |[ .\-/\u00a0\u2010\u2011\u202f])"
_PHONE = re.compile(
    rf"{FREE}(?=((?:\+\(?|\((?=[0-9]{{1,4}}\)))?[0-9]{{1,15}}(?:{_GAP}[0-9]{{1,15}}){{0,7}})(?![A-Za-z_]))(?:\+|\(|[0-9])"
)
_CALLING_CODE = re.compile(
    r"1[2-9][0-9]{2}[2-9][0-9]{6}$|7[0-9]{10}$|(?:2(?:[07]|1[1-368]|[2-6][0-9]|9[0178])|3(?:[0-469]|[578][0-9])"
    r"|4(?:[013-9]|2[013])|5(?:[1-8]|[09][0-9])|6(?:[0-6]|[7-9][0-9])|8(?:[1246]|[058][0-9]|7[08])|9(?:[0-58]|[679][0-9]))"
    r"[0-9]{6,12}$"
)
"""The codes of countries; what begins with 1 or 7 has a length of its own."""
_GROUP = re.compile("[0-9]+")
_WORDS = re.compile(
    r"(?:\b(?:tel|phone|telephone|mobile|cell|cellphone|fax|whatsapp|sms|telefon|téléphone|teléfono|telefono|telefone"
    r"|handy|mobil|móvil|celular|portable|rufnummer|cellulare|тел|телефон)\b|电话|電話|手机|携帯)[^0-9\n]{0,20}$"
)
_MONEY_BEFORE = re.compile(r"[$€£¥₹] ?$")
_GOES_ON = re.compile(r"[A-Za-z0-9_]|[-./,][0-9]| ?[$€£¥₹%]| (?:EUR|USD|GBP|CHF|JPY|INR|BRL)\b")
_DATE = re.compile(
    r"(?<![0-9])(?:(?:19|20)[0-9]{2}([-./ ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])([-./])(?:0?[1-9]|[12][0-9]|3[01])\2(?:19|20)?[0-9]{2})(?![0-9])"
)
_ADDRESS = re.compile(
    r"(?<![0-9.])(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?![0-9.])"
)
_NORTH_AMERICA = re.compile(
    r"(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ -]?|[2-9][0-9]{2}([ .-]))[2-9][0-9]{2}(?(1)\1|[ .-])[0-9]{4}"
)

_PAIRS = re.compile(r"0[1-9]([ .])[0-9]{2}(?:\1[0-9]{2}){3}")
"""As they are written in France."""

_CONTEXT = 40
_FEWEST, _MOST = 7, 15
"""Digits of a phone number."""
_WRITTEN_ALONE = re.compile(r"[+(0]|(?:1[ .-])?\(?[2-9][0-9]{2}[ .)-]")
_AFTER_NUMBER = re.compile("[0-9] $")


def phones(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """[start, end) of what may be a phone number of those that start in [start, end); they may overlap."""
    for match in _PHONE.finditer(text, start, end):
        if (stop := _end(text, match)) is not None:
            yield match.start(1), stop


def _end(text: str, match: re.Match[str]) -> int | None:
    """Where the phone number ends that starts here: as many of its groups as make one, or None."""
    start, run = match.start(1), match[1]
    before = text[max(0, start - _CONTEXT) : start].lower()
    spoken = _WORDS.search(before) is not None
    if not spoken and not _WRITTEN_ALONE.match(run):
        return None
    if not spoken and run[0] != "+" and _AFTER_NUMBER.search(before):
        return None  # one of a row of numbers
    if _MONEY_BEFORE.search(before):
        return None
    groups = [*_GROUP.finditer(run)]
    digits = sum(group.end() - group.start() for group in groups)
    while digits >= _FEWEST:
        end = groups.pop().end()
        if (
            digits <= _MOST
            and _GOES_ON.match(text, start + end) is None
            and _is_phone(run[:end], digits, spoken)
        ):
            return start + end
        digits = sum(group.end() - group.start() for group in groups)
    return None


def _is_phone(run: str, digits: int, spoken: bool) -> bool:
    """spoken: a word before it says that it is one."""
    groups = _GROUP.findall(run)
    if run.count("(") != run.count(")") or run.count("(") > 1:
        return False
    if run.startswith("+"):
        return len(groups[-1]) > 1 and _CALLING_CODE.match("".join(groups)) is not None
    if _PAIRS.fullmatch(run):
        return True
    if _DATE.search(run) or _ADDRESS.search(run):
        return False
    return spoken or _is_national(run, groups, digits)


def _is_national(run: str, groups: list[str], digits: int) -> bool:
    if _NORTH_AMERICA.fullmatch(run):
        return True
    if groups[0].startswith("00"):
        return (
            len(groups) > 1
            and len(groups[0]) in (4, 5)
            and _CALLING_CODE.match("".join(groups)[2:]) is not None
        )
    if groups[0].startswith("0"):
        return _has_trunk(run, [len(group) for group in groups], digits)
    return run.startswith("(") and 8 <= digits <= 11 and len(groups[0]) in (2, 3) and len(groups) in (2, 3)


def _has_trunk(run: str, sizes: list[int], digits: int) -> bool:
    """A zero before the area, and one to four groups behind it."""
    if not (9 <= digits <= 12 and 2 <= sizes[0] <= 5 and 2 <= len(sizes) <= 5 and min(sizes) >= 2):
        return False
    if max(sizes) == 2 or "." in run or (len(sizes) == 3 and min(sizes[1:]) < 3):
        return False
    return "/" not in run[sizes[0] + 4 :] and (digits < 12 or len(sizes) == 2)
