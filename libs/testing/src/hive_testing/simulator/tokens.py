"""The simulator's tokens: every four characters of a text are one token, in every model."""

from __future__ import annotations

TOKEN_CHARS = 4


def count(text: str) -> int:
    """How many tokens a text has; the last one may be shorter than the others."""
    return -(-len(text) // TOKEN_CHARS)


def cut(text: str, limit: int) -> str:
    """The first `limit` tokens of a text."""
    return text[: max(limit, 0) * TOKEN_CHARS]


def split(text: str) -> list[str]:
    """The tokens of a text, in order; joined they are the text."""
    return [text[start : start + TOKEN_CHARS] for start in range(0, len(text), TOKEN_CHARS)]
