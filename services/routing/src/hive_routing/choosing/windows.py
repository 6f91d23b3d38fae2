"""Prompts that are longer than a model's context window: what providers say of them."""

from __future__ import annotations

import re

from hive_runtime.errors import HiveError, Kind

_REASONS = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "exceed_context_size_error",
        "model_context_window_exceeded",
        "prompt_too_long",
        "too_many_tokens",
    }
)
_WORDS = re.compile(
    r"(prompt|input) is too long"
    r"|(maximum|max) (context|prompt) length"
    r"|(exceed\w*|larger than|longer than|too large for)\b.{0,60}\bcontext (length|window|size)"
    r"|context (length|window|size)\b.{0,40}\bexceed"
    r"|input token count\b.{0,60}\bexceeds the maximum"
    r"|too many (input )?tokens"
    r"|too large for model with\b.{0,40}\bcontext length",
    re.IGNORECASE,
)
"""How providers word it that have no code for it. Too much by bytes (413) is something else."""
_LOOKED_AT = 2_000


def says_too_long(error: HiveError) -> bool:
    """Whether a provider refused a request because its prompt does not fit into the model's window."""
    if error.kind is not Kind.INVALID and error.kind is not Kind.TOO_LARGE:
        return False
    return error.reason in _REASONS or _WORDS.search(error.message[:_LOOKED_AT]) is not None
