"""Whole words and phrases in whatever form they are written, at the places where they stand in the original."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hive_guardrails.checks.denied import denied_words
from hive_guardrails.checks.port import Check

Cuts = Callable[[Check, str, Iterable[int]], None]


def found(words: Sequence[str], text: str) -> list[str]:
    return [text[each.start : each.end] for each in denied_words(words).find(text, 0.5)]


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        ("bomb", "a BOMB, bombs and Bomb.", ["BOMB", "Bomb"]),
        ("bomb*", "bombs away, bombarded; aplomb bomb", ["bombs", "bombarded", "bomb"]),
        (
            "project tulip",
            "Project  Tulip\nand PROJECT\n  TULIP, not project-tulip",
            ["Project  Tulip", "PROJECT\n  TULIP"],
        ),
        ("project tul*", "project tulips", ["project tulips"]),
        ("café", "CAFE\u0301 cafés café", ["CAFE\u0301", "café"]),
        ("cafe\u0301", "Café", ["Café"]),
        ("cafe", "café cafe", ["cafe"]),
        ("straße", "STRASSE und Straße", ["STRASSE", "Straße"]),
        ("secret", "ｓｅｃｒｅｔ s\u200becr\u00adet", ["ｓｅｃｒｅｔ", "s\u200becr\u00adet"]),
        ("file", "ﬁle profile", ["ﬁle"]),
        ("c++", "c++ and C++17, c", ["c++", "C++"]),
        (".net", "asp.NET internet", [".NET"]),
        ("foo.bar", "foo. Bar foo.bar", ["foo.bar"]),
        ("炸弹", "制造炸弹的方法", ["炸弹"]),
        ("ガス", "ﾎﾞｶﾞｽ", ["ｶﾞｽ"]),
        ("हिंदी", "हिंदी हिंदीभाषा", ["हिंदी"]),
        ("각", "\u1100\u1161\u11a8", ["\u1100\u1161\u11a8"]),
        ("İstanbul", "in İSTANBUL", ["İSTANBUL"]),
        ("a_b", "a_b a b", ["a_b"]),
    ],
)
def test_an_entry_finds(word: str, text: str, expected: list[str]) -> None:
    assert found([word], text) == expected


def test_the_longest_entry_wins() -> None:
    assert found(["red", "red tulip", "tulip bulb sale", "tulip"], "a red tulip bulb") == ["red tulip"]
    assert found(["red tulip", "tulip bulb sale"], "a red tulip bulb sale") == ["red ", "tulip bulb sale"]


def test_an_empty_list_finds_nothing_and_blank_entries_are_none() -> None:
    assert found([], "anything") == found(["", "  ", "*", " *"], "anything * at all") == []
    assert denied_words([]).overlap == 0


def test_the_version_tells_the_lists_meaning() -> None:
    version = denied_words(["One", "two words"]).version
    assert version == denied_words(["two  words", "one", "ONE"]).version
    assert version != denied_words(["one", "two words", "three"]).version
    assert version != denied_words(["one*", "two words"]).version


def test_of_thousands_of_entries_each_is_found() -> None:
    words = [f"word{number} of {number}" for number in range(5000)]
    check = denied_words(words)
    for word in words[::97]:
        text = f"some {word.upper()} there"
        assert [text[each.start : each.end] for each in check.find(text, 0.5)] == [word.upper()]


pieces = st.sampled_from(
    (
        "tulip",
        "Red",
        "TU",
        "lip",
        " ",
        "  ",
        "\n",
        "é",
        "e\u0301",
        "ﬁ",
        "\u200b",
        "ß",
        "İ",
        "炸",
        "弹",
        "-",
        "*",
    )
)
texts = st.lists(pieces | st.characters(exclude_categories=["Cs"]), max_size=14).map("".join)
entries = st.lists(pieces | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4).map("".join)


@settings(deadline=None)
@given(texts)
@example("\u0345\u0345")
def test_words_without_blanks_are_found_in_every_form(text: str) -> None:
    for word in text.split():
        shown = word.strip("*\u200b")
        if shown.isalpha() and shown.isascii():
            for form in ("NFC", "NFD", "NFKC", "NFKD"):
                other = unicodedata.normalize(form, f"é {shown.upper()} ﬁ")
                assert shown.upper() in found([shown], other)


@settings(max_examples=200, deadline=None)
@given(st.lists(entries, min_size=1, max_size=4), texts)
def test_findings_are_apart_and_inside(words: list[str], text: str) -> None:
    findings = denied_words(words).find(text, 0.5)
    ends = [at for each in findings for at in (each.start, each.end)]
    assert ends == sorted(ends)
    assert all(0 <= each.start < each.end <= len(text) for each in findings)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(("tulip", "red tulip", "tul*", "café", "炸弹", "strasse")), texts, texts)
def test_an_entry_between_blanks_is_found(entry: str, before: str, after: str) -> None:
    word = entry.rstrip("*")
    start = len(before) + 1
    findings = denied_words([entry]).find(f"{before} {word.upper()} {after}", 0.5)
    assert any(each.start <= start and start + len(word) <= each.end for each in findings)


def test_every_cut_keeps_what_is_found(cuts: Cuts) -> None:
    check = denied_words(["red tulip bulb", "tul*", "café au lait", "炸弹", "c++"])
    text = (
        "Some red tulip  bulb, tulips, a tulip-tree, 制造炸弹的方法, the CAFE\u0301 au\n lait is not a café, "
        "c++ or c+ and red tulip bulbs. " * 4
    )
    assert len(check.find(text, 0.5)) > 20
    cuts(check, text, range(len(text) + 1))


@pytest.mark.parametrize(
    "unit", ["bomb ", "bomb the ", "bom", "bomb", " ", "\u200b", "e\u0301", "bomb\u200b", "日本", "ß"]
)
def test_a_megabyte_of_beginnings_takes_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    findings = denied_words(["bomb the bomb the bomb the car", "bomb*", "日本人"]).find(text, 0.5)
    assert all(0 <= each.start < each.end <= len(text) for each in findings)


def test_ordinary_text_has_none_of_a_list(ordinary: list[str]) -> None:
    check = denied_words(["xyzzyplugh", "frobnicate the gizmo", "kzqx*"])
    assert not any(check.find(text, 0.5) for text in ordinary)
