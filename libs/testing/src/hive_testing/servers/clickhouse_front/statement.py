"""What has to be known of a statement's text: whether rows come behind it, and whether it gives an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

COMMENTS = re.compile(rb"(\s|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
INSERT = re.compile(rb"INSERT\s+INTO\s+", re.IGNORECASE)
# Between quotes, a word that looks like one of ours is somebody's name.
WORD = re.compile(
    rb"`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
    rb"|\b(?P<word>SELECT|WITH|VALUES|SETTINGS|FORMAT)\b",
    re.IGNORECASE | re.DOTALL,
)
FORMAT_NAME = re.compile(rb"\s+(\w+)[ \t\r;]*\n?")
TRAILING_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
ANSWERED = {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"}


@dataclass(frozen=True)
class Insert:
    """`INSERT INTO table (columns)`, `SETTINGS …` or nothing, and rows in a format."""

    target: str
    settings: str
    format: str
    rows: bytes


def insert_with_data(text: bytes) -> Insert | None:
    """An insert whose rows follow in a format; None for every other statement, also for `VALUES` and `SELECT`."""
    start = COMMENTS.match(text)
    insert = INSERT.match(text, start.end() if start else 0)
    if not insert:
        return None
    settings_at = None
    for found in WORD.finditer(text, insert.end()):
        word = (found["word"] or b"").upper()
        if word in (b"SELECT", b"WITH", b"VALUES"):
            return None
        if word == b"SETTINGS":
            settings_at = found.start()
        if word == b"FORMAT" and (name := FORMAT_NAME.match(text, found.end())):
            head = text[: found.start()].decode()
            at = len(text[:settings_at].decode()) if settings_at is not None else len(head)
            if name[1].upper() == b"VALUES":
                return None  # the engine reads these from the statement itself
            return Insert(head[:at], head[at:], name[1].decode(), text[name.end() :])
    return None


def is_answered(statement: str, default: str) -> str | None:
    """The format of its answer; None where it gives none by its nature."""
    start = COMMENTS.match(statement.encode(errors="surrogateescape"))
    first = statement.encode(errors="surrogateescape")[start.end() if start else 0 :].lstrip(b"(")
    if first.split(None, 1)[:1] and first.split(None, 1)[0].upper().decode(errors="replace") in ANSWERED:
        found = TRAILING_FORMAT.search(statement)
        return found[1] if found else default
    return None
