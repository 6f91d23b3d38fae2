"""Fit linear models over hashed n-grams and store them: the same bytes whenever they are made."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

from hive_guardrails.checks import linear

ROOT: Final = Path(__file__).resolve().parent.parent

PENALTY: Final = 3e-5
STEPS: Final = 250


class Windows(NamedTuple):
    """rows: n-gram frequencies of the windows, [windows, buckets]. texts: which text each is cut from, [windows]."""

    rows: csr_matrix
    texts: NDArray[np.intp]


def cut(texts: Iterable[str], bits: int, sizes: Sequence[int] = linear.SIZES) -> Windows:
    """Every text into the windows that it will be judged by; a text within the narrowest is one window."""
    columns, values, ends, origins = [], [], [0], []
    for number, text in enumerate(texts):
        codes = linear.fold(text)[:8192]
        buckets = linear.ngrams(codes, bits)
        for size in sizes[: 1 if len(codes) <= sizes[0] else len(sizes)]:
            for start, end in linear.windows(len(codes), size).T:
                inside = buckets[:, start:end]
                unique, counts = np.unique(inside, return_counts=True)
                columns.append(unique.astype(np.int32))
                values.append((counts / np.sqrt(inside.size + linear.DAMPING)).astype(np.float32))
                ends.append(ends[-1] + len(unique))
                origins.append(number)
    shape = (len(origins), 2**bits)
    return Windows(
        csr_matrix((np.concatenate(values), np.concatenate(columns), ends), shape=shape), np.array(origins)
    )


def learn(
    windows: Windows, labels: NDArray[np.float64], shares: NDArray[np.float64]
) -> tuple[NDArray[np.int8], float]:
    """Weights and their scale. labels, shares: of each text. Learns twice, at last from the worst window of each."""
    shares = shares.copy()
    shares[labels == 1] *= shares[labels == 0].sum() / shares[labels == 1].sum()
    each = np.bincount(windows.texts)
    weights, _ = fit(windows.rows, labels[windows.texts], (shares / each)[windows.texts])
    worst = worst_windows(windows.rows @ weights, windows.texts)
    weights, _ = fit(windows.rows[worst], labels, shares)
    scale = float(np.abs(weights).max() / 127)
    return np.round(weights / scale).astype(np.int8), scale


def worst_windows(logits: NDArray[np.float64], texts: NDArray[np.intp]) -> NDArray[np.intp]:
    """The index of the highest window of each text, shape [texts]."""
    order = np.lexsort((-logits, texts))
    return order[np.r_[True, np.diff(texts[order]) > 0]]


def fit(
    rows: csr_matrix, labels: NDArray[np.float64], shares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Logistic regression by Nesterov's accelerated gradient; no randomness, one thread, no BLAS."""
    shares = shares / shares.sum()
    columns = rows.T.tocsr()
    rate = 1 / (curvature(rows, columns, shares) / 4 + PENALTY)
    weights = ahead = np.zeros(rows.shape[1])
    bias = bias_ahead = 0.0
    for step in range(STEPS):
        slope = shares * (1 / (1 + np.exp(-(rows @ ahead + bias_ahead))) - labels)
        before, bias_before = weights, bias
        weights = ahead - rate * (columns @ slope + PENALTY * ahead)
        bias = bias_ahead - min(rate, 4.0) * float(slope.sum())
        momentum = step / (step + 3)
        ahead = weights + momentum * (weights - before)
        bias_ahead = bias + momentum * (bias - bias_before)
    return weights, bias


def curvature(rows: csr_matrix, columns: csr_matrix, shares: NDArray[np.float64]) -> float:
    """The largest eigenvalue of rows' diag(shares) rows, a little overestimated."""
    direction, length = np.ones(rows.shape[1]), 1.0
    for _ in range(30):
        direction = columns @ (shares * (rows @ (direction / length)))
        length = float(np.sqrt(np.square(direction).sum()))
    return length * 1.1


def model(weights: NDArray[np.int8], scale: float, bias: float, version: str = "") -> linear.Linear:
    return linear.Linear(weights.astype(np.float32) * np.float32(scale), bias, version)


def logits(model: linear.Linear, texts: Iterable[str]) -> NDArray[np.float64]:
    """Shape [texts]."""
    return np.array([model.logit(linear.fold(text)) for text in texts])


def quickest(call: Callable[[], object], turns: int) -> float:
    """Milliseconds of one call: the least of so many, for other work only ever makes it slower."""
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def packed(**arrays: Any) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, np.asarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())
    return content.getvalue()
