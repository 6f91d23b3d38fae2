"""Insults, hate, threats and encouragement to self-harm: trained weights, and rules that name what they see.

Where the weights come from and how good the guard is: docs/model-cards/toxicity.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hive_guardrails.checks.linear import (
    LARGEST,
    SIZES,
    Codes,
    Linear,
    fold,
    sigmoid,
    unfold,
    version,
    word_hashes,
)
from hive_guardrails.checks.port import Check, Finding, Origin
from hive_guardrails.checks.words import Words, meets

SPAN: Final = 24
"""Words judged at once: a swear word in a long letter counts as much as in a short one."""
SPOKEN: Final = 0.9
"""Score of a phrase that a rule knows."""

# Rules meet folded text: lower case, digits read as letters.
_HURT: Final = (
    r"(?:kill|murder|hurt|stab|shoot|beat|break|burn|destroy|strangle|choke|slit|cut|smash|bury|end|crush|rape|"
    r"hang|drown|behead|gut)"
)
_WILL: Final = (
    r"(?:i swear i'?ll|(?:i|we)(?:'?ll| will| shall| am going to|'?m going to|'?m gonna| gonna|"
    r"'?re going to|'?re gonna))"
)
_PART: Final = (
    r"(?:jaw|face|neck|legs?|bones|head|arms?|nose|skull|teeth|throat|fingers|house down|heart out)"
)
_GROUP: Final = (
    r"(?:women|gays?|lesbians|jews|muslims|christians|blacks?|black people|whites?|immigrants|foreigners|"
    r"refugees|migrants|gypsies|asians|arabs|mexicans|disabled people|trans people|"
    r"those people|these people|they|people from \S+(?: \S+)?)"
)
_LOW: Final = (
    r"(?:vermin|parasites?|animals|rats|cockroaches|scum|filth|subhumans?|inferior|disgusting|"
    r"a plague|too stupid|not human)"
)
_RULES: Final = {
    "threat": (
        rf"\b{_WILL}(?: \S+)?(?: \S+)? {_HURT} (?:you|him|her|them)\b(?! (?:at|in the|a|an|to|off|with the score)\b)"
        rf"|\b{_WILL}(?: \S+)?(?: \S+)? {_HURT} (?:your|his|her|their) (?:family|wife|kids?|mother|dog|{_PART})\b"
        rf"|\b{_WILL} put a (?:bullet|knife|hole) in (?:you|your|his|her)\b"
        r"|\b(?:you (?:better|had better)|better) watch your back\b"
        r"|\byou (?:are|'?re) (?:a )?dead (?:man|woman|meat)\b"
        r"|\byou(?: will not|'?ll not| won'?t) (?:live|survive|wake up|see (?:the|another))\b"
        r"|\bi know where you live\b|\b(?:you|they) will (?:regret|suffer|pay for) (?:this|it)\b"
        r"|\b(?:your|his|her) (?:family|kids|children|wife|mother) will (?:suffer|die|pay|bleed|not come home)\b"
        r"|\b(?:will|night) be your last\b|\bmake sure (?:you|your \S+) (?:never|don'?t|do not) \S+"
    ),
    "self-harm": (
        r"\bkill (?:yourself|urself|your self)\b|\bkys\b"
        r"|\b(?:go|just|should|and) (?:and )?(?:hang|drown|shoot|cut) yourself\b"
        r"|\bend your (?:own )?(?:life|miserable life)\b|\byou (?:should|deserve to|ought to) (?:just )?(?:die|bleed)\b"
        r"|\bgo (?:and )?(?:die|drink bleach|jump off)\b"
        r"|\bjump off a (?:bridge|roof|cliff)\b.{0,20}\b(?:favou?r|please)\b"
        r"|\b(?:slit|cut) your wrists\b|\btake all the pills\b|\bcut deeper\b"
        r"|\bbetter (?:off|place) without you\b|\bno ?(?:one|body) (?:will|would) miss you\b"
    ),
    "hate": (
        rf"\b{_GROUP} (?:are|is)(?: all| just| nothing but)? {_LOW}\b"
        rf"|\b{_GROUP} (?:should|must|do not deserve|don'?t deserve|deserve)\b.{{0,24}}\b(?:live|exterminated|"
        r"die|shot|killed|banned|deported|gassed|put down|hanged|burned)\b"
        r"|\b(?:wipe|get rid of) (?:them|the jews|the muslims|the blacks|all of them)\b|\bfinished? the job\b"
        rf"|\bhate (?:all )?{_GROUP}\b"
        r"|\b(?:dirty|filthy|bloody|damn) (?:gypsies|jews|foreigners|immigrants|arabs|mexicans)\b"
        rf"|\bsend (?:them|{_GROUP}) back\b"
    ),
    "insult": (
        r"\b(?:you are|you'?re|ur|you|such)(?: (?:a|an|the|nothing but|just|absolute|complete|total|utterly|"
        r"so|too|what))* (?:worthless|pathetic|disgusting|useless|stupid|dumb|ugly|idiotic|filthy|loser|"
        r"moron|idiot|imbecile|clown|freak|failure|pig|rat|trash|garbage|scum|waste of (?:oxygen|space|air))\b"
        r"|\b(?:everybody|everyone|nobody|no one) (?:hates|likes|loves|wants) you\b"
        r"|\bpathetic loser\b|\bshut up,? you\b"
    ),
}

_STARTS: Final = {
    "threat": (
        "i swear i",
        *(
            f"{who}{will} "
            for who in ("i", "we")
            for will in ("'ll", "ll", " will", " shall", " am going to", " gonna")
        ),
        *(
            f"{who}{be} {will} "
            for who in ("i", "we")
            for be in ("'m", "m", "'re", "re")
            for will in ("going to", "gonna")
        ),
        *("better watch your back", "you are ", "you 're ", "you re ", "you will ", "they will "),
        *("you'll not ", "youll not ", "you won't ", "you wont ", "i know where you live"),
        *(
            f"{whose} {who} will "
            for whose in ("your", "his", "her")
            for who in ("family", "kids", "children", "wife", "mother")
        ),
        *("will be your last", "night be your last", "make sure you"),
    ),
    "self-harm": (
        *("kill yourself", "kill urself", "kill your self", "kys", "end your ", "jump off a "),
        *(
            f"{go} {do} yourself"
            for go in ("go", "just", "should", "and")
            for do in ("hang", "drown", "shoot", "cut")
        ),
        *("you should ", "you deserve to ", "you ought to "),
        *(
            f"go {do}"
            for do in ("die", "drink bleach", "jump off", "and die", "and drink bleach", "and jump off")
        ),
        *("slit your wrists", "cut your wrists", "take all the pills", "cut deeper"),
        *("better off without you", "better place without you"),
        *(
            f"{who} {would} miss you"
            for who in ("no one", "noone", "no body", "nobody")
            for would in ("will", "would")
        ),
    ),
    "hate": (
        *("women ", "gay", "lesbians ", "jews ", "muslims ", "christians ", "black", "white", "immigrants "),
        *(
            "foreigners ",
            "refugees ",
            "migrants ",
            "gypsies ",
            "asians ",
            "arabs ",
            "mexicans ",
            "disabled people ",
        ),
        *("trans people ", "those people ", "these people ", "they ", "people from "),
        *("wipe ", "get rid of ", "finishe", "hate ", "dirty ", "filthy ", "bloody ", "damn ", "send "),
    ),
    "insult": (
        *("you ", "you're ", "youre ", "ur ", "such ", "pathetic loser", "shut up"),
        *(
            f"{who} {do} you"
            for who in ("everybody", "everyone", "nobody", "no one")
            for do in ("hates", "likes", "loves", "wants")
        ),
    ),
}
"""What a rule knows begins with one of these: it is looked for nowhere else."""


@dataclass(frozen=True, slots=True)
class _Words:
    """hashes: of the words, ascending. pull, norm: added to the sum and to the square of its length; [words]."""

    hashes: NDArray[np.uint64]
    pull: NDArray[np.float32]
    norm: NDArray[np.float32]
    slope: float
    bias: float

    def logit(self, codes: Codes) -> float:
        """Of the worst `SPAN` words of the folded text."""
        found = word_hashes(codes)
        at = np.minimum(np.searchsorted(self.hashes, found), len(self.hashes) - 1)
        known = self.hashes[at] == found
        sums, norms = np.zeros(len(found) + 1), np.zeros(len(found) + 1)
        np.cumsum(self.pull[at] * known, out=sums[1:])
        np.cumsum(self.norm[at] * known, out=norms[1:])
        starts = np.arange(0, max(len(found) - SPAN // 2, 1), SPAN // 2)
        ends = np.minimum(starts + SPAN, len(found))
        cosines = (sums[ends] - sums[starts]) / np.sqrt(np.maximum(norms[ends] - norms[starts], 1.0))
        return float(self.slope * cosines.max() + self.bias)


class _Model(NamedTuple):
    words: _Words
    phrases: Linear


@cache
def _model() -> _Model:
    content = Path(__file__).with_name("toxicity.npz").read_bytes()
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        words = _Words(
            arrays["hashes"],
            arrays["pull"].astype(np.float32),
            arrays["norm"].astype(np.float32),
            float(arrays["slope"]),
            float(arrays["word_bias"]),
        )
        bias, scale = float(arrays["phrase_bias"]), float(arrays["scale"])
        return _Model(words, Linear(arrays["weights"], bias, version(content), scale))


@cache
def _rules() -> dict[str, re.Pattern[str]]:
    return {category: re.compile(pattern) for category, pattern in _RULES.items()}


@cache
def _words() -> Words:
    return Words(word for words in _STARTS.values() for word in words)


class _Toxicity:
    """One for the process: its numbers are read once."""

    name = "toxicity"
    threshold = 0.5
    reads: Collection[Origin] = frozenset({Origin.USER, Origin.TOOL, Origin.MODEL})
    redacts = False
    overlap = LARGEST

    def __init__(self) -> None:
        self.version = _model().phrases.version

    def find(self, text: str, threshold: float) -> list[Finding]:
        category, score = _judge(text)
        return [Finding(category, 0, len(text), score)] if text and score >= threshold else []

    def open(self, text: str) -> int:
        return min(len(text), SIZES[0])

    def score(self, text: str) -> float:
        return _judge(text)[1]


def _judge(text: str) -> tuple[str, float]:
    """The first rule that the text breaks, else `abuse` by its words and phrases, and how sure that is."""
    codes = fold(text)
    model = _model()
    score = sigmoid(max(model.words.logit(codes), model.phrases.logit(codes)))
    if places := _words().places(codes):
        plain = unfold(codes)
        for category, pattern in _rules().items():
            if meets(plain, pattern, _STARTS[category], places):
                return category, max(score, SPOKEN)
    return "abuse", score


def toxicity() -> Check:
    return _Toxicity()
