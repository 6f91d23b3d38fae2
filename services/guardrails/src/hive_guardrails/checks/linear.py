"""Linear models over hashed n-grams: text is folded, hashed and scored in overlapping windows, by numpy alone.

A text becomes code points without disguise (`fold`), those become hashed n-grams, each at its place (`ngrams`), and
a model gives each n-gram a weight. The logit of a window is the sum of the weights inside it over the square root of
their number, so that prefix sums give every window of every size at once and the cost stays linear.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from math import exp, sqrt
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8] | NDArray[np.uint32]
"""Code points, shape [characters]; of eight bits where all are ASCII."""
Flags = NDArray[np.bool_]

LARGEST: Final = 1024
"""Characters of the widest window."""
SIZES: Final = (256, LARGEST)
"""A sentence in a long text is lost in a wide window, a long story is cut short by a narrow one."""
BLOCK: Final = 16384
"""Characters judged at once, with the widest window behind them: keeps memory level however long the text is."""
PIECE: Final = 4096
"""Characters hashed at once: what is made of them stays in the processor's cache and is small enough to be reused."""
DAMPING: Final = 30.0
"""N-grams that are added to a window's number, so that two words alone prove little."""
CELL: Final = 128
"""Characters that are summed at once: every window is made of whole cells."""

_SPACE: Final = 0x20
_PRIME: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_MIXED: Final = np.uint64(29)
_CHARACTERS: Final = (3, 4, 5)
_WORDS: Final = (1, 2, 3)
_LENGTHS: Final = np.array(_CHARACTERS, np.uint64)[:, None]
_SIGNS: Final = np.array(_WORDS, np.uint64)[:, None] << np.uint64(60)
_MARKS: Final = np.arange(0, PIECE + CELL, CELL)
_TABLE: Final = 0x3000
_TAGS: Final = 0xE0000
"""Tag characters: an invisible copy of ASCII."""

_LEET: Final = str.maketrans("013457@$", "oieastas")
_LOOKALIKES: Final = str.maketrans(
    "авекмнорстухіјѕԁԛԝһӏɡɑıαβειοκνρτυχγη", "abekmhopctyxijsdqwhlgaiabeiokvptuxyn"
)


def _folding() -> NDArray[np.uint32]:
    """What each code point below `_TABLE` is read as; 0 drops it. Text is decomposed and lower before."""
    table = np.arange(_TABLE, dtype=np.uint32)
    for source, target in (_LEET | _LOOKALIKES).items():
        table[source] = target
    for capital in range(ord("A"), ord("Z") + 1):
        table[capital] = capital + 32
    for code in range(_TABLE):
        category = unicodedata.category(chr(code))
        if category in {"Zs", "Zl", "Zp", "Cc"}:
            table[code] = _SPACE
        elif (
            category in {"Cf", "Mn"} and not 0x0483 <= code <= 0x1AAF
        ):  # marks of Indic and Semitic scripts are letters
            table[code] = 0
    table[0] = _SPACE
    return table


def _lettering() -> Flags:
    """Which folded code points below `_TABLE` are parts of words."""
    return np.array(
        [chr(code).isalnum() or unicodedata.category(chr(code))[0] == "M" for code in range(_TABLE)]
    )


_FOLDING: Final = _folding()
_LETTERS: Final = _lettering()
_ASCII_FOLDING: Final = _FOLDING[:128].astype(np.uint8).tobytes().ljust(256, b"\0")
_ASCII_LETTERS: Final = _LETTERS[:128].tobytes().ljust(256, b"\0")
_SPELLED: Final = b"\0\1\0\1\0\1\0"
"""What is and is not a letter, where three single letters stand one after the other."""


def _powers(base: int) -> NDArray[np.uint64]:
    powers = np.full(BLOCK + LARGEST + 2, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


_POWERS: Final = _powers(int(_PRIME))
_INVERSES: Final = _powers(pow(int(_PRIME), -1, 1 << 64))


class Ngrams(NamedTuple):
    """Hashes and the character at which each starts; both of shape [n-grams]."""

    places: NDArray[np.intp]
    hashes: NDArray[np.uint64]


def letters(codes: Codes) -> Flags:
    """Which of the folded characters are parts of words, shape [characters]."""
    return np.frombuffer(_lettered(codes), np.bool_)


def _lettered(codes: Codes) -> bytes:
    """The same as bytes, 1 for a letter: they are searched faster."""
    if codes.dtype == np.uint8:
        return codes.tobytes().translate(_ASCII_LETTERS)
    known = _LETTERS.take(codes, mode="clip")
    return np.where(codes < _TABLE, known, codes >= 0x3040).tobytes()


def fold(text: str) -> Codes:
    """Text as it is read aloud: lower case, no accents, no look-alikes, no spacing between single letters.

    Digits that stand in for letters are read as those everywhere, in 2024 too: what counts is that equal stays equal.
    """
    if text.isascii():
        return _close_up(np.frombuffer(text.encode("ascii").translate(_ASCII_FOLDING), np.uint8))
    plain = unicodedata.normalize("NFKD", text).lower()
    wide = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32)
    wide = np.where(wide >= _TAGS, wide & 0x7F, wide)
    wide = np.where(wide < _TABLE, _FOLDING.take(wide, mode="clip"), wide)
    wide = wide[wide > 0]
    narrow = wide.astype(np.uint8)
    return _close_up(narrow if np.array_equal(narrow & 0x7F, wide) else wide)


def _close_up(codes: Codes) -> Codes:
    """Drop what stands between three or more single letters, and all but one of several blanks.

    `i.g.n.o.r.e  m e` becomes `ignore m.e`.
    """
    lettered = b"\0" + _lettered(codes) + b"\0"
    if _SPELLED in lettered:
        word = np.frombuffer(lettered, np.bool_)
        single = np.zeros(len(word), np.bool_)
        single[1:-1] = word[1:-1] & ~word[:-2] & ~word[2:]
        between = np.zeros(len(codes) + 4, np.bool_)
        between[2:-2] = single[:-2] & single[2:] & ~word[1:-1]
        codes = codes[~(between[2:-2] & (between[:-4] | between[4:]))]
    if codes.dtype == np.uint8 and b"  " not in codes.tobytes():
        return codes
    blank = codes == _SPACE
    repeated = np.zeros(len(codes), np.bool_)
    repeated[1:] = blank[1:] & blank[:-1]
    return codes[~repeated]


def unfold(codes: Codes) -> str:
    """Folded code points as text, for rules."""
    if codes.dtype == np.uint8:
        return codes.tobytes().decode("ascii")
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def ngrams(codes: Codes) -> Ngrams:
    """Of characters (3 to 5, spaces and signs among them) and of words (1 to 3). At most `BLOCK` + `LARGEST` codes."""
    places, hashes = [np.zeros(0, np.intp)], [np.zeros(0, np.uint64)]
    for piece in _pieces(codes):
        every = np.arange(piece.start, piece.start + PIECE)
        kinds = (every,) * len(_CHARACTERS) + (piece.words + piece.start,) * len(_WORDS)
        for kind, first, number in zip(kinds, piece.firsts, piece.numbers, strict=True):
            places.append(kind[:number])
            hashes.append(piece.hashes[first : first + number])
    return Ngrams(np.concatenate(places), np.concatenate(hashes))


class _Piece(NamedTuple):
    """The n-grams that start within `PIECE` characters, kind after kind, each kind in the order of its places.

    firsts, numbers: where in `hashes` each kind begins, and how many of it there are; what stands behind them means
    nothing. They start at the first so many characters or words. words: where words start, counted from `start`.
    """

    start: int
    hashes: NDArray[np.uint64]
    firsts: list[int]
    numbers: list[int]
    words: NDArray[np.intp]


def _pieces(codes: Codes) -> Iterator[_Piece]:
    words, single = _words(codes)
    for start in range(0, len(codes), PIECE):
        wide = codes[start : start + PIECE + _CHARACTERS[-1] - 1].astype(np.uint64)
        first, last, behind = 0, len(words), len(words)
        if len(codes) > PIECE:
            first, last = words.searchsorted((start, start + PIECE)).tolist()
            behind = min(last + _WORDS[-1] - 1, len(words))
        across, along = len(wide), behind - first
        hashes = np.empty(len(_CHARACTERS) * across + len(_WORDS) * along, np.uint64)
        rows = hashes[: len(_CHARACTERS) * across].reshape(len(_CHARACTERS), across)
        rolled = wide[:-1] * _PRIME
        rolled += wide[1:]
        for length, row in zip(_CHARACTERS, rows, strict=True):
            np.multiply(rolled[:-1], _PRIME, out=row[: 1 - length])
            rolled = row[: 1 - length]
            rolled += wide[length - 1 :]
        rows += _LENGTHS
        chains = hashes[len(_CHARACTERS) * across :].reshape(len(_WORDS), along)
        chains[0] = chain = single[first:behind]
        for length in _WORDS[1:]:
            np.multiply(chain[:-1], _MIX, out=chains[length - 1, : 1 - length])
            chain = chains[length - 1, : 1 - length]
            chain += chains[0, length - 1 :]
        chains ^= _SIGNS
        hashes ^= hashes >> _MIXED  # every bit of the input reaches the upper bits, which choose the bucket
        hashes *= _MIX
        firsts = [kind * across for kind in range(len(_CHARACTERS))]
        firsts += [len(_CHARACTERS) * across + kind * along for kind in range(len(_WORDS))]
        numbers = [min(max(across - length + 1, 0), PIECE) for length in _CHARACTERS]
        numbers += [min(max(along - length + 1, 0), last - first) for length in _WORDS]
        inside = words[first:last]
        yield _Piece(start, hashes, firsts, numbers, inside - start if start else inside)


def _words(codes: Codes) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Where the words start, and a hash of each that does not depend on where it stands; shapes [words]."""
    edges = np.frombuffer(b"\0" + _lettered(codes) + b"\0", np.uint8)
    (borders,) = (edges[1:] != edges[:-1]).nonzero()
    starts = borders[::2]
    if not len(starts):
        return starts, np.zeros(0, np.uint64)
    placed = np.multiply(codes, _POWERS[: len(codes)], dtype=np.uint64)
    sums = np.add.reduceat(placed, borders[: -1 if borders[-1] == len(codes) else None])
    return starts, sums[::2] * _INVERSES.take(starts)


def word_hashes(codes: Codes) -> NDArray[np.uint64]:
    """One hash for each word of the folded text, in their order, the same wherever the word stands; shape [words]."""
    parts = [codes[start : start + BLOCK] for start in range(0, len(codes), BLOCK)]
    found = [_words(part)[1] for part in parts]
    return np.concatenate(found) if found else np.zeros(0, np.uint64)


def windows(length: int, size: int) -> NDArray[np.intp]:
    """Starts and ends of windows that cover [0, length), each half in the next; shape [2, windows]."""
    step = size // 2
    starts = np.arange(0, max(length - step, 1), step)
    return np.stack([starts, np.minimum(starts + size, length)])


def _blocks(codes: Codes) -> Iterator[Codes]:
    for start in range(0, max(len(codes) - LARGEST, 1), BLOCK):
        yield codes[start : start + BLOCK + LARGEST]


def sigmoid(logit: float) -> float:
    return 1 / (1 + exp(-max(-50.0, min(50.0, logit))))


@dataclass(frozen=True, slots=True)
class Linear:
    """weights: of each bucket, shape [2 ** n], in units of `scale`: eight bits each, so that they stay in the cache.

    bias: the logit of a window in which nothing speaks.
    """

    weights: NDArray[np.int8] | NDArray[np.float32]
    bias: float
    version: str
    scale: float = 1.0

    @property
    def _shift(self) -> np.uint64:
        return np.uint64(65 - len(self.weights).bit_length())

    @property
    def _exact(self) -> type[np.int64] | type[np.float64]:
        return np.int64 if self.weights.dtype == np.int8 else np.float64

    @classmethod
    def load(cls, path: Path) -> Linear:
        """From an .npz with `weights` (int8, shape [2 ** n]), `scale` and `bias` (float64, shape [])."""
        content = path.read_bytes()
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            return cls(
                np.array(arrays["weights"]), float(arrays["bias"]), version(content), float(arrays["scale"])
            )

    def logit(self, codes: Codes) -> float:
        """Of the worst window of the folded text; below -50 where there is nothing to read."""
        return max((self._worst(block) for block in _blocks(codes)), default=-100.0) if len(codes) else -100.0

    def _worst(self, codes: Codes) -> float:
        tallies = [self._tally(piece, len(codes)) for piece in _pieces(codes)]
        tally = tallies[0] if len(tallies) == 1 else _joined(tallies)
        if not tally[1, -1]:
            return -100.0
        return self.bias + self.scale * max(_strongest(tally, size // CELL) for size in SIZES)

    def _tally(self, piece: _Piece, length: int) -> NDArray[np.float64]:
        """Of what starts before each cell of a piece, and at last of all: weights and number; [2, cells + 1]."""
        weights = self.weights.take((piece.hashes >> self._shift).view(np.intp))
        spoken = np.zeros(len(weights) + 1, self._exact)
        np.add.accumulate(weights, out=spoken[1:], dtype=self._exact)
        marks = _MARKS[: (length - piece.start - 1) // CELL + 2]
        before = np.empty((len(piece.numbers), len(marks)), np.intp)
        before[: len(_CHARACTERS)] = marks
        before[len(_CHARACTERS) :] = piece.words.searchsorted(marks)
        bounds = np.array((piece.numbers, piece.firsts))[:, :, None]
        np.minimum(before, bounds[0], out=before)
        tally = np.empty((2, len(marks)))
        np.add.reduce(before, out=tally[1])
        before += bounds[1]
        np.add.reduce(spoken.take(before), out=tally[0])
        return tally


def _joined(tallies: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Of pieces that stand one behind the other."""
    cells = np.concatenate([np.diff(each) for each in tallies], axis=1)
    tally = np.zeros((2, cells.shape[1] + 1))
    np.cumsum(cells, axis=1, out=tally[:, 1:])
    return tally


def _strongest(tally: NDArray[np.float64], size: int) -> float:
    """Of all windows of so many cells, each half in the next."""
    if tally.shape[1] <= size + 1:
        weight, number = (tally[:, -1] - tally[:, 0]).tolist()
        return float(weight / sqrt(number + DAMPING))
    starts = tally[:, : -1 - size // 2 : size // 2]
    ends = tally[:, size :: size // 2]
    if ends.shape[1] < starts.shape[1]:
        ends = np.concatenate((ends, tally[:, -1:]), axis=1)
    weights, numbers = ends - starts
    return float(np.maximum.reduce(weights / np.sqrt(numbers + DAMPING)))


def version(content: bytes) -> str:
    """Of a check that judges by this file."""
    return f"1-{sha256(content).hexdigest()[:8]}"
