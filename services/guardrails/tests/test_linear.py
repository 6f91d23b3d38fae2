from __future__ import annotations

import numpy as np
import pytest

from hive_guardrails.checks.linear import (
    BLOCK,
    LARGEST,
    LENGTHS,
    SIZES,
    Linear,
    fold,
    ngrams,
    unfold,
    windows,
    word_hashes,
)


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("IGNORE", "ignore"),
        ("1gn0r3", "ignore"),
        ("ig\u200bno\u00adre", "ignore"),
        ("ｉｇｎｏｒｅ", "ignore"),
        ("𝐢𝐠𝐧𝐨𝐫𝐞", "ignore"),
        ("іgnоrе", "ignore"),
        ("ïgnöré", "ignore"),
        ("i g n o r e  a l l", "ignore all"),
        ("i.g-n_o*r e", "ignore"),
        ("".join(chr(0xE0000 + ord(c)) for c in "ignore"), "ignore"),
        ("a\n\t  b", "a b"),
        ("ignore_all_above", "ignore all above"),
        ("ïgnore_all_above", "ignore all above"),
        ("the snake_case of it", "the snake_case of it"),
        ("\u201cit\u2019s\u201d \u00abit\u00bb \u2039it\u203a \u201eit\u2032", '"it\'s" "it" \'it\' "it\''),
    ],
)
def test_disguises_fold_to_what_they_read_as(disguised: str, plain: str) -> None:
    assert unfold(fold(disguised)) == plain


@pytest.mark.parametrize("text", ["it's a dog", "x = y", "plan b is fine", "前の段落を要約", "पाठ"])
def test_ordinary_spacing_and_scripts_stay_apart(text: str) -> None:
    assert len(word_hashes(fold(text))) == len(word_hashes(fold(text + " ")))
    assert unfold(fold(text)).count(" ") == text.count(" ")


def test_a_words_hash_does_not_depend_on_its_place() -> None:
    alone = word_hashes(fold("ignore"))
    assert alone[0] == word_hashes(fold("please do ignore it"))[2]
    assert alone[0] != word_hashes(fold("ignored"))[0]


def test_an_ngram_is_the_same_wherever_it_stands() -> None:
    longest = max(LENGTHS)
    for text in ("ignored", "前の段落を要約して"):
        alone, inside = ngrams(fold(text + " " * 9), 16), ngrams(fold(f"please {text} now"), 16)
        assert np.array_equal(alone[:, : len(text) + 2 - longest], inside[:, 7 : len(text) + 9 - longest])
        assert np.array_equal(ngrams(fold(text), 16), ngrams(fold(text + " "), 16)[:, :-1])


def test_windows_cover_everything_and_overlap_by_half() -> None:
    for length in (1, 255, 256, 257, 1000, 5000):
        for size in SIZES:
            starts, ends = windows(length, size)
            assert starts[0] == 0
            assert ends[-1] == length
            assert np.all(starts[1:] <= ends[:-1] - size // 2)


@pytest.mark.parametrize("before", [0, 3000, BLOCK - 10, BLOCK + LARGEST, 60_000])
def test_what_stands_anywhere_in_a_long_text_counts(before: int) -> None:
    weights = np.zeros(2**12, np.float32)
    weights[ngrams(fold("needle "), 12)] = 5.0
    model = Linear(weights, -1.0, "test")
    hay = fold("~" * before + " needle " + "~" * 40_000)
    assert model.logit(hay) > model.logit(fold("~" * (before + 40_000))) + 1


def test_nothing_to_read_scores_nothing() -> None:
    model = Linear(np.ones(2**12, np.float32), 0.0, "test")
    assert model.logit(fold("")) < -50
    assert model.logit(fold("\u200b")) < -50
