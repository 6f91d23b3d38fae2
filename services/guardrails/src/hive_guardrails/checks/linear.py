"""Linear models over hashed n-grams: text is folded, hashed and scored in overlapping windows, by numpy alone.

A text becomes code points without disguise (`fold`), those become hashed n-grams, each at its place (`ngrams`), and
a model gives each n-gram a weight. The logit of a window is the sum of the weights inside it over the square root of
their number, so that sums over small cells give every window of every size and the cost stays linear.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from itertools import accumulate
from math import exp, sqrt
from operator import add, sub, truediv
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
_KINDS: Final = 3
"""Of n-grams of characters, the shortest of `_SHORTEST`, and of words, the shortest of one."""
_SHORTEST: Final = 3
_AHEAD: Final = 4
"""Characters that an n-gram reads behind the one at which it starts."""
_BEYOND: Final = 2
"""Characters behind a piece that are hashed with it: the longest n-grams are made of shorter ones."""
_MARKS: Final = np.arange(0, BLOCK + LARGEST, CELL)
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


_PRIMES: Final = _POWERS[1 : 1 + _KINDS, None]
_LENGTHS: Final = np.arange(_SHORTEST, _SHORTEST + _KINDS, dtype=np.uint64)[:, None]
_MIXES: Final = np.array((1, int(_MIX), int(_MIX) ** 2 % (1 << 64)), np.uint64)[:, None]
_SIGNS: Final = np.array((1, 2, 3), np.uint64)[:, None] << np.uint64(60)
_NUMBERS: Final = array("i", (0, 0, 0, 1, *range(3, _KINDS * (BLOCK + LARGEST), _KINDS))).__getitem__
"""How many n-grams, of all kinds, there are of so many characters, and of so many words and two more."""
_ROOTS: Final = [sqrt(number + DAMPING) for number in range(2 * _KINDS * LARGEST)]
"""What the weight of so many n-grams is divided by."""


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
    if lettered.rfind(_SPELLED) >= 0:  # from the end it is found, or not, in a quarter of the time
        word = np.frombuffer(lettered, np.bool_)
        single = np.zeros(len(word), np.bool_)
        single[1:-1] = word[1:-1] & ~word[:-2] & ~word[2:]
        between = np.zeros(len(codes) + 4, np.bool_)
        between[2:-2] = single[:-2] & single[2:] & ~word[1:-1]
        codes = codes[~(between[2:-2] & (between[:-4] | between[4:]))]
    if codes.dtype == np.uint8 and codes.tobytes().rfind(b"  ") < 0:
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


def meets(plain: str, rule: re.Pattern[str], starts: Iterable[str]) -> bool:
    """Whether a rule matches anywhere in an unfolded text. starts: each match begins with one of these.

    They are looked for from the end: `rfind` takes half the time of `find`, and much less than the rule.
    """
    for start in starts:
        at = plain.rfind(start)
        while at >= 0:
            if rule.match(plain, at):
                return True
            at = plain.rfind(start, 0, at + len(start) - 1)
    return False


def ngrams(codes: Codes) -> Ngrams:
    """Of characters (3 to 5, spaces and signs among them) and of words (1 to 3). At most `BLOCK` + `LARGEST` codes."""
    starts, single = _words(codes)
    every, behind = np.arange(len(codes)), len(codes) + _BEYOND
    places: list[NDArray[np.intp]] = []
    hashes: list[NDArray[np.uint64]] = []
    for kind, row in enumerate(_hashes(codes, len(codes), _chains(single))):
        characters, words = max(len(codes) - kind - _SHORTEST + 1, 0), max(len(starts) - kind, 0)
        places += every[:characters], starts[:words]
        hashes += row[:characters], row[behind : behind + words]
    return Ngrams(np.concatenate(places), np.concatenate(hashes))


def _hashes(codes: Codes, characters: int, chains: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Of the n-grams at so many first characters and, `_BEYOND` apart, at words with these chains.

    Shape [kinds, characters + `_BEYOND` + words]. What lies between the two means nothing, and so does what would end
    behind the codes or behind the last word.
    """
    wide = np.zeros(characters + _AHEAD, np.uint64)
    wide[: len(codes)] = codes
    pairs = wide[:-1] * _PRIME
    pairs += wide[1:]
    hashes = np.empty((_KINDS, characters + _BEYOND + chains.shape[1]), np.uint64)
    rolled = hashes[:, : characters + _BEYOND]
    np.multiply(pairs[:-1], _PRIMES, out=rolled)
    rolled[0] += wide[2:]
    rolled[1, :-1] += pairs[2:]
    rolled[2, :-2] += rolled[0, 2:]
    rolled += _LENGTHS
    np.bitwise_xor(chains, _SIGNS, out=hashes[:, characters + _BEYOND :])
    hashes ^= hashes >> _MIXED  # every bit of the input reaches the upper bits, which choose the bucket
    hashes *= _MIX
    return hashes


def _chains(single: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each word with none, one and two behind it, as far as there are any; shape [kinds, words]."""
    chains = np.multiply(single, _MIXES)
    chains[1, :-1] += single[1:]
    chains[2, :-1] += chains[1, 1:]
    return chains


def _words(codes: Codes) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Where the words start, and a hash of each that does not depend on where it stands; shapes [words]."""
    edges = np.frombuffer(b"\0" + _lettered(codes) + b"\0", np.uint8)
    (borders,) = (edges[1:] != edges[:-1]).nonzero()
    starts = borders[::2]
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.multiply(codes, _POWERS[: len(codes)], out=sums[1:])
    np.add.accumulate(sums, out=sums)
    around = sums.take(borders)
    single = around[1::2] - around[::2]
    single *= _INVERSES.take(starts)
    return starts, single


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
    _shift: np.uint64 = field(init=False, repr=False)
    _exact: type[np.int32] | type[np.float64] = field(init=False, repr=False)
    """What weights are added up as."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_shift", np.uint64(65 - len(self.weights).bit_length()))
        object.__setattr__(self, "_exact", np.int32 if self.weights.dtype == np.int8 else np.float64)

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
        if len(codes) <= BLOCK + LARGEST:
            return self._worst(codes) if len(codes) else -100.0
        return max([self._worst(block) for block in _blocks(codes)])

    def _worst(self, codes: Codes) -> float:
        starts, single = _words(codes)
        length, words = len(codes), len(starts)
        marks = _MARKS[: -(-length // CELL) if length > SIZES[0] else 1]
        behind = (words + _SHORTEST - 1 - starts.searchsorted(marks)).tolist()
        numbers = list(map(add, map(_NUMBERS, range(length, 0, -CELL)), map(_NUMBERS, behind)))
        if not numbers[0]:
            return -100.0
        chains = _chains(single)
        cells: list[float] = [0]
        while length > PIECE + _AHEAD:
            last = int(starts.searchsorted(PIECE))
            cells += self._cells(
                codes[: PIECE + _AHEAD], PIECE, starts[:last], chains, marks[: PIECE // CELL]
            )
            codes, starts, chains = codes[PIECE:], starts[last:] - PIECE, chains[:, last:]
            marks = marks[: -PIECE // CELL]
            length -= PIECE
        cells += self._cells(codes, length, starts, chains, marks)
        numbers.append(0)
        weights = list(accumulate(cells))
        return self.bias + self.scale * max([_strongest(weights, numbers, size // CELL) for size in SIZES])

    def _cells(
        self,
        codes: Codes,
        characters: int,
        starts: NDArray[np.intp],
        chains: NDArray[np.uint64],
        marks: NDArray[np.intp],
    ) -> list[float]:
        """The weight of what starts in each cell of so many characters, or in all of them where there is one mark.

        codes: those and what is behind them, as far as n-grams reach. starts: of words in them. chains: of the words,
        and of all behind them.
        """
        behind = characters + _BEYOND
        hashes = _hashes(codes, characters, chains[:, : len(starts)])
        hashes >>= self._shift
        weights = self.weights.take(hashes.view(np.intp))
        for kind, row in enumerate(weights):
            row[max(len(codes) - kind - _SHORTEST + 1, 0) : behind] = 0
            row[behind + max(chains.shape[1] - kind, 0) :] = 0
        spoken = np.add.reduce(weights, axis=0, dtype=self._exact)
        if len(marks) == 1:
            return [np.add.reduce(spoken).item()]
        spoken[starts] += spoken[behind:]
        cells: list[float] = np.add.reduceat(spoken[:characters], marks).tolist()
        return cells


def _strongest(weights: list[float], numbers: list[int], size: int) -> float:
    """Of all windows of so many cells, each half in the next.

    weights: of what starts before each cell, at last of all. numbers: of what starts from each cell on, at last none.
    """
    step = size // 2
    if len(weights) <= size + 1:
        return weights[-1] / _ROOTS[numbers[0]]
    starts = slice(0, -1 - step, step)
    ends = slice(size, None, step)
    until, behind = weights[ends], numbers[ends]
    if (len(weights) - 1) % step:
        until.append(weights[-1])
        behind.append(0)
    roots = map(_ROOTS.__getitem__, map(sub, numbers[starts], behind))
    worst: float = max(map(truediv, map(sub, until, weights[starts]), roots))
    return worst


def version(content: bytes) -> str:
    """Of a check that judges by this file."""
    return f"1-{sha256(content).hexdigest()[:8]}"
