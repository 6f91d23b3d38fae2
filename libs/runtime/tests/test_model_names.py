"""Names with a `*`: what fits them, which of them counts, and what they are filled with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_runtime.model_names import by_specificity, filled, matched


@pytest.mark.parametrize(
    ("pattern", "name", "part"),
    [
        ("claude-*", "claude-sonnet-4-5", "sonnet-4-5"),
        ("anthropic/*", "anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("*", "anything/at-all:1b", "anything/at-all:1b"),
        ("*-latest", "mistral-large-latest", "mistral-large"),
        ("gpt-*-mini", "gpt-5-mini", "5"),
        ("gpt-*-mini", "gpt-mini", None),
        ("claude-*", "claude-", None),
        ("claude-*", "Claude-x", None),
        ("aba*aba", "aba", None),
        ("*", "a/../b", None),
        ("*", "../../x", None),
        ("x/*", "x/.hidden", None),
        ("*", "a b", None),
        ("*", "a?b=c", None),
        ("*", "a%2Fb", None),
        ("*", "a//b", None),
        ("*", "é", None),
        ("*", "a" * 201, None),
        ("*", "", None),
    ],
)
def test_what_fits(pattern: str, name: str, part: str | None) -> None:
    assert matched(pattern, name) == part


def test_the_one_that_says_more_comes_first() -> None:
    patterns = ["*", "gpt-*", "*-mini", "*a", "gpt-*-mini", "claude-*", "a*"]
    assert by_specificity(patterns) == ["gpt-*-mini", "claude-*", "*-mini", "gpt-*", "a*", "*a", "*"]


PART = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,8}", fullmatch=True)


@given(PART, PART, PART)
def test_what_was_matched_makes_the_name_again(before: str, part: str, after: str) -> None:
    pattern = f"{before}*{after}"
    found = matched(pattern, f"{before}{part}{after}")
    assert found == part
    assert filled(pattern, found) == f"{before}{part}{after}"
    assert filled("no-star", found) == "no-star"
