"""All checks that there are, by name, in the order in which they run where nobody asks for another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from hive_guardrails.checks.denied import denied_words
from hive_guardrails.checks.injection import prompt_injection
from hive_guardrails.checks.pii import pii
from hive_guardrails.checks.port import Check
from hive_guardrails.checks.secrets import secrets
from hive_guardrails.checks.toxicity import toxicity

DENIED_WORDS = "denied-words"
NAMES = ("prompt-injection", "secrets", "pii", "toxicity", DENIED_WORDS)


@cache
def checks() -> Mapping[str, Check]:
    """One of each; made at the first call, which reads the models' coefficients. Denied words: none."""
    made = (prompt_injection(), secrets(), pii(), toxicity(), denied_words(()))
    return {check.name: check for check in made}
