"""What bounds a text and how a stream cuts it into pieces."""

from __future__ import annotations

from itertools import pairwise

from hive_testing.simulator import tokens
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.tokens import TOKEN_CHARS

DEFAULT_PIECE = TOKEN_CHARS


def sized(text: str, behaviour: Behaviour) -> str:
    """The text, repeated or cut as `chunks` and `chunk_bytes` want it."""
    pieces, letters = behaviour.chunks, behaviour.chunk_bytes
    if pieces and letters:
        return _repeated(text, pieces * letters)
    if pieces and len(text) < pieces:
        return _repeated(text, pieces)
    return text


def stopped(text: str, stop: str | list[str] | None) -> tuple[str, str | None]:
    """The text up to the first stop sequence, and which one that is."""
    found = None
    for sequence in [stop] if isinstance(stop, str) else stop or ():
        if sequence and sequence in text:
            text, found = text.partition(sequence)[0], sequence
    return text, found


def limited(text: str, limit: int | None) -> tuple[str, str]:
    """The text within `limit` tokens, and the finish reason that this means."""
    if limit is None or tokens.count(text) <= limit:
        return text, "stop"
    return tokens.cut(text, limit), "length"


def pieces(text: str, behaviour: Behaviour) -> list[tuple[str, int, int]]:
    """What a stream sends of the text, as (piece, first token, end of tokens): a token each by default.

    A token belongs to the piece in which it starts.
    """
    size = behaviour.chunk_bytes or DEFAULT_PIECE
    bounds = [*range(0, len(text), size), len(text)]
    if behaviour.chunks and not behaviour.chunk_bytes:
        bounds = [len(text) * each // behaviour.chunks for each in range(behaviour.chunks + 1)]
    return [
        (text[start:end], -(-start // TOKEN_CHARS), -(-end // TOKEN_CHARS))
        for start, end in pairwise(bounds)
        if end > start
    ]


def _repeated(text: str, length: int) -> str:
    text = text or "."
    return (text * -(-length // len(text)))[:length]
