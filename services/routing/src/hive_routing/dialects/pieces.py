"""What a model said, made whole again: clients bring it back in the pieces in which it came.

Google's SDK keeps every piece of a stream as a content of its own. Other dialects want one turn, behind whose calls
the results come at once; and a signature is of the whole thought, not of its last piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from msgspec.structs import replace

from hive_routing.dialects.form import Part, Prompt, Text, Thinking, Turn

_IN_PIECES = "gemini"


def whole(prompt: Prompt) -> list[Turn]:
    """The turns of a prompt, those that the model said in one go joined."""
    turns = []
    for (is_said, name), group in groupby(
        prompt.turns, key=lambda turn: (turn.role == "assistant", turn.name)
    ):
        given = list(group)
        parts = [part for turn in given for part in turn.parts]
        if not is_said:
            turns += given
        elif prompt.dialect == _IN_PIECES:
            turns.append(Turn("assistant", list(_joined(parts)), name))
        else:
            turns.append(given[0] if len(given) == 1 else Turn("assistant", parts, name))
    return turns


def _joined(parts: Iterable[Part]) -> Iterator[Part]:
    """The parts, texts of a kind that stand side by side made one, up to the one that has the signature of all."""
    pieces: list[Text | Thinking] = []
    for part in parts:
        if pieces and (type(part) is not type(pieces[0]) or pieces[-1].seal is not None):
            yield _of_pieces(pieces)
            pieces = []
        if isinstance(part, Text | Thinking):
            pieces.append(part)
        else:
            yield part
    if pieces:
        yield _of_pieces(pieces)


def _of_pieces(pieces: Sequence[Text | Thinking]) -> Text | Thinking:
    return replace(pieces[-1], text="".join(each.text for each in pieces))
