"""Linear models over hashed n-grams: text is folded, hashed and scored in overlapping windows, by numpy alone.

A text becomes code points without disguise (`fold`), those become hashed n-grams, each at its place (`ngrams`), and
a model gives each n-gram a weight. The logit of a window is the sum of the weights inside it over the square root of
their number, so that prefix sums give every window of every size at once and the cost stays linear.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from math import exp, sqrt
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
"""Code points, shape [characters]."""
Flags = NDArray[np.bool_]

LARGEST: Final = 1024
"""Characters of the widest window."""
SIZES: Final = (256, LARGEST)
"""A sentence in a long text is lost in a wide window, a long story is cut short by a narrow one."""
BLOCK: Final = 16384
"""Characters hashed at once: keeps memory level however long the text is."""
DAMPING: Final = 30.0
"""N-grams that are added to a window's number, so that two words alone prove little."""

_SPACE: Final = 0x20
_PRIME: Final = 0x9E3779B97F4A7C15
_MIX: Final = 0xD6E8FEB86659FD93
_CHARACTERS: Final = (3, 4, 5)
_WORDS: Final = (1, 2, 3)
_TABLE: Final = 0x3000
_TAGS: Final = 0xE0000
"""Tag characters: an invisible copy of ASCII."""

_LEET: Final = str.maketrans("013457@$", "oieastas")
_LOOKALIKES: Final = str.maketrans(
    "авекмнорстухіјѕԁԛԝһӏɡɑıαβειοκνρτυχγη", "abekmhopctyxijsdqwhlgaiabeiokvptuxyn"
)


def _folding() -> Codes:
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


def _powers(base: int) -> NDArray[np.uint64]:
    powers = np.full(BLOCK + LARGEST + 2, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


_POWERS: Final = _powers(_PRIME)
_INVERSES: Final = _powers(pow(_PRIME, -1, 1 << 64))


class Ngrams(NamedTuple):
    """Hashes and the character at which each starts; both of shape [n-grams]."""

    places: NDArray[np.intp]
    hashes: NDArray[np.uint64]


def letters(codes: Codes) -> Flags:
    """Which of the folded characters are parts of words, shape [characters]."""
    if not len(codes) or codes.max() < _TABLE:
        return _LETTERS[codes]
    return np.where(codes < _TABLE, _LETTERS[np.minimum(codes, _TABLE - 1)], codes >= 0x3040)


def fold(text: str) -> Codes:
    """Text as it is read aloud: lower case, no accents, no look-alikes, no spacing between single letters.

    Digits that stand in for letters are read as those everywhere, in 2024 too: what counts is that equal stays equal.
    """
    if text.isascii():
        codes = _FOLDING[np.frombuffer(text.encode("ascii"), np.uint8)]
    else:
        plain = unicodedata.normalize("NFKD", text).lower()
        codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32)
        codes = np.where(codes >= _TAGS, codes & 0x7F, codes)
        codes = np.where(codes < _TABLE, _FOLDING[np.minimum(codes, _TABLE - 1)], codes)
        codes = codes[codes > 0]
    if not len(codes):
        return codes
    codes = _close_up(codes)
    blank = codes == _SPACE
    repeated = np.zeros(len(codes), np.bool_)
    repeated[1:] = blank[1:] & blank[:-1]
    return codes[~repeated]


def _close_up(codes: Codes) -> Codes:
    """Drop what stands between three or more single letters: `i.g.n.o.r.e  m e` becomes `ignore  m.e`."""
    word = np.zeros(len(codes) + 2, np.bool_)
    word[1:-1] = letters(codes)
    single = np.zeros(len(codes) + 2, np.bool_)
    single[1:-1] = word[1:-1] & ~word[:-2] & ~word[2:]
    if np.count_nonzero(single) < 3:
        return codes
    between = np.zeros(len(codes) + 4, np.bool_)
    between[2:-2] = single[:-2] & single[2:] & ~word[1:-1]
    return codes[~(between[2:-2] & (between[:-4] | between[4:]))]


def unfold(codes: Codes) -> str:
    """Folded code points as text, for rules."""
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def ngrams(codes: Codes) -> Ngrams:
    """Of characters (3 to 5, spaces and signs among them) and of words (1 to 3). At most `BLOCK` + `LARGEST` codes."""
    found = [
        (np.arange(len(hashes)) if starts is None else starts, hashes) for starts, hashes in _kinds(codes)
    ]
    return Ngrams(np.concatenate([each[0] for each in found]), np.concatenate([each[1] for each in found]))


def _kinds(codes: Codes) -> Iterator[tuple[NDArray[np.intp] | None, NDArray[np.uint64]]]:
    """The n-grams of each kind and length: where they start (None: one at every character), and their hashes."""
    wide = codes.astype(np.uint64)
    rolled = wide
    for length in range(2, _CHARACTERS[-1] + 1):
        rolled = rolled[:-1] * np.uint64(_PRIME) + wide[length - 1 :]
        if length in _CHARACTERS:
            yield None, _mixed(rolled + np.uint64(length))
    starts, words = _words(codes, wide)
    chain = words
    for length in _WORDS:
        if length > 1:
            chain = chain[:-1] * np.uint64(_MIX) + words[length - 1 :]
        yield starts[: len(chain)], _mixed(chain ^ np.uint64(length << 60))


def _words(codes: Codes, wide: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Where the words start, and a hash of each that does not depend on where it stands; shapes [words]."""
    edges = np.zeros(len(codes) + 2, np.int8)
    edges[1:-1] = letters(codes)
    steps = np.diff(edges)
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(wide * _POWERS[: len(codes)], out=sums[1:])
    return starts, (sums[ends] - sums[starts]) * _INVERSES[starts]


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of the input reaches the upper bits, which choose the bucket."""
    return (hashes ^ (hashes >> np.uint64(29))) * np.uint64(_MIX)


def word_hashes(codes: Codes) -> NDArray[np.uint64]:
    """One hash for each word of the folded text, in their order, the same wherever the word stands; shape [words]."""
    parts = [codes[start : start + BLOCK] for start in range(0, len(codes), BLOCK)]
    found = [_words(part, part.astype(np.uint64))[1] for part in parts]
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
        shift = np.uint64(64 - (len(self.weights).bit_length() - 1))
        sums, counts = np.zeros(len(codes) + 1), np.zeros(len(codes) + 1)
        spoken, number = sums[1:], counts[1:]
        for starts, hashes in _kinds(codes):  # no two n-grams of one kind start at the same character
            weights = self.weights[hashes >> shift]
            place = slice(len(weights)) if starts is None else starts
            spoken[place] += weights
            number[place] += 1
        np.cumsum(spoken, out=spoken)
        np.cumsum(number, out=number)
        if not counts[-1]:
            return -100.0
        return self.bias + self.scale * max(_strongest(sums, counts, size) for size in SIZES)


def _strongest(sums: NDArray[np.float64], counts: NDArray[np.float64], size: int) -> float:
    """Of all windows of a size. sums, counts: of everything before each character."""
    length = len(sums) - 1
    if length <= size:
        return float(sums[-1] / sqrt(counts[-1] + DAMPING))
    starts, ends = windows(length, size)
    return float(np.max((sums[ends] - sums[starts]) / np.sqrt(counts[ends] - counts[starts] + DAMPING)))


def version(content: bytes) -> str:
    """Of a check that judges by this file."""
    return f"1-{sha256(content).hexdigest()[:8]}"
