"""Linear models over hashed n-grams: text is folded, hashed and scored in overlapping windows, by numpy alone.

A text becomes code points without disguise (`fold`), and those one byte each. An n-gram of each of `LENGTHS` starts at
every byte: one multiplication hashes them all (`ngrams`), and a model gives each n-gram a weight. The logit of a window
is the sum of the weights inside it over the square root of their number, so that sums over small cells give every
window of every size and the cost stays linear.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from itertools import accumulate
from math import exp, sqrt
from operator import sub
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Codes = bytes | NDArray[np.uint32]
"""Code points, shape [characters]; bytes where all are ASCII, which are translated and searched at once."""
Flags = NDArray[np.bool_]

LARGEST: Final = 1024
"""Characters of the widest window."""
SIZES: Final = (256, LARGEST)
"""A sentence in a long text is lost in a wide window, a long story is cut short by a narrow one."""
LENGTHS: Final = (3, 4, 6, 8)
"""Characters of the n-grams; none is longer than the eight bytes that are read at once."""
BLOCK: Final = 16384
"""Characters whose words are hashed at once: keeps memory level however long the text is."""
PIECE: Final = 4096
"""Characters hashed at once, whole cells: what is made of them stays in the processor's cache."""
DAMPING: Final = 30.0
"""N-grams that are added to a window's number, so that two words alone prove little."""
CELL: Final = 128
"""Characters that are summed at once: every window is made of whole cells."""

_SPACE: Final = 0x20
_PRIME: Final = np.uint64(0x9E3779B97F4A7C15)
_ODD: Final = (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F, 0xFF51AFD7ED558CCD)
"""One for each of `LENGTHS`: their n-grams fall into buckets apart from each other."""
_FACTORS: Final = np.array(
    [odd << 8 * (8 - length) & 0xFFFF_FFFF_FFFF_FFFF for odd, length in zip(_ODD, LENGTHS, strict=True)],
    np.uint64,
)[:, None]
"""Shape [lengths, 1]. Times eight bytes, of which the first is the lowest, each leaves the hash of the first so many
in the upper bits and nothing of those behind."""
_BEHIND: Final = b" " * 7
"""Read behind a text by the n-grams that start at its end."""
_NARROW: Final = np.uint32(0x9E3779B1)
"""Times a code point that is not ASCII: the seven upper bits are what tells it from others in one byte."""
_MARKS: Final = np.arange(0, PIECE, CELL)
_TABLE: Final = 0x3000
_TAGS: Final = 0xE0000
"""Tag characters: an invisible copy of ASCII."""

_LEET: Final = str.maketrans("013457@$", "oieastas")
_LOOKALIKES: Final = str.maketrans(
    "авекмнорстухіјѕԁԛԝһӏɡɑıαβειοκνρτυχγη", "abekmhopctyxijsdqwhlgaiabeiokvptuxyn"
)
_QUOTES: Final = str.maketrans(
    "\u2018\u2019\u201a\u201b\u2032\u2035\u2039\u203a\u201c\u201d\u201e\u201f\u00ab\u00bb", "'" * 8 + '"' * 6
)


def _folding() -> NDArray[np.uint32]:
    """What each code point below `_TABLE` is read as; 0 drops it. Text is decomposed and lower before."""
    table = np.arange(_TABLE, dtype=np.uint32)
    for source, target in (_LEET | _LOOKALIKES | _QUOTES).items():
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
    powers = np.full(BLOCK, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


_POWERS: Final = _powers(int(_PRIME))
_INVERSES: Final = _powers(pow(int(_PRIME), -1, 1 << 64))


_ROOTS: Final = [sqrt(len(LENGTHS) * characters + DAMPING) for characters in range(LARGEST + 1)]
"""What the weight of so many characters, at each of which all n-grams start, is divided by."""


def _lettered(codes: Codes) -> bytes:
    """1 for each folded character that is part of a word, else 0: bytes are searched faster."""
    if isinstance(codes, bytes):
        return codes.translate(_ASCII_LETTERS)
    known = _LETTERS.take(codes, mode="clip")
    return np.where(codes < _TABLE, known, codes >= 0x3040).tobytes()


def fold(text: str) -> Codes:
    """Text as it is read aloud: lower case, no accents, no look-alikes, no spacing between single letters.

    Digits that stand in for letters are read as those everywhere, in 2024 too: what counts is that equal stays equal.
    Underscores are blanks where there are more of them than of those.
    """
    if text.count("_") > text.count(" "):
        text = text.replace("_", " ")
    if text.isascii():
        return _close_up(text.encode("ascii").translate(_ASCII_FOLDING))
    plain = unicodedata.normalize("NFKD", text).lower()
    wide = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32)
    wide = np.where(wide >= _TAGS, wide & 0x7F, wide)
    wide = np.where(wide < _TABLE, _FOLDING.take(wide, mode="clip"), wide)
    wide = wide[wide > 0]
    narrow = wide.astype(np.uint8)
    return _close_up(narrow.tobytes() if np.array_equal(narrow & 0x7F, wide) else wide)


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
        codes = _without(codes, between[2:-2] & (between[:-4] | between[4:]))
    if isinstance(codes, bytes) and codes.rfind(b"  ") < 0:
        return codes
    blank = _numbers(codes) == _SPACE
    repeated = np.zeros(len(codes), np.bool_)
    repeated[1:] = blank[1:] & blank[:-1]
    return _without(codes, repeated)


def _numbers(codes: Codes) -> NDArray[np.uint8] | NDArray[np.uint32]:
    return np.frombuffer(codes, np.uint8) if isinstance(codes, bytes) else codes


def _without(codes: Codes, dropped: Flags) -> Codes:
    if isinstance(codes, bytes):
        return np.frombuffer(codes, np.uint8)[~dropped].tobytes()
    return codes[~dropped]


def unfold(codes: Codes) -> str:
    """Folded code points as text, for rules."""
    if isinstance(codes, bytes):
        return codes.decode("ascii")
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def ngrams(codes: Codes, bits: int) -> NDArray[np.intp]:
    """The bucket, below 2 ** `bits`, of the n-gram of each length at each character; shape [lengths, characters].

    Those at the end read blanks behind the text.
    """
    return _buckets(_narrow(codes), 0, len(codes), np.uint64(64 - bits))


def _narrow(codes: Codes) -> bytes:
    """One byte for each character, of ASCII the character itself, and what the last n-grams read behind them."""
    if isinstance(codes, bytes):
        return codes + _BEHIND
    narrow = np.where(codes < 0x80, codes, 0x80 | codes * _NARROW >> 25).astype(np.uint8)
    return narrow.tobytes() + _BEHIND


def _buckets(read: bytes, start: int, characters: int, shift: np.uint64) -> NDArray[np.intp]:
    eights = np.ndarray((characters,), "<u8", read, start, (1,))
    buckets: NDArray[np.uint64] = eights * _FACTORS
    buckets >>= shift
    return buckets.view(np.intp)


def _words(codes: Codes) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Where the words start, and a hash of each that does not depend on where it stands; shapes [words]."""
    edges = np.frombuffer(b"\0" + _lettered(codes) + b"\0", np.uint8)
    (borders,) = (edges[1:] != edges[:-1]).nonzero()
    starts = borders[::2]
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.multiply(_numbers(codes), _POWERS[: len(codes)], out=sums[1:])
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
        length = len(codes)
        if not length:
            return -100.0
        read = _narrow(codes)
        if length <= SIZES[0]:
            spoken = self.weights.take(_buckets(read, 0, length, self._shift))
            worst: float = np.add.reduce(spoken, axis=None, dtype=self._exact).item() / _ROOTS[length]
        else:
            sums = list(accumulate(self._cells(read, length), initial=0))
            worst = max(_strongest(sums, length, SIZES[0]), _strongest(sums, length, LARGEST))
        return self.bias + self.scale * worst

    def _cells(self, read: bytes, length: int) -> list[float]:
        """The weight of what starts in each cell of the text; the last may be a part of one."""
        cells: list[float] = []
        for start in range(0, length, PIECE):
            characters = min(PIECE, length - start)
            weights = self.weights.take(_buckets(read, start, characters, self._shift))
            spoken = np.add.reduce(weights, axis=0, dtype=self._exact)
            marks = _MARKS[: -(-characters // CELL)]
            cells += np.add.reduceat(spoken, marks, dtype=self._exact).tolist()
        return cells


def _strongest(sums: list[float], length: int, size: int) -> float:
    """Of the windows of so many characters of a text of that length, each half in the next; see `windows`.

    sums: the weight of what starts before each cell, at last of all.
    """
    if length <= size:
        return sums[-1] / _ROOTS[length]
    width = size // CELL
    step = width // 2
    last = ((length - 1) // (step * CELL) - 1) * step
    whole: float = max(map(sub, sums[width::step], sums[:last:step]))
    return max(whole / _ROOTS[size], (sums[-1] - sums[last]) / _ROOTS[length - last * CELL])


def version(content: bytes) -> str:
    """Of a check that judges by this file."""
    return f"1-{sha256(content).hexdigest()[:8]}"
