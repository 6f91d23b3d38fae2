"""Attempts to talk a model out of its instructions: a trained linear model, and signatures that name what it saw.

How the model was made and how good it is: docs/model-cards/prompt-injection.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Final

from hive_guardrails.checks.linear import LARGEST, SIZES, Linear, fold, sigmoid, unfold
from hive_guardrails.checks.port import Check, Finding, Origin
from hive_guardrails.checks.words import Places, Words, meets

DOUBT: Final = 0.1
"""Below this score of the model no signature is looked for: they are slower than the model."""
SIGNED: Final = 0.9
"""Least score of a text that bears a signature."""
SHORT: Final = 200
"""Folded characters below which a text says too little to be judged by its n-grams alone: `Translate this.`"""
RESERVE: Final = 2.2
"""What is taken off the logit of the shortest text, and less of a longer one: there it takes .9 instead of .5."""

# Signatures meet folded text: lower case, no accents, digits read as letters.
_ORDERS: Final = (
    r"(?:ignor\w*|disregard\w*|forget|override|overrule|bypass|discard|neglect|violate|"
    r"vergiss|missachte|umgehe|oublie\w*|olvida\w*|dimentica\w*|esqueca)"
)
_RULES: Final = (
    r"(?:instructions?|prompts?|directions?|directives?|guidelines?|rules|programming|restrictions?|"
    r"anweisung(?:en)?|regeln|richtlinien|consignes|regles|instrucciones|reglas|istruzioni|regole|instrucoes|regras)"
)
_SIGNATURES: Final = {
    "instruction-override": (
        rf"\b{_ORDERS}\b(?: \S+){{0,3}}? (?:previous|prior|above|preceding|earlier|initial|original|system|safety|your|"
        rf"all|vorherigen|bisherigen|deine|precedentes|toutes|anteriores|precedenti|tutte)\b(?: \S+){{0,3}}? {_RULES}\b"
        r"|\b(?:no longer|not) bound by (?:your|any|the) (?:\S+ ){0,2}?(?:rules|guidelines|restrictions|instructions)\b"
        r"|</?system>|<\|im_start\|>|\[/?inst\]"
    ),
    "prompt-leak": (
        r"\b(?:show|reveal|print|repeat|output|display|disclose|tell me|give me|leak|dump|what (?:is|are|were|was))\b"
        r"(?: \S+){0,4}? (?:system|initial|hidden|original|secret|developer) (?:prompts?|instructions?|messages?)\b"
        r"|\brepeat (?:everything|all the words|the text) (?:above|before)\b"
    ),
    "role-play-jailbreak": (
        r"\bdo anything now\b|\b(?:developer|dan|god|jailbreak|unrestricted) mode\b|\byou are (?:now )?dan\b"
        r"|\b(?:without|no|free (?:of|from)) (?:any |all |ethical |moral )*(?:restrictions|filters|"
        r"limitations|censorship|guidelines)\b"
        r"|\bnever (?:refuse|break character)\b"
    ),
}


_NEEDED: Final = {
    "prompt-leak": ("prompt", "instruction", "message", "repeat "),
    "role-play-jailbreak": (
        *("anything now", " mode", " dan", "never refuse", "never break"),
        *("restriction", "filter", "limitation", "censorship", "guideline"),
    ),
}
"""A text that bears a signature has one of these in it: a few of its many starts stand in many texts."""

_STARTS: Final = {
    "instruction-override": (
        *("ignor", "disregard", "forget", "override", "overrule", "bypass", "discard", "neglect", "violate"),
        *("vergiss", "missachte", "umgehe", "oublie", "olvida", "dimentica", "esqueca"),
        *("no longer bound by", "not bound by", "<system>", "</system>", "<|im_start|>", "[inst]", "[/inst]"),
    ),
    "prompt-leak": (
        *("show", "reveal", "print", "repeat", "output", "display", "disclose", "tell me", "give me", "leak"),
        *("dump", "what is", "what are", "what was", "what were"),
    ),
    "role-play-jailbreak": (
        *("do anything now", "developer mode", "dan mode", "god mode", "jailbreak mode", "unrestricted mode"),
        *("you are dan", "you are now dan", "without ", "no ", "free of ", "free from "),
        *("never refuse", "never break character"),
    ),
}
"""A signature begins with one of these: it is looked for nowhere else."""


@cache
def _model() -> Linear:
    return Linear.load(Path(__file__).with_name("injection.npz"))


@cache
def _signatures() -> dict[str, re.Pattern[str]]:
    return {category: re.compile(pattern) for category, pattern in _SIGNATURES.items()}


@cache
def _words() -> Words:
    return Words(word for words in (*_NEEDED.values(), *_STARTS.values()) for word in words)


class _PromptInjection:
    """One for the process: its weights are read once."""

    name = "prompt-injection"
    threshold = 0.5
    reads: Collection[Origin] = frozenset({Origin.USER, Origin.TOOL})
    redacts = False
    overlap = LARGEST

    def __init__(self) -> None:
        self.version = _model().version

    def find(self, text: str, threshold: float) -> list[Finding]:
        category, score = _judge(text)
        return [Finding(category, 0, len(text), score)] if text and score >= threshold else []

    def open(self, text: str) -> int:
        return min(len(text), SIZES[0])

    def score(self, text: str) -> float:
        return _judge(text)[1]


def _judge(text: str) -> tuple[str, float]:
    """The first signature that the text bears, else `model`, and how sure that is."""
    codes = fold(text)
    logit = _model().logit(codes)
    score = sure = sigmoid(logit)
    if len(codes) < SHORT:
        score = sigmoid(logit - RESERVE * (1 - len(codes) / SHORT))
    if sure >= DOUBT and (places := _words().places(codes)):
        plain = unfold(codes)
        for category in _SIGNATURES:
            if _bears(plain, category, places):
                return category, max(score, SIGNED)
    return "model", score


def _bears(plain: str, category: str, places: Places) -> bool:
    """Whether a folded text bears a signature of a category."""
    needed = _NEEDED.get(category)
    if needed and places.keys().isdisjoint(needed):
        return False
    return meets(plain, _signatures()[category], _STARTS[category], places)


def prompt_injection() -> Check:
    return _PromptInjection()
