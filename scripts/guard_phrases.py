"""Sentences made from patterns, abusive and ordinary: no word list has a threat that does without swear words."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

EACH: Final = 220
"""Sentences drawn for one pattern at most."""
ABUSE: Final = Path(__file__).with_name("abuse_phrases.txt")
INJECTION: Final = Path(__file__).with_name("injection_phrases.txt")
ORDINARY: Final = Path(__file__).with_name("ordinary_phrases.txt")


class Phrase(NamedTuple):
    text: str
    abusive: bool


def phrases(source: Path, seed: int = 1) -> list[Phrase]:
    """Each one once, in the order of the patterns."""
    slots, abusive, ordinary = _read(source.read_text())
    draw = Random(seed)
    found: dict[str, bool] = {}
    for patterns, label in ((abusive, True), (ordinary, False)):
        for pattern in patterns:
            for _ in range(EACH):
                found.setdefault(_filled(pattern, slots, draw), label)
    return [Phrase(text, label) for text, label in found.items()]


def _filled(pattern: str, slots: dict[str, list[str]], draw: Random) -> str:
    text = pattern
    while "{" in text:
        text = re.sub(r"\{(\w+)\}", lambda slot: draw.choice(slots[slot[1]]), text)
    return draw.choice((text, text[0].upper() + text[1:] + "."))


def _read(content: str) -> tuple[dict[str, list[str]], list[str], list[str]]:
    parts: dict[str, list[str]] = {}
    for line in content.splitlines():
        if line.startswith("# "):
            parts[line[2:]] = []
        else:
            parts[list(parts)[-1]].append(line)
    pairs = (line.split(" = ", 1) for line in parts["slots"])
    return {name: values.split(" | ") for name, values in pairs}, parts["abuse"], parts["ordinary"]
